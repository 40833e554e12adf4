//! A small unit: two devices with page tables, one that passes through, one whose page table is missing.

use iopt::PhysAddr;
use iopt::SourceId;
use iopt::vtd::{Cap, Ecap, Rtaddr};

pub const RTADDR: Rtaddr = Rtaddr(0x1000);
/// Address widths of 3 and 4 levels, addresses of 48 bits, leaves of 2 MiB and 1 GiB.
pub const CAP: Cap = Cap(0xc << 32 | 47 << 16 | 0b00110 << 8 | 6);
/// Pass-through and snoop control.
pub const ECAP: Ecap = Ecap(1 << 6 | 1 << 7);

pub const DISK: SourceId = SourceId::new(0, 8);
pub const PASSES: SourceId = SourceId::new(0, 16);
pub const BROKEN: SourceId = SourceId::new(0, 24);

/// Every word that is not 0: address and value.
pub const WORDS: [(PhysAddr, u64); 19] = [
    // Bus 0 has its context table at 0x2000.
    (PhysAddr(0x1000), 0x2001),
    // 00:01.0: three levels from 0x3000 on, domain 1.
    (PhysAddr(0x2080), 0x3001),
    (PhysAddr(0x2088), 0x101),
    // 00:02.0 passes through, domain 2.
    (PhysAddr(0x2100), 0x9),
    (PhysAddr(0x2108), 0x201),
    // 00:03.0: four levels at an address where there is no memory.
    (PhysAddr(0x2180), 0xffff_f001),
    (PhysAddr(0x2188), 0x302),
    // 1 GiB below the first address of the second table.
    (PhysAddr(0x3000), 0x4003),
    (PhysAddr(0x3008), 0x8000_0083),
    // A reserved bit.
    (PhysAddr(0x3010), 0x4000_0000_0000_5003),
    // 4 KiB leaves, then 2 MiB that carry on where they end.
    (PhysAddr(0x4000), 0x5003),
    (PhysAddr(0x4008), 0x20_0083),
    (PhysAddr(0x5ff0), 0x1f_e003),
    (PhysAddr(0x5ff8), 0x1f_f003),
    // Two neighbours that are apart in memory, and read only.
    (PhysAddr(0x5000), 0x7001),
    (PhysAddr(0x5008), 0x6001),
    // Interrupt 1 is vector 0x30, for 00:01.0 alone; interrupt 2 has a reserved bit.
    (PhysAddr(0x6010), 0x30_0009),
    (PhysAddr(0x6018), 0x4_0008),
    (PhysAddr(0x6020), 0x1001),
];
