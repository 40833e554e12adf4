//! Scalable mode, from hand-made tables: every fault reason that tables can produce, the order of the checks, and what
//! a walk makes of it all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/numbers.rs"]
mod numbers;

mod both_stages;
mod builder;
mod context;
mod defects;
mod fault_disable;
mod first_stage;
mod judge;
mod kinds;
mod naive;
mod nested;
mod order;
mod pasid;
mod random;
mod request;
mod second_stage;
mod sizes;
mod unreadable;
mod walk;
mod walk_faults;

use iopt::vtd::Cause;

/// Every address width that has a meaning, 57 bits of MGAW, 64 Ki domains, every large page, 5-level first stage.
const CAP: u64 = 6 | 0xe << 8 | 56 << 16 | 3 << 34 | 1 << 56 | 1 << 60;
/// Everything that scalable mode knows.
const ECAP: u64 =
    PT | SC | MTS | NEST | ERS | SRS | EAFS | 1 << 40 | SMTS | SSADS | SSTS | FSTS | SMPWCS | RPS | RPRIVS;
const PT: u64 = 1 << 6;
const SC: u64 = 1 << 7;
const MTS: u64 = 1 << 25;
const NEST: u64 = 1 << 26;
const ERS: u64 = 1 << 30;
const SRS: u64 = 1 << 31;
const EAFS: u64 = 1 << 34;
const SMTS: u64 = 1 << 43;
const SSADS: u64 = 1 << 45;
const SSTS: u64 = 1 << 46;
const FSTS: u64 = 1 << 47;
const SMPWCS: u64 = 1 << 48;
const RPS: u64 = 1 << 49;
const RPRIVS: u64 = 1 << 53;
const HOST_WIDTH: u8 = 46;

/// Page-table entries: R and W of the second stage, P, R/W and U/S of the first.
const RW: u64 = 3;
const USER: u64 = 7;
/// Where a page-table entry has its address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LARGE: u64 = 1 << 7;
/// Fault processing disable, of each entry that has it.
const FPD: u64 = 2;

/// The fields of a context entry.
const PASIDE: u64 = 1 << 3;
const RID_PRIV: u64 = 1 << 20;

/// A fault reason, by code and short name.
type Reason = (u8, &'static str);

fn reserved(bits: impl Into<iopt::vtd::Bits>) -> Cause {
    Cause::ReservedBits(bits.into())
}

fn hole(page: u64) -> Cause {
    use iopt::memory::{ReadError, ReadErrorKind};
    Cause::Unreadable(ReadError::new(iopt::PhysAddr(page), ReadErrorKind::Hole))
}

/// A word of eight with one bit of all their 512 set.
fn bit_of<const N: usize>(bit: usize) -> [u64; N] {
    let mut words = [0; N];
    words[bit / 64] = 1 << (bit % 64);
    words
}
