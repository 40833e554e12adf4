//! The engine on trees of this format: it finds what naive recursion over the twin finds.

use crate::Case;
use crate::naive::{self, Found, Leaf, Range, Refused, Step, Translated, Why};
use crate::numbers::Random;
use crate::tree::{ROOT, Tree};
use crate::twin::{Bit, Twin};
use iopt::coalesce::{Coalescer, Join, MappedRange};
use iopt::memory::Page;
use iopt::radix::{
    Cursor, Defect, Format, Item, Refusal, TableScratch, Translation, Visit, translate as engine, translate_all,
};
use iopt::{Access, Iova, IovaRange, Permissions, PhysAddr};

pub const TREES: u64 = 12;
pub const ALL: (u64, u64) = (0, u64::MAX);

pub fn scratch() -> TableScratch {
    [Page::ZERO; iopt::radix::MAX_LEVELS]
}

pub fn window((first, last): (u64, u64)) -> IovaRange {
    IovaRange::new(Iova(first), Iova(last)).unwrap()
}

fn flags(permissions: Permissions) -> (bool, bool) {
    (permissions.read(), permissions.write())
}

/// Each tree with its seed.
pub fn trees<F>(case: &Case<F>) -> impl Iterator<Item = (u64, Tree<'_>)> {
    (0..TREES).map(|seed| (seed, Tree::random(&*case.twin, seed)))
}

pub fn found(item: Item<'_>) -> Vec<Found> {
    match item {
        Item::Table(table) => vec![Found::Table { addr: table.addr.0, level: table.level, iova: table.iova.0 }],
        Item::Run(run) => {
            let leaf = |leaf: iopt::radix::Leaf| {
                Found::Leaf(Leaf {
                    iova: leaf.iova.0,
                    size_log2: leaf.page_size_log2.into(),
                    phys: leaf.phys.0,
                    permissions: flags(leaf.permissions),
                    attributes: run.attributes,
                    raw: leaf.raw,
                })
            };
            run.leaves().map(leaf).collect()
        }
        Item::Malformed(bad) => vec![Found::Bad {
            table: bad.table.0,
            level: bad.level,
            index: bad.index.into(),
            raw: bad.raw,
            iova: bad.iova.0,
            why: match bad.defect {
                Defect::ReservedBits(bits) => Why::Reserved(bits),
                Defect::Unreadable(_) => Why::Unreadable,
                Defect::Loop { level, .. } => Why::Loop(level),
                other => panic!("{other:?}"),
            },
        }],
    }
}

fn rest<F: Format>(cursor: &mut Cursor<'_, Tree<'_>, F>) -> Vec<Found> {
    let mut all = Vec::new();
    while let Some(item) = cursor.next() {
        all.extend(found(item));
    }
    all
}

/// All that is found in a window, the top table first.
fn walk<F: Format + Copy + Default>(format: F, tree: &Tree<'_>, of: (u64, u64)) -> Vec<Found> {
    let mut scratch = scratch();
    let mut cursor = Cursor::new(tree, &mut scratch);
    let mut all = found(Item::Table(cursor.start(format, PhysAddr(ROOT), window(of)).unwrap()));
    all.extend(rest(&mut cursor));
    all
}

pub fn assert_same(found: &[Found], expected: &[Found], context: &str) {
    if let Some(at) = (0..found.len().max(expected.len())).find(|at| found.get(*at) != expected.get(*at)) {
        panic!("{context}: number {at} is {:x?}, not {:x?}", found.get(at), expected.get(at));
    }
}

/// Without tables, and only what concerns addresses from `from` on.
fn concerning(found: &[Found], twin: &dyn Twin, (from, last): (u64, u64)) -> Vec<Found> {
    let concerns = |found: &&Found| found.span(twin).is_some_and(|span| span.1 >= from && span.0 <= last);
    found.iter().filter(concerns).copied().collect()
}

pub fn cursor<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    let mut totals = [0; 4];
    for (seed, tree) in trees(case) {
        let expected = naive::walk(&**twin, &tree, ALL);
        assert_same(&walk(*format, &tree, ALL), &expected, &format!("{name}: tree {seed}"));
        for found in expected {
            let kind = match found {
                Found::Table { .. } => 0,
                Found::Leaf(_) => 1,
                Found::Bad { why: Why::Reserved(_), .. } => 2,
                Found::Bad { .. } => 3,
            };
            totals[kind] += 1;
        }
    }
    let reserved = (1..=twin.levels())
        .any(|level| twin.kinds(level).iter().any(|leaf| twin.mask(level, *leaf, Bit::Reserved) != 0));
    assert!(
        totals[0] > TREES && totals[1] > 1000 && (totals[2] > 0 || !reserved) && totals[3] > 0,
        "{name}: {totals:?}"
    );
}

