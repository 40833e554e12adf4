use std::path::{Path, PathBuf};

/// The files in which Linux shows a machine. The default is the running one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `/dev/mem`: physical addresses.
    pub mem: PathBuf,
    /// `/proc/kcore`: the running kernel.
    pub kcore: PathBuf,
    /// `/proc/vmcore`: the kernel that crashed, in a capture kernel.
    pub vmcore: PathBuf,
    /// `/proc/iomem`: which physical addresses are memory.
    pub iomem: PathBuf,
    /// `/sys/firmware/acpi/tables/DMAR`: which remapping units there are.
    pub dmar: PathBuf,
}

impl Paths {
    /// Those in `folder`, which has `dev`, `proc` and `sys` of the machine, as a container may have them.
    #[must_use]
    pub fn in_folder(folder: impl AsRef<Path>) -> Self {
        let path = |name| folder.as_ref().join(name);
        Self {
            mem: path("dev/mem"),
            kcore: path("proc/kcore"),
            vmcore: path("proc/vmcore"),
            iomem: path("proc/iomem"),
            dmar: path("sys/firmware/acpi/tables/DMAR"),
        }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self::in_folder("/")
    }
}
