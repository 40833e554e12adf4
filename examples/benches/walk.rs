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
use iopt::vtd::Unit;
use iopt_backends::Image;
use iopt_model::measure::{self, Copying, ImageKind, ImageSpec, Subject};
use std::fs::File;
use std::io::BufWriter;
use std::sync::OnceLock;

fn main() {
    divan::main();
}

const TRANSLATIONS: usize = 200_000;

/// Images of one shape, by number of leaf tables.
struct Shape {
    kind: ImageKind,
    leaves_per_table: usize,
    shuffled: bool,
    images: [OnceLock<Image>; 2],
}

/// Numbers of leaf tables.
const SIZES: [usize; 2] = [16_384, 100_000];

/// The other kinds of page tables are to be compared with the first one, for which one size is enough.
const ONE_SIZE: [usize; 1] = [SIZES[0]];

const fn shape(kind: ImageKind, leaves_per_table: usize, shuffled: bool) -> Shape {
    Shape { kind, leaves_per_table, shuffled, images: [const { OnceLock::new() }; 2] }
}

static DENSE_SHUFFLED: Shape = shape(ImageKind::Legacy, 512, true);
static DENSE_ORDERED: Shape = shape(ImageKind::Legacy, 512, false);
static SPARSE: Shape = shape(ImageKind::Legacy, 26, true);
static SECOND_STAGE_DENSE: Shape = shape(ImageKind::SecondStage, 512, true);
static SECOND_STAGE_SPARSE: Shape = shape(ImageKind::SecondStage, 26, true);
static FIRST_STAGE_DENSE: Shape = shape(ImageKind::FirstStage, 512, true);
static FIRST_STAGE_SPARSE: Shape = shape(ImageKind::FirstStage, 26, true);

impl Shape {
    fn image(&self, leaf_tables: usize) -> &Image {
        let place = SIZES.iter().position(|size| *size == leaf_tables).expect("one of the sizes");
        self.images[place].get_or_init(|| {
            let Self { kind, leaves_per_table, shuffled, .. } = *self;
            let spec = ImageSpec { kind, leaf_tables, leaves_per_table, shuffled, scattered: false };
            let file = tempfile::NamedTempFile::new().expect("a temporary file");
            spec.write(&mut BufWriter::new(File::create(file.path()).expect("it can be opened"))).expect("it fits");
            // The mapping outlives the name.
            iopt_backends::open(file.path()).expect("a raw image")
        })
    }

    fn unit(&self) -> Unit {
        Unit::new(self.kind.rtaddr()).expect("a mode that has tables")
    }

    fn bench(&self, bencher: Bencher<'_, '_>, leaf_tables: usize, run: impl Fn(&Unit, &Image, &Subject<'_>) -> u64) {
        let (unit, image) = (self.unit(), self.image(leaf_tables));
        let subject = Subject::find(&unit, image, 1).expect("it has leaves");
        let tables = ItemsCount::new(subject.visiting.len());
        bencher.counter(tables).bench_local(|| black_box(run(&unit, image, &subject)));
    }

    fn bench_copies(
        &self,
        bencher: Bencher<'_, '_>,
        leaf_tables: usize,
        run: impl Fn(&mut Copying, &Unit, &Image, &Subject<'_>) -> u64,
    ) {
        let (unit, image) = (self.unit(), self.image(leaf_tables));
        let subject = Subject::find(&unit, image, 1).expect("it has leaves");
        let mut copying = Copying::new(&unit, image, subject.visiting.len());
        let tables = ItemsCount::new(subject.visiting.len());
        bencher.counter(tables).bench_local(|| black_box(run(&mut copying, &unit, image, &subject)));
    }

    fn bench_translations(
        &self,
        bencher: Bencher<'_, '_>,
        leaf_tables: usize,
        run: impl Fn(&Image, &Subject<'_>) -> u64,
    ) {
        let (unit, image) = (self.unit(), self.image(leaf_tables));
        let subject = Subject::find(&unit, image, TRANSLATIONS).expect("it has leaves");
        bencher.counter(ItemsCount::new(TRANSLATIONS)).bench_local(|| black_box(run(image, &subject)));
    }
}

macro_rules! table_benches {
    ($module:ident, $shape:ident, $sizes:ident) => {
        mod $module {
            use super::*;

            #[divan::bench(args = $sizes, sample_count = 15)]
            fn limit_read_in_address_order(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench(bencher, tables, |_, _, subject| measure::read_words(&subject.by_address));
            }
            #[divan::bench(args = $sizes, sample_count = 15)]
            fn limit_read_in_visiting_order(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench(bencher, tables, |_, _, subject| measure::read_words(&subject.visiting));
            }
            #[divan::bench(args = $sizes, sample_count = 15)]
            fn walk(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench(bencher, tables, |unit, image, _| measure::walk(unit, image));
            }
            #[divan::bench(args = $sizes, sample_count = 15)]
            fn ranges(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench(bencher, tables, |unit, image, _| measure::ranges(unit, image, Join::Both));
            }
            #[divan::bench(args = $sizes, sample_count = 15)]
            fn limit_copy_in_visiting_order(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench_copies(bencher, tables, |copying, _, _, subject| copying.limit(&subject.visiting));
            }
            #[divan::bench(args = $sizes, sample_count = 15)]
            fn copy(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench_copies(bencher, tables, |copying, unit, image, _| copying.copy(unit, image));
            }
            #[divan::bench(args = $sizes, sample_count = 15)]
            fn adopt(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench_copies(bencher, tables, |copying, unit, image, _| copying.adopt(unit, image));
            }
        }
    };
}

table_benches!(dense_shuffled, DENSE_SHUFFLED, SIZES);
table_benches!(dense_ordered, DENSE_ORDERED, SIZES);
table_benches!(sparse, SPARSE, SIZES);
table_benches!(second_stage_dense, SECOND_STAGE_DENSE, ONE_SIZE);
table_benches!(second_stage_sparse, SECOND_STAGE_SPARSE, ONE_SIZE);
table_benches!(first_stage_dense, FIRST_STAGE_DENSE, ONE_SIZE);
table_benches!(first_stage_sparse, FIRST_STAGE_SPARSE, ONE_SIZE);

/// Of 4 KiB pages, in dense tables in random order.
macro_rules! translation_benches {
    ($module:ident, $shape:ident, $sizes:ident) => {
        mod $module {
            use super::*;

            #[divan::bench(args = $sizes, sample_count = 15)]
            fn limit_independent_chains(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench_translations(bencher, tables, |image, subject| {
                    measure::independent_chains(subject.root, &subject.iovas, |addr| load(image, addr))
                });
            }
            #[divan::bench(args = $sizes, sample_count = 15)]
            fn limit_serialised_chains(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench_translations(bencher, tables, |image, subject| {
                    measure::serialised_chains(subject.root, &subject.iovas, |addr| load(image, addr))
                });
            }
            #[divan::bench(args = $sizes, sample_count = 15)]
            fn translate(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench_translations(bencher, tables, measure::translate);
            }
            #[divan::bench(args = $sizes, sample_count = 15)]
            fn translate_all(bencher: Bencher<'_, '_>, tables: usize) {
                $shape.bench_translations(bencher, tables, measure::translate_all);
            }
        }
    };
}

translation_benches!(translations, DENSE_SHUFFLED, SIZES);
translation_benches!(first_stage_translations, FIRST_STAGE_DENSE, ONE_SIZE);

fn load(image: &Image, addr: u64) -> u64 {
    image.as_bytes()[addr as usize..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}
