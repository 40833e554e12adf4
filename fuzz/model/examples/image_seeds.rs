//! Writes the small valid images that fuzzing starts from to a folder, in one folder for each fuzz target:
//! `cargo run -p iopt-model --example image_seeds -- corpus`.

#[path = "../tests/images/seeds.rs"]
mod seeds;

use seeds::common;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let to = PathBuf::from(std::env::args_os().nth(1).expect("expected the folder to write to"));
    for seed in seeds::seeds() {
        let folder = to.join(seed.target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(seed.name), seed.bytes)?;
    }
    Ok(())
}
