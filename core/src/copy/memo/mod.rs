//! What a copy has to remember, in an array that the caller owns.

mod table;

pub(super) use table::{Copied, Known, Role};

use super::Error;
use crate::address::{DomainId, PhysAddr};
use crate::memory::ReadError;
use crate::slots::{Full, Key, Slot, Slots};
use crate::vtd::Unit;
use table::{ALLOCATED, LOST, MET, OFFSET, known, pages};

/// Room for one thing that a copy has to remember.
pub type MemoSlot = Slot<u64>;

impl MemoSlot {
    /// Room with nothing in it.
    pub const EMPTY: Self = Self::empty(0);
}

// What something is remembered by: a page and what it is to whom, and in the highest bits of `of` the kind of thing.
const KIND: u64 = 3 << 62;
/// An old table, as the units of a reader number read it; the value is what became of it.
const TABLE: u64 = 0 << 62;
/// A domain-id of a unit; the value is the page table that it was first met with.
const DOMAIN: u64 = 1 << 62;
/// A page table under a domain-id of a unit. The value says whether its ranges are reserved; for the first page table
/// of a domain, also how many bits an address has and whether the domain was opened.
const RESERVED: u64 = 2 << 62;

/// What a page table is, for people who want to know whether two are the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TreeId(u64);

impl TreeId {
    /// The page table of this many levels at `root`, as the stage that `role` says.
    pub(super) fn new(root: PhysAddr, role: Role) -> Self {
        Self(root.page().0 | role.code())
    }

    /// Requests pass through, without any page table.
    pub(super) const NONE: Self = Self(OFFSET);
}

/// Remembers what was copied and reserved, in an array that the caller owns.
#[derive(Debug)]
pub(super) struct Memo<'s> {
    slots: Slots<'s, u64>,
    /// Which of the units that read tables differently it is about.
    reader: usize,
}

impl<'s> Memo<'s> {
    pub(super) fn new(slots: &'s mut [MemoSlot]) -> Self {
        Self { slots: Slots::new(slots), reader: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    /// From here on tables are those that unit `number` reads. Others that read them in the same way share them; to a
    /// unit with other capabilities an entry may be a pointer that was none to the first.
    pub(super) fn read_by(&mut self, number: usize, units: &[Unit]) {
        let unit = units.get(number);
        let alike = |other: &Unit| unit.is_some_and(|unit| unit.reads_like(other));
        self.reader = units.iter().position(alike).unwrap_or(number);
    }

    /// What became of the table at `old`; what is mapped below it, as requesters with these rules find it.
    pub(super) fn table(&self, old: PhysAddr, role: Role, rules: u8) -> Option<Known> {
        self.slots.get(self.table_key(old, role)).map(|value| known(old, value, rules))
    }

    /// Remembers what the table at `old` was copied to.
    pub(super) fn add_table(&mut self, old: PhysAddr, role: Role, copied: &Copied) -> Result<(), Error> {
        self.insert(self.table_key(old, role), copied.value()).map(|_| ())
    }

    /// Remembers that the table at `old` can't be read.
    pub(super) fn add_lost(&mut self, old: PhysAddr, role: Role, error: ReadError) -> Result<(), Error> {
        self.insert(self.table_key(old, role), table::lost(error)).map(|_| ())
    }

    /// Remembers that an entry was met that leads to the table at `old`. Returns whether one was before.
    pub(super) fn meet(&mut self, old: PhysAddr, role: Role) -> bool {
        let key = self.table_key(old, role);
        let Some(value) = self.slots.get_mut(key) else { return false };
        let met = *value & (MET | LOST) == MET;
        *value |= MET;
        met
    }

    /// A table that was copied before the entry that leads to it, and none was met.
    pub(super) fn unmet(&self) -> Option<PhysAddr> {
        let unmet = |(key, value): &(Key, u64)| key.of & KIND == TABLE && value & (ALLOCATED | MET | LOST) == ALLOCATED;
        self.slots.iter().find(unmet).map(|(key, _)| PhysAddr(key.what & !OFFSET))
    }

    /// All copies: where they lie, and how many pages each has.
    pub(super) fn copies(&self) -> impl Iterator<Item = (PhysAddr, usize)> + '_ {
        let allocated = |(key, value): &(Key, u64)| key.of & KIND == TABLE && value & ALLOCATED != 0;
        let tables = self.slots.iter().filter(allocated);
        tables.map(|(key, value)| (PhysAddr(value & !OFFSET), pages(key.what & OFFSET)))
    }

    /// Remembers the page table of a domain. Returns the one that it was met with before, if it was.
    pub(super) fn add_domain(&mut self, unit: usize, domain: DomainId, tree: TreeId) -> Result<Option<TreeId>, Error> {
        let key = Key { what: domain.0.into(), of: DOMAIN | unit as u64 };
        Ok(self.insert(key, tree.0)?.map(TreeId))
    }

    /// All domains that were opened, by unit.
    pub(super) fn opened(&self) -> impl Iterator<Item = (usize, DomainId)> + '_ {
        let opened = |(key, value): &(Key, u64)| key.of & KIND == RESERVED && value & OPENED != 0;
        self.slots.iter().filter(opened).map(|(key, _)| {
            let (unit, domain) = ((key.of & !KIND) >> 16, key.of & 0xffff);
            (usize::try_from(unit).unwrap_or(0), DomainId(u16::try_from(domain).unwrap_or(0)))
        })
    }

