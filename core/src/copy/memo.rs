use super::Error;
use crate::address::{DomainId, PhysAddr};
use crate::vtd::Unit;

/// Room for one thing that a copy has to remember.
#[derive(Clone, Copy, Debug)]
pub struct MemoSlot {
    key: Key,
    value: u64,
}

impl MemoSlot {
    /// Room with nothing in it.
    pub const EMPTY: Self = Self { key: Key { kind: Kind::Nothing, what: 0, also: 0 }, value: 0 };
}

/// What something is remembered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    kind: Kind,
    what: u64,
    also: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    /// An old table, and what it is read as; the value is where its copy lies, and how many pages it has.
    Table,
    /// A domain-id of a unit; the value is the page table that it was first met with.
    Domain,
    /// A page table under a domain-id of a unit. The value says whether its ranges are reserved; for the first page
    /// table of a domain, also how many bits an address has and whether the domain was opened.
    Reserved,
}

/// What an old table is read as: the same page can be several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Context,
    ScalableContext,
    /// With this PDTS.
    Directory(u8),
    Pasids,
    /// Of this level, and whether its entries have XD, which is a reserved bit otherwise.
    FirstStage(u8, bool),
    /// Of this level.
    SecondStage(u8),
}

impl Role {
    fn code(self) -> u64 {
        let (role, number) = match self {
            Self::Context => (0, 0),
            Self::ScalableContext => (1, 0),
            Self::Directory(size) => (2, size),
            Self::Pasids => (3, 0),
            Self::FirstStage(level, execute_disable) => (4, level | u8::from(execute_disable) << 7),
            Self::SecondStage(level) => (5, level),
        };
        role << 8 | u64::from(number)
    }
}

/// What a page table is, for people who want to know whether two are the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TreeId(u64);

impl TreeId {
    /// The page table of this many levels at `root`, as the stage that `role` says.
    pub(super) fn new(root: PhysAddr, role: Role) -> Self {
        Self(root.page().0 | role.code() & 0xfff)
    }

    /// Requests pass through, without any page table.
    pub(super) const NONE: Self = Self(0xfff);
}

/// Remembers what was copied and reserved, in an array that the caller owns.
#[derive(Debug)]
pub(super) struct Memo<'s> {
    slots: &'s mut [MemoSlot],
    used: usize,
    /// Which of the units that read tables differently it is about.
    reader: usize,
}

impl<'s> Memo<'s> {
    pub(super) fn new(slots: &'s mut [MemoSlot]) -> Self {
        let mut memo = Self { slots, used: 0, reader: 0 };
        memo.clear();
        memo
    }

    pub(super) fn clear(&mut self) {
        self.slots.fill(MemoSlot::EMPTY);
        self.used = 0;
    }

    /// From here on tables are those that unit `number` reads. Others that read them in the same way share them; to a
    /// unit with other capabilities an entry may be a pointer that was none to the first.
    pub(super) fn read_by(&mut self, number: usize, units: &[Unit]) {
        let unit = units.get(number);
        let alike = |other: &Unit| unit.is_some_and(|unit| unit.reads_like(other));
        self.reader = units.iter().position(alike).unwrap_or(number);
    }

    /// The copy of the table at `old`, if there is one.
    pub(super) fn table(&self, old: PhysAddr, role: Role) -> Option<PhysAddr> {
        self.get(self.table_key(old, role)).map(|value| PhysAddr(value & !0xfff))
    }

    /// Remembers that the table at `old` was copied to `pages` pages from `new` on.
    pub(super) fn add_table(&mut self, old: PhysAddr, role: Role, new: PhysAddr, pages: u8) -> Result<(), Error> {
        self.insert(self.table_key(old, role), new.page().0 | u64::from(pages)).map(|_| ())
    }

