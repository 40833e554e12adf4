use crate::{capture, page, parts, same_as_image};
use iopt::PhysAddr;
use iopt::memory::{PhysReader, ReadErrorKind, ranges};
use iopt_backends::Memflow;
use memflow::cglue::ForwardMut;
use memflow::connector::MappedPhysicalMemory;
use memflow::error::{Error, ErrorKind, ErrorOrigin, Result};
use memflow::mem::mem_data::{PhysicalReadMemOps, PhysicalWriteMemOps};
use memflow::mem::{MemoryMap, PhysicalMemory, PhysicalMemoryMetadata};

fn connector(parts: &[(u64, Vec<u8>)]) -> impl PhysicalMemory {
    let mut map = MemoryMap::new();
    for (first, bytes) in parts {
        map.push((*first).into(), bytes.as_slice());
    }
    MappedPhysicalMemory::with_info(map)
}

#[test]
fn a_walk_through_a_connector_is_that_of_the_image() {
    let (image, unit) = capture();
    let parts = parts(&image);
    let reader = Memflow::new(connector(&parts));
    same_as_image(&image, &unit, &reader);
    // The connector knows where memory ends, and no more.
    let last = ranges(&image).last().unwrap().last();
    assert_eq!(ranges(&reader).map(|range| (range.first().0, range.last())).collect::<Vec<_>>(), [(0, last)]);
    assert_eq!(reader.next_range(PhysAddr(last.0 + 1)), None);
}

#[test]
fn a_page_that_is_there_in_part_is_a_hole() {
    let bytes = |length: u16| (0..length).map(|at| (at % 251) as u8).collect::<Vec<u8>>();
    let parts = [(0x1800, bytes(0x1000)), (0x2800, bytes(0x1900)), (0x6000, bytes(0x1000))];
    let reader = Memflow::new(connector(&parts));
    let joined = [&parts[0].1[0x800..], &parts[1].1[..0x800]].concat();
    assert_eq!(page(&reader, 0x2abc).unwrap(), joined);
    assert_eq!(page(&reader, 0x6fff).unwrap(), parts[2].1);
    for partial in [0x1000, 0x4000, 0x5000, 0x7000, u64::MAX] {
        assert_eq!(page(&reader, partial), Err(ReadErrorKind::Hole), "{partial:#x}");
    }
}

struct Unplugged;

impl PhysicalMemory for Unplugged {
    fn phys_read_raw_iter(&mut self, _: PhysicalReadMemOps<'_, '_, '_, '_>) -> Result<()> {
        Err(Error(ErrorOrigin::Connector, ErrorKind::UnableToReadMemory))
    }
    fn phys_write_raw_iter(&mut self, _: PhysicalWriteMemOps<'_, '_, '_, '_>) -> Result<()> {
        panic!("memory is never written")
    }
    fn metadata(&self) -> PhysicalMemoryMetadata {
        let (max_address, readonly) = (0xffff_u64.into(), true);
        PhysicalMemoryMetadata { max_address, real_size: 0x1_0000, readonly, ideal_batch_size: 1 }
    }
}

#[test]
fn a_connector_that_fails_is_no_hole() {
    let mut connector = Unplugged;
    assert_eq!(page(&Memflow::new(connector.forward_mut()), 0x1000), Err(ReadErrorKind::Io(0)));
}
