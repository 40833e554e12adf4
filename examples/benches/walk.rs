//! `cargo bench`: the walk, its ranges and translations, beside the least that any program must do to the same
//! pages. The images are written to temporary files and mapped.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "it works on images of its own making"
)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use iopt::coalesce::Join;
use iopt::vtd::{Rtaddr, Unit};
use iopt_backends::Image;
use iopt_model::measure::{self, ImageSpec, ROOT, Subject};
use std::fs::File;
use std::io::BufWriter;
use std::sync::OnceLock;

fn main() {
    divan::main();
}

const TRANSLATIONS: usize = 200_000;

/// An image of each kind, by number of leaf tables.
struct Kind {
    leaves_per_table: usize,
    shuffled: bool,
    images: [OnceLock<Image>; 2],
}

/// Numbers of leaf tables.
const SIZES: [usize; 2] = [16_384, 100_000];

static DENSE_SHUFFLED: Kind = Kind { leaves_per_table: 512, shuffled: true, images: [const { OnceLock::new() }; 2] };
static DENSE_ORDERED: Kind = Kind { leaves_per_table: 512, shuffled: false, images: [const { OnceLock::new() }; 2] };
static SPARSE: Kind = Kind { leaves_per_table: 26, shuffled: true, images: [const { OnceLock::new() }; 2] };

impl Kind {
    fn image(&self, leaf_tables: usize) -> &Image {
        let place = SIZES.iter().position(|size| *size == leaf_tables).expect("one of the sizes");
        self.images[place].get_or_init(|| {
            let Self { leaves_per_table, shuffled, .. } = *self;
            let spec = ImageSpec { leaf_tables, leaves_per_table, shuffled, scattered: false };
            let file = tempfile::NamedTempFile::new().expect("a temporary file");
            spec.write(&mut BufWriter::new(File::create(file.path()).expect("it can be opened"))).expect("it fits");
            // The mapping outlives the name.
            iopt_backends::open(file.path()).expect("a raw image")
        })
    }

    fn bench(&self, bencher: Bencher<'_, '_>, leaf_tables: usize, run: impl Fn(&Unit, &Image, &Subject<'_>) -> u64) {
        let (unit, image) = (Unit::new(Rtaddr(ROOT)).expect("legacy mode"), self.image(leaf_tables));
        let subject = Subject::find(&unit, image, 1).expect("it has leaves");
        let tables = ItemsCount::new(subject.visiting.len());
        bencher.counter(tables).bench_local(|| black_box(run(&unit, image, &subject)));
    }
}

macro_rules! table_benches {
    ($module:ident, $kind:ident) => {
        mod $module {
            use super::*;

            #[divan::bench(args = SIZES, sample_count = 15)]
            fn limit_read_in_address_order(bencher: Bencher<'_, '_>, tables: usize) {
                $kind.bench(bencher, tables, |_, _, subject| measure::read_words(&subject.by_address));
            }
            #[divan::bench(args = SIZES, sample_count = 15)]
            fn limit_read_in_visiting_order(bencher: Bencher<'_, '_>, tables: usize) {
                $kind.bench(bencher, tables, |_, _, subject| measure::read_words(&subject.visiting));
            }
            #[divan::bench(args = SIZES, sample_count = 15)]
            fn walk(bencher: Bencher<'_, '_>, tables: usize) {
                $kind.bench(bencher, tables, |unit, image, _| measure::walk(unit, image));
            }
            #[divan::bench(args = SIZES, sample_count = 15)]
            fn ranges(bencher: Bencher<'_, '_>, tables: usize) {
                $kind.bench(bencher, tables, |unit, image, _| measure::ranges(unit, image, Join::Both));
            }
        }
    };
}

table_benches!(dense_shuffled, DENSE_SHUFFLED);
table_benches!(dense_ordered, DENSE_ORDERED);
table_benches!(sparse, SPARSE);

mod translations {
    use super::*;

    fn bench(bencher: Bencher<'_, '_>, leaf_tables: usize, run: impl Fn(&Image, &Subject<'_>) -> u64) {
        let (unit, image) = (Unit::new(Rtaddr(ROOT)).expect("legacy mode"), DENSE_SHUFFLED.image(leaf_tables));
        let subject = Subject::find(&unit, image, TRANSLATIONS).expect("it has leaves");
        bencher.counter(ItemsCount::new(TRANSLATIONS)).bench_local(|| black_box(run(image, &subject)));
    }

    fn load(image: &Image, addr: u64) -> u64 {
        image.as_bytes()[addr as usize..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
    }

    #[divan::bench(args = SIZES, sample_count = 15)]
    fn limit_independent_chains(bencher: Bencher<'_, '_>, tables: usize) {
        bench(bencher, tables, |image, subject| {
            measure::independent_chains(subject.root, &subject.iovas, |addr| load(image, addr))
        });
    }
    #[divan::bench(args = SIZES, sample_count = 15)]
    fn limit_serialised_chains(bencher: Bencher<'_, '_>, tables: usize) {
        bench(bencher, tables, |image, subject| {
            measure::serialised_chains(subject.root, &subject.iovas, |addr| load(image, addr))
        });
    }
    #[divan::bench(args = SIZES, sample_count = 15)]
    fn translate(bencher: Bencher<'_, '_>, tables: usize) {
        bench(bencher, tables, measure::translate);
    }
    #[divan::bench(args = SIZES, sample_count = 15)]
    fn translate_all(bencher: Bencher<'_, '_>, tables: usize) {
        bench(bencher, tables, measure::translate_all);
    }
}
