use super::arena::Arena;
use super::dialect::{Dialect, index, large};
use super::draw::mix;
use super::shape::{Anchor, FlawKind, Frames, Plant, Rights, Run, Seam, Tree, Tweak, TweakKind, What};
use crate::twin::bits::{self, ADDRESS};

/// One tree while it grows.
pub struct Grower<'g, 'a, 's> {
    arena: &'g mut Arena<'a, 's>,
    dialect: Dialect,
    top: u64,
    levels: u8,
    /// The size of the tree's address space. In a first stage its upper half is what the end of the 64-bit space is
    /// mapped by.
    space: u128,
    /// Where the last thing ended, in I/O and in host addresses.
    end: u128,
    phys: u64,
    /// Software's bits for new entries that point to tables.
    dress: Option<u16>,
}

/// Leaves of one kind, one after the other.
struct Row {
    start: u64,
    level: u8,
    count: u16,
    phys: u64,
    rights: u64,
    /// Whether they have an attribute.
    attribute: bool,
}

impl<'g, 'a, 's> Grower<'g, 'a, 's> {
    /// Fills the empty table at `top` with the tree, or as much of it as there is room for.
    pub fn grow(arena: &'g mut Arena<'a, 's>, dialect: Dialect, top: u64, tree: &Tree) {
        let mut grower = Self::new(arena, dialect, top, tree.levels(dialect.stage));
        for plant in &tree.plants {
            grower.plant(plant);
        }
    }

    fn new(arena: &'g mut Arena<'a, 's>, dialect: Dialect, top: u64, levels: u8) -> Self {
        let space = 1 << (12 + 9 * u32::from(levels)).min(64);
        Self { arena, dialect, top, levels, space, end: 0, phys: 0x10_0000, dress: None }
    }

    /// Maps single pages of 4 KiB to others, where there is room and nothing else; a few of them read-only.
    pub fn map(arena: &'g mut Arena<'a, 's>, dialect: Dialect, top: u64, levels: u8, pages: &[(u64, u64)]) {
        let mut grower = Self::new(arena, dialect, top, levels);
        let space = grower.space;
        for (page, to) in pages.iter().filter(|(page, _)| u128::from(*page) < space) {
            let Some(at) = grower.entry_at(*page, 1) else { continue };
            if grower.arena.read(at) == Some(0) {
                let rights = if mix(*page) % 8 == 0 { dialect.rights(Rights(1)) } else { dialect.all() };
                grower.arena.write(at, to | rights);
            }
        }
    }

    fn plant(&mut self, plant: &Plant) {
        let anchor = match plant.anchor {
            Anchor::Next => self.end,
            Anchor::Low(n) => u128::from(n) << 21,
            Anchor::Edge(width) => 1 << width,
            Anchor::End => self.space,
            Anchor::Middle => self.space / 2,
            Anchor::Far(n) => (u128::from(n % 4) * 37) << 30,
            Anchor::Anywhere(iova) => u128::from(iova),
        };
        let anchor = if anchor > self.space { anchor % self.space } else { anchor };
        self.dress = plant.dress;
        match &plant.what {
            What::Run(run) => self.run(anchor, plant.before, run),
            What::Seam(seam) => self.seam(anchor, seam),
            What::Tweak(tweak) => self.tweak(anchor, tweak),
        }
    }

    /// The first address of a run that starts `before` entries ahead of `anchor`.
    fn start(&self, anchor: u128, before: u16, level: u8) -> u64 {
        let size = 1 << bits::entry_shift(level);
        let start = anchor.next_multiple_of(size).saturating_sub(u128::from(before) * size);
        start.min(self.space - size) as u64
    }

