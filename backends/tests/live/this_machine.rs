//! Whatever this machine shows and whoever asks: memory, or a reason.

use iopt::memory::{Page, PhysReader};
use iopt_backends::live::{CoreFile, Devmem, Memory, Paths, Units, system_ram};

#[test]
fn it_gives_memory_or_a_reason() {
    for error in [
        CoreFile::kcore().err(),
        CoreFile::vmcore().err(),
        system_ram("/proc/iomem").err(),
        Devmem::open("/dev/mem", Vec::new()).err(),
    ]
    .into_iter()
    .flatten()
    {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    match Memory::open(&Paths::default()) {
        Err(error) => assert_eq!(error.0.len(), 3, "{error}"),
        Ok(memory) => {
            assert_eq!(memory.sources().len() + memory.refused().len(), 3);
            let mut page = Page::ZERO.clone();
            for range in iopt::memory::ranges(&memory) {
                let _ = memory.read_page(range.first(), &mut page);
                let _ = memory.read_page(range.last(), &mut page);
            }
        }
    }
    match Units::read(&Paths::default()) {
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
        Ok(units) => assert!(!units.units.is_empty() || !units.malformed.is_empty()),
    }
}
