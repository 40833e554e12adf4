//! Hand-made page tables of scalable mode: each fault reason of either stage, and of both.

mod unit;

use iopt_model::{Kind, Who};
use unit::*;

#[test]
fn pass_through_ends_at_the_host_address_width_and_at_the_interrupts() {
    let pass = [(ENTRY[0], 4 << 6 | 1)];
    let ask = |pasid, iova| outcome(go(ALL, &pass, pasid, iova, true)).0;
    assert_eq!(go(ALL, &pass, None, (1 << 46) - 1, true).unwrap().phys, (1 << 46) - 1);
    assert_eq!((ask(None, 1 << 46), ask(Some(PASID[0]), 1 << 46)), (0x83, 0x83));
    assert_eq!(
        [0xfedf_ffff, 0xfee0_0000, 0xfeef_ffff, 0xfef0_0000].map(|iova| ask(Some(PASID[0]), iova)),
        [0, 0x87, 0x87, 0]
    );
}

#[test]
fn first_stage_entries() {
    let at = at(FIRST);
    let code = |changes: &[(u64, u64)], write| outcome(go(ALL, changes, None, IOVA, write)).0;
    for level in 0..4 {
        let target = if level == 3 { PHYS } else { FIRST[level + 1] };
        let all = |rights: u64| [(at[level], target | rights)];
        // Not present, not the user's, not to be written; and that comes before reserved bits.
        for extra in [0, 1 << 51] {
            assert_eq!((code(&all(6 | extra), false), code(&all(3 | extra), false)), (0x71, 0x81));
            assert_eq!(
                (code(&all(5 | extra), true), code(&all(7 | extra), true)),
                (0x85, if extra == 0 { 0 } else { 0x72 })
            );
        }
        assert_eq!(code(&all(5), false), 0);
        // XD is reserved without NXE. All ignored bits are ignored.
        assert_eq!(code(&all(1 << 63 | 7), false), 0x72);
        let xd = [(at[level], target | 1 << 63 | 7), (ENTRY[0] + 16, FIRST[0] | 1 << 5)];
        assert_eq!(code(&xd, false), 0);
        assert_eq!(code(&all(0x7ff0_0000_0000_0f78 | 7), true), 0, "level {}", 4 - level);
    }
    assert_eq!(code(&[(at[0], FIRST[1] | 0x87)], false), 0x72);
    for (level, size, frame) in [(2, 21, 0x4020_0000_u64), (1, 30, 0x4000_0000)] {
        let done = go(ALL, &[(at[level], frame | 0x1087)], None, IOVA, true).unwrap();
        assert_eq!((done.phys, done.page_size), (frame | IOVA & ((1 << size) - 1), 1 << size));
        for bit in 13..size {
            assert_eq!(
                code(&[(at[level], frame & !(1 << bit) | 1 << bit | 0x87)], true),
                if frame >> bit & 1 == 1 && bit >= size { 0 } else { 0x72 }
            );
        }
    }
    let no_1_gib = Known { cap: Some(CAP & !(1 << 56)), ..ALL };
    assert_eq!(read(no_1_gib, &[(at[1], 0x4000_0087)]).0, 0x72);
    assert_eq!((code(&[(at[2], 0x99_0007)], true), code(&[(ENTRY[0] + 16, 0x99_0000)], true)), (0x70, 0x73));
    assert_eq!(code(&[(at[3], 0xfeef_f007)], true), 0x87);
    for (iova, code) in [(1 << 47, 0x80), (!0 << 47, 0x71), ((!0 << 47) - 1, 0x80), ((1 << 47) - 1, 0x71)] {
        assert_eq!(outcome(go(ALL, &[], None, iova, false)).0, code, "{iova:#x}");
    }
}

#[test]
fn supervisors_need_no_user_bit() {
    let at = at(FIRST);
    let privileged = (CONTEXT[0] + 8, u64::from(PASID[0]) | 1 << 20);
    let ask = |known, entry: u64, third: u64, pasid, write| {
        outcome(go(known, &[privileged, (at[3], PHYS | entry), (ENTRY[0] + 16, FIRST[0] | third)], pasid, IOVA, write))
            .0
    };
    // SRE, and of writes WPE.
    assert_eq!((ask(ALL, 1, 1, None, false), ask(ALL, 1, 1, None, true)), (0, 0));
    assert_eq!((ask(ALL, 1, 0x11, None, true), ask(ALL, 3, 0x11, None, true)), (0x85, 0));
    assert_eq!((ask(ALL, 7, 0, None, false), ask(NOTHING, 3, 0, None, false)), (0x5d, 0));
    // Requests with PASID are users', and so are all where the unit has no RID_PRIV.
    assert_eq!((ask(ALL, 3, 1, Some(PASID[0]), false), ask(lacking(53), 3, 1, None, false)), (0x81, 0x81));
}

