//! Command lines that mostly are right.

use super::known::{COMMANDS, COMMON, Kind, own};
use arbitrary::{Result, Unstructured};
use std::ffi::OsString;

/// The words of a line.
pub fn line(u: &mut Unstructured<'_>) -> Result<Vec<OsString>> {
    let command = *u.choose(&COMMANDS)?;
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    for _ in 0..u.int_in_range(0..=6)? {
        let all = COMMON.len() + own(command).len();
        let at = u.choose_index(all)?;
        // Now and then one of another command.
        let (name, kind, _) = if u.ratio(1, 32)? {
            ("irta", Kind::Address, false)
        } else {
            COMMON.iter().chain(own(command)).copied().nth(at).unwrap_or(COMMON[0])
        };
        let words = if at < COMMON.len() && u.ratio(1, 3)? { &mut before } else { &mut behind };
        option(u, name, kind, words)?;
    }
    let mut line = before;
    if !u.ratio(1, 64)? {
        line.push(command.to_owned());
    }
    line.extend(behind);
    if u.ratio(1, 8)? {
        line.push("--".to_owned());
    }
    line.extend(positionals(u, command)?);
    if u.ratio(1, 16)? {
        let at = u.choose_index(line.len() + 1)?;
        line.insert(at, (*u.choose(&WILD)?).to_owned());
    }
    let mut line: Vec<OsString> = line.into_iter().map(OsString::from).collect();
    if u.ratio(1, 32)? {
        let at = u.choose_index(line.len())?;
        line[at].push(super::word(&[0xff]));
    }
    Ok(line)
}

/// Words that mean something somewhere, or nothing.
const WILD: [&str; 16] = [
    "",
    "-",
    "--",
    "-h",
    "-x",
    "-5",
    "help",
    "--help",
    "--version",
    "--root",
    "--nothing",
    "--json=1",
    "=",
    "@",
    "é\n",
    "--\u{1b}[0m\n\nUsage: x",
];

fn option(u: &mut Unstructured<'_>, name: &str, kind: Kind, words: &mut Vec<String>) -> Result<()> {
    let option = format!("--{name}");
    if kind == Kind::Flag {
        words.push(option);
        return Ok(());
    }
    let value = value(u, kind)?;
    if u.arbitrary()? {
        words.push(format!("{option}={value}"))
    } else {
        words.extend([option, value])
    }
    Ok(())
}

fn positionals(u: &mut Unstructured<'_>, command: &str) -> Result<Vec<String>> {
    if command != "translate" {
        let count = if u.ratio(1, 24)? { 2 } else { u.int_in_range(u8::from(command == "dmar")..=1)? };
        return (0..count).map(|_| value(u, Kind::Path)).collect();
    }
    let mut words = if u.arbitrary()? { vec![value(u, Kind::Path)?] } else { Vec::new() };
    if u.ratio(3, 4)? {
        let mut device = value(u, Kind::Device)?;
        if u.arbitrary()? {
            device = format!("{device}@{}", value(u, Kind::Pasid)?);
        }
        words.extend([device, value(u, Kind::Address)?, (*u.choose(&["r", "w", "r", "w", "r", "rw"])?).to_owned()]);
    }
    Ok(words)
}

/// A value of this kind, and now and then one that is off by a character.
fn value(u: &mut Unstructured<'_>, kind: Kind) -> Result<String> {
    let mut value = match kind {
        Kind::Flag => String::new(),
        Kind::Address | Kind::Count => number(u, u64::MAX)?,
        Kind::Width => number(u, 64)?,
        Kind::Pasid => number(u, 0xf_ffff)?,
        Kind::Register => {
            let prefix = u.choose(&["", "0x", "0X"])?;
            format!("{prefix}{:x}", extreme(u, u64::MAX)?)
        }
        Kind::Device => {
            let (bus, device, function) = (u.int_in_range(0..=256)?, u.int_in_range(0..=32)?, u.int_in_range(0..=8)?);
            let segment = u.choose(&["", "", "0000:", "0:", "1:"])?;
            format!("{segment}{bus:02x}:{device:02x}.{function}")
        }
        Kind::Path => (*u.choose(&["a", "/b/c d", "-", "x@5", "é", "--json", "\u{7}\n"])?).to_owned(),
        Kind::Format => (*u.choose(&["raw", "lime", "avml", "elf", "kdump", "Raw"])?).to_owned(),
        Kind::By => (*u.choose(&["both", "iova", "phys"])?).to_owned(),
        Kind::Placed if u.arbitrary()? => format!("{}@{}", value(u, Kind::Path)?, number(u, u64::MAX)?),
        Kind::Placed => value(u, Kind::Path)?,
    };
    if u.ratio(1, 24)? {
        let places: Vec<usize> = value.char_indices().map(|(at, _)| at).collect();
        let at = u.choose(&places).copied().unwrap_or(0);
        match u.int_in_range(0..=2)? {
            0 => value.truncate(at),
            1 => value.insert(at, *u.choose(&['+', '-', ' ', '0', 'x', '_', '@', 'g', '.', ':'])?),
            _ => value.replace_range(..at, ""),
        }
    }
    Ok(value)
}

fn number(u: &mut Unstructured<'_>, most: u64) -> Result<String> {
    let number = extreme(u, most)?;
    Ok(match u.int_in_range(0..=5)? {
        0 | 1 => number.to_string(),
        2 => format!("{number:#X}").replacen("0X", "0x", 1),
        3 => format!("0X{number:020x}"),
        _ => format!("{number:#x}"),
    })
}

/// Up to one more than `most`, if there is such a number.
fn extreme(u: &mut Unstructured<'_>, most: u64) -> Result<u64> {
    Ok(match u.int_in_range(0..=5)? {
        0 => 0,
        1 => most,
        2 => most.saturating_add(1),
        3 => u.arbitrary()?,
        _ => u.int_in_range(0..=most)?,
    })
}
