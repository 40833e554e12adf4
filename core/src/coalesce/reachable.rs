use super::DeviceRange;
use crate::address::{DomainId, Iova, IovaRange, Pasid, PhysAddr, PhysRange, SourceId};
use crate::vtd::{Cause, Device, Fault, FaultReason, INTERRUPT_RANGE, Place};

/// What of a range requests can reach. The interrupt address range parts it: requests without PASID to it never come
/// to the tables, and nothing may lead into it. Each such part is a [`Fault`] in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reachable {
    owner: Owner,
    rest: Option<DeviceRange>,
}

/// Whose range it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) source_id: SourceId,
    pub(super) pasid: Option<Pasid>,
    pub(super) domain: DomainId,
    with_pasid: bool,
    place: Place,
    fault_disabled: bool,
    into_interrupts: FaultReason,
}

impl Owner {
    /// `None` for a device whose entries say nothing of a domain: it has no ranges.
    pub(super) fn new(device: &Device) -> Option<Self> {
        Some(Self {
            source_id: device.source_id,
            pasid: device.pasid,
            domain: device.domain()?,
            with_pasid: device.with_pasid,
            place: device.place(),
            fault_disabled: device.fault_disabled(),
            into_interrupts: device.reasons().interrupt_range,
        })
    }

    pub(super) fn reachable(&self, range: DeviceRange) -> Reachable {
        Reachable { owner: *self, rest: Some(range) }
    }

    /// Whether interrupts may part `range`: hardly ever, so that this is what most ranges cost.
    #[inline]
    pub(super) fn parts(range: &DeviceRange) -> bool {
        let size = range.iova.last().0.wrapping_sub(range.iova.first().0);
        let meets = |first: u64| first <= INTERRUPT_RANGE.1 && first.saturating_add(size) >= INTERRUPT_RANGE.0;
        meets(range.iova.first().0) || range.phys.is_some_and(|phys| meets(phys.0))
    }
}

impl Device {
    /// What of `range`, which is one of this device's, its requests can reach.
    ///
    /// Where the memory of a range is not consecutive, it is not judged.
    pub fn reachable(&self, range: DeviceRange) -> impl Iterator<Item = Result<DeviceRange, Fault>> + use<> {
        Owner::new(self).into_iter().flat_map(move |owner| owner.reachable(range))
    }
}

impl Reachable {
    /// The first part of `range` that no request reaches, and why.
    fn unreachable(&self, range: &DeviceRange) -> Option<(IovaRange, FaultReason, Cause)> {
        // What passes through is one whole range, whatever it passes.
        range.page_size_log2?;
        let interrupts = IovaRange::new(Iova(INTERRUPT_RANGE.0), Iova(INTERRUPT_RANGE.1))?;
        let input = range.iova.intersection(&interrupts).filter(|_| !self.owner.with_pasid);
        let input = input.map(|part| (part, self.owner.into_interrupts, Cause::InterruptRequest));
        let output = into_interrupts(range)
            .map(|(part, page)| (part, self.owner.into_interrupts, Cause::InterruptRangeOutput(page)));
        match (input, output) {
            (Some(input), Some(output)) if output.0.first() < input.0.first() => Some(output),
            (Some(input), _) => Some(input),
            (None, output) => output,
        }
    }
}

/// The pages of `range` that lead into the interrupt address range, and where the first of them lies.
fn into_interrupts(range: &DeviceRange) -> Option<(IovaRange, PhysAddr)> {
    let first = range.phys?;
    let size = range.iova.last().0.wrapping_sub(range.iova.first().0);
    let memory = PhysRange::new(first, first.checked_add(size)?)?;
    let interrupts = PhysRange::new(PhysAddr(INTERRUPT_RANGE.0), PhysAddr(INTERRUPT_RANGE.1))?;
    let part = memory.intersection(&interrupts)?;
    let page = |address| PhysRange::block(address, range.page_size_log2.unwrap_or(12));
    let pages = PhysRange::new(page(part.first()).first(), page(part.last()).last())?.intersection(&memory)?;
    let iova = |address: PhysAddr| Iova(range.iova.first().0.wrapping_add(address.0.wrapping_sub(first.0)));
    Some((IovaRange::new(iova(pages.first()), iova(pages.last()))?, pages.first()))
}

/// The part of `range` from `first` to `last`.
fn part(range: &DeviceRange, first: u64, last: u64) -> Option<DeviceRange> {
    let iova = IovaRange::new(Iova(first), Iova(last))?;
    let behind = first.wrapping_sub(range.iova.first().0);
    Some(DeviceRange { iova, phys: range.phys.map(|phys| PhysAddr(phys.0.wrapping_add(behind))), ..*range })
}

impl Iterator for Reachable {
    type Item = Result<DeviceRange, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let range = self.rest.take()?;
        let Some((gap, reason, cause)) = self.unreachable(&range) else { return Some(Ok(range)) };
        let (first, last) = (range.iova.first().0, range.iova.last().0);
        if first < gap.first().0 {
            self.rest = part(&range, gap.first().0, last);
            return part(&range, first, gap.first().0.wrapping_sub(1)).map(Ok);
        }
        self.rest = gap.last().0.checked_add(1).and_then(|next| part(&range, next, last));
        let place = Place { iova: Some(gap.first()), ..self.owner.place };
        Some(Err(Fault::new(reason, cause, place, self.owner.fault_disabled)))
    }
}
