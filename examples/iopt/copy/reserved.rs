//! The addresses that devices are using, which the new kernel must not hand out.

use iopt::memory::{IovaReserver, ReserveError, ReserveErrorKind};
use iopt::{DomainId, Iova, IovaRange, Permissions, SourceId};
use std::collections::BTreeMap;

/// What is reserved, as it comes.
#[derive(Debug, Default)]
pub struct Reserved(BTreeMap<(usize, DomainId), Vec<IovaRange>>);

/// A domain and what is reserved in it: ascending, without overlap, neighbours joined.
#[derive(Debug)]
pub struct Domain {
    pub unit: usize,
    pub id: DomainId,
    pub ranges: Vec<IovaRange>,
}

impl Reserved {
    /// By unit and domain-id.
    pub fn into_domains(self) -> Vec<Domain> {
        self.0.into_iter().map(|((unit, id), ranges)| Domain { unit, id, ranges: union(ranges) }).collect()
    }

    fn domain(&mut self, unit: usize, domain: DomainId) -> Result<&mut Vec<IovaRange>, ReserveError> {
        self.0.get_mut(&(unit, domain)).ok_or(ReserveError { domain, kind: ReserveErrorKind::Domain })
    }
}

impl IovaReserver for Reserved {
    fn open_domain(&mut self, unit: usize, domain: DomainId, _: u8) -> Result<(), ReserveError> {
        self.0.entry((unit, domain)).or_default();
        Ok(())
    }

    fn reserve(&mut self, unit: usize, domain: DomainId, range: IovaRange, _: Permissions) -> Result<(), ReserveError> {
        let ranges = self.domain(unit, domain)?;
        // Most come in order: what was last is what grows.
        match ranges.last_mut().and_then(|last| Some((joined(last, &range)?, last))) {
            Some((joined, last)) => *last = joined,
            None => ranges.push(range),
        }
        Ok(())
    }

    fn note_in_use(&mut self, unit: usize, _: SourceId, domain: DomainId) -> Result<(), ReserveError> {
        self.domain(unit, domain).map(|_| ())
    }

    fn forget_domain(&mut self, unit: usize, domain: DomainId) {
        self.0.remove(&(unit, domain));
    }
}

fn union(mut ranges: Vec<IovaRange>) -> Vec<IovaRange> {
    ranges.sort_unstable_by_key(IovaRange::first);
    let mut union: Vec<IovaRange> = Vec::new();
    for range in ranges {
        match union.last_mut().and_then(|last| Some((joined(last, &range)?, last))) {
            Some((joined, last)) => *last = joined,
            None => union.push(range),
        }
    }
    union
}

/// Both as one range, if `later` starts inside of `range` or right behind it.
fn joined(range: &IovaRange, later: &IovaRange) -> Option<IovaRange> {
    let touches = range.first() <= later.first() && later.first().0 <= range.last().0.saturating_add(1);
    let last: Iova = range.last().max(later.last());
    touches.then(|| IovaRange::new(range.first(), last))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_the_union_by_unit_and_domain() {
        let mut reserved = Reserved::default();
        let mut reserve = |unit, domain, first, last| {
            let range = IovaRange::new(Iova(first), Iova(last)).unwrap();
            reserved.open_domain(unit, DomainId(domain), 48).unwrap();
            reserved.reserve(unit, DomainId(domain), range, Permissions::READ).unwrap();
        };
        for (unit, domain, first, last) in [
            (1, 2, 0, 0xfff),
            (0, 9, 0x5000, 0x5fff),
            (0, 9, 0x6000, 0x6fff),
            (0, 9, 0x1000, 0x1fff),
            (0, 9, 0x3000, 0x5fff),
            (0, 9, 0x3000, 0x3fff),
            (0, 2, u64::MAX - 0xfff, u64::MAX),
            (0, 2, u64::MAX - 0x1fff, u64::MAX),
        ] {
            reserve(unit, domain, first, last);
        }
        reserved.open_domain(0, DomainId(3), 48).unwrap();
        reserved.open_domain(0, DomainId(4), 48).unwrap();
        reserved.forget_domain(0, DomainId(4));
        let text: Vec<String> = reserved
            .into_domains()
            .iter()
            .map(|Domain { unit, id, ranges }| format!("{unit} {id} {ranges:?}"))
            .collect();
        let expected = [
            "0 2 [0xffffffffffffe000-0xffffffffffffffff]",
            "0 3 []",
            "0 9 [0x1000-0x1fff, 0x3000-0x6fff]",
            "1 2 [0x0-0xfff]",
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn a_domain_must_be_opened_first() {
        let (id, mut reserved) = (DomainId(5), Reserved::default());
        assert!(reserved.note_in_use(0, SourceId(1), id).is_err());
        assert!(reserved.reserve(0, id, IovaRange::all(), Permissions::READ).is_err());
        reserved.open_domain(0, id, 48).unwrap();
        assert!(reserved.note_in_use(0, SourceId(1), id).is_ok() && reserved.note_in_use(1, SourceId(1), id).is_err());
    }
}
