//! What is expected of a request, in every particular.

use crate::request::{AT_DIRECTORY, Kind, Request};
use crate::{ADDRESS, FPD, Reason, USER};
use iopt::vtd::{Cause, FaultReason, Place};
use iopt::{Iova, Permissions, PhysAddr, Requester};

/// No FPD keeps these from being recorded: they are found before a context entry is read.
pub const UNQUALIFIED: [u8; 8] = [0x30, 0x31, 0x38, 0x39, 0x3a, 0x40, 0x50, 0x58];

impl Request {
    /// It is let through, by a path of this many entries.
    pub fn succeeds(&self, name: &str, seen: usize) {
        let (found, path) = self.ask();
        let found = found.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(path, self.path(seen), "{name}");
        let all = path[4..].iter().fold(USER, |all, entry| all & entry.entry.words()[0]);
        let granted = match self.kind {
            Kind::First => Permissions::new(all & 5 == 5, all == 7),
            _ => Permissions::new(all & 1 != 0, all & 2 != 0),
        };
        assert_eq!(found.permissions, granted, "{name}");
        match found.leaf {
            Some(leaf) => {
                let inside = (1 << found.page_size_log2) - 1;
                assert_eq!(u32::from(found.page_size_log2), 3 + 9 * u32::from(leaf.level), "{name}");
                let base = leaf.raw & ADDRESS & !inside;
                assert_eq!(found.phys.0, base | self.iova & inside, "{name}");
                assert_eq!((self.level(leaf.level) + 1, leaf.table), (seen, path[seen - 1].table), "{name}");
                assert_eq!((path[seen - 1].index, path[seen - 1].entry), (leaf.index, leaf.raw.into()), "{name}");
            }
            None => assert_eq!((found.phys.0, self.kind), (self.iova, Kind::PassThrough), "{name}"),
        }
    }

    /// The whole path is let through.
    pub fn passes(&self, name: &str) {
        self.succeeds(name, self.length());
    }

    /// Where the entry `at` is, and whose requests it concerns if that is where they fail.
    pub fn place(&self, at: usize, seen: usize) -> Place {
        let (structure, table, index, _) = self.step(at);
        Place {
            structure,
            table: PhysAddr(table),
            index: index as u16,
            entry: (seen > 0).then(|| self.entry(at)),
            source_id: Some(self.source),
            // RID_PASID is known from the directory on.
            pasid: if at < AT_DIRECTORY { self.pasid } else { Some(self.selected()) },
            iova: Some(Iova(self.iova)),
        }
    }

    /// It is refused with this reason at the entry `at`, after `seen` entries were fetched.
    pub fn fails(&self, name: &str, (code, short): Reason, cause: Cause, at: usize, seen: usize) {
        let (found, path) = self.ask();
        let fault = found.map_or_else(|fault| fault, |found| panic!("{name}: {found:?}"));
        let line = fault.to_string();
        assert_eq!(fault.reason.map(FaultReason::code), Some(code), "{name}: {line}");
        assert_eq!(fault.reason.map(FaultReason::name), Some(short), "{name}: {line}");
        assert_eq!(fault.cause, cause, "{name}: {line}");
        let place = self.place(at, seen);
        assert_eq!(fault.place, place, "{name}: {line}");
        assert_eq!(path, self.path(seen), "{name}: {line}");
        let disabled = (1..seen.min(4)).any(|at| self.entry(at).words()[0] & FPD != 0);
        assert_eq!(fault.suppressed, disabled && !UNQUALIFIED.contains(&code), "{name}: {line}");
        assert_eq!(line.lines().count(), 1, "{name}: {line}");
        let who = Requester { source_id: self.source, pasid: place.pasid };
        let start = format!("{who} iova {:#x} fault {code:#04x} {short} at {place}: ", self.iova);
        assert_eq!(line, format!("{start}{cause}"), "{name}");
    }
}

/// A request that succeeds, and one that differs in one thing and does not.
pub fn twins(name: &str, valid: &Request, invalid: &Request, reason: Reason, cause: Cause, (at, seen): (usize, usize)) {
    valid.passes(name);
    invalid.fails(&format!("invalid-{name}"), reason, cause, at, seen);
}
