use super::file::{self, Role};
use super::{Error, ErrorKind};
use iopt::{PhysAddr, PhysRange};
use std::path::Path;

/// Far more than any machine has lines for.
const MOST: u64 = 16 << 20;

/// The memory that `/proc/iomem`, or a copy of it, calls System RAM: ascending, neighbours joined.
///
/// # Errors
/// The file can't be read, or has no memory: without CAP_SYS_ADMIN all addresses in it are 0.
pub fn system_ram(iomem: impl AsRef<Path>) -> Result<Vec<PhysRange>, Error> {
    let path = iomem.as_ref();
    let bytes = file::read_all(path, Role::Iomem, MOST)?;
    let ranges: Vec<PhysRange> = String::from_utf8_lossy(&bytes).lines().filter_map(ram).collect();
    match joined(ranges) {
        ranges if ranges.is_empty() => Err(Error { path: path.to_owned(), kind: ErrorKind::NoSystemRam }),
        ranges => Ok(ranges),
    }
}

/// The memory of a line `  1000-9ffff : System RAM`; memory of devices has more behind that name.
fn ram(line: &str) -> Option<PhysRange> {
    let (range, name) = line.trim_start().split_once(" : ")?;
    let (first, last) = range.split_once('-').filter(|_| name.starts_with("System RAM"))?;
    let [first, last] = [first, last].map(|address| u64::from_str_radix(address, 16).ok().map(PhysAddr));
    PhysRange::new(first?, last?).filter(|range| range.last().0 != 0)
}

/// The same addresses, ascending, without overlap, neighbours joined.
pub(super) fn joined(mut ranges: Vec<PhysRange>) -> Vec<PhysRange> {
    ranges.sort_unstable_by_key(PhysRange::first);
    ranges.dedup_by(|next, range| {
        let touches = next.first().0 <= range.last().0.saturating_add(1);
        let union = PhysRange::new(range.first(), range.last().max(next.last())).filter(|_| touches);
        *range = union.unwrap_or(*range);
        touches
    });
    ranges
}
