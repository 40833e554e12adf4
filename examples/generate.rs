//! Writes a raw image of one large unit, to measure on: `generate FILE TABLES LEAVES ordered|shuffled
//! consecutive|scattered`. Its root table is at 0x1000.

use iopt_model::measure::ImageSpec;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, tables, leaves, order, memory] = arguments.as_slice() else {
        return Err("usage: generate FILE TABLES LEAVES ordered|shuffled consecutive|scattered".into());
    };
    let spec = ImageSpec {
        leaf_tables: tables.parse()?,
        leaves_per_table: leaves.parse()?,
        shuffled: order == "shuffled",
        scattered: memory == "scattered",
    };
    spec.write(&mut BufWriter::new(File::create(file)?))?;
    println!("{file}: {} table pages, root 0x1000", spec.tables());
    Ok(())
}