#[test]
fn second_stage_entries() {
    let at = at(SECOND);
    let ask = |known, changes: &[(u64, u64)], iova, write| outcome(go(known, changes, Some(PASID[1]), iova, write)).0;
    for (rights, write, code) in [(1, false, 0), (1, true, 0x79), (2, false, 0x79), (0, true, 0x79)] {
        assert_eq!(ask(ALL, &[(at[3], PHYS | rights)], IOVA, write), code);
    }
    assert_eq!(ask(ALL, &[(at[3], 1 << 62 | PHYS | 3)], IOVA, true), 0x7a);
    // Snoop is allowed even where the unit has no control over it.
    assert_eq!(ask(lacking(7), &[(at[3], PHYS | 0x803)], IOVA, true), 0);
    assert_eq!(ask(ALL, &[(at[2], 0x99_0003)], IOVA, true), 0x78);
    assert_eq!(ask(ALL, &[(ENTRY[1], 0x99_0000 | 2 << 6 | 2 << 2 | 1)], IOVA, true), 0x7b);
    assert_eq!(ask(ALL, &[], 1 << 48, true), 0x84);
    assert_eq!(ask(ALL, &[(at[3], 0xfee0_0003)], IOVA, true), 0x87);
}

#[test]
fn nested_stages() {
    let (first, second) = (at(FIRST), 0x11000);
    let ask = |changes: &[(u64, u64)], write| go(ALL, changes, Some(PASID[2]), IOVA | 0x123, write);
    let code = |changes: &[(u64, u64)], write| outcome(ask(changes, write)).0;
    let done = ask(&[], true).unwrap();
    assert_eq!((done.phys, done.page_size), (0x5534_5123, 4096));
    // Four entries before the page tables; three of the second stage for each of five addresses, and four of the first.
    assert_eq!(done.path.len(), 4 + 3 * 5 + 4);
    assert_eq!((done.path[7].kind, done.path[22].kind), (Kind::First(4), Kind::Second(2)));

    // The tables are behind the first large page, what they lead to behind another.
    assert_eq!(code(&[(second, 0x82)], false), 0x75);
    assert_eq!(code(&[(first[0], 0x60_0027)], false), 0x76);
    assert_eq!((code(&[(second, 0x81)], false), code(&[(second, 0x83 | 1 << 62)], false)), (0x77, 0x7a));
    let marked = first.map(|at| (at, 0x20));
    let tables = [FIRST[1], FIRST[2], FIRST[3], PHYS];
    let mut marked: Vec<_> = marked.iter().zip(tables).map(|((at, mark), table)| (*at, table | mark | 7)).collect();
    marked.push((second, 0x81));
    // Accessed, but not dirty.
    assert_eq!((code(&marked, false), code(&marked, true)), (0, 0x77));
    marked[3].1 |= 0x40;
    assert_eq!(code(&marked, true), 0);
    assert_eq!(code(&[(second + 8 * 0x91, 0x5520_0081)], true), 0x79);
    assert_eq!(code(&[(second + 8 * 0x91, 0)], false), 0x79);
    assert_eq!(code(&[(first[3], 1 << 48 | 7)], false), 0x84);
    assert_eq!((code(&[(first[1], 1 << 48 | 7)], false), code(&[(ENTRY[2] + 16, 1 << 48)], false)), (0x74, 0x74));
    assert_eq!((code(&[(first[1], 0x12007)], false), code(&[(second, 0x99_0003)], false)), (0x70, 0x78));
    with(ALL, &[], |twin| {
        let (leaves, bad) = twin.leaves(Who { source: SOURCE, pasid: Some(PASID[2]) });
        assert_eq!((leaves.len(), leaves[0].iova, leaves[0].phys, bad), (1, IOVA, 0x5534_5000, vec![]));
    });
}
