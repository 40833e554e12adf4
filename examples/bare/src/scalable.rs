//! A unit in scalable mode: a device in the upper half of its bus, with an address space of each kind.

use core::hint::black_box;
use iopt::memory::{Page, PhysReader};
use iopt::vtd::{Cap, Ecap, FaultReason, Rtaddr, Unit};
use iopt::walk::Scratch;
use iopt::{Access, Iova, Pasid, PhysAddr, Requester, SourceId};

pub const RTADDR: u64 = 0x8400;
const DEVICE: SourceId = SourceId::new(0, 0x80);
/// Address widths of 3 and 4 levels, addresses of 48 bits, leaves of 2 MiB and 1 GiB in both stages.
const CAP: Cap = Cap(1 << 56 | 0xc << 32 | 47 << 16 | 0b00110 << 8 | 6);
/// Scalable mode with both stages, and one behind the other.
const ECAP: Ecap = Ecap(1 << 47 | 1 << 46 | 1 << 43 | 1 << 26);

/// Every word that is not 0: address and value.
pub const WORDS: [(PhysAddr, u64); 16] = [
    // Bus 0 has an upper context table at 0x9000.
    (PhysAddr(0x8008), 0x9001),
    // Its first device may name a PASID; the directory is at 0xa000.
    (PhysAddr(0x9000), 0xa009),
    (PhysAddr(0xa000), 0xb001),
    // PASID 0: second stage of three levels at 0xe000, domain 5.
    (PhysAddr(0xb000), 0xe085),
    (PhysAddr(0xb008), 5),
    // PASID 1: first stage at 0xc000, domain 1.
    (PhysAddr(0xb040), 0x41),
    (PhysAddr(0xb048), 1),
    (PhysAddr(0xb050), 0xc000),
    // PASID 2: the same first stage behind that second stage, domain 6.
    (PhysAddr(0xb080), 0xe0c5),
    (PhysAddr(0xb088), 6),
    (PhysAddr(0xb090), 0xc000),
    // PASID 3: no translation has this type.
    (PhysAddr(0xb0c0), 0x1c1),
    // First stage: 1 GiB at 1 GiB, to itself.
    (PhysAddr(0xc000), 0xd027),
    (PhysAddr(0xd008), 0x4000_00e7),
    // Second stage: the first 1 GiB to itself, the next to 2 GiB.
    (PhysAddr(0xe000), 0x83),
    (PhysAddr(0xe008), 0x8000_0083),
];

/// The ranges as PASID, first address and memory.
const RANGES: [(u32, u64, u64); 4] =
    [(0, 0, 0), (0, 0x4000_0000, 0x8000_0000), (1, 0x4000_0000, 0x4000_0000), (2, 0x4000_0000, 0x8000_0000)];

/// Walks and translates through all of them.
pub fn walks(memory: &dyn PhysReader) -> bool {
    let Ok(unit) = Unit::new(black_box(Rtaddr(RTADDR))) else { return false };
    let unit = unit.with_capabilities(Some(black_box(CAP)), Some(black_box(ECAP))).with_host_address_width(Some(46));
    let mut expected = RANGES.iter();
    let mut faults = 0;
    for range in unit.ranges(memory, &mut Scratch::new()) {
        match range {
            Ok(range) => {
                let Some(pasid) = range.pasid else { return false };
                let found = (pasid.0, range.iova.first().0, range.phys.map_or(0, |phys| phys.0));
                if expected.next() != Some(&found) {
                    return false;
                }
            }
            Err(fault) => faults += u32::from(fault.reason == Some(FaultReason::PasidEntryInvalid)),
        }
    }
    let mut copy = Page::ZERO;
    let mut one = |pasid: Option<u32>, iova, access| {
        let requester = Requester { source_id: DEVICE, pasid: pasid.map(Pasid) };
        let mut path = 0;
        let found = unit.translate(memory, requester, Iova(black_box(iova)), access, &mut copy, |_| path += 1);
        (found.map(|found| found.phys.0).map_err(|fault| fault.reason), path)
    };
    (expected.len(), faults) == (0, 1)
        && one(None, 0x4000_1234, Access::Write) == (Ok(0x8000_1234), 5)
        && one(Some(1), 0x4000_1234, Access::Read) == (Ok(0x4000_1234), 6)
        && one(Some(1), 1 << 50, Access::Read) == (Err(Some(FaultReason::NotCanonical)), 4)
        && one(Some(2), 0x4000_1234, Access::Write) == (Ok(0x8000_1234), 9)
        && one(Some(3), 0, Access::Read) == (Err(Some(FaultReason::PasidEntryInvalid)), 4)
        && one(Some(1 << 13), 0, Access::Read) == (Err(Some(FaultReason::ScalablePasidTooLarge)), 2)
}
