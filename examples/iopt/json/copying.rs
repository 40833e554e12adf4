//! A copy of tables, and the addresses that it keeps in use.

use super::Hex;
use serde::Serialize;

/// Roots are values of the root table address register, mode bits and all.
#[derive(Debug, Serialize)]
pub struct CopyLine {
    pub unit: usize,
    pub old_root: Hex,
    pub new_root: Option<Hex>,
    pub pages: u64,
    pub shared: u64,
    pub domains: u64,
}

#[derive(Debug, Serialize)]
pub struct ReservationLine {
    pub unit: usize,
    pub domain: u16,
    pub iova: Hex,
    pub last: Hex,
}

#[derive(Debug, Serialize)]
pub struct VerifiedLine {
    pub verified: bool,
}
