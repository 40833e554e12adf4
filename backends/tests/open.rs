//! What a file is taken for, and what is refused.

mod common;

use common::{Had, extent, had, images, lime_image, raw_image, refusal, save};
use iopt_backends::{Format, Image, LimeErrorKind, OpenErrorKind, OpenOptions, UnsupportedFormat, open, open_as};
use std::path::Path;

#[test]
fn an_image_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let [mapped, owned] = images(&raw_image());
    shared(&mapped);
    assert!(std::thread::scope(|scope| scope.spawn(|| had(&owned, 0) == Had::Lent).join()).unwrap());
    assert!(format!("{mapped:?}").contains("12388 bytes, mapped"), "{mapped:?}");
}

#[test]
fn static_bytes_are_an_image_without_a_copy() {
    static BYTES: [u8; 4096] = [0; 4096];
    let image = Image::from_bytes(&BYTES).unwrap();
    let lent = iopt::memory::PhysReader::lend_page(&image, iopt::PhysAddr(0)).unwrap();
    assert_eq!(std::ptr::from_ref(lent).cast::<u8>(), BYTES.as_ptr());
}

#[test]
fn a_forced_format_overrides_the_content() {
    let file = save(&lime_image());
    assert_eq!(extent(&open_as(file.path(), Format::Raw).unwrap()), [(0, lime_image().len() as u64 - 1)]);
    assert_eq!(open_as(file.path(), Format::Lime).unwrap().format(), Format::Lime);
    let elf = save(b"\x7fELF and more");
    assert_eq!(open_as(elf.path(), Format::Raw).unwrap().format(), Format::Raw);
}

#[test]
fn invalid_forced_format() {
    let error = open_as(save(&raw_image()).path(), Format::Lime).unwrap_err();
    let OpenErrorKind::Lime(error) = error.kind else { panic!("{error}") };
    assert_eq!((error.offset, error.kind), (0, LimeErrorKind::BadMagic { found: [0, 3, 6, 9] }));
    let short = OpenOptions::new().format(Format::Lime).from_bytes(b"abc").unwrap_err();
    assert!(
        matches!(short.kind, OpenErrorKind::Lime(error) if error.kind == LimeErrorKind::TruncatedHeader { found: 3 })
    );
}

#[test]
fn format_names_go_both_ways() {
    for format in [Format::Raw, Format::Lime, Format::Avml, Format::Elf, Format::Kdump] {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    let error = "LiME".parse::<Format>().unwrap_err();
    assert_eq!(error.to_string(), "expected raw, lime, avml, elf or kdump as the format, found \"LiME\"");
}

#[test]
fn invalid_formats_are_refused_by_name() {
    let hibernation = [&[0; 4086][..], b"S1SUSPEND\0"].concat();
    let cases: [(&[u8], UnsupportedFormat, &str); 13] = [
        (b"PAGEDU64", UnsupportedFormat::Windows, "a Windows crash dump"),
        (b"PAGEDUMP", UnsupportedFormat::Windows, "a Windows crash dump"),
        (&0xbed2_bed0_u32.to_le_bytes(), UnsupportedFormat::Vmware, "the state of a VMware machine"),
        (&0xbad1_bad1_u32.to_le_bytes(), UnsupportedFormat::Vmware, "the state of a VMware machine"),
        (&0xbed2_bed2_u32.to_le_bytes(), UnsupportedFormat::Vmware, "the state of a VMware machine"),
        (&0xbed3_bed3_u32.to_le_bytes(), UnsupportedFormat::Vmware, "the state of a VMware machine"),
        (&0xa819_0173_618f_23ed_u64.to_le_bytes(), UnsupportedFormat::Lkcd, "an LKCD dump"),
        (&0xa819_0173_618f_23ed_u64.to_be_bytes(), UnsupportedFormat::Lkcd, "an LKCD dump"),
        (&hibernation, UnsupportedFormat::Hibernation, "a hibernation image"),
        (b"BZh91AY", UnsupportedFormat::Archive("bzip2"), "a bzip2 file"),
        (&0x184d_2204_u32.to_le_bytes(), UnsupportedFormat::Archive("lz4"), "a lz4 file"),
        (b"PK\x03\x04", UnsupportedFormat::Archive("zip"), "a zip file"),
        (b"7z\xbc\xaf\x27\x1c", UnsupportedFormat::Archive("7z"), "a 7z file"),
    ];
    for (bytes, format, name) in cases {
        let kind = refusal(bytes);
        assert!(matches!(kind, OpenErrorKind::Unsupported(found) if found == format), "{kind:?}");
        let text =
            format!("this is {name}, which iopt does not read yet; expected a raw, LiME, AVML, ELF or kdump image");
        assert_eq!(kind.to_string(), text);
    }
}

#[test]
fn invalid_kdump_files_are_refused_by_their_reader() {
    for bytes in [&b"KDUMP   \x06"[..], b"DISKDUMP\x01", b"makedumpfile"] {
        let kind = refusal(bytes);
        assert!(matches!(kind, OpenErrorKind::Kdump(_)), "{kind:?}");
    }
    for (bytes, offset) in [(&b"makedumpfile\0\0\0\0"[..], 0), (&[b"makedumpfile", &[0; 9000][..]].concat(), 16)] {
        let kind = refusal(bytes);
        assert!(matches!(kind, OpenErrorKind::Flattened { offset: at, .. } if at == offset), "{kind:?}");
    }
}

#[test]
fn invalid_empty_file() {
    let kind = refusal(b"");
    assert!(matches!(kind, OpenErrorKind::Empty), "{kind:?}");
    assert_eq!(kind.to_string(), "expected a raw, LiME, AVML, ELF or kdump image, found an empty file");
}

#[test]
fn invalid_path() {
    let missing = open("no/such/image").unwrap_err();
    assert!(matches!(&missing.kind, OpenErrorKind::Open(error) if error.kind() == std::io::ErrorKind::NotFound));
    assert!(missing.to_string().starts_with("no/such/image: can't be opened: "), "{missing}");
    let directory = open(Path::new("tests")).unwrap_err();
    assert!(matches!(directory.kind, OpenErrorKind::NotAFile), "{directory:?}");
    #[cfg(unix)]
    assert!(matches!(open("/dev/zero").unwrap_err().kind, OpenErrorKind::NotAFile));
}
