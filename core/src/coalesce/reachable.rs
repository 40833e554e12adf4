use super::DeviceRange;
use crate::address::{Iova, IovaRange, PhysAddr, PhysRange};
use crate::vtd::{Cause, Device, Fault, FaultReason, INTERRUPT_RANGE, Place};

/// The parts of a range, and what comes between them.
#[derive(Clone, Copy, Debug)]
struct Reachable {
    rest: Option<DeviceRange>,
    with_pasid: bool,
    place: Place,
    fault_disabled: bool,
    into_interrupts: FaultReason,
}

impl Device {
    /// What of `range`, which this device's tables map, its requests can reach.
    ///
    /// The interrupt address range parts it: requests without PASID to it never come to the tables, and nothing may
    /// lead into it. Each such part is told with its [`Fault`], in its place. Pages are those of the range's smallest leaf; where
    /// its memory is not consecutive it is not judged.
    ///
    /// ```
    /// use iopt::builder::{Leaves, Target, UnitBuilder}; // with the feature `builder`
    /// use iopt::memory::{Page, Slot, SparseMemory};
    /// use iopt::vtd::{Cause, TranslationMode};
    /// use iopt::walk::Scratch;
    /// use iopt::{Iova, PhysAddr, SourceId};
    ///
    /// let mut slots = [Slot::EMPTY; 3];
    /// let mut memory = SparseMemory::new(&mut slots);
    /// let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Legacy)?;
    /// let table = tables.second_stage(3)?;
    /// tables.map(table, Leaves::of_1g(Iova(0xc000_0000), PhysAddr(0x1_0000_0000)))?;
    /// tables.device(SourceId::new(0, 8), Target::second_stage(table))?;
    ///
    /// let unit = tables.unit();
    /// let device = unit.device(&memory, SourceId::new(0, 8), &mut Page::ZERO, |_| ())?;
    /// let mut parts = Vec::new();
    /// for range in unit.ranges(&memory, &mut Scratch::new()) {
    ///     parts.extend(device.reachable(range?));
    /// }
    /// let [Ok(below), Err((part, fault)), Ok(above)] = &parts[..] else { panic!("{parts:?}") };
    /// assert_eq!(below.to_string(), "00:01.0 0xc0000000-0xfedfffff -> 0x100000000 rw");
    /// assert_eq!((part.to_string().as_str(), fault.cause), ("0xfee00000-0xfeefffff", Cause::InterruptRequest));
    /// assert_eq!(above.to_string(), "00:01.0 0xfef00000-0xffffffff -> 0x13ef00000 rw");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reachable(
        &self,
        range: DeviceRange,
    ) -> impl Iterator<Item = Result<DeviceRange, (IovaRange, Fault)>> + use<> {
        Reachable {
            rest: Some(range),
            with_pasid: self.with_pasid,
            place: self.place(),
            fault_disabled: self.fault_disabled(),
            into_interrupts: self.reasons().interrupt_range,
        }
    }
}

impl Reachable {
    /// The first part of `range` that no request reaches, and why.
    fn unreachable(&self, range: &DeviceRange) -> Option<(IovaRange, FaultReason, Cause)> {
        // What passes through is one whole range, whatever it passes.
        range.page_size_log2?;
        let interrupts = IovaRange::new(Iova(INTERRUPT_RANGE.0), Iova(INTERRUPT_RANGE.1))?;
        let input = range.iova.intersection(&interrupts).filter(|_| !self.with_pasid);
        let input = input.map(|part| (part, self.into_interrupts, Cause::InterruptRequest));
        let output =
            into_interrupts(range).map(|(part, page)| (part, self.into_interrupts, Cause::InterruptRangeOutput(page)));
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
    type Item = Result<DeviceRange, (IovaRange, Fault)>;

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
        let place = Place { iova: Some(gap.first()), ..self.place };
        Some(Err((gap, Fault::new(reason, cause, place, self.fault_disabled))))
    }
}
