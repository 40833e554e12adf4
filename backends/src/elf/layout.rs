//! The headers as they lie in the file: two classes, two byte orders.

use super::{ByteOrder, ElfClass};
use std::mem::offset_of;
use zerocopy::byteorder::{BigEndian, LittleEndian, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The headers of one class and byte order. An address or size is an `Address`, of 4 or 8 bytes.
pub(super) trait Layout {
    const CLASS: ElfClass;
    const BYTE_ORDER: ByteOrder;
    /// The largest address. As a physical address it says that there is none.
    const MAX_ADDRESS: u64;
    const FIELDS: Fields;
    type FileHeader: FromBytes + Into<FileHeader>;
    type SectionHeader: FromBytes + Into<SectionHeader>;
    type ProgramHeader: FromBytes + Into<ProgramHeader>;
}

/// Offsets of fields in their headers, in bytes.
pub(super) struct Fields {
    pub(super) kind: u64,
    pub(super) section_headers: u64,
    pub(super) program_headers: u64,
    pub(super) program_header_size: u64,
    /// `p_paddr` in a program header.
    pub(super) addr: u64,
    /// `p_filesz` in a program header.
    pub(super) file_size: u64,
}

/// The header at the start of the file, as far as it is of use.
pub(super) struct FileHeader {
    pub(super) kind: u16,
    pub(super) machine: u16,
    pub(super) program_headers: u64,
    pub(super) section_headers: u64,
    pub(super) flags: u32,
    pub(super) program_header_size: u16,
    pub(super) program_header_number: u16,
}

/// The first section header, as far as it is of use.
pub(super) struct SectionHeader {
    /// `sh_info`.
    pub(super) info: u32,
}

/// A segment, as far as it is of use.
pub(super) struct ProgramHeader {
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) addr: u64,
    pub(super) file_size: u64,
    pub(super) memory_size: u64,
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawFileHeader<O: zerocopy::ByteOrder, Address> {
    _ident: [u8; 16],
    kind: U16<O>,
    machine: U16<O>,
    _version: U32<O>,
    _entry: Address,
    program_headers: Address,
    section_headers: Address,
    flags: U32<O>,
    _size: U16<O>,
    program_header_size: U16<O>,
    program_header_number: U16<O>,
    _section_header_size: U16<O>,
    _section_header_number: U16<O>,
    _section_names: U16<O>,
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawSectionHeader<O: zerocopy::ByteOrder, Address> {
    _name: U32<O>,
    _kind: U32<O>,
    _flags: Address,
    _addr: Address,
    _offset: Address,
    _size: Address,
    _link: U32<O>,
    info: U32<O>,
    _alignment: Address,
    _entry_size: Address,
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ProgramHeader32<O: zerocopy::ByteOrder> {
    kind: U32<O>,
    offset: U32<O>,
    _virtual_addr: U32<O>,
    addr: U32<O>,
    file_size: U32<O>,
    memory_size: U32<O>,
    _flags: U32<O>,
    _alignment: U32<O>,
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ProgramHeader64<O: zerocopy::ByteOrder> {
    kind: U32<O>,
    _flags: U32<O>,
    offset: U64<O>,
    _virtual_addr: U64<O>,
    addr: U64<O>,
    file_size: U64<O>,
    memory_size: U64<O>,
    _alignment: U64<O>,
}

impl<O: zerocopy::ByteOrder, Address: Into<u64>> From<RawFileHeader<O, Address>> for FileHeader {
    fn from(raw: RawFileHeader<O, Address>) -> Self {
        Self {
            kind: raw.kind.get(),
            machine: raw.machine.get(),
            program_headers: raw.program_headers.into(),
            section_headers: raw.section_headers.into(),
            flags: raw.flags.get(),
            program_header_size: raw.program_header_size.get(),
            program_header_number: raw.program_header_number.get(),
        }
    }
}

impl<O: zerocopy::ByteOrder, Address> From<RawSectionHeader<O, Address>> for SectionHeader {
    fn from(raw: RawSectionHeader<O, Address>) -> Self {
        Self { info: raw.info.get() }
    }
}

/// A class: the same for both byte orders.
macro_rules! class {
    ($layout:ident, $class:expr, $max:expr, $address:ident, $program_header:ident) => {
        pub(super) struct $layout<O>(O);

        impl<O: Order> Layout for $layout<O> {
            const CLASS: ElfClass = $class;
            const BYTE_ORDER: ByteOrder = O::BYTE_ORDER;
            const MAX_ADDRESS: u64 = $max;
            const FIELDS: Fields = Fields {
                kind: offset_of!(RawFileHeader<O, $address<O>>, kind) as u64,
                section_headers: offset_of!(RawFileHeader<O, $address<O>>, section_headers) as u64,
                program_headers: offset_of!(RawFileHeader<O, $address<O>>, program_headers) as u64,
                program_header_size: offset_of!(RawFileHeader<O, $address<O>>, program_header_size) as u64,
                addr: offset_of!($program_header<O>, addr) as u64,
                file_size: offset_of!($program_header<O>, file_size) as u64,
            };
            type FileHeader = RawFileHeader<O, $address<O>>;
            type SectionHeader = RawSectionHeader<O, $address<O>>;
            type ProgramHeader = $program_header<O>;
        }

        impl<O: zerocopy::ByteOrder> From<$program_header<O>> for ProgramHeader {
            fn from(raw: $program_header<O>) -> Self {
                Self {
                    kind: raw.kind.get(),
                    offset: raw.offset.get().into(),
                    addr: raw.addr.get().into(),
                    file_size: raw.file_size.get().into(),
                    memory_size: raw.memory_size.get().into(),
                }
            }
        }
    };
}

class!(Layout32, ElfClass::Elf32, 0xffff_ffff, U32, ProgramHeader32);
class!(Layout64, ElfClass::Elf64, u64::MAX, U64, ProgramHeader64);

/// A byte order as a type and as a value.
pub(super) trait Order: zerocopy::ByteOrder + Copy {
    const BYTE_ORDER: ByteOrder;
}

impl Order for LittleEndian {
    const BYTE_ORDER: ByteOrder = ByteOrder::Little;
}

impl Order for BigEndian {
    const BYTE_ORDER: ByteOrder = ByteOrder::Big;
}
