//! What is mapped: told to the new kernel's allocator, and remembered of tables that are met again.

use super::{Error, Options, Plan};
use crate::access::Permissions;
use crate::address::{DomainId, Iova, IovaRange, Requester};
use crate::memory::IovaReserver;

/// What is mapped below a table, by its entries alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    Nothing,
    /// Everything, and all of it with the same permissions.
    All(Permissions),
    /// One has to look.
    Various,
}

/// Finds out what is mapped below a table, entry by entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    entries: usize,
    permissions: Permissions,
    various: bool,
}

impl Tally {
    pub(super) const NOTHING: Self = Self { entries: 0, permissions: Permissions::NONE, various: false };

    /// So many entries map everything.
    #[inline]
    pub(super) fn add(&mut self, entries: usize, permissions: Permissions) {
        if permissions != Permissions::NONE {
            self.various |= self.entries != 0 && self.permissions != permissions;
            self.permissions = permissions;
            self.entries = self.entries.wrapping_add(entries);
        }
    }

    /// One entry has these permissions and leads to a table.
    pub(super) fn add_table(&mut self, permissions: Permissions, below: Below) {
        match below {
            Below::Nothing => {}
            Below::All(all) => self.add(1, all & permissions),
            Below::Various => self.various = true,
        }
    }

    /// What is mapped below a table of so many entries.
    pub(super) fn below(&self, entries: usize) -> Below {
        match self.entries {
            _ if self.various => Below::Various,
            0 => Below::Nothing,
            mapped if mapped == entries => Below::All(self.permissions),
            _ => Below::Various,
        }
    }
}

/// Joins what devices use to ranges and reserves them; without a reserver it only counts.
pub(super) struct InUse<'i> {
    unit: usize,
    pub(super) iovas: Option<&'i mut dyn IovaReserver>,
    /// How many ranges there were.
    pub(super) ranges: u64,
    /// How many tables were read again, for this user and for all of them.
    reread: u64,
    reread_in_all: u64,
    user: Option<User>,
    /// The range that may go on: its ends and what is let through, which is nothing if there is none.
    first: u64,
    last: u64,
    permissions: Permissions,
    /// What the reserver has refused, and nothing is told after it: who finds ranges one by one has no time to look.
    failed: Option<Error>,
}

/// Who uses what is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) domain: DomainId,
    pub(super) requester: Requester,
    /// Nothing behind this address can be used.
    pub(super) last: Iova,
}

impl<'i> InUse<'i> {
    pub(super) fn new(unit: usize, iovas: Option<&'i mut dyn IovaReserver>) -> Self {
        let permissions = Permissions::NONE;
        Self {
            unit,
            iovas,
            ranges: 0,
            reread: 0,
            reread_in_all: 0,
            user: None,
            first: 0,
            last: 0,
            permissions,
            failed: None,
        }
    }

    /// Whether anybody wants to know what is found.
    pub(super) fn is_wanted(&self) -> bool {
        self.user.is_some()
    }

    /// From here on it is about this user. What the one before uses is all told.
    pub(super) fn begin(&mut self, user: User) -> Result<(), Error> {
        self.finish()?;
        self.user = Some(user);
        self.reread = 0;
        Ok(())
    }

    /// Whether another table may be read again, to find what is mapped below it on another path; then it counts as
    /// read.
    pub(super) fn may_reread(&mut self, plan: &Plan) -> bool {
        let Options { budget, max_rereads, .. } = plan.options;
        let may = self.reread < plan.tables.saturating_add(max_rereads) && self.reread_in_all < budget.tables;
        if may {
            self.reread = self.reread.wrapping_add(1);
            self.reread_in_all = self.reread_in_all.wrapping_add(1);
        }
        may
    }

    /// The user has these permissions from `first` to `last`. Addresses ascend.
    #[inline(always)]
    pub(super) fn add(&mut self, first: u64, last: u64, permissions: Permissions) {
        if permissions == Permissions::NONE {
            return;
        }
        if self.permissions != permissions || self.last.wrapping_add(1) != first {
            self.reserve();
            (self.first, self.permissions) = (first, permissions);
        }
        self.last = last;
    }

    /// Reserves the last range of a user.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.reserve();
        self.permissions = Permissions::NONE;
        self.check()
    }

    /// Whether everything could be reserved so far.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.failed.map_or(Ok(()), Err)
    }

    #[inline]
    fn reserve(&mut self) {
        let (Some(user), true) = (&self.user, self.permissions != Permissions::NONE) else { return };
        let Some(range) = IovaRange::new(Iova(self.first), Iova(self.last).min(user.last)) else { return };
        self.ranges = self.ranges.wrapping_add(1);
        let Some(iovas) = &mut self.iovas else { return };
        if let Err(error) = iovas.reserve(self.unit, user.domain, range, self.permissions) {
            self.failed = Some(Error::Reserve { unit: self.unit, requester: user.requester, error });
            self.iovas = None;
        }
    }
}