    /// Remembers that addresses in a domain have `width` bits or more; `first` is the page table that it was first met
    /// with.
    pub(super) fn widen(&mut self, unit: usize, domain: DomainId, first: TreeId, width: u8) -> Result<(), Error> {
        let value = self.tree_value(unit, domain, first)?;
        *value = *value & !WIDTH | (*value & WIDTH).max(width.into());
        Ok(())
    }

    /// Remembers that the ranges of a page table are reserved in a domain, as requesters with these rules (a number
    /// below 8) find them. Returns whether they were already, and how many bits the domain's addresses have if nobody's
    /// were, as far as they are known to be [widened](Self::widen).
    pub(super) fn begin(
        &mut self,
        unit: usize,
        domain: DomainId,
        tree: TreeId,
        rules: u8,
    ) -> Result<(bool, Option<u8>), Error> {
        let value = self.tree_value(unit, domain, tree)?;
        let own = BEGUN.wrapping_shl(u32::from(rules & 7));
        let width = u8::try_from(*value & WIDTH).unwrap_or(0);
        let (again, any) = (*value & own != 0, *value & ANY_BEGUN != 0);
        *value |= own;
        Ok((again, (!any).then_some(width)))
    }

    /// Remembers that a domain was opened, which was first met with the page table `first`.
    pub(super) fn open(&mut self, unit: usize, domain: DomainId, first: TreeId) -> Result<(), Error> {
        *self.tree_value(unit, domain, first)? |= OPENED;
        Ok(())
    }

    fn tree_value(&mut self, unit: usize, domain: DomainId, tree: TreeId) -> Result<&mut u64, Error> {
        let key = Key { what: tree.0, of: RESERVED | (unit as u64) << 16 | u64::from(domain.0) };
        let slots = self.slots.len();
        self.insert(key, 0)?;
        self.slots.get_mut(key).ok_or(Error::MemoFull { slots })
    }

    fn table_key(&self, old: PhysAddr, role: Role) -> Key {
        Key { what: old.page().0 | role.code(), of: TABLE | self.reader as u64 }
    }

    /// Remembers a value, unless there is one already: then that is returned, and kept.
    fn insert(&mut self, key: Key, value: u64) -> Result<Option<u64>, Error> {
        self.slots.insert(key, value).map_err(|Full { slots }| Error::MemoFull { slots })
    }
}