pub fn ranges<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    for (seed, tree) in trees(case) {
        let leaves = naive::walk(&**twin, &tree, ALL);
        for join in [Join::Both, Join::Iova] {
            let mut scratch = scratch();
            let mut cursor = Cursor::new(&tree, &mut scratch);
            cursor.start(*format, PhysAddr(ROOT), window(ALL)).unwrap();
            let mut coalescer = Coalescer::new(join);
            let mut ranges: Vec<MappedRange> = Vec::new();
            while let Some(item) = cursor.next() {
                if let Item::Run(run) = item {
                    coalescer.push(&run, |range| ranges.push(range));
                }
            }
            ranges.extend(coalescer.finish());
            let range = |range: &MappedRange| Range {
                first: range.iova.first().0,
                last: range.iova.last().0,
                phys: range.phys.map(|phys| phys.0),
                permissions: flags(range.permissions),
                attributes: range.attributes,
                smallest_log2: range.page_size_log2.into(),
            };
            let ranges: Vec<Range> = ranges.iter().map(range).collect();
            let expected = naive::ranges(&leaves, join == Join::Iova);
            if let Some(at) = (0..ranges.len().max(expected.len())).find(|at| ranges.get(*at) != expected.get(*at)) {
                panic!("{name}: tree {seed}, {join:?}, {at}: {:x?}, not {:x?}", ranges.get(at), expected.get(at));
            }
        }
    }
}

/// An address that has something to do with what is there.
fn somewhere(twin: &dyn Twin, found: &[Found], random: &mut Random) -> u64 {
    let spans: Vec<(u64, u64)> = found.iter().filter_map(|found| found.span(twin)).collect();
    match (random.below(8), spans.get(random.below(spans.len().max(1) as u64) as usize)) {
        (0, _) | (_, None) => random.word(),
        (1, _) => twin.iova(twin.offset(random.word())),
        (2, Some(span)) => span.0.wrapping_sub(1),
        (3, Some(span)) => span.1.wrapping_add(1),
        (4, Some(span)) => span.1,
        (5, Some(span)) => span.0 + random.below(span.1 - span.0),
        (_, Some(span)) => span.0,
    }
}

fn some_window(twin: &dyn Twin, found: &[Found], random: &mut Random) -> (u64, u64) {
    let ends = [somewhere(twin, found, random), somewhere(twin, found, random)];
    (ends[0].min(ends[1]), ends[0].max(ends[1]))
}

pub fn windows<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    for (seed, tree) in trees(case) {
        let mut random = Random(seed);
        let all = naive::walk(&**twin, &tree, ALL);
        for _ in 0..8 {
            let of = some_window(&**twin, &all, &mut random);
            let context = format!("{name}: tree {seed}, {of:x?}");
            assert_same(&walk(*format, &tree, of), &naive::walk(&**twin, &tree, of), &context);
        }
    }
}

pub fn seeking<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    let twin = &**twin;
    for (seed, tree) in trees(case) {
        let mut random = Random(seed);
        let all = naive::walk(twin, &tree, ALL);
        let mut scratch = scratch();
        let mut cursor = Cursor::new(&tree, &mut scratch);
        cursor.start(*format, PhysAddr(ROOT), window(ALL)).unwrap();
        let mut of = ALL;
        for round in 0..20 {
            if random.one_in(4) {
                of = some_window(twin, &all, &mut random);
                cursor.set_window(window(of));
            } else {
                of.0 = somewhere(twin, &all, &mut random).min(of.1);
                cursor.seek(Iova(of.0));
            }
            let mut context = format!("{name}: tree {seed}, round {round}, {of:x?}");
            let expected = concerning(&all, twin, of);
            let mut here = Vec::new();
            for _ in 0..random.below(6) {
                here.extend(cursor.next().map(found).unwrap_or_default());
            }
            // What a later cursor finds from the position on is the rest.
            let position = cursor.position();
            if let Some(Iova(position)) = position.filter(|position| position.0 <= of.1) {
                let mut later = here.clone();
                later.extend(walk(*format, &tree, (position, of.1)));
                context += &format!(", at {position:#x}");
                assert_same(&concerning(&later, twin, ALL), &expected, &context);
            }
            if random.one_in(3) || position.is_none() {
                let rest = rest(&mut cursor);
                assert!(position.is_some() || rest.is_empty(), "{context}: more comes behind the end");
                here.extend(rest);
                assert_same(&concerning(&here, twin, ALL), &expected, &context);
                assert_eq!(cursor.position(), None, "{context}");
            }
        }
        // The top table is all there is, and after the end there is nothing to skip.
        cursor.start(*format, PhysAddr(ROOT), window(ALL)).unwrap();
        for _ in 0..2 {
            cursor.skip_table();
            assert_eq!((cursor.position(), rest(&mut cursor).len()), (None, 0), "{name}: tree {seed}");
        }
    }
}