    fn run(&mut self, anchor: u128, before: u16, run: &Run) {
        let level = run.level.min(self.levels);
        let start = self.start(anchor, before, level);
        let size = 1 << bits::entry_shift(level);
        let mut shifted = 0;
        for n in 0..run.count {
            let iova = u128::from(start) + u128::from(n) * u128::from(size);
            if iova >= self.space {
                break;
            }
            let iova = iova as u64;
            let seed = u64::from(run.dress.unwrap_or(0)) << 16 | if run.motley { n.into() } else { 0 };
            let dialect = self.dialect;
            let mut entry = dialect.rights(run.rights);
            if run.snoop {
                entry |= dialect.attribute(run.count, level);
            }
            if run.dress.is_some() || run.motley {
                entry |= dialect.dress(seed, level, true);
            }
            let mut phys = self.frame(&run.frames, n, run.count, iova, size);
            for flaw in run.flaws.iter().filter(|flaw| flaw.at % run.count == n) {
                match flaw.kind {
                    FlawKind::Hole => entry = 0,
                    FlawKind::Absent => entry &= !dialect.presence(),
                    FlawKind::Rights(rights) => {
                        entry = entry & !dialect.rights_mask() | dialect.rights(rights);
                    }
                    FlawKind::Snoop => entry ^= dialect.attribute(n, level),
                    FlawKind::Ignored(bit) => entry ^= dialect.ignored(bit),
                    FlawKind::Skip => phys += 5 * size,
                    FlawKind::Shift => shifted += 7 * size,
                    FlawKind::Reserved(bit) => entry |= dialect.reserved_in_leaf(bit, level),
                }
            }
            let at = self.entry_at(iova, level);
            let phys = (phys + shifted) & ADDRESS & !(size - 1);
            if let Some(at) = at {
                let word = if entry == 0 { 0 } else { phys | entry | large(level) };
                self.arena.write(at, word);
            }
            self.end = u128::from(iova) + u128::from(size);
            if n + 1 == run.count {
                self.phys = phys + size;
            }
        }
    }

    /// Where entry `n` of a run points; the caller aligns it.
    fn frame(&self, frames: &Frames, n: u16, count: u16, iova: u64, size: u64) -> u64 {
        let base = |frame: u32| (u64::from(frame & 0xff_ffff) << 12) & !(size - 1);
        let n = u64::from(n);
        match *frames {
            Frames::Consecutive(frame) => base(frame) + n * size,
            Frames::Continue => self.phys.next_multiple_of(size) + n * size,
            Frames::Identity => iova & bits::low(39),
            Frames::Near(number) => (u64::from(number) << 21).next_multiple_of(size) + n * size,
            Frames::Scattered(frame) => base(mix(u64::from(frame) + n) as u32),
            Frames::Eights(frame) => base(frame) + (n + n / 8 * 3) * size,
            Frames::Backward(frame) => base(frame) + (u64::from(count) - n) * size,
            Frames::Same(frame) => base(frame),
            Frames::Interrupt(before) => (0xfee0_0000 + n * size).saturating_sub(u64::from(before) * size),
            Frames::InterruptEnd(before) => (0xfef0_0000 + n * size).saturating_sub(u64::from(before) * size),
            Frames::High(frame) => (base(frame) + n * size) | 1 << [40, 46, 51][frame as usize % 3],
        }
    }

    fn seam(&mut self, anchor: u128, seam: &Seam) {
        let level = seam.level.min(self.levels);
        let size = 1 << bits::entry_shift(level);
        // The small leaves in front need room, and so do the large ones.
        let middle = anchor.next_multiple_of(u128::from(size)).min(self.space - u128::from(size)) as u64;
        let before = seam.before.min((middle >> 12).min(u64::from(u16::MAX)) as u16);
        let phys = ((u64::from(seam.frame & 0xff_ffff) << 12) & !(size - 1)) + size;
        let (rights, attribute) = (self.dialect.rights(seam.rights), seam.snoop);
        let ahead = (u64::from(before) << 12).min(phys);
        let front = Row { start: middle - ahead, level: 1, count: before, phys: phys - ahead, rights, attribute };
        self.row(&front);
        self.row(&Row { start: middle, level, count: seam.large.into(), phys, rights, attribute });
        let large = size * u64::from(seam.large);
        if let Some(start) = middle.checked_add(large).filter(|start| u128::from(*start) < self.space) {
            let phys = phys + large + if seam.torn { 0x1_0000 } else { 0 };
            self.row(&Row { start, level: 1, count: seam.after, phys, rights, attribute });
        }
    }

