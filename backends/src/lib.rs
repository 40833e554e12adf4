//! Memory images on disk, for [`iopt`] to read.
//!
//! [`open`] finds out what a file is, maps it, and gives an [`Image`]: a [`PhysReader`](iopt::memory::PhysReader)
//! that lends its pages straight out of the mapping.
//!
//! | format | recognised by | physical addresses come from |
//! |---|---|---|
//! | ELF core file (vmcore), 32 and 64 bits, either byte order | `\x7fELF` at the start, also of what is flattened | the program headers |
//! | kdump-compressed (diskdump), flattened or not | `KDUMP   `, `DISKDUMP` or `makedumpfile` at the start | the page descriptors |
//! | LiME, version 1, little-endian | `EMiL` at the start | the header before each range |
//! | AVML, version 2 | `AVML` at the start | the header before each block |
//! | raw | nothing: what no other format claims | the offset in the file, from [`OpenOptions::raw_base`] on |
//!
//! Each may be compressed, once, with xz, zstd or gzip, and LiME with zlib: it is then decompressed into memory, up to
//! [`DEFAULT_DECOMPRESSED_LIMIT`]. Formats that are recognised but not read (see
//! [`UnsupportedFormat`]) are refused by name.
//!
//! Several files of the same memory, as of a split dump, are one [`Stack`].
//!
//! [`live`] reads the running machine instead of an image, on Linux; with it, [`live::CoreFile`] reads an ELF core file
//! a page at a time, without mapping it.
//!
//! [`NewPages`] goes the other way: it holds the pages of new tables, and writes them as a LiME image.
//!
//! Memory that others read is read through them: with the feature `vm-memory`, a guest's in a hypervisor of rust-vmm
//! (`VmMemory`); with the feature `memflow`, what a connector of memflow reaches (`Memflow`).
//!
//! # Features
//! There is one for each format but raw, and one for each compression: `avml`, `elf`, `kdump` and `lime`; `gzip`, `xz`,
//! `zlib` and `zstd`. All are on by default. What is turned off is recognised all the same, and refused by name.
//!
//! # Security
//! An image is untrusted input. Every offset and length is checked against the bytes that are there, nothing is
//! allocated because a header says so, and decompression is bounded: to open a file takes at most 512 KiB of memory,
//! and 12 bytes for each byte in it or decompressed from it. What a mapped file needs from the outside is said at
//! [`open`].
#![deny(unsafe_code)]
#![cfg_attr(not(feature = "default"), allow(unused, reason = "what the formats that are off need"))]

#[cfg(any(feature = "memflow", feature = "vm-memory"))]
mod adapters;
#[cfg(feature = "avml")]
mod avml;
mod bytes;
mod compressed;
mod detect;
mod elf;
mod error;
mod extents;
mod flattened;
mod image;
mod kdump;
mod lime;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod live;
mod magic;
mod mapping;
mod missing;
mod new_pages;
mod opening;
mod options;
mod prefetch;
mod progress;
mod range_header;
mod raw;
mod segments;
mod sink;
mod stack;
mod vmcoreinfo;
#[cfg(any(feature = "kdump", feature = "zstd"))]
mod zstd;

#[cfg(feature = "memflow")]
pub use adapters::Memflow;
#[cfg(feature = "vm-memory")]
pub use adapters::VmMemory;
#[cfg(feature = "avml")]
pub use avml::{AvmlError, AvmlErrorKind};
pub use compressed::{Compression, DEFAULT_DECOMPRESSED_LIMIT};
pub use detect::{Format, UnknownFormat, UnsupportedFormat};
pub use elf::{ByteOrder, Elf, ElfClass, ElfError, ElfErrorKind, Note, NoteError, Notes};
pub use error::{OpenError, OpenErrorKind};
pub use flattened::FlattenedErrorKind;
pub use image::Image;
pub use kdump::{
    Kdump, KdumpError, KdumpErrorKind, KdumpHeader, KdumpPageError, KdumpPageErrorKind, KdumpPart, PageCompression,
};
pub use lime::{LimeError, LimeErrorKind};
pub use missing::{Missing, MissingReason};
pub use new_pages::NewPages;
pub use options::{OpenOptions, open, open_as};
pub use progress::{Progress, Stage};
pub use stack::{Stack, StackError, StackErrorKind};
pub use vmcoreinfo::Vmcoreinfo;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
