//! Ranges: those of what is left.

use super::stream::{Expected, Item, Leaves, Stream};
use super::{Broken, KINDS, READS};
use crate::Capture;
use iopt::coalesce::DeviceRange;
use iopt::vtd::{Device, Fault};
use iopt::walk::Scratch;
use iopt::{Iova, IovaRange, PhysAddr};

/// Joins leaves that continue each other with the same rights, and no others.
#[derive(Default)]
struct Joined {
    ranges: Vec<Result<DeviceRange, Fault>>,
    device: Option<Device>,
    /// The attributes of the last range, if leaves may be joined to it.
    open: Option<u64>,
}

impl Joined {
    fn expect(&mut self, expected: Expected<'_>) {
        match expected {
            Expected::Item(Item::Device(device)) => {
                (self.device, self.open) = (Some(**device), None);
                self.ranges.extend(DeviceRange::pass_through(device).map(Ok));
            }
            Expected::Item(Item::Run(run)) => self.run(run),
            Expected::Item(Item::Table(_) | Item::Read(..)) => {}
            Expected::Fault(fault) => {
                self.open = None;
                self.ranges.push(Err(*fault));
            }
        }
    }

    fn run(&mut self, run: &Leaves) {
        let device = self.device.unwrap();
        let mut first = run.iova.0;
        for &(phys, leaves) in &run.memory {
            let last = first + ((leaves << run.size_log2) - 1);
            let open = self.open.replace(run.attributes);
            match self.ranges.last_mut() {
                Some(Ok(range)) if open == Some(run.attributes) && goes_on(range, first, phys, run) => {
                    range.iova = IovaRange::new(range.iova.first(), Iova(last)).unwrap();
                    range.page_size_log2 = range.page_size_log2.min(Some(run.size_log2));
                }
                _ => self.ranges.push(Ok(DeviceRange {
                    source_id: device.source_id,
                    pasid: device.pasid,
                    domain: device.domain().unwrap(),
                    iova: IovaRange::new(Iova(first), Iova(last)).unwrap(),
                    phys: Some(phys),
                    permissions: run.permissions,
                    page_size_log2: Some(run.size_log2),
                })),
            }
            first = last.wrapping_add(1);
        }
    }
}

fn goes_on(range: &DeviceRange, first: u64, phys: PhysAddr, run: &Leaves) -> bool {
    let memory = range.phys.unwrap().0 + (first - range.iova.first().0);
    range.iova.last().0.checked_add(1) == Some(first) && memory == phys.0 && range.permissions == run.permissions
}

#[test]
fn the_ranges_are_those_of_what_is_left_and_the_fault_stands_between_them() {
    let (mut walks, mut scratch) = (0, Scratch::new());
    Capture::each(|way| {
        let stream = Stream::new(way);
        for torn in KINDS.into_iter().flat_map(|kind| stream.each_torn(kind)) {
            let broken = Broken::at(way, torn.read, torn.kind);
            let mut joined = Joined::default();
            torn.expected().for_each(|expected| joined.expect(expected));
            let reader = broken.reader();
            let found: Vec<_> = way.unit.ranges(&reader, &mut scratch).collect();
            assert!(found == joined.ranges, "{}, read {} {}: {found:#?}", way.name, torn.read, torn.kind);
            walks += 1;
        }
    });
    assert_eq!(walks, 4 * 2 * READS);
}
