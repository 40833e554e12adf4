//! Tables made and broken: what tests of a kernel may do before there is an allocator.

use core::hint::black_box;
use iopt::builder::{At, Error, Leaves, Pasids, Target, UnitBuilder};
use iopt::memory::{Page, Slot, SparseMemory};
use iopt::vtd::{FaultReason, TranslationMode};
use iopt::{Access, Iova, Pasid, PhysAddr, Requester, SourceId};

const DEVICE: SourceId = SourceId::new(1, 0x88);
const PASID: Pasid = Pasid(70);

pub fn builds() -> bool {
    let mut slots = [const { Slot::EMPTY }; 14];
    let mut memory = SparseMemory::new(&mut slots);
    matches!(build(&mut memory), Ok(true))
}

fn build(memory: &mut SparseMemory<'_>) -> Result<bool, Error> {
    let mut tables = UnitBuilder::new(memory, black_box(TranslationMode::Scalable))?;
    let (first, second) = (tables.first_stage(black_box(4))?, tables.second_stage(black_box(3))?);
    tables.map(first, Leaves::of_4k(Iova(black_box(0x5000)), PhysAddr(0x9000)).times(black_box(2)))?;
    tables.map(second, Leaves::of_2m(Iova(black_box(0)), PhysAddr(0)))?;
    tables.pasids(DEVICE, Pasids::new().rid_pasid(black_box(PASID)))?;
    tables.device(DEVICE, Target::nested(first, second))?;
    let at = At::PageTable(first, Iova(0x6000), black_box(1));
    let asked = |tables: &UnitBuilder<'_, SparseMemory<'_>>| {
        let who = Requester { source_id: DEVICE, pasid: None };
        let found =
            tables.unit().translate(tables.pages(), who, Iova(0x6123), Access::Read, &mut { Page::ZERO }, |_| ());
        found.map(|found| found.phys).map_err(|fault| fault.reason)
    };
    let whole = asked(&tables);
    tables.share(at, At::PageTable(first, Iova(0x7000), 1))?;
    tables.clear(at, black_box(1_u64))?;
    let absent = asked(&tables);
    tables.free(At::Pasid(DEVICE, PASID))?;
    let lost = asked(&tables);
    Ok(whole == Ok(PhysAddr(0xa123))
        && absent == Err(Some(FaultReason::FirstStageNotPresent))
        && lost == Err(Some(FaultReason::SecondStageTopUnreadable)))
}
