//! The file of the new tables.

use crate::args::{Common, CopyTables};
use crate::error::Error;
use iopt::PhysAddr;
use iopt::memory::{AllocError, AllocErrorKind, Page, PageAllocator, PhysReader};
use iopt_backends::{Format, Image, NewPages, open_as};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;

/// Where the new tables go.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
}

impl Destination {
    /// `None` for a dry run. What can't be right is refused before anything is read.
    pub fn new(common: &Common, command: &CopyTables) -> Result<Option<Self>, Error> {
        let wrong = |expected: &str, found: &str| Err(Error::Use(format!("expected {expected}, found {found}")));
        let path = match &command.out {
            None if command.dry_run => return Ok(None),
            None => return wrong("--out FILE for the new tables, or --dry-run", "neither"),
            Some(path) if path.as_os_str() == "-" => {
                return wrong("the path of a file as --out", "- (an image is not written to stdout)");
            }
            Some(path) => path,
        };
        let same = |image: &PathBuf| match (fs::canonicalize(image), fs::canonicalize(path)) {
            (Ok(image), Ok(path)) => image == path,
            _ => false,
        };
        if command.image.iter().chain(common.with.iter().map(|file| &file.path)).any(same) {
            return wrong("another file as --out than IMAGE and --with", &path.display().to_string());
        }
        // A new file takes the place of the old one, which must not be a device, nor a link like /dev/stdout.
        if path.file_name().is_none() || fs::symlink_metadata(path).is_ok_and(|known| !known.is_file()) {
            return wrong("a regular file or a new one as --out", &path.display().to_string());
        }
        Ok((!command.dry_run).then(|| Self { path: path.clone() }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the whole image beside the file and gives it its name at last, so that no half of one is ever there.
    pub fn write(&self, pages: &NewPages) -> Result<(), Error> {
        let temporary = self.temporary();
        let written = File::create_new(&temporary).and_then(|file| {
            let written = self.write_as(&temporary, file, pages);
            if written.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            written
        });
        written.map_err(|error| Error::Write(self.path.clone(), error))
    }

    fn write_as(&self, temporary: &Path, file: File, pages: &NewPages) -> io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 16, file);
        pages.write_lime(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        fs::rename(temporary, &self.path)
    }

    fn temporary(&self) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(format!(".{}.tmp", process::id()));
        self.path.with_file_name(name)
    }
}

/// The file as it was written: the pages that the copy may use.
#[derive(Debug)]
pub struct Written(Image);

impl Written {
    pub fn open(destination: &Destination) -> Result<Self, Error> {
        Ok(Self(open_as(destination.path(), Format::Lime)?))
    }
}

fn not_allocated(addr: PhysAddr) -> AllocError {
    AllocError { addr: Some(addr.page()), kind: AllocErrorKind::NotAllocated }
}

/// Nothing is allocated any more.
impl PageAllocator for Written {
    fn allocate(&mut self, _: usize) -> Result<PhysAddr, AllocError> {
        Err(AllocError { addr: None, kind: AllocErrorKind::OutOfPages })
    }

    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        self.0.lend_page(addr).ok_or(not_allocated(addr))
    }

    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        Err(not_allocated(addr))
    }

    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError> {
        Err(not_allocated(addr))
    }

    fn free(&mut self, _: PhysAddr, _: usize) {}
}
