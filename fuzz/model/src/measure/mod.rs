//! What the benchmarks measure, and what they measure it against.

mod copy;
mod image;
mod kdump;
mod limits;

pub use copy::{Arena, Copying};
pub use image::{ImageKind, ImageSpec};
pub use kdump::{stored_pages, write_kdump};
pub use limits::{independent_chains, read_words, serialised_chains};

use crate::random_bytes;
use iopt::coalesce::{Coalescer, Join};
use iopt::memory::{Page, PhysReader};
use iopt::radix::{Run, Table};
use iopt::vtd::{AddressSpace, Device, Unit};
use iopt::walk::{Flow, Scratch, Visitor};
use iopt::{Access, Iova, PhysAddr};

/// The tables of a unit, and addresses to translate.
#[derive(Debug)]
pub struct Subject<'m> {
    /// The page tables, in the order in which a walk comes to them.
    pub visiting: Vec<&'m Page>,
    /// The same, by address.
    pub by_address: Vec<&'m Page>,
    /// How many leaves they have.
    pub leaves: u64,
    /// The device that most leaves belong to.
    pub device: Device,
    /// Its top table.
    pub root: u64,
    /// Addresses of it that are mapped for reading, at random.
    pub iovas: Vec<Iova>,
}

impl<'m> Subject<'m> {
    /// Finds what there is to measure on, with `translations` addresses to translate. `None` if nothing is
    /// mapped by page tables of one stage, or the reader does not lend.
    pub fn find<R: PhysReader>(unit: &Unit, reader: &'m R, translations: usize) -> Option<Self> {
        let mut survey = Survey::default();
        unit.walk(reader, &mut Box::new(Scratch::new())).visit(&mut survey);
        let visiting: Vec<&Page> = survey.tables.iter().map(|table| reader.lend_page(*table)).collect::<Option<_>>()?;
        let mut by_address = visiting.clone();
        by_address.sort_by_key(|page| std::ptr::from_ref(*page));
        let leaves = survey.devices.iter().map(|(_, runs)| leaves_in(runs)).sum();
        let (device, runs) = survey.devices.into_iter().max_by_key(|(_, runs)| leaves_in(runs))?;
        let root = match &device.space {
            AddressSpace::SecondStage(space) => space.root.0,
            AddressSpace::FirstStage(space) => space.root.0,
            // What no page table translates, or more than one, has no chain of four loads to measure against.
            _ => return None,
        };
        let iovas = pick(&runs, translations)?;
        Some(Self { visiting, by_address, leaves, device, root, iovas })
    }
}

/// First address, page size and number of leaves of a run.
type RunShape = (u64, u64, u64);

fn leaves_in(runs: &[RunShape]) -> u64 {
    runs.iter().map(|(_, _, leaves)| leaves).sum()
}

/// `count` addresses, each in a leaf picked at random.
fn pick(runs: &[RunShape], count: usize) -> Option<Vec<Iova>> {
    let leaves = leaves_in(runs);
    let mut starts = vec![0];
    starts.extend(runs.iter().scan(0, |before, (_, _, leaves)| {
        *before += leaves;
        Some(*before)
    }));
    let one = |word: u64| {
        let leaf = word.checked_rem(leaves)?;
        let run = starts.partition_point(|start| *start <= leaf) - 1;
        let (iova, size, _) = runs[run];
        Some(Iova(iova + (leaf - starts[run]) * size + (word >> 52)))
    };
    random_bytes(7, count * 8).chunks_exact(8).map(|word| one(u64::from_le_bytes(word.try_into().ok()?))).collect()
}

#[derive(Default)]
struct Survey {
    tables: Vec<PhysAddr>,
    devices: Vec<(Device, Vec<RunShape>)>,
}

impl Visitor for Survey {
    fn device(&mut self, device: &Device) -> Flow {
        self.devices.push((*device, Vec::new()));
        Flow::Enter
    }

    fn table(&mut self, table: &Table) -> Flow {
        self.tables.push(table.addr);
        Flow::Enter
    }

    fn run(&mut self, run: &Run<'_>) -> Flow {
        if let Some((_, runs)) = self.devices.last_mut().filter(|_| run.permissions.read()) {
            runs.push((run.iova.0, run.page_size(), run.len() as u64));
        }
        Flow::Enter
    }
}

/// Walks everything and counts the leaves.
pub fn walk<R: PhysReader>(unit: &Unit, reader: &R) -> u64 {
    struct Count(u64);
    impl Visitor for Count {
        #[inline]
        fn run(&mut self, run: &Run<'_>) -> Flow {
            self.0 = self.0.wrapping_add(run.len() as u64).wrapping_add(run.iova.0);
            Flow::Enter
        }
    }
    let mut count = Count(0);
    unit.walk(reader, &mut Box::new(Scratch::new())).visit(&mut count);
    count.0
}

/// Walks everything, joins it into ranges, and adds up where they end.
pub fn ranges<R: PhysReader>(unit: &Unit, reader: &R, join: Join) -> u64 {
    struct Ranges {
        coalescer: Coalescer,
        sum: u64,
    }
    impl Visitor for Ranges {
        fn device(&mut self, _: &Device) -> Flow {
            self.coalescer.finish();
            Flow::Enter
        }
        #[inline]
        fn run(&mut self, run: &Run<'_>) -> Flow {
            let sum = &mut self.sum;
            self.coalescer.push(run, |range| {
                *sum = sum.wrapping_add(range.iova.last().0).wrapping_add(range.phys.map_or(0, |phys| phys.0));
            });
            Flow::Enter
        }
    }
    let mut ranges = Ranges { coalescer: Coalescer::new(join), sum: 0 };
    unit.walk(reader, &mut Box::new(Scratch::new())).visit(&mut ranges);
    ranges.sum.wrapping_add(ranges.coalescer.finish().map_or(0, |range| range.iova.last().0))
}

/// The same ranges, pulled from an iterator.
pub fn ranges_pulled<R: PhysReader>(unit: &Unit, reader: &R) -> u64 {
    let mut scratch = Box::new(Scratch::new());
    let ranges = unit.ranges(reader, &mut scratch).flatten();
    ranges.fold(0, |sum: u64, range| sum.wrapping_add(range.iova.last().0))
}

/// Translates every address of `subject`, one after the other.
pub fn translate<R: PhysReader>(reader: &R, subject: &Subject<'_>) -> u64 {
    let mut copy = Page::ZERO;
    subject.iovas.iter().fold(0, |sum: u64, iova| {
        match subject.device.translate(reader, *iova, Access::Read, &mut copy, |_| ()) {
            Ok(translation) => sum.wrapping_add(translation.phys.0),
            Err(_) => sum,
        }
    })
}

/// Translates every address of `subject`, many at once.
pub fn translate_all<R: PhysReader>(reader: &R, subject: &Subject<'_>) -> u64 {
    let (mut copy, mut sum) = (Page::ZERO, 0u64);
    for iovas in subject.iovas.chunks(1024) {
        subject.device.translate_all(reader, iovas, Access::Read, &mut copy, |_, translated| {
            sum = sum.wrapping_add(translated.map_or(0, |translation| translation.phys.0));
        });
    }
    sum
}
