use crate::address::{Iova, IovaRange, Pasid, PhysAddr, SourceId};
use crate::radix::{Format, Table};
use crate::slots::{Full, Key, Slot, Slots};
use crate::vtd::{AddressSpace, Device};

/// Room for one table that a walk has to remember.
pub type MemoSlot = Slot<Met>;

impl MemoSlot {
    /// Room with nothing in it.
    pub const EMPTY: Self = Self::empty(Met { source_id: SourceId::new(0, 0), pasid: None, iova: Iova(0) });
}

/// Who came to a table, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// The device.
    pub source_id: SourceId,
    /// The PASID whose table entry leads to the device's page tables; `None` in legacy mode.
    pub pasid: Option<Pasid>,
    /// The first address that the table maps there.
    pub iova: Iova,
}

/// A table that the walk came to before: with all that lies below, it is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The table, where the walk is now. A top table that was not read again is the one that the device's entry says.
    pub table: Table,
    /// Who came to it first.
    pub with: Met,
}

/// The tables that a walk came to, in an array that the caller owns.
#[derive(Debug)]
pub(super) struct Memo<'s> {
    slots: Slots<'s, Met>,
    full: bool,
}

/// Of a table of which just a part is looked at, as the top table of a device with a short reach.
const PART: u64 = 1 << 3;

impl<'s> Memo<'s> {
    pub(super) fn new(slots: &'s mut [MemoSlot]) -> Self {
        Self { slots: Slots::new(slots), full: false }
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Who came to this table of `device` first.
    pub(super) fn find(&self, device: &Device, table: PhysAddr, level: u8, part: bool) -> Option<Met> {
        self.slots.get(key(device, table, level, part))
    }

    /// Remembers that `device` came to a table, unless somebody did before: then that is returned.
    pub(super) fn meet(&mut self, device: &Device, table: &Table, part: bool) -> Option<Met> {
        let met = Met { source_id: device.source_id, pasid: device.pasid, iova: table.iova };
        let key = key(device, table.addr, table.level, part);
        self.slots.insert(key, met).unwrap_or_else(|Full { .. }| {
            self.full = true;
            None
        })
    }
}

/// A table is the same to two devices only if they read it in the same way: at the same level, as the same stage, with
/// the same rules, and behind the same second stage.
fn key(device: &Device, table: PhysAddr, level: u8, part: bool) -> Key {
    let of = match &device.space {
        AddressSpace::FirstStage(first) => 1 | u64::from(first.format.rules()) << 1,
        AddressSpace::Nested(first, second) => {
            let rules = u64::from(first.format.rules()) << 1 | u64::from(second.levels()) << 5;
            1 | 1 << 4 | rules | second.root.page().0
        }
        AddressSpace::SecondStage(_) | AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_) => 0,
    };
    Key { what: table.page().0 | u64::from(level & 7) | if part { PART } else { 0 }, of }
}

/// Whether `window` is just a part of what the tables of this format map.
pub(super) fn is_part(format: &impl Format, window: IovaRange) -> bool {
    let all = if format.sign_extended() { IovaRange::all() } else { IovaRange::block(Iova(0), format.input_bits()) };
    window != all
}
