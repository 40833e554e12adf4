//! Formats as nobody would make them: they end, and say so.

use iopt::memory::{Page, Slot, SparseMemory};
use iopt::radix::{
    Cursor, Defect, Entry, Format, Inner, Item, Level, MAX_LEVELS, NestedRefusal, Refusal, TableScratch, Visit,
    translate, translate_nested,
};
use iopt::{Access, Iova, IovaRange, Permissions, PhysAddr};

const ROOT: PhysAddr = PhysAddr(0x1000);
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// A level whose entries all point to tables.
const ENDLESS: Level = Level {
    size_log2: 12,
    index_bits: 9,
    present: 1,
    leaf: 0,
    table_address: ADDRESS,
    leaf_address: ADDRESS,
    table_reserved: 0,
    leaf_reserved: 0,
    permissions: 1,
    attributes: 0,
};
const LEAVES: Level = Level { leaf: 1, ..ENDLESS };

#[derive(Clone, Copy, Default)]
struct Odd {
    levels: &'static [Level],
    /// Whether entries are absent that have a bit of presence.
    hides: bool,
}

impl Format for Odd {
    fn levels(&self) -> &[Level] {
        self.levels
    }

    fn permissions(&self, _: u64) -> Permissions {
        Permissions::READ_WRITE
    }

    fn decode(&self, level: &Level, raw: u64) -> Entry {
        match (self.hides, raw & level.leaf != 0) {
            (true, _) => Entry::Absent,
            (false, true) => Entry::Leaf(PhysAddr(raw & ADDRESS)),
            (false, false) => Entry::Table(PhysAddr(raw & ADDRESS)),
        }
    }
}

const NOTHING: Odd = Odd { levels: &[], hides: false };
const TABLES_ONLY: Odd = Odd { levels: &[ENDLESS], hides: false };
const HIDING: Odd = Odd { levels: &[LEAVES], hides: true };
const PLAIN: Odd = Odd { levels: &[LEAVES], hides: false };

fn with(look: impl FnOnce(&SparseMemory<'_>)) {
    let mut slots = [Slot::EMPTY; 4];
    let mut memory = SparseMemory::new(&mut slots);
    memory.write_u64(ROOT, ROOT.0 | 1).unwrap();
    look(&memory);
}

#[test]
fn a_walk_ends_where_the_format_does() {
    with(|memory| {
        let items = |format: Odd| {
            let mut scratch: TableScratch = [const { Page::ZERO }; MAX_LEVELS];
            let mut cursor = Cursor::new(memory, &mut scratch);
            cursor.start(format, ROOT, IovaRange::all())?;
            let (mut leaves, mut defects) = (0, vec![]);
            while let Some(item) = cursor.next() {
                match item {
                    Item::Run(run) => leaves += run.len(),
                    Item::Malformed(malformed) => defects.push(malformed.defect),
                    Item::Table(_) => {}
                }
            }
            Ok((leaves, defects))
        };
        assert_eq!(items(NOTHING), Err(Defect::NoSuchLevel { level: 0 }));
        assert_eq!(items(TABLES_ONLY), Ok((0, vec![Defect::NoSuchLevel { level: 0 }])));
        assert_eq!(items(HIDING), Ok((0, vec![])));
        assert_eq!(items(PLAIN), Ok((1, vec![])));
    });
}

#[test]
fn a_translation_ends_where_the_format_does() {
    with(|memory| {
        let mut copy = Page::ZERO;
        let astray = Refusal::Denied(Visit { level: 0, table: ROOT, index: 0, raw: 0 });
        let entry = Refusal::Denied(Visit { level: 1, table: ROOT, index: 0, raw: ROOT.0 | 1 });
        for (format, expected) in
            [(NOTHING, Err(astray)), (TABLES_ONLY, Err(astray)), (HIDING, Err(entry)), (PLAIN, Ok(PhysAddr(0x1008)))]
        {
            let found = translate(memory, &format, ROOT, Iova(8), Access::Read, &mut copy, |_| ());
            assert_eq!(found.map(|found| found.phys), expected);
        }
        let inner = Inner { format: PLAIN, root: ROOT, input_bits: 21 };
        let found =
            translate_nested(memory, &NOTHING, PhysAddr(0), &inner, Iova(8), Access::Read, &mut copy, |_, _| ());
        let astray = Refusal::Denied(Visit { level: 0, table: PhysAddr(0), index: 0, raw: 0 });
        assert_eq!(found.map(|found| found.phys), Err(NestedRefusal::Outer(astray)));
    });
}
