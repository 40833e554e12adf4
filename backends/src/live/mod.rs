//! The running Linux machine: its memory, and the registers of its remapping units.
//!
//! | source | what it has | what keeps it from being read |
//! |---|---|---|
//! | [`CoreFile::kcore`] | the memory of the running kernel, through its direct map | lockdown (confidentiality), kernels before 4.11 |
//! | [`CoreFile::vmcore`] | in a capture kernel, the memory of the kernel that crashed | any other kernel has none |
//! | [`Devmem`] | the memory that `/proc/iomem` calls System RAM | CONFIG_STRICT_DEVMEM, lockdown (integrity) |
//! | [`Registers`] | what a unit is set to: RTADDR, CAP, ECAP, GSTS, IRTA and others | CONFIG_IO_STRICT_DEVMEM, lockdown (integrity) |
//!
//! [`Memory`] is all the memory that can be read; [`Units`] are the units that the ACPI DMAR table names.
//! All of them want root. [`Paths`] says where they look. A capture kernel itself reads the old kernel's memory through
//! [`OldMemory`](iopt::memory::OldMemory).
//!
//! ```no_run
//! use iopt::vtd::Unit;
//! use iopt::walk::Scratch;
//! use iopt_backends::live;
//!
//! let paths = live::Paths::default();
//! let memory = live::Memory::open(&paths)?;
//! let machine = live::Units::read(&paths)?;
//! for unit in machine.units {
//!     let registers = unit.registers?;
//!     if !registers.gsts.translation_enabled() {
//!         continue;
//!     }
//!     let unit = Unit::new(registers.rtaddr)?
//!         .with_capabilities(Some(registers.cap), Some(registers.ecap))
//!         .with_host_address_width(Some(machine.host_address_width));
//!     for range in unit.ranges(&memory, &mut Scratch::new()) {
//!         println!("{}", range?);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What results mean
//! Nothing stands still: the kernel maps and unmaps while its tables are read. Each page is read once per visit, each
//! entry is judged from that copy, and no page is ever lent. So a listing is no snapshot: every entry was there when
//! it was read, but no moment had them all. A page table that was given back meanwhile may be read as something else,
//! and what is then malformed is told as malformed. What looks wrong is worth a second look.
//!
//! # What is read
//! Only memory: a table entry can lead anywhere, and to read a device's registers can change its state, so [`Devmem`]
//! asks for no address that it was not told to be memory. Registers are read of units alone, with the loads that their
//! specification asks for. Nothing is ever written.

mod core_file;
mod devmem;
mod error;
mod file;
mod iomem;
mod memory;
mod mmio;
mod paths;
mod registers;
mod units;

pub use core_file::CoreFile;
pub use devmem::Devmem;
pub use error::{Error, ErrorKind, NoMemory};
pub use iomem::system_ram;
pub use memory::{Memory, Source};
pub use paths::Paths;
pub use registers::Registers;
pub use units::{Unit, Units};
