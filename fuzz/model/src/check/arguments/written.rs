//! What was read, as a command line again.

use iopt_command::args::{Args, By, Command, Common};
use std::ffi::{OsStr, OsString};

/// Writes options one word at a time.
struct Writer {
    words: Vec<OsString>,
    /// Numbers are hexadecimal and values words of their own, instead of decimal and joined to their option.
    plain: bool,
}

impl Writer {
    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        let value = value.as_ref();
        // What looks like an option is a value only where it is joined to one.
        if self.plain && !value.as_encoded_bytes().starts_with(b"-") {
            self.words.extend([name.into(), value.to_owned()]);
        } else {
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            self.words.push(word);
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        self.option(name, if self.plain { format!("{number:#x}") } else { number.to_string() });
    }

    fn flag(&mut self, name: &str, set: bool) {
        self.words.extend(set.then(|| name.into()));
    }

    fn common(&mut self, common: &Common) {
        common.roots.iter().for_each(|root| self.number("--root", *root));
        common.caps.iter().for_each(|cap| self.option("--cap", format!("{cap:x}")));
        common.ecaps.iter().for_each(|ecap| self.option("--ecap", format!("{ecap:#X}").replace("0X", "0x")));
        common.haw.iter().for_each(|haw| self.number("--haw", (*haw).into()));
        let segment = if self.plain { "" } else { "0000:" };
        common.device.iter().for_each(|device| self.option("--device", format!("{segment}{device}")));
        common.pasid.iter().for_each(|pasid| self.option("--pasid", pasid.to_string()));
        self.number("--max-tables", common.max_tables);
        self.number("--max-runs", common.max_runs);
        self.number("--max-reads", common.max_reads);
        self.number("--max-faults", common.max_faults);
        self.flag("--stats", common.stats);
        self.flag("--live", common.live);
        common.live_from.iter().for_each(|path| self.option("--live-from", path));
        self.flag("--json", common.json);
        common.format.iter().for_each(|format| self.option("--format", format.to_string()));
        common.raw_base.iter().for_each(|base| self.number("--raw-base", *base));
        for file in &common.with {
            let mut word = file.path.clone().into_os_string();
            file.base.iter().for_each(|base| word.push(format!("@{base:#x}")));
            self.option("--with", word);
        }
    }

    fn command(&mut self, command: &Command) -> &'static str {
        match command {
            Command::Info(_) => "info",
            Command::Devices(_) => "devices",
            Command::Dmar(_) => "dmar",
            Command::Ranges(command) => {
                self.option("--by", if command.by == By::Both { "both" } else { "iova" });
                "ranges"
            }
            Command::Translate(command) => {
                command.batch.iter().for_each(|path| self.option("--batch", path));
                "translate"
            }
            Command::Interrupts(command) => {
                command.irta.iter().for_each(|irta| self.number("--irta", *irta));
                "interrupts"
            }
            Command::Copy(command) => {
                command.out.iter().for_each(|path| self.option("--out", path));
                command.base.iter().for_each(|base| self.number("--base", *base));
                self.flag("--adopt", command.adopt);
                self.flag("--dry-run", command.dry_run);
                "copy"
            }
        }
    }
}

/// Every word but the name of the program.
pub fn words(args: &Args, plain: bool) -> Vec<OsString> {
    let mut writer = Writer { words: Vec::new(), plain };
    writer.common(&args.common);
    let common = std::mem::take(&mut writer.words);
    let command = writer.command(&args.command);
    let own = writer.words;
    let images = match &args.command {
        Command::Translate(command) => command.arguments.clone(),
        Command::Info(command) | Command::Devices(command) => command.image.iter().map(OsString::from).collect(),
        Command::Ranges(command) => command.image.iter().map(OsString::from).collect(),
        Command::Interrupts(command) => command.image.iter().map(OsString::from).collect(),
        Command::Copy(command) => command.image.iter().map(OsString::from).collect(),
        Command::Dmar(command) => vec![command.file.clone().into()],
    };
    let command = vec![command.into()];
    let options = if plain { [command, common, own] } else { [common, command, own] };
    [options.concat(), vec!["--".into()], images].concat()
}