/// From one window to the next, upwards and downwards, no table is read that was read for the one before.
pub fn nearby_windows<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    let twin = &**twin;
    for (seed, tree) in trees(case).take(4) {
        let all = naive::walk(twin, &tree, ALL);
        let is_table = |found: &&Found| matches!(found, Found::Table { .. });
        let tables = all.iter().filter(is_table).count() as u64;
        let spans = all.iter().filter_map(|found| found.span(twin));
        let mut spans: Vec<_> = spans.step_by(all.len() / 50 + 1).collect();
        for _ in 0..2 {
            let mut scratch = scratch();
            let mut cursor = Cursor::new(&tree, &mut scratch);
            cursor.start(*format, PhysAddr(ROOT), window(ALL)).unwrap();
            for span in &spans {
                for of in [*span, (span.0, span.0), (span.1, span.1)] {
                    cursor.set_window(window(of));
                    let before = cursor.statistics().tables;
                    let found = rest(&mut cursor);
                    let context = format!("{name}: tree {seed}, {of:x?}");
                    assert_same(&concerning(&found, twin, ALL), &concerning(&all, twin, of), &context);
                    let entered = found.iter().filter(is_table).count() as u64;
                    assert_eq!(cursor.statistics().tables - before, entered, "{context}");
                    assert!(of == *span || entered == 0, "{context}: {entered} tables again");
                }
            }
            let read = cursor.statistics().tables;
            assert!(read <= tables, "{name}: tree {seed}: {read} of {tables} tables");
            spans.reverse();
        }
    }
}

fn step(visit: Visit) -> Step {
    (visit.level, visit.table.0, visit.index.into(), visit.raw)
}

fn judged(result: Result<Translation, Refusal>, path: &[Step]) -> Result<Translated, Refused> {
    let blamed = |visit: Visit| assert_eq!(Some(&step(visit)), path.last());
    match result {
        Ok(found) => {
            blamed(found.leaf.unwrap());
            Ok((found.phys.0, found.page_size_log2.into(), flags(found.permissions)))
        }
        Err(Refusal::Denied(visit)) => {
            blamed(visit);
            Err(Refused::Denied)
        }
        Err(Refusal::ReservedBits(visit, bits)) => {
            blamed(visit);
            Err(Refused::Reserved(bits))
        }
        Err(Refusal::Unreadable(_, visit)) => {
            assert_eq!(visit.map(step).as_ref(), path.last());
            Err(Refused::Unreadable)
        }
    }
}

/// Whether the engine agrees with the twin about this address; what they say.
fn agreed<F: Format>(case: &Case<F>, tree: &Tree<'_>, iova: u64, access: Access) -> Result<Translated, Refused> {
    let context = format!("{}: {access} at {iova:#x}", case.name);
    let mut path = Vec::new();
    let mut copy = Page::ZERO;
    let visit = |visit| path.push(step(visit));
    let result = engine(tree, &case.format, PhysAddr(ROOT), Iova(iova), access, &mut copy, visit);
    let expected = naive::translate(&*case.twin, tree, iova, access);
    let judged = judged(result, &path);
    assert_eq!((path, judged), expected, "{context}");
    judged
}

pub fn translations<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    for (seed, tree) in trees(case) {
        let mut random = Random(seed);
        let all = naive::walk(&**twin, &tree, ALL);
        let iovas: Vec<Iova> = (0..100).map(|_| Iova(somewhere(&**twin, &all, &mut random))).collect();
        for access in [Access::Read, Access::Write] {
            let single: Vec<_> = iovas.iter().map(|iova| agreed(case, &tree, iova.0, access)).collect();
            let mut together = vec![None; iovas.len()];
            let mut copy = Page::ZERO;
            translate_all(&tree, format, PhysAddr(ROOT), &iovas, access, &mut copy, |place, result| {
                let path = naive::translate(&**twin, &tree, iovas[place].0, access).0;
                assert_eq!(together[place].replace(judged(result, &path)), None, "{name}: tree {seed}");
            });
            assert!(single.into_iter().map(Some).eq(together), "{name}: tree {seed}");
        }
    }
}

