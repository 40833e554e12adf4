use super::{Defect, Run};
use crate::access::Permissions;
use crate::address::{Iova, PhysAddr};

/// What the cursor yields.
#[derive(Clone, Copy, Debug)]
pub enum Item<'p> {
    /// A table was read and its entries come next; [`skip_table`](super::Cursor::skip_table) leaves them out.
    Table(Table),
    /// A run of leaves.
    Run(Run<'p>),
    /// An entry that can't be followed; the walk goes on behind it.
    Malformed(Malformed),
}

/// A table that the walk entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where it lies.
    pub addr: PhysAddr,
    /// Its level; 1 holds 4 KiB leaves.
    pub level: u8,
    /// The first address that it maps.
    pub iova: Iova,
    /// How many entries directly behind the one that leads to it are equal to that, and are passed over: the same is
    /// mapped through each of them. None are, unless the walk [folds](super::Cursor::fold).
    pub repeats: u16,
}

/// An entry that can't be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The table that holds the entry.
    pub table: PhysAddr,
    /// The level of that table.
    pub level: u8,
    /// The index of the entry in it.
    pub index: u16,
    /// The entry as it stands in the table.
    pub raw: u64,
    /// The first address that the entry would map.
    pub iova: Iova,
    /// What is wrong with it.
    pub defect: Defect,
}

/// An [`Item`] without its borrow of the page.
pub(crate) enum Found {
    Table(Table),
    Run(Extent),
    Malformed(Malformed),
}

/// Where a run lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(super) level: u8,
    pub(super) index: usize,
    pub(super) len: usize,
    pub(super) linear: usize,
    pub(super) permissions: Permissions,
}
