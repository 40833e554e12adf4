//! A command line, read word by word.

use super::known::{COMMANDS, COMMON, Kind, Known, own};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What a line says.
#[derive(Debug, Default)]
pub struct Said {
    pub command: Option<&'static str>,
    /// With the number that it takes, if it takes one.
    options: Vec<(&'static str, OsString, u64)>,
    /// All words behind the command that belong to no option.
    pub positionals: Vec<OsString>,
    /// What is wrong; a message has to name one of these.
    pub wrong: Vec<String>,
    /// Whether it may be asking for help or for the version.
    pub asks: bool,
}

impl Said {
    pub fn new(words: &[OsString]) -> Self {
        let mut said = Self::default();
        let mut words = words.iter();
        let mut only_positionals = false;
        while let Some(word) = words.next() {
            said.asks |= ["-h", "-V", "help", "--help", "--version"].iter().any(|asks| starts_with(word, asks));
            if only_positionals || word == "-" || !starts_with(word, "-") {
                said.positional(word);
            } else if word == "--" {
                // Before the command, there is nothing that could be meant by it.
                only_positionals = true;
                said.wrong.extend(said.command.is_none().then(|| named("--")));
            } else {
                said.option(word, &mut words);
            }
        }
        said.judge();
        said
    }

    /// The words of an option, and their numbers.
    pub fn all(&self, name: &str) -> impl Iterator<Item = (&OsStr, u64)> {
        self.options.iter().filter(move |option| option.0 == name).map(|(_, word, number)| (word.as_os_str(), *number))
    }

    fn positional(&mut self, word: &OsString) {
        if self.command.is_some() {
            return self.positionals.push(word.clone());
        }
        self.command = COMMANDS.into_iter().find(|command| word == command);
        self.wrong.extend(self.command.is_none().then(|| named(word)));
    }

    fn option(&mut self, word: &OsStr, behind: &mut std::slice::Iter<'_, OsString>) {
        let bytes = word.as_encoded_bytes();
        let (name, joined) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
            None => (bytes, None),
        };
        let known = COMMON.iter().chain(self.command.map_or(&[][..], own));
        let Some((name, kind, _)) = known.copied().find(|known| name == format!("--{}", known.0).as_bytes()) else {
            // Of several short ones in a word, the first is told.
            let is_long = starts_with(word, "--");
            return self.wrong.push(if is_long { named(super::word(name)) } else { "'-".to_owned() });
        };
        let value = match (kind, joined) {
            (Kind::Flag, None) => OsString::new(),
            (Kind::Flag, Some(_)) => return self.wrong.push(format!("--{name}")),
            (_, Some(value)) => super::word(value),
            (_, None) => match behind.as_slice().first() {
                Some(value) if value == "-" || !starts_with(value, "-") => behind.next().expect("it is there").clone(),
                _ => return self.wrong.push(format!("--{name}")),
            },
        };
        match kind.value(&value) {
            Some(number) => self.options.push((name, value, number)),
            None => self.wrong.push(format!("--{name}")),
        }
    }

    /// What can't be seen from one word.
    fn judge(&mut self) {
        let has = |name| self.all(name).next().is_some();
        let repeated = |(name, _, many): &&Known| !many && self.all(name).count() > 1;
        let known = COMMON.iter().chain(self.command.map_or(&[][..], own));
        let mut wrong: Vec<String> = known.filter(repeated).map(|(name, ..)| format!("--{name}")).collect();
        let of_image = ["format", "raw-base", "with"].into_iter().any(has);
        if has("live") && of_image || has("live-from") && !has("live") {
            wrong.push("--live".to_owned());
        }
        match (self.command, self.positionals.as_slice()) {
            (None, _) => wrong.push("subcommand".to_owned()),
            (Some("dmar"), []) => wrong.push("<FILE>".to_owned()),
            (Some("translate"), _) | (_, []) => {}
            (Some(command), [image, more @ ..]) => {
                let name = if command == "dmar" { "<FILE>" } else { "[IMAGE]" };
                wrong.extend(image.is_empty().then(|| name.to_owned()));
                wrong.extend(more.iter().map(named));
            }
        }
        self.wrong.extend(wrong);
    }
}

