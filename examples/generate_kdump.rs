//! Writes the memory of an image as a kdump-compressed file with zlib: `generate_kdump IMAGE FILE [FILLER]`. FILLER
//! pages of noise, which don't compress, come behind it, to make the file as large as wanted.

use iopt_model::measure::write_kdump;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (image, file, filler) = match arguments.as_slice() {
        [image, file] => (image, file, 0),
        [image, file, filler] => (image, file, filler.parse()?),
        _ => return Err("usage: generate_kdump IMAGE FILE [FILLER]".into()),
    };
    write_kdump(&iopt_backends::open(image)?, filler, &mut BufWriter::new(File::create(file)?))?;
    Ok(())
}
