use super::{IovaReserver, ReserveError, ReserveErrorKind};
use crate::access::Permissions;
use crate::address::{DomainId, IovaRange, SourceId};
use bitvec::BitArr;
use bitvec::array::BitArray;

/// Up to `DOMAINS` domains and `RANGES` ranges, kept in arrays: an [`IovaReserver`] for tests and examples.
///
/// Neighbouring ranges of a domain become one, so what is kept is what must not be handed out.
#[derive(Clone, Debug)]
pub struct Reservations<const DOMAINS: usize, const RANGES: usize> {
    domains: [Option<(usize, DomainId, u8)>; DOMAINS],
    ranges: [Option<(usize, DomainId, IovaRange)>; RANGES],
    /// A bit for each source-id.
    devices: BitArr!(for 65536, in u64),
}

impl<const DOMAINS: usize, const RANGES: usize> Reservations<DOMAINS, RANGES> {
    /// Nothing is reserved.
    #[must_use]
    pub fn new() -> Self {
        Self { domains: [None; DOMAINS], ranges: [None; RANGES], devices: BitArray::ZERO }
    }

    /// The domains: unit, domain-id, and how many bits an address has.
    pub fn domains(&self) -> impl Iterator<Item = (usize, DomainId, u8)> + '_ {
        self.domains.iter().flatten().copied()
    }

    /// What is reserved: unit, domain-id and range.
    pub fn ranges(&self) -> impl Iterator<Item = (usize, DomainId, IovaRange)> + '_ {
        self.ranges.iter().flatten().copied()
    }

    /// Whether translations of `source` were noted as in use.
    #[must_use]
    pub fn in_use(&self, source: SourceId) -> bool {
        self.devices.get(usize::from(source.0)).is_some_and(|bit| *bit)
    }

    fn width(&self, unit: usize, domain: DomainId) -> Result<u8, ReserveError> {
        let found = self.domains().find(|known| (known.0, known.1) == (unit, domain));
        found.map(|known| known.2).ok_or(ReserveError { domain, kind: ReserveErrorKind::Domain })
    }
}

impl<const DOMAINS: usize, const RANGES: usize> Default for Reservations<DOMAINS, RANGES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const DOMAINS: usize, const RANGES: usize> IovaReserver for Reservations<DOMAINS, RANGES> {
    fn open_domain(&mut self, unit: usize, domain: DomainId, width: u8) -> Result<(), ReserveError> {
        let free = self.domains.iter_mut().find(|slot| slot.is_none());
        *free.ok_or(ReserveError { domain, kind: ReserveErrorKind::Domain })? = Some((unit, domain, width));
        Ok(())
    }

    fn reserve(&mut self, unit: usize, domain: DomainId, range: IovaRange, _: Permissions) -> Result<(), ReserveError> {
        let width = self.width(unit, domain)?;
        if range.last().0.checked_shr(width.into()).unwrap_or(0) != 0 {
            return Err(ReserveError { domain, kind: ReserveErrorKind::Outside(range) });
        }
        // What touches the range becomes part of it, and then what touches that.
        let mut whole = range;
        let touches = |other: &IovaRange, whole: &IovaRange| {
            other.first().0 <= whole.last().0.saturating_add(1) && whole.first().0 <= other.last().0.saturating_add(1)
        };
        while let Some((slot, other)) = self.ranges.iter_mut().find_map(|slot| match *slot {
            Some((of, id, other)) if (of, id) == (unit, domain) && touches(&other, &whole) => Some((slot, other)),
            _ => None,
        }) {
            let (first, last) = (whole.first().min(other.first()), whole.last().max(other.last()));
            whole = IovaRange::from_to(first, last);
            *slot = None;
        }
        let free = self.ranges.iter_mut().find(|slot| slot.is_none());
        *free.ok_or(ReserveError { domain, kind: ReserveErrorKind::Full })? = Some((unit, domain, whole));
        Ok(())
    }

    fn note_in_use(&mut self, unit: usize, source: SourceId, domain: DomainId) -> Result<(), ReserveError> {
        self.width(unit, domain)?;
        if let Some(mut bit) = self.devices.get_mut(usize::from(source.0)) {
            *bit = true;
        }
        Ok(())
    }

    fn forget_domain(&mut self, unit: usize, domain: DomainId) {
        for slot in &mut self.domains {
            *slot = slot.filter(|known| (known.0, known.1) != (unit, domain));
        }
        for slot in &mut self.ranges {
            *slot = slot.filter(|known| (known.0, known.1) != (unit, domain));
        }
        // It is for all domains or none: a failed job tells of each.
        if self.domains().next().is_none() {
            self.devices.fill(false);
        }
    }
}