    fn row(&mut self, row: &Row) {
        let size = 1 << bits::entry_shift(row.level);
        let attribute = if row.attribute { self.dialect.attribute(0, row.level) } else { 0 };
        for n in 0..u64::from(row.count) {
            let Some(iova) = row.start.checked_add(n * size).filter(|iova| u128::from(*iova) < self.space) else {
                break;
            };
            let phys = row.phys + n * size;
            if let Some(at) = self.entry_at(iova, row.level) {
                self.arena.write(at, phys | row.rights | attribute | large(row.level));
            }
            self.end = u128::from(iova) + u128::from(size);
            self.phys = phys + size;
        }
    }

    fn tweak(&mut self, anchor: u128, tweak: &Tweak) {
        let level = tweak.level.clamp(2, self.levels);
        match tweak.kind {
            TweakKind::Rights(_) | TweakKind::Ignored(_) | TweakKind::Absent | TweakKind::Reserved(_) => {
                // Where the anchor finds nothing, the last leaf surely has tables above it.
                let last = self.end.saturating_sub(1);
                let at = self.present(anchor.min(self.space - 1), level).or_else(|| self.present(last, level));
                if let Some(at) = at {
                    self.change(at, level, &tweak.kind);
                }
            }
            TweakKind::Share { which, count, any_level } => {
                let fits = |stage, made_for| any_level || (stage, made_for) == (self.dialect.stage, level - 1);
                let tables = self.arena.tables.iter().filter(|(_, stage, made_for)| fits(*stage, *made_for));
                let tables: Vec<_> = tables.map(|(addr, ..)| *addr).collect();
                if tables.is_empty() {
                    return;
                }
                let rights = self.dialect.rights(Rights(if which % 8 == 7 { 1 } else { 3 }));
                let table = tables[usize::from(which) % tables.len()];
                for n in 0..count {
                    self.add(anchor, tweak.step + n, level, table | rights, true);
                }
            }
            TweakKind::Loop { up } => {
                let Some(iova) = self.free(anchor, tweak.step, level) else { return };
                let mut path = vec![];
                self.path_to(iova, level, &mut path);
                let table = path[path.len() - 1 - usize::from(up).min(path.len() - 1)];
                self.add(anchor, tweak.step, level, table & ADDRESS | self.dialect.all(), true);
            }
            TweakKind::Nowhere(which) => {
                let nowhere = self.arena.nowhere(which);
                self.add(anchor, tweak.step, level, nowhere | self.dialect.all(), false);
            }
            TweakKind::Stranger(which) => {
                let count = self.arena.others.len().max(1);
                if let Some(table) = self.arena.others.get(usize::from(which) % count) {
                    let entry = table & ADDRESS | self.dialect.all();
                    self.add(anchor, tweak.step, level, entry, true);
                }
            }
            TweakKind::Wild(word) => self.add(anchor, tweak.step, level, word, true),
            TweakKind::Torn { which, from } => self.tear(anchor, level - 1, which, from),
        }
    }

    /// The address of the entry at `level` on the path of `iova`, if something is there.
    fn present(&mut self, iova: u128, level: u8) -> Option<u64> {
        let at = self.path_to(iova as u64, level, &mut vec![])?;
        self.arena.read(at).filter(|entry| self.dialect.is_present(*entry)).map(|_| at)
    }

