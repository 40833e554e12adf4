//! Files of the kernel: how they are opened and read, and what it means when they refuse.

use super::{Error, ErrorKind};
use iopt::memory::ReadErrorKind;
use libc::{EACCES, EAGAIN, EINVAL, EIO, ENOENT, ENXIO, EPERM, O_NONBLOCK, O_SYNC};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What a file is to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Mem,
    Kcore,
    Vmcore,
    Iomem,
    Dmar,
    /// An ordinary file.
    Other,
}

const NOT_ROOT: &str = "only root may";

impl Role {
    pub(super) fn reason_not_to_open(self, error: &io::Error) -> Option<&'static str> {
        Some(match (self, error.raw_os_error()?) {
            (_, EACCES) => NOT_ROOT,
            (Self::Mem, ENOENT | ENXIO) => "this kernel has none (CONFIG_DEVMEM), or it is kept from this container",
            (Self::Mem, EPERM) => "the kernel is locked down (integrity), or the capability CAP_SYS_RAWIO is missing",
            (Self::Kcore, ENOENT) => "this kernel has none (CONFIG_PROC_KCORE), or it is kept from this container",
            (Self::Kcore, EPERM) => {
                "the kernel is locked down (confidentiality), or the capability CAP_SYS_RAWIO is missing"
            }
            (Self::Vmcore, ENOENT) => "this is no capture kernel, which alone has the memory of one that crashed",
            (Self::Dmar, ENOENT) => "firmware tells of no Intel IOMMU, or the table is kept from this container",
            _ => return None,
        })
    }

    pub(super) fn reason_not_to_read(self, error: &io::Error) -> Option<&'static str> {
        Some(match (self, error.raw_os_error()?) {
            (Self::Mem, EPERM) => "the kernel was built with CONFIG_STRICT_DEVMEM",
            (Self::Kcore, EPERM) => "the kernel is locked down (confidentiality)",
            (Self::Vmcore, EIO) => "the capture kernel can't get at this part of the old memory",
            (_, EACCES | EPERM) => NOT_ROOT,
            _ => return None,
        })
    }
}

/// Why the registers of a unit can't be mapped.
pub(super) fn reason_not_to_map(error: &io::Error) -> Option<&'static str> {
    Some(match error.raw_os_error()? {
        EPERM => {
            "the kernel keeps them to their driver (CONFIG_IO_STRICT_DEVMEM), unless it is booted with iomem=relaxed"
        }
        EINVAL => "the processor has no such address, or the kernel has it mapped in another way",
        EAGAIN => "the kernel has no room for the mapping",
        _ => return None,
    })
}

/// Opens `path` to read. Nothing is ever waited for, as a pipe would want it.
pub(super) fn open(path: &Path, role: Role) -> Result<File, Error> {
    // O_SYNC: what is mapped of /dev/mem is not cached, as registers must be read.
    let flags = if role == Role::Mem { O_SYNC | O_NONBLOCK } else { O_NONBLOCK };
    let opened = fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| Error { path: path.to_owned(), kind: ErrorKind::open(role, error) })
}

/// Reads all of a small file.
pub(super) fn read_all(path: &Path, role: Role, most: u64) -> Result<Vec<u8>, Error> {
    let at = |kind| Error { path: path.to_owned(), kind };
    let mut bytes = Vec::new();
    let mut file = open(path, role)?.take(most.saturating_add(1));
    file.read_to_end(&mut bytes).map_err(|error| at(ErrorKind::read(role, 0, error)))?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size <= most) {
        Ok(bytes)
    } else {
        Err(at(ErrorKind::TooLarge { most }))
    }
}

/// Fills `bytes` from `offset` on, as far as the file goes, and returns how many there were. No file goes on behind
/// the largest signed offset.
pub(super) fn read_up_to(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = u64::try_from(done).ok().and_then(|done| offset.checked_add(done));
        let Some(at) = at.filter(|at| i64::try_from(*at).is_ok()) else { break };
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(read) => done = done.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// What an error of a read says about a page.
pub(super) fn page_error(error: &io::Error) -> ReadErrorKind {
    ReadErrorKind::Io(error.raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_error(path: &str, role: Role, errno: i32) -> String {
        let kind = ErrorKind::open(role, io::Error::from_raw_os_error(errno));
        Error { path: path.into(), kind }.to_string()
    }

    /// What people need to know: which permission, which setting of the kernel, or that there is no such thing.
    #[test]
    fn each_refusal_is_explained_in_one_line() {
        for (path, role, errno, expected) in [
            ("/dev/mem", Role::Mem, ENOENT, "CONFIG_DEVMEM"),
            ("/dev/mem", Role::Mem, EACCES, NOT_ROOT),
            ("/dev/mem", Role::Mem, EPERM, "locked down (integrity)"),
            ("/dev/mem", Role::Mem, EPERM, "CAP_SYS_RAWIO"),
            ("/proc/kcore", Role::Kcore, ENOENT, "CONFIG_PROC_KCORE"),
            ("/proc/kcore", Role::Kcore, EACCES, NOT_ROOT),
            ("/proc/kcore", Role::Kcore, EPERM, "locked down (confidentiality)"),
            ("/proc/vmcore", Role::Vmcore, ENOENT, "no capture kernel"),
            ("/sys/firmware/acpi/tables/DMAR", Role::Dmar, ENOENT, "no Intel IOMMU"),
            ("/sys/firmware/acpi/tables/DMAR", Role::Dmar, EACCES, NOT_ROOT),
        ] {
            let message = open_error(path, role, errno);
            assert!(message.starts_with(&format!("{path}: can't be opened: ")), "{message}");
            assert!(message.contains(expected) && message.contains(&format!("os error {errno}")), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
        assert!(!open_error("/dev/mem", Role::Mem, EIO).contains("CONFIG"));
        assert!(!open_error("x", Role::Other, ENOENT).contains("CONFIG"));
        for (role, errno, expected) in [
            (Role::Mem, EPERM, "CONFIG_STRICT_DEVMEM"),
            (Role::Kcore, EPERM, "locked down (confidentiality)"),
            (Role::Vmcore, EIO, "can't get at this part of the old memory"),
            (Role::Iomem, EACCES, NOT_ROOT),
            (Role::Iomem, EIO, "(os error 5)"),
        ] {
            let read = ErrorKind::read(role, 0x1000, io::Error::from_raw_os_error(errno)).to_string();
            assert!(read.contains("offset 0x1000") && read.ends_with(expected), "{read}");
        }
        let reason = |errno| reason_not_to_map(&io::Error::from_raw_os_error(errno));
        assert!(reason(EPERM).is_some_and(|reason| reason.contains("iomem=relaxed")));
        assert!(reason(EINVAL).is_some() && reason(EAGAIN).is_some() && reason(EIO).is_none());
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"1234").unwrap();
        assert_eq!(read_all(file.path(), Role::Other, 4).unwrap(), b"1234");
        let error = read_all(file.path(), Role::Other, 3).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::TooLarge { most: 3 }), "{error}");
    }
}
