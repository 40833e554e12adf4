//! Writes a raw image of one large unit, to measure on: `generate FILE TABLES LEAVES ordered|shuffled
//! consecutive|scattered [legacy|second-stage|first-stage|nested]`. Its root table is at 0x1000; it prints what the
//! unit's root table address register would say, mode and all.

use iopt_model::measure::{ImageKind, ImageSpec};
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: generate FILE TABLES LEAVES ordered|shuffled consecutive|scattered \
                 [legacy|second-stage|first-stage|nested]";
    let (arguments, kind) = match arguments.as_slice() {
        [arguments @ .., kind] if arguments.len() == 5 => (arguments, ImageKind::named(kind).ok_or(usage)?),
        arguments => (arguments, ImageKind::Legacy),
    };
    let [file, tables, leaves, order, memory] = arguments else { return Err(usage.into()) };
    let spec = ImageSpec {
        kind,
        leaf_tables: tables.parse()?,
        leaves_per_table: leaves.parse()?,
        shuffled: order == "shuffled",
        scattered: memory == "scattered",
    };
    spec.write(&mut BufWriter::new(File::create(file)?))?;
    println!("{file}: {} table pages, root {:#x}", spec.tables(), kind.rtaddr().0);
    Ok(())
}
