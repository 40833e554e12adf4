use crate::args::Common;
use crate::error::Error;
use crate::memory::Memory;
use crate::output::Output;
use crate::units::Known;
use iopt::vtd::Irta;

fn refused<T>() -> Result<T, Error> {
    Err(Error::Use("expected an IMAGE, found --live: only on Linux can the running machine be read".to_owned()))
}

pub fn open(_: &Common) -> Result<Memory, Error> {
    refused()
}

pub fn units(_: &Common, _: &mut Output) -> Result<Vec<Known>, Error> {
    refused()
}

pub fn interrupt_table(_: &Common, _: &mut Output) -> Result<Irta, Error> {
    refused()
}