    /// All copies: where they lie, and how many pages each has.
    pub(super) fn copies(&self) -> impl Iterator<Item = (PhysAddr, usize)> + '_ {
        let tables = self.slots.iter().filter(|slot| slot.key.kind == Kind::Table);
        tables.map(|slot| (PhysAddr(slot.value & !0xfff), usize::try_from(slot.value & 0xfff).unwrap_or(0)))
    }

    /// Remembers the page table of a domain. Returns the one that it was met with before, if it was.
    pub(super) fn add_domain(&mut self, unit: usize, domain: DomainId, tree: TreeId) -> Result<Option<TreeId>, Error> {
        let key = Key { kind: Kind::Domain, what: domain.0.into(), also: unit as u64 };
        Ok(self.insert(key, tree.0)?.map(TreeId))
    }

    /// All domains that were opened, by unit.
    pub(super) fn opened(&self) -> impl Iterator<Item = (usize, DomainId)> + '_ {
        let opened = |slot: &&MemoSlot| slot.key.kind == Kind::Reserved && slot.value & OPENED != 0;
        self.slots.iter().filter(opened).map(|slot| {
            let (unit, domain) = (slot.key.also >> 16, slot.key.also & 0xffff);
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
        let full = Error::MemoFull { slots: self.slots.len() };
        let also = (unit as u64) << 16 | u64::from(domain.0);
        let key = Key { kind: Kind::Reserved, what: tree.0, also };
        self.insert(key, 0)?;
        self.find(key).and_then(|index| self.slots.get_mut(index)).map(|slot| &mut slot.value).ok_or(full)
    }

    fn table_key(&self, old: PhysAddr, role: Role) -> Key {
        Key { kind: Kind::Table, what: old.page().0, also: (self.reader as u64) << 16 | role.code() }
    }

    fn get(&self, key: Key) -> Option<u64> {
        let slot = self.slots.get(self.find(key)?)?;
        (slot.key == key).then_some(slot.value)
    }

    /// Remembers a value, unless there is one already: then that is returned, and kept.
    fn insert(&mut self, key: Key, value: u64) -> Result<Option<u64>, Error> {
        let full = Error::MemoFull { slots: self.slots.len() };
        // One slot stays empty, so that every search ends.
        let room = self.used.saturating_add(1) < self.slots.len();
        let slot = self.find(key).and_then(|index| self.slots.get_mut(index)).ok_or(full)?;
        if slot.key == key {
            return Ok(Some(slot.value));
        }
        if !room {
            return Err(full);
        }
        *slot = MemoSlot { key, value };
        self.used = self.used.saturating_add(1);
        Ok(None)
    }

    /// The slot that has `key`, or the empty one that could take it.
    #[inline]
    fn find(&self, key: Key) -> Option<usize> {
        let home = usize::try_from(hash(key)).unwrap_or(0).checked_rem(self.slots.len())?;
        let (before, from_home) = self.slots.split_at_checked(home)?;
        let hit = |slot: &MemoSlot| slot.key == key || slot.key.kind == Kind::Nothing;
        match from_home.iter().position(hit) {
            Some(index) => home.checked_add(index),
            None => before.iter().position(hit),
        }
    }
}

/// What the value of a page table under a domain-id is made of.
const WIDTH: u64 = 0xff;
/// A bit for each of the rules that a requester may have.
const BEGUN: u64 = 1 << 8;
const ANY_BEGUN: u64 = 0xff << 8;
const OPENED: u64 = 1 << 16;

/// Neighbouring pages must not be neighbours here, or runs of them would pile up: the finaliser of SplitMix64.
fn hash(key: Key) -> u64 {
    let mut hash = key.what.rotate_right(12) ^ key.also.rotate_left(40) ^ (key.kind as u64).rotate_left(60);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ hash >> 31) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn a_page_is_remembered_by_what_it_is_read_as() {
        let mut slots = [MemoSlot::EMPTY; 8];
        let mut memo = Memo::new(&mut slots);
        let old = PhysAddr(0x5000);
        assert_eq!(memo.add_table(old, Role::SecondStage(2), PhysAddr(0x9000), 1), Ok(()));
        assert_eq!(memo.add_table(old, Role::SecondStage(1), PhysAddr(0xa000), 1), Ok(()));
        assert_eq!(memo.add_table(old, Role::Directory(3), PhysAddr(0xb000), 2), Ok(()));
        assert_eq!(memo.table(old, Role::SecondStage(2)), Some(PhysAddr(0x9000)));
        assert_eq!(memo.table(old, Role::SecondStage(1)), Some(PhysAddr(0xa000)));
        assert_eq!(memo.table(old, Role::FirstStage(1, false)), None);
        let mut copies: Vec<_> = memo.copies().collect();
        copies.sort();
        assert_eq!(copies, [(PhysAddr(0x9000), 1), (PhysAddr(0xa000), 1), (PhysAddr(0xb000), 2)]);
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

    #[test]
    fn a_full_memo_finds_everything_and_no_more() {
        let mut slots = vec![MemoSlot::EMPTY; 1001];
        let mut memo = Memo::new(&mut slots);
        for page in 0..1000u64 {
            let (old, new) = (PhysAddr(page << 12), PhysAddr((page + 5000) << 12));
            assert_eq!(memo.add_table(old, Role::SecondStage(1), new, 1), Ok(()));
        }
        for page in 0..1000u64 {
            assert_eq!(memo.table(PhysAddr(page << 12), Role::SecondStage(1)), Some(PhysAddr((page + 5000) << 12)));
        }
        assert_eq!(memo.table(PhysAddr(1000 << 12), Role::SecondStage(1)), None);
        assert_eq!(Memo::new(&mut []).table(PhysAddr(0), Role::Pasids), None);
    }
}
