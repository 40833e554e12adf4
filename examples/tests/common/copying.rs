//! What copies of tables are made of, and where they go.

use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Two devices: 00:00.0 with two tables of 3 levels, one page in each half of its first GiB, and 00:00.1, whose
/// requests pass through.
pub const SMALL: [(usize, u64); 9] = [
    (0x1000, 0x2001),
    (0x2000, 0x3001),
    (0x2008, 0x0501),
    (0x2010, 0x0009),
    (0x2018, 0x0602),
    (0x3000, 0x4003),
    (0x4000, 0x5003),
    (0x4008, 0x6003),
    (0x6000, 0x7003),
];

/// A folder with room for one image.
pub struct Out {
    pub folder: TempDir,
    pub path: PathBuf,
}

impl Out {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.lime");
        Self { folder, path }
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    /// What lies in the folder.
    pub fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }
}
