//! What the command line of `iopt` says: apart from the command itself, for whoever checks that.
#![forbid(unsafe_code)]

pub mod args;
pub mod line;
pub mod parse;
pub mod request;