fn starts_with(word: &OsStr, start: &str) -> bool {
    word.as_encoded_bytes().starts_with(start.as_bytes())
}

/// How a message shows a word.
fn named(word: impl AsRef<OsStr>) -> String {
    let text = word.as_ref().to_string_lossy().into_owned();
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

impl Kind {
    /// The number that a word says, 0 where it says something else; `None` if it is not of this kind.
    pub fn value(self, word: &OsStr) -> Option<u64> {
        let one_of = |names: &[&str]| names.iter().any(|name| word == *name).then_some(0);
        match self {
            Self::Flag => Some(0),
            Self::Address | Self::Count => number(word.to_str()?),
            Self::Register => register(word.to_str()?),
            Self::Width => number(word.to_str()?).filter(|width| *width > 0 && *width <= 64),
            Self::Pasid => number(word.to_str()?).filter(|pasid| *pasid <= 0xf_ffff),
            Self::Device => device(word.to_str()?),
            Self::Path => (!word.is_empty()).then_some(0),
            Self::Format => one_of(&["raw", "lime", "avml", "elf", "kdump"]),
            Self::By => one_of(&["both", "iova"]),
            Self::Placed => placed(word).map(|_| 0),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    if text.starts_with("0x") || text.starts_with("0X") { digits(&text[2..], 16) } else { digits(text, 10) }
}

fn register(text: &str) -> Option<u64> {
    if text.starts_with("0x") || text.starts_with("0X") { digits(&text[2..], 16) } else { digits(text, 16) }
}

fn digits(text: &str, radix: u32) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.chars().try_fold(0, |value: u64, digit| {
        let digit = digit.to_digit(radix)?;
        value.checked_mul(radix.into())?.checked_add(digit.into())
    })
}

/// `[ssss:]bb:dd.f`, each part with a digit at least.
fn device(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let separators: String = text.chars().filter(|c| [':', '.'].contains(c)).collect();
    let (segment, [bus, device, function]) = match (separators.as_str(), parts.as_slice()) {
        ("::.", [segment, rest @ ..]) if segment.len() <= 4 => (digits(segment, 16)?, rest.try_into().ok()?),
        (":.", rest) => (0, <[&str; 3]>::try_from(rest).ok()?),
        _ => return None,
    };
    if bus.len() > 2 || device.len() > 2 || function.len() > 1 {
        return None;
    }
    let (bus, device, function) = (digits(bus, 16)?, digits(device, 16)?, digits(function, 16)?);
    (segment == 0 && device < 32 && function < 8).then_some(bus << 8 | device << 3 | function)
}

/// A device, and the PASID behind it.
pub fn requester(word: &OsStr) -> Option<(u64, Option<u64>)> {
    let text = word.to_str()?;
    match text.find('@') {
        Some(at) => Some((device(&text[..at])?, Some(Kind::Pasid.value(OsStr::new(&text[at + 1..]))?))),
        None => Some((device(text)?, None)),
    }
}

/// A file, and the address behind it. Where something like a number is behind the last `@`, it has to be one, unless
/// there is a file of that name.
pub fn placed(word: &OsStr) -> Option<(OsString, Option<u64>)> {
    let text = word.to_string_lossy();
    let (path, base) = match text.rfind('@') {
        Some(at) if !Path::new(word).exists() => (&text[..at], &text[at + 1..]),
        _ => return (!word.is_empty()).then(|| (word.to_owned(), None)),
    };
    let is_number = base.starts_with("0x") || base.starts_with("0X") || digits(base, 10).is_some();
    let is_too_large = !base.is_empty() && base.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number && !is_too_large {
        return Some((word.to_owned(), None));
    }
    let base = number(base)?;
    (!path.is_empty() && word.to_str().is_some()).then(|| (path.into(), Some(base)))
}
