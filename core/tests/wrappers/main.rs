//! Readers around other readers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "a panic is a red test"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/numbers.rs"]
mod numbers;

mod cached;
mod failing;
mod old;
mod passing;
mod window;

use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind};

/// The first word of a page, read, or why there is none.
fn first_word<R: PhysReader + ?Sized>(reader: &R, addr: u64) -> Result<u64, ReadErrorKind> {
    let mut page = Page::ZERO;
    let read = reader.read_page(PhysAddr(addr), &mut page);
    read.map(|()| page.word(0)).map_err(|error| {
        assert_eq!(error.addr.0, addr & !0xfff);
        error.kind
    })
}
