//! The conformance suite: what every page-table format holds to.
//!
//! A format is judged by a twin: the same facts written down a second time, bit by bit, from the specification's
//! tables. The next format needs a twin with its cases, and a line in the list below.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod bits;
mod fields;
mod first_stage;
mod naive;
#[path = "../common/numbers.rs"]
mod numbers;
mod odd;
mod second_stage;
mod tree;
mod twin;
mod visits;
mod walks;

use twin::Twin;

/// A format, as one unit has it.
struct Case<F> {
    name: String,
    format: F,
    twin: Box<dyn Twin>,
}

macro_rules! conformance {
    ($($test:ident: $check:path,)*) => {$(
        #[test]
        fn $test() {
            first_stage::cases().iter().for_each($check);
            second_stage::cases().iter().for_each($check);
        }
    )*};
}

conformance! {
    levels_cover_the_input_without_gap_or_overlap: bits::geometry,
    every_bit_of_an_entry_is_exactly_one_thing: bits::masks,
    every_bit_does_what_it_is: bits::meaning,
    an_entry_decodes_to_the_fields_it_was_built_from: bits::round_trip,
    attributes_are_the_same_in_leaves_of_every_size: bits::attributes,
    an_entry_like_a_leaf_in_the_run_mask_is_such_a_leaf: bits::run_mask,
    leaves_end_where_the_next_address_begins: walks::boundaries,
    permission_comes_before_reserved_bits_at_each_level: walks::order_of_checks,
    a_cursor_finds_what_naive_recursion_finds: walks::cursor,
    a_run_is_as_long_as_its_leaves_are_alike: visits::runs,
    what_is_skipped_is_one_table_and_all_below_it: visits::skipping,
    tables_are_asked_for_ahead_if_they_are_read: visits::hints,
    ranges_are_the_naive_ones: walks::ranges,
    windows_show_a_part_of_the_whole: walks::windows,
    seeking_goes_anywhere: walks::seeking,
    nearby_windows_share_their_tables: walks::nearby_windows,
    single_translations_are_the_naive_ones: walks::translations,
}

/// From two pages on; narrower ones than a large leaf are among them.
#[test]
fn every_bit_is_exactly_one_thing_for_a_host_of_any_width() {
    for width in 13..=64 {
        bits::masks(&first_stage::on_host(width));
        bits::masks(&second_stage::on_host(width));
    }
}
