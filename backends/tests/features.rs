//! What is read and what is refused by name, whichever features are on. The other tests need all of them.
//! `cargo test -p iopt-backends --no-default-features --features lime --test features`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is a red test")]

use iopt_backends::{Image, OpenErrorKind};

#[test]
fn what_is_off_is_refused_by_the_name_of_its_feature() {
    let streams: [(&str, bool, &[u8]); 8] = [
        ("xz", cfg!(feature = "xz"), b"\xfd7zXZ\0"),
        ("zstd", cfg!(feature = "zstd"), b"\x28\xb5\x2f\xfd"),
        ("gzip", cfg!(feature = "gzip"), b"\x1f\x8b"),
        ("lime", cfg!(feature = "lime"), b"EMiL"),
        ("avml", cfg!(feature = "avml"), b"AVML"),
        ("elf", cfg!(feature = "elf"), b"\x7fELF"),
        ("kdump", cfg!(feature = "kdump"), b"KDUMP   "),
        ("kdump", cfg!(feature = "kdump"), b"DISKDUMP"),
    ];
    for (name, is_on, bytes) in streams {
        let error = Image::from_bytes(bytes).unwrap_err();
        match error.kind {
            OpenErrorKind::FeatureOff { feature } => {
                assert!(!is_on && feature == name, "{name}: {feature}");
                let text = format!("its feature `{name}` is off");
                assert!(error.to_string().contains(&text), "{error}");
            }
            kind => assert!(is_on, "{name}: {kind}"),
        }
    }
    assert_eq!(Image::from_bytes(b"anything").unwrap().format().name(), "raw");
}
