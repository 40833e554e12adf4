//! What is told on a terminal while an image takes long to open.

use crate::human;
use iopt_backends::{OpenOptions, Progress};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is over sooner is not told.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whether there is a line to wipe out.
static TOLD: AtomicBool = AtomicBool::new(false);

/// With progress told on stderr, if that is a terminal.
pub fn told(options: OpenOptions) -> OpenOptions {
    if io::stderr().is_terminal() { options.progress(tell) } else { options }
}

fn tell(progress: Progress) {
    if progress.elapsed >= PATIENCE {
        TOLD.store(true, Ordering::Relaxed);
        write(&format!("{} the image: {}", progress.stage, human::size(progress.bytes.into())));
    }
}

/// Wipes out what was told.
pub fn end() {
    if TOLD.swap(false, Ordering::Relaxed) {
        write("");
    }
}

/// Writes over the line before; that the terminal may be gone must not end the run.
fn write(line: &str) {
    let _ = io::stderr().write_all(format!("\r\x1b[K{line}").as_bytes());
}
