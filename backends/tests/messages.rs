//! What is said of an image that no other test comes to see.

use iopt_backends::{ByteOrder, ElfClass, Image, MissingReason, OpenOptions, Stage};

#[test]
fn kinds_have_names_for_people() {
    assert_eq!([ElfClass::Elf32, ElfClass::Elf64].map(|class| class.to_string()), ["32-bit", "64-bit"]);
    let orders = [ByteOrder::Little, ByteOrder::Big].map(|order| order.to_string());
    assert_eq!(orders, ["little-endian", "big-endian"]);
    let stages = [Stage::Reading, Stage::Decompressing, Stage::Assembling].map(|stage| stage.to_string());
    assert_eq!(stages, ["reading", "decompressing", "putting together"]);
    let reasons = [MissingReason::Lost, MissingReason::Damaged].map(|reason| reason.to_string());
    assert_eq!(reasons, ["not written, as the dump was not finished", "stored in a way that makes no sense"]);
}

#[test]
fn an_image_says_how_large_it_is_and_not_what_it_holds() {
    let text = |image: Image| format!("{image:?}");
    assert!(text(Image::from_bytes(vec![7; 4096]).unwrap()).contains("4096 bytes, owned"));
    assert!(text(OpenOptions::default().from_bytes(&[7; 4096][..]).unwrap()).contains("4096 bytes, static"));
}
