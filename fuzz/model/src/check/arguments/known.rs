//! The options there are, as the help lists them.

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Flag,
    Address,
    Register,
    Width,
    Device,
    Pasid,
    Count,
    Path,
    Format,
    Placed,
    By,
}

/// An option, what it takes, and whether it can be repeated.
pub type Known = (&'static str, Kind, bool);

pub const COMMANDS: [&str; 7] = ["info", "devices", "ranges", "translate", "interrupts", "copy", "dmar"];

pub const COMMON: [Known; 17] = [
    ("root", Kind::Address, true),
    ("cap", Kind::Register, true),
    ("ecap", Kind::Register, true),
    ("haw", Kind::Width, false),
    ("device", Kind::Device, false),
    ("pasid", Kind::Pasid, false),
    ("max-tables", Kind::Count, false),
    ("max-runs", Kind::Count, false),
    ("max-reads", Kind::Count, false),
    ("max-faults", Kind::Count, false),
    ("stats", Kind::Flag, false),
    ("live", Kind::Flag, false),
    ("live-from", Kind::Path, false),
    ("json", Kind::Flag, false),
    ("format", Kind::Format, false),
    ("raw-base", Kind::Address, false),
    ("with", Kind::Placed, true),
];

/// Those of one command alone.
pub fn own(command: &str) -> &'static [Known] {
    match command {
        "ranges" => &[("by", Kind::By, false)],
        "translate" => &[("batch", Kind::Path, false)],
        "interrupts" => &[("irta", Kind::Address, false)],
        "copy" => &[
            ("out", Kind::Path, false),
            ("base", Kind::Address, false),
            ("adopt", Kind::Flag, false),
            ("dry-run", Kind::Flag, false),
        ],
        _ => &[],
    }
}
