//! ELF files of either class and byte order, built to the byte.

/// A class with its offsets and widths of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub wide: bool,
    pub big: bool,
}

pub const KINDS: [Kind; 4] = [
    Kind { wide: false, big: false },
    Kind { wide: false, big: true },
    Kind { wide: true, big: false },
    Kind { wide: true, big: true },
];

/// Name, offset and size of a field.
pub type Field = (&'static str, usize, usize);

const HEADER_32: [Field; 16] = [
    ("EI_CLASS", 4, 1),
    ("EI_DATA", 5, 1),
    ("EI_VERSION", 6, 1),
    ("e_type", 16, 2),
    ("e_machine", 18, 2),
    ("e_version", 20, 4),
    ("e_entry", 24, 4),
    ("e_phoff", 28, 4),
    ("e_shoff", 32, 4),
    ("e_flags", 36, 4),
    ("e_ehsize", 40, 2),
    ("e_phentsize", 42, 2),
    ("e_phnum", 44, 2),
    ("e_shentsize", 46, 2),
    ("e_shnum", 48, 2),
    ("e_shstrndx", 50, 2),
];
const HEADER_64: [Field; 16] = [
    ("EI_CLASS", 4, 1),
    ("EI_DATA", 5, 1),
    ("EI_VERSION", 6, 1),
    ("e_type", 16, 2),
    ("e_machine", 18, 2),
    ("e_version", 20, 4),
    ("e_entry", 24, 8),
    ("e_phoff", 32, 8),
    ("e_shoff", 40, 8),
    ("e_flags", 48, 4),
    ("e_ehsize", 52, 2),
    ("e_phentsize", 54, 2),
    ("e_phnum", 56, 2),
    ("e_shentsize", 58, 2),
    ("e_shnum", 60, 2),
    ("e_shstrndx", 62, 2),
];
const SEGMENT_32: [Field; 8] = [
    ("p_type", 0, 4),
    ("p_offset", 4, 4),
    ("p_vaddr", 8, 4),
    ("p_paddr", 12, 4),
    ("p_filesz", 16, 4),
    ("p_memsz", 20, 4),
    ("p_flags", 24, 4),
    ("p_align", 28, 4),
];
const SEGMENT_64: [Field; 8] = [
    ("p_type", 0, 4),
    ("p_flags", 4, 4),
    ("p_offset", 8, 8),
    ("p_vaddr", 16, 8),
    ("p_paddr", 24, 8),
    ("p_filesz", 32, 8),
    ("p_memsz", 40, 8),
    ("p_align", 48, 8),
];

impl Kind {
    pub fn header(self) -> &'static [Field] {
        if self.wide { &HEADER_64 } else { &HEADER_32 }
    }

    pub fn segment(self) -> &'static [Field] {
        if self.wide { &SEGMENT_64 } else { &SEGMENT_32 }
    }

    pub fn header_size(self) -> usize {
        if self.wide { 64 } else { 52 }
    }

    pub fn segment_size(self) -> usize {
        if self.wide { 56 } else { 32 }
    }

    /// Offset and size of a field, of a segment in the table behind the header or of the header.
    pub fn at(self, name: &str, segment: usize) -> (usize, usize) {
        let find = |fields: &[Field]| fields.iter().find(|field| field.0 == name).map(|field| (field.1, field.2));
        let of_segment = find(self.segment())
            .map(|(offset, size)| (self.header_size() + segment * self.segment_size() + offset, size));
        of_segment.or_else(|| find(self.header())).expect(name)
    }

    pub fn get(self, bytes: &[u8], (offset, size): (usize, usize)) -> u64 {
        let byte = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let field = bytes[offset..offset + size].iter();
        if self.big { field.fold(0, byte) } else { field.rev().fold(0, byte) }
    }

    pub fn put(self, bytes: &mut [u8], (offset, size): (usize, usize), value: u64) {
        let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
        bytes[offset..offset + size].copy_from_slice(if self.big { &big[8 - size..] } else { &little[..size] });
    }

    pub fn word(self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    /// A note as a writer writes it.
    pub fn note(self, name: &[u8], kind: u32, contents: &[u8]) -> Vec<u8> {
        let padded = |bytes: &[u8]| [bytes, &[0; 3][..bytes.len().wrapping_neg() % 4]].concat();
        let sizes = [name.len(), contents.len()].map(|size| self.word(size as u32));
        [&sizes.concat()[..], &self.word(kind), &padded(name), &padded(contents)].concat()
    }

    /// A core file of segments, which lie one behind the other after their headers, aligned to nothing.
    pub fn core(self, segments: &[Segment]) -> Vec<u8> {
        self.core_with_gap(segments, 0)
    }

    fn core_with_gap(self, segments: &[Segment], gap: usize) -> Vec<u8> {
        let table = self.header_size() + segments.len() * self.segment_size();
        let mut bytes = vec![0; table + gap];
        bytes[..4].copy_from_slice(b"\x7fELF");
        for (name, value) in [
            ("EI_CLASS", 1 + u64::from(self.wide)),
            ("EI_DATA", 1 + u64::from(self.big)),
            ("EI_VERSION", 1),
            ("e_type", 4),
            ("e_machine", 62),
            ("e_version", 1),
            ("e_phoff", self.header_size() as u64),
            ("e_phentsize", self.segment_size() as u64),
            ("e_phnum", segments.len().min(0xffff) as u64),
        ] {
            self.put(&mut bytes, self.at(name, 0), value);
        }
        for (index, segment) in segments.iter().enumerate() {
            for (name, value) in [
                ("p_type", segment.kind.into()),
                ("p_offset", bytes.len() as u64),
                ("p_paddr", segment.addr),
                ("p_filesz", segment.stored.len() as u64),
                ("p_memsz", segment.memory_size),
            ] {
                self.put(&mut bytes, self.at(name, index), value);
            }
            bytes.extend(&segment.stored);
        }
        bytes
    }

    /// The same with the number of segments in a section header, behind the table.
    pub fn core_of_many(self, segments: &[Segment]) -> Vec<u8> {
        let section_size = if self.wide { 64 } else { 40 };
        let info = if self.wide { 44 } else { 28 };
        let section = self.header_size() + segments.len() * self.segment_size();
        let mut bytes = self.core_with_gap(segments, section_size);
        self.put(&mut bytes, self.at("e_phnum", 0), 0xffff);
        self.put(&mut bytes, self.at("e_shoff", 0), section as u64);
        self.put(&mut bytes, (section + info, 4), segments.len() as u64);
        bytes
    }
}

#[derive(Clone, Debug)]
pub struct Segment {
    pub kind: u32,
    pub addr: u64,
    pub stored: Vec<u8>,
    pub memory_size: u64,
}

/// PT_LOAD: what is stored of the memory from `first` to `last`, all of it.
pub fn load(first: u64, last: u64) -> Segment {
    let stored = crate::common::memory(first, last);
    Segment { kind: 1, addr: first, memory_size: stored.len() as u64, stored }
}

/// PT_NOTE.
pub fn notes(stored: Vec<u8>) -> Segment {
    Segment { kind: 4, addr: 0, stored, memory_size: 0 }
}

impl Segment {
    /// With more memory than is stored.
    pub fn of(self, memory_size: u64) -> Self {
        Self { memory_size, ..self }
    }

    /// With other contents, which no test takes for memory.
    pub fn garbled(mut self) -> Self {
        self.stored.iter_mut().for_each(|byte| *byte = !*byte);
        self
    }
}
