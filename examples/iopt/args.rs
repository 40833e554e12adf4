//! What the command line can say.

use crate::parse;
use clap::{Parser, Subcommand, ValueEnum, value_parser};
use iopt::coalesce::Join;
use iopt::radix::Budget;
use iopt::{Pasid, SourceId};
use iopt_backends::Format;
use std::ffi::OsString;
use std::path::PathBuf;

/// Reads the translation tables of an IOMMU out of a memory image, or out of the running machine.
///
/// Without IMAGE and --live, a command reads a small real capture that is built in.
#[derive(Debug, Parser)]
#[command(name = "iopt", version, arg_required_else_help = false, after_help = AFTER_HELP)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Addresses (ADDR, IOVA) are 0x… in hexadecimal, or decimal. HEX is hexadecimal, with or without 0x.
BDF is bus:device.function in hexadecimal, 00:1f.2; a segment 0000: before it is allowed. BDF@PASID is a device
whose requests carry that PASID.

Exit status: 0 done; 1 done, and something is partial, malformed or (translate) faulted;
2 wrong use, or an image or a machine that can't be read.";

/// Options of every command.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Root table address of a unit: the value of RTADDR_REG with its mode bits 11:10; repeat it for more units
    #[arg(long = "root", value_name = "ADDR", global = true, value_parser = parse::address)]
    pub roots: Vec<u64>,
    /// Capability register of the unit; one for each --root. Without it, nothing that depends on it is judged
    #[arg(long = "cap", value_name = "HEX", global = true, value_parser = parse::register)]
    pub caps: Vec<u64>,
    /// Extended capability register of the unit; one for each --root
    #[arg(long = "ecap", value_name = "HEX", global = true, value_parser = parse::register)]
    pub ecaps: Vec<u64>,
    /// Host address width: how many bits a physical address has
    #[arg(long, value_name = "BITS", global = true, value_parser = value_parser!(u8).range(1..=64))]
    pub haw: Option<u8>,
    /// Only this device
    #[arg(long, value_name = "BDF", global = true, value_parser = parse::source_id)]
    pub device: Option<SourceId>,
    /// Only this PASID of each device, in units of scalable mode; those of legacy mode have none
    ///
    /// It is the number of the PASID table entry, the one of RID_PASID (mostly 0) for requests without PASID. A request
    /// to translate has its own, as BDF@PASID.
    #[arg(long, value_name = "N", global = true, value_parser = parse::pasid)]
    pub pasid: Option<Pasid>,
    /// How many table pages the walk of a unit may visit; a single translation needs no limit
    #[arg(long, value_name = "N", global = true, default_value_t = Budget::default().tables)]
    pub max_tables: u64,
    /// How many runs of neighbouring leaves the walk of a unit may find
    #[arg(long, value_name = "N", global = true, default_value_t = Budget::default().runs)]
    pub max_runs: u64,
    /// How many pages the walk of a unit may ask the image for, whether it has them or not
    #[arg(long, value_name = "N", global = true, default_value_t = Budget::default().reads)]
    pub max_reads: u64,
    /// How many entries that can't be followed the walk of a unit may tell
    #[arg(long, value_name = "N", global = true, default_value_t = Budget::default().faults)]
    pub max_faults: u64,
    /// Write what was done as one JSON object to stderr at the end
    ///
    /// tables: table pages visited; leaves: leaves met (translate: translations that ended at one);
    /// ranges: ranges printed; faults: entries that can't be followed (translate: requests refused);
    /// pages_read: pages copied; bytes_lent: bytes used in place, without a copy;
    /// elapsed_ns: time of the walk with its output, without opening the image.
    #[arg(long, global = true)]
    pub stats: bool,
    /// Read the running machine in place of an IMAGE: its memory, and the registers of the units its DMAR table names
    ///
    /// Linux only, and only root may. What is read, and what not and why, is told on stderr. Units whose translation is
    /// off are left out. With --root no registers are read; --cap, --ecap, --haw and --irta go before what they say.
    /// Tables change while they are read: what is listed was there, but not all at one moment.
    #[arg(long, global = true, conflicts_with_all = ["format", "raw_base", "with"])]
    pub live: bool,
    /// Look for dev, proc and sys of the machine in this folder, where a container has those of its host
    #[arg(long, value_name = "DIR", global = true, requires = "live")]
    pub live_from: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Take the image for this format, whatever its content looks like: raw, lime, avml, elf or kdump
    #[arg(long, value_name = "FORMAT", global = true)]
    pub format: Option<Format>,
    /// Physical address of the first byte of IMAGE, which must be raw
    #[arg(long, value_name = "ADDR", global = true, value_parser = parse::address)]
    pub raw_base: Option<u64>,
    /// Another file of the same memory, as of a split dump; repeat it for more. Where two have a page, the first counts
    ///
    /// A raw file can have an address of its own behind it, as in high.raw@0x100000000.
    #[arg(long = "with", value_name = "FILE[@ADDR]", global = true, value_parser = parse::placed_file)]
    pub with: Vec<PlacedFile>,
}

