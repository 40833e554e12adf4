use std::fmt;

/// What a Linux kernel tells about itself in a dump: lines of `KEY=value`.
///
/// ```
/// let image = iopt_backends::open("tests/corpus/kdump-on/vmcore.elf.xz")?;
/// let info = image.vmcoreinfo().ok_or("there is no VMCOREINFO")?;
/// assert_eq!(info.get("PAGESIZE"), Some(&b"4096"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Vmcoreinfo<'i> {
    bytes: &'i [u8],
}

impl<'i> Vmcoreinfo<'i> {
    /// The text, up to the zeros that may fill it up.
    pub(crate) fn new(bytes: &'i [u8]) -> Self {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        Self { bytes: bytes.get(..end).unwrap_or_default() }
    }

    /// The whole text. It is ASCII as the kernel writes it, but a dump can hold anything.
    #[must_use]
    pub fn as_bytes(self) -> &'i [u8] {
        self.bytes
    }

    /// All keys with their values, in the order of the text. Lines without `=` are left out.
    pub fn iter(self) -> impl Iterator<Item = (&'i [u8], &'i [u8])> {
        self.bytes.split(|byte| *byte == b'\n').filter_map(|line| {
            let (key, value) = line.split_at_checked(line.iter().position(|byte| *byte == b'=')?)?;
            Some((key, value.get(1..)?))
        })
    }

    /// The first value of `key`.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'i [u8]> {
        self.iter().find_map(|(found, value)| (found == key.as_bytes()).then_some(value))
    }
}

impl fmt::Debug for Vmcoreinfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes.escape_ascii())
    }
}
