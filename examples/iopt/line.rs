//! From the words of a command line to what they say, or to what is wrong with them.

use crate::args::Args;
use clap::{CommandFactory, Parser};
use std::ffi::OsString;

/// A command line by which nothing is done.
#[derive(Debug)]
pub enum Refused {
    /// It asks for help or for the version, which is in here.
    Answer(clap::Error),
    /// What is wrong with it, in one line without control characters.
    Wrong(String),
}

impl Args {
    /// Reads a command line, of which the first word is the name of the program.
    ///
    /// # Errors
    /// If there is nothing to do, or something is wrong.
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, Refused> {
        let line = command_first(line.into_iter().collect());
        Self::try_parse_from(&line).map_err(|refused| {
            if !refused.use_stderr() {
                return Refused::Answer(refused);
            }
            // Line ends and escape sequences of an argument must not be taken for those of the message.
            let plain = line.iter().map(|word| escaped(&word.to_string_lossy()));
            Refused::Wrong(message(&Self::try_parse_from(plain).err().unwrap_or(refused)))
        })
    }
}

/// Options are for behind the command: of one that is said before it and behind it, clap would forget the first, and
/// it looks for what belongs or does not belong together on either side alone.
fn command_first(mut line: Vec<OsString>) -> Vec<OsString> {
    let all = Args::command();
    let mut words = line.iter().enumerate().skip(1);
    while let Some((at, word)) = words.next() {
        let Some(option) = word.as_encoded_bytes().strip_prefix(b"--") else {
            if all.find_subcommand(word).is_some() {
                line.get_mut(1..=at).unwrap_or_default().rotate_right(1);
            }
            return line;
        };
        let name = option.split(|byte| *byte == b'=').next().unwrap_or_default();
        match all.get_arguments().find(|known| known.get_long().map(str::as_bytes) == Some(name)) {
            Some(known) if known.get_action().takes_values() && name == option => drop(words.next()),
            Some(_) => {}
            None => return line,
        }
    }
    line
}

/// Without how the command is used, which `help` tells.
fn message(refused: &clap::Error) -> String {
    let text = refused.render().to_string();
    let paragraphs = text.split("\n\n").filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let lines = paragraphs.map(|part| part.trim().lines().map(str::trim).collect::<Vec<_>>().join(" "));
    let message = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    message.strip_prefix("error: ").unwrap_or(&message).to_owned()
}

/// File names and arguments can hold anything, line ends and terminal controls too.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}