/// What the value of a page table under a domain-id is made of.
const WIDTH: u64 = 0xff;
/// A bit for each of the rules that a requester may have.
const BEGUN: u64 = 1 << 8;
const ANY_BEGUN: u64 = 0xff << 8;
const OPENED: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Permissions;
    use crate::copy::in_use::Below;
    use crate::memory::ReadErrorKind;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn a_page_is_remembered_by_what_it_is_read_as() {
        let mut slots = [MemoSlot::EMPTY; 8];
        let mut memo = Memo::new(&mut slots);
        let old = PhysAddr(0x5000);
        let copied = |addr| Copied { copy: PhysAddr(addr), ..Copied::NEW };
        assert_eq!(memo.add_table(old, Role::SecondStage(2), &copied(0x9000)), Ok(()));
        assert_eq!(memo.add_table(old, Role::SecondStage(1), &copied(0xa000)), Ok(()));
        assert_eq!(memo.add_table(old, Role::Directory(3), &copied(0xb000)), Ok(()));
        let adopted = Copied { allocated: false, ..copied(0x5000) };
        assert_eq!(memo.add_table(old, Role::SecondStage(3), &adopted), Ok(()));
        assert_eq!(memo.table(old, Role::SecondStage(2), 0), Some(Known::Copied(PhysAddr(0x9000), Below::Various)));
        assert_eq!(memo.table(old, Role::SecondStage(1), 0), Some(Known::Copied(PhysAddr(0xa000), Below::Various)));
        assert_eq!(memo.table(old, Role::FirstStage(1, false), 0), None);
        let mut copies: Vec<_> = memo.copies().collect();
        copies.sort();
        assert_eq!(copies, [(PhysAddr(0x9000), 1), (PhysAddr(0xa000), 1), (PhysAddr(0xb000), 2)]);
    }

    #[test]
    fn what_is_mapped_below_a_table_is_remembered_for_the_rules_it_was_found_by() {
        let mut slots = [MemoSlot::EMPTY; 16];
        let mut memo = Memo::new(&mut slots);
        let all = [Permissions::READ, Permissions::WRITE, Permissions::READ_WRITE].map(Below::All);
        for (number, below) in (1..).zip([Below::Various, Below::Nothing].into_iter().chain(all)) {
            let (old, role, copy) = (PhysAddr(number << 12), Role::FirstStage(3, true), PhysAddr(number << 20));
            let copied = Copied { copy, below, rules: 5, ..Copied::NEW };
            assert_eq!(memo.add_table(old, role, &copied), Ok(()));
            assert_eq!(memo.table(old, role, 5), Some(Known::Copied(copy, below)));
            assert_eq!(memo.table(old, role, 4), Some(Known::Copied(copy, Below::Various)));
        }
    }

    #[test]
    fn a_table_that_is_lost_stays_so_for_the_same_reason() {
        let mut slots = [MemoSlot::EMPTY; 16];
        let mut memo = Memo::new(&mut slots);
        let kinds = [ReadErrorKind::Hole, ReadErrorKind::Excluded, ReadErrorKind::Io(5), ReadErrorKind::Io(-7)];
        for (number, kind) in (1..).zip(kinds) {
            let (old, role) = (PhysAddr(number << 12), Role::SecondStage(1));
            assert_eq!(memo.add_lost(old, role, ReadError::new(old, kind)), Ok(()));
            assert_eq!(memo.table(old, role, 0), Some(Known::Lost(ReadError::new(old, kind))));
            assert!(!memo.meet(old, role));
        }
        assert_eq!(memo.copies().count(), 0);
    }

    #[test]
    fn a_table_is_met_again_from_the_second_entry_on() {
        let mut slots = [MemoSlot::EMPTY; 4];
        let mut memo = Memo::new(&mut slots);
        let (old, role) = (PhysAddr(0x5000), Role::SecondStage(4));
        assert!(!memo.meet(old, role));
        assert_eq!(memo.add_table(old, role, &Copied { met: false, copy: PhysAddr(0x9000), ..Copied::NEW }), Ok(()));
        assert_eq!([memo.meet(old, role), memo.meet(old, role)], [false, true]);
    }

    #[test]
    fn the_first_table_of_a_domain_is_the_one_remembered() {
        let mut slots = [MemoSlot::EMPTY; 4];
        let mut memo = Memo::new(&mut slots);
        let [one, other] = [0x5000, 0x6000].map(|root| TreeId::new(PhysAddr(root), Role::SecondStage(4)));
        assert_eq!(memo.add_domain(0, DomainId(7), one), Ok(None));
        assert_eq!(memo.add_domain(0, DomainId(7), other), Ok(Some(one)));
        assert_eq!(memo.add_domain(1, DomainId(7), other), Ok(None));
        assert_eq!(memo.widen(0, DomainId(7), one, 48), Ok(()));
        assert_eq!(memo.widen(0, DomainId(7), one, 39), Ok(()));
        assert_eq!(memo.begin(0, DomainId(7), one, 0), Ok((false, Some(48))));
        // One slot must stay empty.
        assert_eq!(memo.begin(0, DomainId(7), other, 0), Err(Error::MemoFull { slots: 4 }));
        assert_eq!(memo.begin(0, DomainId(7), one, 0), Ok((true, None)));
        assert_eq!(memo.begin(0, DomainId(7), one, 7), Ok((false, None)));
        assert_eq!(memo.opened().count(), 0);
        assert_eq!(memo.open(0, DomainId(7), one), Ok(()));
        assert_eq!(memo.opened().next(), Some((0, DomainId(7))));
    }

    /// A context costs the same however many there are: what is remembered of its domain lies about where the search
    /// for it begins. With two thirds of the slots in use, it lies one slot further on average.
    #[test]
    fn what_is_known_of_65536_domains_is_found_within_two_slots_on_average() {
        const DOMAINS: usize = 1 << 16;
        let trees: [fn(u16) -> u64; 3] = [|_| 0x5000, |id| u64::from(id) << 12, |id| u64::from(id) << 21];
        for tree in trees {
            let mut slots = vec![MemoSlot::EMPTY; 3 * DOMAINS];
            let mut memo = Memo::new(&mut slots);
            for id in 0..=u16::MAX {
                let tree = TreeId::new(PhysAddr(tree(id)), Role::SecondStage(4));
                assert_eq!(memo.add_domain(0, DomainId(id), tree), Ok(None));
                assert_eq!(memo.begin(0, DomainId(id), tree, 0), Ok((false, Some(0))));
            }
            let displaced: Vec<usize> = memo.slots.displacements().collect();
            assert_eq!(displaced.len(), 2 * DOMAINS);
            assert!(displaced.iter().sum::<usize>() < 2 * displaced.len());
        }
    }
}
