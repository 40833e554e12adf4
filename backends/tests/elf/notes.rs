//! What the writer knew beside the memory.

use crate::builder::{KINDS, Segment, load, notes};
use crate::common::{extent, images};
use iopt_backends::{Image, Note, NoteError};

/// The images of a page of memory with notes before it.
fn each(segments: impl Fn(crate::builder::Kind) -> Vec<Segment>, look: impl Fn(crate::builder::Kind, &Image)) {
    for kind in KINDS {
        let segments = [segments(kind), vec![load(0x1000, 0x1fff)]].concat();
        for image in images(&kind.core(&segments)) {
            assert_eq!(extent(&image), [(0x1000, 0x1fff)]);
            look(kind, &image);
        }
    }
}

fn good(image: &Image) -> Vec<Note<'_>> {
    image.notes().map(Result::unwrap).collect()
}

fn note<'i>(name: &'i [u8], kind: u32, contents: &'i [u8]) -> Note<'i> {
    Note { name, kind, contents }
}

#[test]
fn notes_come_in_the_order_of_the_file() {
    let segments = |kind: crate::builder::Kind| {
        let first = [kind.note(b"CORE\0", 1, &[7; 5]), kind.note(b"QEMU\0", 0, b"")].concat();
        vec![notes(first), notes(vec![]), notes(kind.note(b"", 0x0102_0304, b"abc"))]
    };
    each(segments, |_, image| {
        let expected = [note(b"CORE", 1, &[7; 5]), note(b"QEMU", 0, b""), note(b"", 0x0102_0304, b"abc")];
        assert_eq!(good(image), expected);
        assert!(image.vmcoreinfo().is_none());
    });
}

#[test]
fn zeros_behind_the_notes_fill_up() {
    for zeros in [0, 1, 11, 12, 13, 100] {
        let segments = |kind: crate::builder::Kind| vec![notes([kind.note(b"A\0", 9, b"bc"), vec![0; zeros]].concat())];
        each(segments, |_, image| assert_eq!(good(image), [note(b"A", 9, b"bc")]));
    }
}

#[test]
fn the_last_note_need_not_be_filled_up() {
    let segments = |kind: crate::builder::Kind| {
        let mut bytes = kind.note(b"A\0", 9, b"b");
        bytes.truncate(bytes.len() - 3);
        vec![notes(bytes)]
    };
    each(segments, |_, image| assert_eq!(good(image), [note(b"A", 9, b"b")]));
}

#[test]
fn invalid_sizes_end_the_notes_of_a_segment_only() {
    for (name_size, size) in [(3, 5), (3, 0xffff_ffff), (0xffff_ffff, 1), (0xffff_ffff, 0xffff_ffff), (9, 0), (0, 9)] {
        let segments = |kind: crate::builder::Kind| {
            let bad = [kind.word(name_size), kind.word(size), kind.word(1), *b"AB\0\0", *b"abcd"].concat();
            let first = [kind.note(b"CORE\0", 1, b"good"), bad].concat();
            vec![notes(first), notes(kind.note(b"VMCOREINFO\0", 0, b"A=1\n"))]
        };
        each(segments, |kind, image| {
            let offset = (kind.header_size() + 3 * kind.segment_size() + 24) as u64;
            let expected = 12 + u64::from(name_size).next_multiple_of(4) + u64::from(size);
            let error = NoteError { offset, expected, found: 20 };
            let all = [Ok(note(b"CORE", 1, b"good")), Err(error), Ok(note(b"VMCOREINFO", 0, b"A=1\n"))];
            assert_eq!(image.notes().collect::<Vec<_>>(), all);
            assert_eq!(image.vmcoreinfo().unwrap().get("A"), Some(&b"1"[..]));
            let text = format!(
                "ELF note at offset {offset:#x}: expected {expected} bytes, found 20 up to the end of the notes"
            );
            assert_eq!(error.to_string(), text);
        });
    }
}

#[test]
fn invalid_header_of_a_note_cut_short() {
    for found in 1..12 {
        each(
            |_| vec![notes(vec![1; found])],
            |kind, image| {
                let offset = (kind.header_size() + 2 * kind.segment_size()) as u64;
                let error = NoteError { offset, expected: 12, found: found as u64 };
                assert_eq!(image.notes().collect::<Vec<_>>(), [Err(error)]);
            },
        );
    }
}

#[test]
fn vmcoreinfo_is_any_bytes() {
    let text = b"OSRELEASE=6.1\nempty=\n=no key\n\nno value\ntwice=1\nx=y=z\ntwice=\xff\x00\xfe\nlast=1\0\0";
    let segments = |kind: crate::builder::Kind| {
        let twice = [kind.note(b"VMCOREINFO\0", 0, text), kind.note(b"VMCOREINFO\0", 0, b"OSRELEASE=other\n")].concat();
        vec![notes(twice)]
    };
    each(segments, |_, image| {
        let info = image.vmcoreinfo().unwrap();
        assert_eq!(info.as_bytes(), &text[..text.len() - 2]);
        let all: [(&[u8], &[u8]); 7] = [
            (b"OSRELEASE", b"6.1"),
            (b"empty", b""),
            (b"", b"no key"),
            (b"twice", b"1"),
            (b"x", b"y=z"),
            (b"twice", b"\xff\x00\xfe"),
            (b"last", b"1"),
        ];
        assert_eq!(info.iter().collect::<Vec<_>>(), all);
        assert_eq!((info.get("twice"), info.get("no value")), (Some(&b"1"[..]), None));
        assert!(format!("{info:?}").contains("\\xff"), "{info:?}");
    });
}

#[test]
fn invalid_vmcoreinfo_of_another_name() {
    for name in [&b"VMCOREINFO_XEN\0"[..], b"vmcoreinfo\0", b"VMCOREINF\0", b"\0VMCOREINFO"] {
        each(|kind| vec![notes(kind.note(name, 0, b"A=1\n"))], |_, image| assert!(image.vmcoreinfo().is_none()));
    }
}

#[test]
fn invalid_notes_that_overlap_others_are_left_out() {
    for kind in KINDS {
        let stored = kind.note(b"A\0", 1, b"");
        let size = stored.len() as u64;
        let mut bytes = kind.core(&[notes(stored), notes(vec![]), load(0x1000, 0x1fff)]);
        let first = kind.get(&bytes, kind.at("p_offset", 0));
        kind.put(&mut bytes, kind.at("p_filesz", 1), size);
        for offset in [first - 1, first, first + 1] {
            kind.put(&mut bytes, kind.at("p_offset", 1), offset);
            assert_eq!(good(&images(&bytes)[0]), [note(b"A", 1, b"")]);
        }
    }
}