/// The first byte of each table and leaf that has an end where something else ends too.
fn edges(twin: &dyn Twin, level: u8) -> Vec<u64> {
    let size = 1u64 << twin.shift(level);
    let end = if twin.input_bits() == 64 { 0 } else { 1u64 << twin.input_bits() };
    let middle = 1u64 << (twin.input_bits() - 1);
    let mut edges = vec![0, middle - size, middle, end.wrapping_sub(size)];
    for above in level..=twin.levels() {
        let table = 1u64 << twin.shift(above);
        edges.extend([table - size, table, middle + table, middle - table]);
    }
    edges.iter_mut().for_each(|edge| *edge = twin.iova(twin.offset(*edge)));
    edges.sort_unstable();
    edges.dedup();
    edges
}

pub fn boundaries<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    let twin = &**twin;
    for level in (1..=twin.levels()).filter(|level| twin.has_leaves(*level)) {
        let size = 1u64 << twin.shift(level);
        let phys = 0x12_4000_0000;
        for first in edges(twin, level) {
            let last = first + (size - 1);
            let context = format!("{name}: level {level} at {first:#x}");
            let mut tree = Tree::new(twin);
            let (table, index) = tree.at(level, first);
            tree.set(table, index, tree.open(level, true, phys));
            let leaf = Leaf {
                iova: first,
                size_log2: twin.shift(level),
                phys,
                permissions: (true, true),
                attributes: 0,
                raw: tree.open(level, true, phys),
            };
            for of in [ALL, (first, first), (last, last), (0, first), (last, u64::MAX)] {
                let found = concerning(&walk(*format, &tree, of), twin, ALL);
                assert_eq!(found, [Found::Leaf(leaf)], "{context}");
            }
            for of in
                [first.checked_sub(1).map(|before| (0, before)), last.checked_add(1).map(|after| (after, u64::MAX))]
            {
                let found = of.map(|of| concerning(&walk(*format, &tree, of), twin, ALL));
                assert_eq!(found.unwrap_or_default(), [], "{context}");
            }
            for access in [Access::Read, Access::Write] {
                let there = |offset: u64| Ok((phys + offset, twin.shift(level), (true, true)));
                assert_eq!(agreed(case, &tree, first, access), there(0), "{context}");
                assert_eq!(agreed(case, &tree, last, access), there(size - 1), "{context}");
                for beside in [first.wrapping_sub(1), last.wrapping_add(1)] {
                    if format.accepts(Iova(beside)) {
                        assert_eq!(agreed(case, &tree, beside, access), Err(Refused::Denied), "{context}");
                    }
                }
            }
        }
    }
}

pub fn order_of_checks<F: Format>(case: &Case<F>) {
    let Case { name, twin, .. } = case;
    let twin = &**twin;
    let iova = twin.iova(1 << (twin.input_bits() - 1) | 0x40_3000);
    for level in 1..=twin.levels() {
        for leaf in twin.kinds(level) {
            let mut tree = Tree::new(twin);
            let (table, index) = tree.at(1, iova);
            tree.set(table, index, tree.open(1, true, 0x5000));
            let (table, index) = tree.at(level, iova);
            let raw = if leaf { tree.open(level, true, 0x4000_0000) } else { tree.word(table, index).unwrap() };
            let access_bits = twin.mask(level, leaf, Bit::Access);
            let reserved = twin.mask(level, leaf, Bit::Reserved);
            for granted in (0..=access_bits).filter(|granted| granted & !access_bits == 0) {
                for broken in [0, reserved & reserved.wrapping_neg(), reserved] {
                    let entry = raw & !access_bits | granted | broken;
                    tree.set(table, index, entry);
                    for access in [Access::Read, Access::Write] {
                        let expected = if !twin.present(entry) || !crate::twin::allows(twin.permissions(entry), access)
                        {
                            Err(Refused::Denied)
                        } else if broken != 0 {
                            Err(Refused::Reserved(broken))
                        } else {
                            Ok(())
                        };
                        let result = agreed(case, &tree, iova, access).map(|_| ());
                        assert_eq!(result, expected, "{name}: {entry:#x} at level {level}");
                    }
                }
            }
        }
    }
}