    fn change(&mut self, at: u64, level: u8, kind: &TweakKind) {
        let entry = self.arena.read(at).unwrap_or(0);
        let dialect = self.dialect;
        let entry = match *kind {
            TweakKind::Rights(rights) => entry & !dialect.rights_mask() | dialect.rights(rights),
            TweakKind::Ignored(seed) => entry ^ dialect.dress(seed.into(), level, bits::is_leaf(entry, level)),
            TweakKind::Absent => entry & !dialect.presence(),
            TweakKind::Reserved(bit) => entry | dialect.reserved_in_table(bit, level),
            _ => entry,
        };
        self.arena.write(at, entry);
    }

    /// Puts the end of another table of the same level into the one that maps `anchor`, or the last leaf.
    fn tear(&mut self, anchor: u128, level: u8, which: u16, from: u8) {
        let last = self.end.saturating_sub(1);
        let entry = self.present(anchor.min(self.space - 1), level).or_else(|| self.present(last, level));
        let Some(table) = entry.map(|at| at & !0xfff) else { return };
        let same = |stage, made_for| (stage, made_for) == (self.dialect.stage, level);
        let tables = self.arena.tables.iter().filter(|(_, stage, made_for)| same(*stage, *made_for));
        let tables: Vec<_> = tables.map(|(addr, ..)| *addr).collect();
        let Some(other) = tables.get(usize::from(which) % tables.len().max(1)).copied() else { return };
        // Cache lines are written as a whole.
        for offset in (u64::from(from % 64) * 64..4096).step_by(8) {
            let word = self.arena.read(other + offset).unwrap_or(0);
            self.arena.write(table + offset, word);
            if self.dialect.is_present(word) && !bits::is_leaf(word, level) {
                self.arena.links.push(table + offset);
            }
        }
    }

    /// The first address of an entry at `level` that is free, some entries behind `anchor`.
    fn free(&mut self, anchor: u128, step: u8, level: u8) -> Option<u64> {
        let size = 1 << bits::entry_shift(level);
        let first = anchor / size + u128::from(step);
        let space = self.space;
        (first..first + 9).map(|n| n * size).take_while(|iova| *iova < space).map(|iova| iova as u64).find(|iova| {
            let at = self.entry_at(*iova, level);
            at.and_then(|at| self.arena.read(at)).is_some_and(|entry| !self.dialect.is_present(entry))
        })
    }

    fn add(&mut self, anchor: u128, step: u8, level: u8, entry: u64, link: bool) {
        let Some(iova) = self.free(anchor, step, level) else { return };
        let Some(at) = self.entry_at(iova, level) else { return };
        let dress = self.dress.map_or(0, |seed| self.dialect.dress(u64::from(seed) ^ at, level, false));
        self.arena.write(at, entry | dress);
        if link {
            self.arena.links.push(at);
        }
    }

    /// The address of the entry at `level` on the path of `iova`; makes the tables above it. `None` when
    /// memory is full or something else is in the way.
    fn entry_at(&mut self, iova: u64, level: u8) -> Option<u64> {
        let mut table = self.top;
        for above in (level + 1..=self.levels).rev() {
            let at = table + 8 * index(iova, above);
            let entry = self.arena.read(at)?;
            if self.dialect.is_present(entry) {
                if bits::is_leaf(entry, above) {
                    return None;
                }
                table = entry & ADDRESS;
            } else {
                table = self.arena.table(self.dialect.stage, above - 1)?;
                let dress = self.dress.map_or(0, |seed| self.dialect.dress(u64::from(seed) ^ at, above, false));
                self.arena.write(at, table | self.dialect.all() | dress);
            }
        }
        Some(table + 8 * index(iova, level))
    }

    /// The same, but makes nothing; collects the tables on the way.
    fn path_to(&self, iova: u64, level: u8, path: &mut Vec<u64>) -> Option<u64> {
        path.push(self.top);
        for above in (level + 1..=self.levels).rev() {
            let entry = self.arena.read(path[path.len() - 1] + 8 * index(iova, above))?;
            if !self.dialect.is_present(entry) || bits::is_leaf(entry, above) {
                return None;
            }
            path.push(entry & ADDRESS);
        }
        Some(path[path.len() - 1] + 8 * index(iova, level))
    }
}
