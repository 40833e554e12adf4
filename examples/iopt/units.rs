//! From options to units and an image.

use crate::args::{Common, registers};
use crate::error::Error;
use crate::memory::Memory;
use crate::output::Output;
use crate::{live, progress, sample};
use iopt::PhysAddr;
use iopt::memory::PhysReader;
use iopt::vtd::{Cap, Ecap, Rtaddr, Unit};
use iopt::walk::{Scratch, UnitWalk};
use iopt_backends::{Image, OpenOptions, Stack};
use std::path::Path;

/// Whether the sample is read, and not what the command line names.
pub fn is_sample(common: &Common, path: Option<&Path>) -> Result<bool, Error> {
    match path {
        Some(path) if common.live => {
            Err(Error::Use(format!("expected --live or an IMAGE, found both (the image {})", path.display())))
        }
        path => Ok(path.is_none() && !common.live),
    }
}

/// The running machine, or the image at `path` or the sample, with the other files of the same memory.
pub fn open(common: &Common, path: Option<&Path>) -> Result<Memory, Error> {
    if common.live {
        return live::open(common);
    }
    let options = common.format.map_or(OpenOptions::new(), |format| OpenOptions::new().format(format));
    let mut images = vec![match path {
        None if common.raw_base.is_some() || !common.with.is_empty() => {
            return Err(Error::Use("expected an IMAGE beside --with and --raw-base, found none".to_owned()));
        }
        None => options.from_bytes(sample::IMAGE)?,
        Some(path) => open_file(options, path, common.raw_base)?,
    }];
    for file in &common.with {
        images.push(open_file(OpenOptions::new(), &file.path, file.base)?);
    }
    let stack = Stack::new(images).map_err(|error| {
        let mut paths = path.into_iter().chain(common.with.iter().map(|file| &*file.path));
        Error::Stack(paths.nth(error.index).map(Path::to_path_buf).unwrap_or_default(), error)
    });
    stack.map(Memory::Image)
}

fn open_file(options: OpenOptions, path: &Path, base: Option<u64>) -> Result<Image, Error> {
    if path.as_os_str() == "-" {
        let message = "expected the path of an image, found - (an image can't be read from stdin by that name)";
        return Err(Error::Use(message.to_owned()));
    }
    let options = progress::told(base.map_or(options, |base| options.raw_base(PhysAddr(base))));
    let image = options.open(path);
    progress::end();
    Ok(image?)
}

/// What is known of a unit beside the options.
pub struct Known {
    pub rtaddr: Rtaddr,
    pub cap: Option<Cap>,
    pub ecap: Option<Ecap>,
    pub host_address_width: Option<u8>,
}

/// The units that the options describe. Whatever is wrong with one of them is said before anything is read.
pub fn units(common: &Common, is_sample: bool, output: &mut Output) -> Result<Vec<Unit>, Error> {
    let known = known(common, is_sample, output)?;
    let mut caps = registers("--cap", &common.caps, known.len()).map_err(Error::Use)?.map(Cap);
    let mut ecaps = registers("--ecap", &common.ecaps, known.len()).map_err(Error::Use)?.map(Ecap);
    let unit = |known: &Known| {
        let unit = Unit::new(known.rtaddr).map_err(|error| Error::Use(error.to_string()))?;
        let (cap, ecap) = (caps.next().or(known.cap), ecaps.next().or(known.ecap));
        Ok(unit.with_capabilities(cap, ecap).with_host_address_width(common.haw.or(known.host_address_width)))
    };
    let units = known.iter().map(unit).collect::<Result<Vec<Unit>, Error>>()?;
    match common.pasid {
        Some(pasid) if !units.iter().any(Unit::is_scalable) => {
            let expected = "expected no --pasid (no request has a PASID in legacy mode), or a root in scalable mode";
            Err(Error::Use(format!("{expected}, found PASID {pasid}")))
        }
        _ => Ok(units),
    }
}

fn known(common: &Common, is_sample: bool, output: &mut Output) -> Result<Vec<Known>, Error> {
    let host_address_width = is_sample.then_some(sample::HOST_ADDRESS_WIDTH);
    if !common.roots.is_empty() {
        // The sample's registers are those of its own root. Another root may be of any unit.
        let known = |&root| Known { rtaddr: Rtaddr(root), cap: None, ecap: None, host_address_width };
        return Ok(common.roots.iter().map(known).collect());
    }
    if is_sample {
        let (cap, ecap) = (Some(sample::CAP), Some(sample::ECAP));
        return Ok(vec![Known { rtaddr: sample::ROOT, cap, ecap, host_address_width }]);
    }
    if common.live {
        return live::units(common, output);
    }
    let message =
        "expected --root ADDR, the value of RTADDR_REG, found none: scanning an image for roots does not exist yet";
    Err(Error::Use(message.to_owned()))
}

/// The walk over the devices of a unit that the options leave. Units of legacy mode have no PASIDs to leave any out by.
pub fn walk<'m, R: PhysReader>(
    unit: &Unit,
    common: &Common,
    reader: &'m R,
    scratch: &'m mut Scratch,
) -> UnitWalk<'m, R> {
    let mut walk = unit.walk(reader, scratch).budget(common.budget());
    if let Some(device) = common.device {
        walk = walk.only_device(device);
    }
    match common.pasid {
        Some(pasid) if unit.is_scalable() => walk.only_pasid(pasid),
        _ => walk,
    }
}
