//! Walks, pulled and pushed.

use super::stream::{Expected, Item, Stream};
use super::{Broken, KINDS, READS};
use crate::Capture;
use iopt::radix::{Run, Statistics, Table};
use iopt::vtd::{Device, Fault};
use iopt::walk::{Flow, Scratch, Step, Visitor};

/// Compares what a walk comes to with what is expected, one by one.
struct Comparison<'t, I> {
    name: &'t str,
    broken: &'t Broken<'t>,
    expected: I,
    reads: u64,
    runs: u64,
    leaves: u64,
}

impl<'t, I: Iterator<Item = Expected<'t>>> Comparison<'t, I> {
    fn reads(&mut self) {
        for addr in self.broken.asked() {
            let next = self.expected.next();
            assert!(
                matches!(next, Some(Expected::Item(Item::Read(next, _))) if *next == addr),
                "{}: {addr}",
                self.name
            );
            self.reads += 1;
        }
    }

    fn check(&mut self, step: &Step<'_>) {
        self.reads();
        let is_next = match (step, self.expected.next()) {
            (Step::Device(found), Some(Expected::Item(Item::Device(next)))) => **found == **next,
            (Step::Table(found), Some(Expected::Item(Item::Table(next)))) => found == next,
            (Step::Run(found), Some(Expected::Item(Item::Run(next)))) => {
                self.runs += 1;
                self.leaves += found.len() as u64;
                next.is(found)
            }
            (Step::Fault(found), Some(Expected::Fault(next))) => found == next,
            _ => false,
        };
        assert!(is_next, "{}: {step:?}", self.name);
    }

    fn end(&mut self, found: Statistics) {
        self.reads();
        assert!(self.expected.next().is_none(), "{}: it ends early", self.name);
        let tables = self.reads - 1;
        let (pages_read, bytes_lent) = if self.broken.way.reader.lends { (0, 4096 * tables) } else { (tables, 0) };
        let Self { reads, runs, leaves, .. } = *self;
        let statistics = Statistics { tables, reads, runs, leaves, faults: 1, pages_read, bytes_lent };
        assert_eq!(found, statistics, "{}", self.name);
    }
}

impl<'t, I: Iterator<Item = Expected<'t>>> Visitor for Comparison<'t, I> {
    fn device(&mut self, device: &Device) -> Flow {
        self.check(&Step::Device(device));
        Flow::Enter
    }
    fn table(&mut self, table: &Table) -> Flow {
        self.check(&Step::Table(*table));
        Flow::Enter
    }
    fn run(&mut self, run: &Run<'_>) -> Flow {
        self.check(&Step::Run(*run));
        Flow::Enter
    }
    fn fault(&mut self, fault: &Fault) -> Flow {
        self.check(&Step::Fault(*fault));
        Flow::Enter
    }
}

#[test]
fn a_walk_is_as_it_was_but_for_what_lies_below_the_page_and_its_fault() {
    let (mut walks, mut scratch) = (0, Scratch::new());
    Capture::each(|way| {
        let stream = Stream::new(way);
        for torn in KINDS.into_iter().flat_map(|kind| stream.each_torn(kind)) {
            for pushed in [false, true] {
                let name = format!("{}, read {} {}", way.name, torn.read, torn.kind);
                let broken = Broken::at(way, torn.read, torn.kind);
                let reader = broken.reader();
                let mut walk = way.unit.walk(&reader, &mut scratch);
                let expected = torn.expected();
                let mut found = Comparison { name: &name, broken: &broken, expected, reads: 0, runs: 0, leaves: 0 };
                if pushed {
                    walk.visit(&mut found);
                } else {
                    while let Some(step) = walk.next() {
                        found.check(&step);
                    }
                }
                found.end(walk.statistics());
                walks += 1;
            }
        }
    });
    assert_eq!(walks, 4 * 4 * READS);
}