impl Common {
    /// How much the walk of a unit may do.
    pub fn budget(&self) -> Budget {
        Budget { tables: self.max_tables, runs: self.max_runs, reads: self.max_reads, faults: self.max_faults }
    }
}

/// A file, and where its first byte is if that is said.
#[derive(Clone, Debug)]
pub struct PlacedFile {
    pub path: PathBuf,
    pub base: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// What the image is, and which memory it has
    Info(ImageOnly),
    /// The devices that have an address space, in scalable mode one for each PASID
    Devices(ImageOnly),
    /// What each device can reach
    Ranges(Ranges),
    /// Where a request ends up, or why it is refused
    Translate(Translate),
    /// What each interrupt of the interrupt remapping table becomes
    Interrupts(Interrupts),
    /// Copies the tables for a new kernel, as a LiME image, and lists the addresses that devices are using
    Copy(CopyTables),
    /// The remapping units of a machine and the devices behind them, as its ACPI DMAR table has them
    Dmar(DmarFile),
}

#[derive(Debug, clap::Args)]
pub struct ImageOnly {
    /// The memory image; without it, the capture that is built in
    pub image: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct CopyTables {
    /// The memory image; without it, the capture that is built in
    pub image: Option<PathBuf>,
    /// Write the new tables to this file, a LiME image; if it exists, it is replaced
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Physical address of the new tables; without it, the first GiB above the memory of the image
    #[arg(long, value_name = "ADDR", value_parser = parse::address)]
    pub base: Option<u64>,
    /// Copy root and context tables only, which lead to the old page tables, as Linux does
    #[arg(long)]
    pub adopt: bool,
    /// Tell what would be copied and reserved, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub struct DmarFile {
    /// The table as firmware left it, like /sys/firmware/acpi/tables/DMAR; options that describe units don't apply
    pub file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct Ranges {
    /// The memory image; without it, the capture that is built in
    pub image: Option<PathBuf>,
    /// Which neighbours make one range
    #[arg(long, value_enum, default_value_t = By::Both)]
    pub by: By,
}

#[derive(Debug, clap::Args)]
pub struct Interrupts {
    /// The memory image; the capture that is built in has no interrupt table
    pub image: Option<PathBuf>,
    /// Interrupt remapping table address of the unit: the value of IRTA_REG with its mode and size bits
    ///
    /// With --live it is read from the unit. With --device, only entries that let interrupts of this device through are
    /// listed.
    #[arg(long, value_name = "VALUE", value_parser = parse::address)]
    pub irta: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum By {
    /// Those consecutive in IOVA and in memory
    Both,
    /// Those consecutive in IOVA, wherever their memory is
    Iova,
}

impl From<By> for Join {
    fn from(by: By) -> Self {
        match by {
            By::Both => Self::Both,
            By::Iova => Self::Iova,
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "iopt translate [OPTIONS] [IMAGE] BDF[@PASID] IOVA r|w\n       \
                            iopt translate [OPTIONS] [IMAGE] --batch FILE")]
pub struct Translate {
    /// `[IMAGE] BDF[@PASID] IOVA r|w`
    ///
    /// With three arguments there is no IMAGE, and the built-in capture is read. With --batch there is only IMAGE.
    /// Without @PASID, the request carries none: in scalable mode the entry of RID_PASID decides about it.
    #[arg(value_name = "ARGUMENT", num_args = 0..)]
    pub arguments: Vec<OsString>,
    /// Read requests from this file, `BDF[@PASID] IOVA r|w` on each line; - is stdin
    ///
    /// Empty lines and lines that start with # are left out.
    #[arg(long, value_name = "FILE")]
    pub batch: Option<PathBuf>,
}
