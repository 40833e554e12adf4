//! Command lines of `iopt` of any words: what is taken is all that was said, and what is refused is named.

mod draw;
mod known;
mod twin;
mod written;

use arbitrary::Unstructured;
use iopt::Access;
use iopt::radix::Budget;
use iopt_command::args::{Args, Command, PlacedFile, registers};
use iopt_command::line::Refused;
use iopt_command::request::Request;
use known::Kind;
use std::ffi::OsString;
use std::path::Path;
use twin::Said;

/// Reads `bytes` as a command line: if the first is even, as its words with a zero between each two, and if it is
/// odd, as the plan of a line that mostly is right.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_arguments(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return check(&[]) };
    let drawn = draw::line(&mut Unstructured::new(rest)).unwrap_or_default();
    check(&if first % 2 == 0 { rest.split(|byte| *byte == 0).map(word).collect() } else { drawn });
}

#[cfg(unix)]
fn word(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn word(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

fn read(words: &[OsString]) -> Result<Args, Refused> {
    Args::read(["iopt".into()].into_iter().chain(words.iter().cloned()))
}

/// Checks the line of these words, without the name of the program.
pub fn check(words: &[OsString]) {
    let said = Said::new(words);
    match read(words) {
        Ok(args) => {
            assert!(said.wrong.is_empty(), "{words:?} is taken, but {:?} is wrong", said.wrong);
            check_taken(&args, &said, words);
            for style in [true, false] {
                let written = written::words(&args, style);
                let again = read(&written).unwrap_or_else(|refused| panic!("{written:?}: {refused:?}"));
                assert_eq!(again, args, "{written:?}");
            }
        }
        Err(Refused::Answer(_)) => assert!(said.asks, "{words:?} does not ask"),
        Err(Refused::Wrong(message)) => {
            check_message(&message);
            let named = said.asks || said.wrong.iter().any(|wrong| message.contains(wrong));
            assert!(named, "{words:?}: {message:?} does not name any of {:?}", said.wrong);
        }
    }
}

/// A line for people, whatever is in the arguments.
fn check_message(message: &str) {
    assert!(!message.is_empty() && !message.chars().any(char::is_control), "{message:?}");
}

/// Each value is the one that was said, and none is left out.
fn check_taken(args: &Args, said: &Said, words: &[OsString]) {
    let common = &args.common;
    let numbers = |name| -> Vec<u64> { said.all(name).map(|(_, number)| number).collect() };
    let number = |name| said.all(name).next().map(|(_, number)| number);
    let path = |name| said.all(name).next().map(|(word, _)| Path::new(word));
    let text = |name| said.all(name).next().and_then(|(word, _)| word.to_str());
    assert_eq!((&common.roots, &common.caps), (&numbers("root"), &numbers("cap")), "{words:?}");
    assert_eq!(common.ecaps, numbers("ecap"), "{words:?}");
    assert_eq!(common.haw.map(u64::from), number("haw"), "{words:?}");
    assert_eq!(common.device.map(|device| u64::from(device.0)), number("device"), "{words:?}");
    assert_eq!(common.pasid.map(|pasid| u64::from(pasid.0)), number("pasid"), "{words:?}");
    let usual = Budget::default();
    let budget = |name, usual| number(name).unwrap_or(usual);
    assert_eq!(common.max_tables, budget("max-tables", usual.tables), "{words:?}");
    assert_eq!(common.max_runs, budget("max-runs", usual.runs), "{words:?}");
    assert_eq!(common.max_reads, budget("max-reads", usual.reads), "{words:?}");
    assert_eq!(common.max_faults, budget("max-faults", usual.faults), "{words:?}");
    assert_eq!(common.raw_base, number("raw-base"), "{words:?}");
    let flags = [("stats", common.stats), ("live", common.live), ("json", common.json)];
    flags.iter().for_each(|(name, set)| assert_eq!(*set, number(name).is_some(), "{name} of {words:?}"));
    assert_eq!(common.live_from.as_deref(), path("live-from"), "{words:?}");
    assert_eq!(common.format.map(|format| format.name()), text("format"), "{words:?}");
    let with = common.with.iter().map(|PlacedFile { path, base }| (path.clone().into_os_string(), *base));
    assert!(with.eq(said.all("with").filter_map(|(word, _)| twin::placed(word))), "{words:?}: {:?}", common.with);
    check_registers(args);

    let image = said.positionals.first().map(Path::new);
    let (name, found) = match &args.command {
        Command::Info(command) => ("info", command.image.as_deref()),
        Command::Devices(command) => ("devices", command.image.as_deref()),
        Command::Ranges(command) => {
            let by = if command.by == iopt_command::args::By::Iova { "iova" } else { "both" };
            assert_eq!(by, text("by").unwrap_or("both"), "{words:?}");
            ("ranges", command.image.as_deref())
        }
        Command::Interrupts(command) => {
            assert_eq!(command.irta, number("irta"), "{words:?}");
            ("interrupts", command.image.as_deref())
        }
        Command::Copy(command) => {
            assert_eq!((command.out.as_deref(), command.base), (path("out"), number("base")));
            assert_eq!((command.adopt, command.dry_run), (number("adopt").is_some(), number("dry-run").is_some()));
            ("copy", command.image.as_deref())
        }
        Command::Dmar(command) => ("dmar", Some(command.file.as_path())),
        Command::Translate(command) => {
            assert_eq!((&command.arguments, command.batch.as_deref()), (&said.positionals, path("batch")), "{words:?}");
            check_request(command, said);
            ("translate", image)
        }
    };
    assert_eq!((Some(name), found), (said.command, image), "{words:?}");
}

fn check_registers(args: &Args) {
    for (values, roots) in [&args.common.caps, &args.common.ecaps].into_iter().zip([args.common.roots.len(); 2]) {
        match registers("--cap", values, roots) {
            Ok(taken) => assert!(taken.eq(values.iter().copied()) && [0, roots].contains(&values.len())),
            Err(message) => {
                check_message(&message);
                assert!(![0, roots].contains(&values.len()), "{message}");
            }
        }
    }
}

/// The arguments of a request are all there, and nothing else is.
fn check_request(command: &iopt_command::args::Translate, said: &Said) {
    match command.image_and_request() {
        Ok((image, request)) => {
            let used = usize::from(image.is_some()) + if request.is_some() { 3 } else { 0 };
            assert_eq!((used, request.is_none()), (said.positionals.len(), command.batch.is_some()));
            assert_eq!(image, said.positionals.first().filter(|_| image.is_some()).map(Path::new));
            let Some(request) = request else { return };
            let [.., source, iova, access] = said.positionals.as_slice() else { unreachable!("there are three") };
            let (device, pasid) = twin::requester(source).expect("it is one");
            let requester = request.requester;
            assert_eq!((requester.source_id.0.into(), requester.pasid.map(|pasid| pasid.0.into())), (device, pasid));
            let expected = (Kind::Address.value(iova).expect("it is one"), access == "w");
            assert_eq!((request.iova.0, request.access == Access::Write), expected);
            let [source, access] = [requester.to_string(), if access == "w" { "w" } else { "r" }.to_owned()];
            assert_eq!(Request::new(&source, &request.iova.to_string(), &access), Ok(request));
            assert_eq!(Request::from_line(&format!("{source}\t{} {access}\r\n", request.iova.0)), Ok(request));
        }
        Err(message) => {
            // What is in quotes is escaped.
            check_message(&message);
            assert!(message.contains("expected") && message.contains("found"), "{message}");
            let number = said.positionals.len();
            if command.batch.is_none() && (number == 3 || number == 4) {
                let [.., source, iova, access] = said.positionals.as_slice() else { unreachable!("there are three") };
                let all = twin::requester(source).is_some() && Kind::Address.value(iova).is_some();
                assert!(!all || access != "r" && access != "w", "{:?}: {message}", said.positionals);
            } else {
                assert!(command.batch.is_none() || number > 1, "{message}");
            }
        }
    }
}
