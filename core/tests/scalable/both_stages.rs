//! What fails in page tables of either stage.

use crate::judge::twins;
use crate::request::{AT_PASID, Request};
use crate::{Reason, first_stage, hole, second_stage};
use iopt::PhysAddr;
use iopt::vtd::Cause;

const SFS_1: Reason = (0x70, "SFS.1");
const SFS_4: Reason = (0x73, "SFS.4");
const SSS_1: Reason = (0x78, "SSS.1");
const SSS_4: Reason = (0x7b, "SSS.4");
const SGN_8: Reason = (0x87, "SGN.8");

/// Requests by tables of each stage, with what it calls a failure.
fn requests(first: Reason, second: Reason) -> impl Iterator<Item = (Request, Reason)> {
    let of_first = first_stage::requests().map(move |request| (request, first));
    of_first.chain(second_stage::requests().map(move |request| (request, second)))
}

#[test]
fn a_lower_table_that_is_not_there_is_0x70_or_0x78() {
    for (valid, reason) in requests(SFS_1, SSS_1) {
        for level in 1..valid.levels {
            let at = valid.level(level);
            let table = valid.table(at);
            let invalid = valid.clone().hole(table);
            twins("table", &valid, &invalid, reason, hole(table), (at - 1, at));
        }
    }
}

#[test]
fn a_top_table_that_is_not_there_is_0x73_or_0x7b() {
    for (valid, reason) in requests(SFS_4, SSS_4) {
        let table = valid.table(valid.level(valid.levels));
        let invalid = valid.clone().hole(table);
        twins("top-table", &valid, &invalid, reason, hole(table), (AT_PASID, 4));
    }
}

#[test]
fn a_page_that_overlaps_the_interrupt_range_is_0x87() {
    let cases = [
        // The pages just outside, and the first and the last inside.
        (1, [0xfedf_f000, 0xfef0_0000], vec![0xfee0_0000, 0xfee0_1000, 0xfeef_f000]),
        (2, [0xfec0_0000, 0xff00_0000], vec![0xfee0_0000]),
        (3, [0x8000_0000, 0x1_0000_0000], vec![0xc000_0000]),
    ];
    for (level, outside, inside) in cases {
        let requests = first_stage::requests().chain(second_stage::requests());
        for request in requests.flat_map(|request| [request.clone(), request.write()]) {
            let at = request.level(level);
            let leaf = |phys| if level == 1 { request.clone().leaf(phys) } else { request.clone().large(level, phys) };
            for (outside, inside) in outside.into_iter().flat_map(|outside| inside.iter().map(move |&at| (outside, at)))
            {
                let cause = Cause::InterruptRangeOutput(PhysAddr(inside));
                twins("output", &leaf(outside), &leaf(inside), SGN_8, cause, (at, at + 1));
            }
        }
    }
}
