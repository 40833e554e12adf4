use thiserror::Error;

/// What is wrong with a flattened dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlattenedErrorKind {
    /// Something else stands where the signature should.
    #[error("flattened dump: expected the signature \"makedumpfile\", found other bytes")]
    Signature,
    /// The file ends before the first record.
    #[error("flattened dump: expected a header of 4096 bytes, found a file of {found} bytes")]
    TruncatedHeader {
        /// The size of the file.
        found: u64,
    },
    /// Another kind of stream.
    #[error("flattened dump: expected type 1, found type {found}")]
    Type {
        /// The type in the header.
        found: i64,
    },
    /// A version of the format that is not known.
    #[error("flattened dump: expected version 1, found version {found}")]
    Version {
        /// The version in the header.
        found: i64,
    },
    /// A record that has no place in a file.
    #[error("flattened dump: expected a record with a place in the file, found offset {to} and size {size}")]
    Record {
        /// Where the record's bytes belong.
        to: i64,
        /// How many they are.
        size: i64,
    },
}

/// A flattened dump is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlattenedError {
    /// Where in the flattened file, in bytes.
    pub(crate) offset: usize,
    pub(crate) kind: FlattenedErrorKind,
}
