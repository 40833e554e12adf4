//! What the fuzz targets of memory images do, in a fixed number of steps from small valid files.

mod crowded;
mod mutate;
mod seeds;

use iopt_backends::Image;
use iopt_model::check::image::{
    check_any, check_avml, check_compressed, check_elf, check_kdump, check_lime, check_stack,
};
use iopt_model::heap::{Counting, peak};
use mutate::{extremes, mutated};
use seeds::{Seed, common, seeds};
use std::panic::{RefUnwindSafe, catch_unwind, resume_unwind};

/// Without it no check would see what is allocated.
#[global_allocator]
static COUNTING: Counting = Counting;

fn of(target: &str) -> Vec<Seed> {
    seeds().into_iter().filter(|seed| seed.target == target).collect()
}

/// Runs `check` on its input; a panic is told with that.
fn run(check: fn(&[u8]), what: impl RefUnwindSafe + std::fmt::Display, input: &[u8]) {
    if let Err(panic) = catch_unwind(|| check(input)) {
        eprintln!("{what}");
        resume_unwind(panic);
    }
}

/// The seed as it is, and cut at every length. Of a large one, where it ends in a header, near the ends of pages, and
/// now and then in between.
fn each_length(seed: &Seed, check: fn(&[u8])) {
    let small = seed.bytes.len() < 17_000;
    let near = |length: &usize| {
        let header = seed.headers.iter().any(|header| (header.start..=header.end).contains(length));
        small || header || length % 97 == 0 || (length + 3) % 4096 < 6
    };
    for length in (0..seed.bytes.len()).filter(near).chain([seed.bytes.len()]) {
        run(check, format!("{} cut at {length}", seed.name), &seed.bytes[..length]);
    }
}

/// The seeds of a target at every length, with every field at its extremes, and changed at random 1000 times.
fn all(target: &str, check: fn(&[u8])) {
    let seeds = of(target);
    for seed in &seeds {
        each_length(seed, check);
        for (index, bytes) in extremes(seed).enumerate() {
            run(check, format!("{}, field {index}", seed.name), &bytes);
        }
    }
    for number in 0..1000 {
        run(check, format!("{target} changed, number {number}"), &mutated(&seeds, number));
    }
}

#[test]
fn elf_images_keep_the_invariants() {
    all("image_elf", check_elf);
}

#[test]
fn kdump_images_keep_the_invariants() {
    all("image_kdump", check_kdump);
}

#[test]
fn lime_images_keep_the_invariants() {
    all("image_lime", check_lime);
}

#[test]
fn avml_images_keep_the_invariants() {
    all("image_avml", check_avml);
}

#[test]
fn compressed_images_keep_the_invariants() {
    all("image_compressed", check_compressed);
}

#[test]
fn several_images_keep_the_invariants() {
    all("image_stack", check_stack);
}

#[test]
fn images_of_any_format_keep_the_invariants() {
    let seeds = of("image_any");
    // The others have a target of their own.
    seeds.iter().filter(|seed| seed.name == "raw").for_each(|raw| each_length(raw, check_any));
    for number in 0..1000 {
        run(check_any, format!("number {number}"), &mutated(&seeds, number));
    }
}

#[test]
fn seeds_are_valid() {
    for seed in seeds().into_iter().filter(|seed| seed.target == "image_any") {
        let image = Image::from_bytes(seed.bytes.clone()).unwrap_or_else(|error| panic!("{}: {error}", seed.name));
        let mut page = iopt::memory::Page::ZERO;
        let ranges: Vec<_> = iopt::memory::ranges(&image).collect();
        assert!(!ranges.is_empty());
        for range in ranges.into_iter().filter(|range| range.size() >= 4096) {
            let last = range.last().0 - 4095;
            for addr in [range.first().0.next_multiple_of(4096), last & !0xfff].map(iopt::PhysAddr) {
                iopt::memory::PhysReader::read_page(&image, addr, &mut page).unwrap();
            }
        }
    }
}

#[test]
fn what_is_allocated_is_seen() {
    let image = || Image::from_bytes(common::lime_image().to_vec());
    let (opened, bytes) = peak(image);
    assert!(opened.is_ok() && bytes > 3 * 4096, "{bytes}");
}
