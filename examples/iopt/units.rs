//! From options to units and an image.

use crate::args::Common;
use crate::error::Error;
use crate::{progress, sample};
use iopt::PhysAddr;
use iopt::memory::PhysReader;
use iopt::vtd::{Cap, Ecap, Rtaddr, Unit};
use iopt::walk::{Scratch, UnitWalk};
use iopt_backends::{Image, OpenOptions, Stack};
use std::path::Path;

/// The image at `path`, or the sample, with the other files of the same memory.
pub fn open(common: &Common, path: Option<&Path>) -> Result<Stack, Error> {
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
    Ok(Stack::new(images)?)
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

/// The units that the options describe. Whatever is wrong with one of them is said before anything is read.
pub fn units(common: &Common, is_sample: bool) -> Result<Vec<Unit>, Error> {
    if common.roots.is_empty() && !is_sample {
        let message =
            "expected --root ADDR, the value of RTADDR_REG, found none: scanning an image for roots does not exist yet";
        return Err(Error::Use(message.to_owned()));
    }
    // The sample's registers are those of its own root. Another root may be of any unit.
    let of_sample = common.roots.is_empty();
    let roots = if of_sample { &[sample::ROOT.0][..] } else { &common.roots };
    let mut caps = registers("--cap", &common.caps, roots.len())?.map(Cap);
    let mut ecaps = registers("--ecap", &common.ecaps, roots.len())?.map(Ecap);
    let width = host_address_width(common, is_sample);
    let unit = |&root: &u64| {
        let unit = Unit::new(Rtaddr(root)).map_err(|error| Error::Use(error.to_string()))?;
        let cap = caps.next().or(of_sample.then_some(sample::CAP));
        let ecap = ecaps.next().or(of_sample.then_some(sample::ECAP));
        Ok(unit.with_capabilities(cap, ecap).with_host_address_width(width))
    };
    let units = roots.iter().map(unit).collect::<Result<Vec<Unit>, Error>>()?;
    match common.pasid {
        Some(pasid) if !units.iter().any(Unit::is_scalable) => {
            let expected = "expected no --pasid (no request has a PASID in legacy mode), or a root in scalable mode";
            Err(Error::Use(format!("{expected}, found PASID {pasid}")))
        }
        _ => Ok(units),
    }
}

/// How many bits a physical address has, if that is known.
pub fn host_address_width(common: &Common, is_sample: bool) -> Option<u8> {
    common.haw.or(is_sample.then_some(sample::HOST_ADDRESS_WIDTH))
}

/// The walk over the devices of a unit that the options leave. Units of legacy mode have no PASIDs to leave any out by.
pub fn walk<'m, R: PhysReader>(
    unit: &Unit,
    common: &Common,
    reader: &'m R,
    scratch: &'m mut Scratch,
) -> UnitWalk<'m, R> {
    let mut walk = unit.walk(reader, scratch).max_tables(common.max_tables);
    if let Some(device) = common.device {
        walk = walk.only_device(device);
    }
    match common.pasid {
        Some(pasid) if unit.is_scalable() => walk.only_pasid(pasid),
        _ => walk,
    }
}

/// The values of a register, one for each root or none at all.
fn registers<'a>(option: &str, values: &'a [u64], roots: usize) -> Result<impl Iterator<Item = u64> + use<'a>, Error> {
    if !values.is_empty() && values.len() != roots {
        let found = values.len();
        return Err(Error::Use(format!("expected {option} not at all or once for each root ({roots}), found {found}")));
    }
    Ok(values.iter().copied())
}
