use super::file::{self, Role};
use super::mmio::RegisterPage;
use super::{Error, ErrorKind};
use iopt::PhysAddr;
use iopt::vtd::{Cap, Ecap, Gsts, Irta, Rtaddr};
use std::path::Path;

/// The registers of an Intel VT-d unit that say what it does, as they were read one after the other.
///
/// Source: Intel VT-d specification, "Register Descriptions".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registers {
    /// VER_REG (0x00): bits 7:4 major, 3:0 minor version of the architecture.
    pub version: u32,
    /// CAP_REG (0x08).
    pub cap: Cap,
    /// ECAP_REG (0x10).
    pub ecap: Ecap,
    /// GSTS_REG (0x1c).
    pub gsts: Gsts,
    /// RTADDR_REG (0x20). The unit walks the table that it held when GCMD_REG.SRTP was last written.
    pub rtaddr: Rtaddr,
    /// FSTS_REG (0x34): whether there are faults that nobody has looked at.
    pub fault_status: u32,
    /// PMEN_REG (0x64): bit 0 tells that protected memory regions are on, which no request reaches.
    pub protected_memory: u32,
    /// IRTA_REG (0xb8). It means something where interrupt remapping is enabled.
    pub irta: Irta,
}

impl Registers {
    /// Reads the registers at `base` through `mem`, which is `/dev/mem` or a file like it: a page that is mapped to
    /// read, and no other loads than those of whole, aligned registers.
    ///
    /// # Errors
    /// The kernel does not let us, `base` is not the start of a page, or nobody answers there.
    pub fn read(mem: impl AsRef<Path>, base: PhysAddr) -> Result<Self, Error> {
        let path = mem.as_ref();
        let file = file::open(path, Role::Mem)?;
        let at = |kind| Error { path: path.to_owned(), kind };
        if base != base.page() {
            return Err(at(ErrorKind::RegistersMisaligned(base)));
        }
        let page = RegisterPage::map(&file, base).map_err(|error| {
            let reason = file::reason_not_to_map(&error);
            at(ErrorKind::Map { base, error, reason })
        })?;
        let registers = Self {
            version: page.u32::<0x00>(),
            cap: Cap(page.u64::<0x08>()),
            ecap: Ecap(page.u64::<0x10>()),
            gsts: Gsts(page.u32::<0x1c>()),
            rtaddr: Rtaddr(page.u64::<0x20>()),
            fault_status: page.u32::<0x34>(),
            protected_memory: page.u32::<0x64>(),
            irta: Irta(page.u64::<0xb8>()),
        };
        match (registers.cap, registers.ecap) {
            (Cap(u64::MAX), Ecap(u64::MAX)) => Err(at(ErrorKind::NoRegisters(base))),
            _ => Ok(registers),
        }
    }
}
