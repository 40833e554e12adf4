use super::{Error, FAULT_DISABLE, PRESENT, PageTable, Stage};
use crate::address::DomainId;

/// What becomes of requests: the fields of a context entry in legacy mode, of a PASID table entry in scalable mode.
///
/// The domain-id is 1 for a start. AW is that of the page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    kind: Kind,
    domain: DomainId,
    address_width: Option<u8>,
    fault_disabled: bool,
    pub(super) device_tlb: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    FirstStage(PageTable),
    SecondStage(PageTable),
    Nested(PageTable, PageTable),
    PassThrough,
    Blocked,
}

impl Target {
    const fn new(kind: Kind) -> Self {
        Self { kind, domain: DomainId(1), address_width: None, fault_disabled: false, device_tlb: false }
    }

    /// They go through first-stage page tables.
    #[must_use]
    pub const fn first_stage(table: PageTable) -> Self {
        Self::new(Kind::FirstStage(table))
    }

    /// They go through second-stage page tables.
    #[must_use]
    pub const fn second_stage(table: PageTable) -> Self {
        Self::new(Kind::SecondStage(table))
    }

    /// They go through first-stage page tables, which go through second-stage ones themselves.
    ///
    /// The builder knows a first-stage table by its place in memory, so the second stage should map the tables of the
    /// first to where they are; what the tables lead to may be anywhere.
    #[must_use]
    pub const fn nested(first: PageTable, second: PageTable) -> Self {
        Self::new(Kind::Nested(first, second))
    }

    /// They pass through.
    #[must_use]
    pub const fn pass_through() -> Self {
        Self::new(Kind::PassThrough)
    }

    /// They are refused, for an entry that is not present. All that it has is the domain-id and FPD.
    #[must_use]
    pub const fn blocked() -> Self {
        Self::new(Kind::Blocked)
    }

    /// With this domain-id.
    #[must_use]
    pub const fn domain(self, domain: DomainId) -> Self {
        Self { domain, ..self }
    }

    /// With this AW (3 bits), whatever the page table has. Pass-through has 2, which is 48 bits, for a start.
    #[must_use]
    pub const fn address_width(self, aw: u8) -> Self {
        Self { address_width: Some(aw), ..self }
    }

    /// With FPD: faults are not recorded.
    #[must_use]
    pub const fn fault_disabled(self) -> Self {
        Self { fault_disabled: true, ..self }
    }

    /// The device may translate by itself (ATS): TT = 01b, which only page tables have, and in scalable mode DTE of
    /// the context entry.
    #[must_use]
    pub const fn device_tlb(self) -> Self {
        Self { device_tlb: true, ..self }
    }

    fn first(&self) -> Option<PageTable> {
        match self.kind {
            Kind::FirstStage(first) | Kind::Nested(first, _) => Some(first),
            _ => None,
        }
    }

    fn second(&self) -> Option<PageTable> {
        match self.kind {
            Kind::SecondStage(second) | Kind::Nested(_, second) => Some(second),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        for (table, expected) in [(self.first(), Stage::First), (self.second(), Stage::Second)] {
            if table.is_some_and(|table| table.stage != expected) {
                return Err(Error::Stage { expected });
            }
        }
        Ok(())
    }

    /// AW of the entry.
    fn aw(&self) -> u64 {
        let of_table = match (self.kind, self.second()) {
            (Kind::PassThrough, _) => 2,
            (_, Some(second)) => second.levels.saturating_sub(2),
            _ => 0,
        };
        u64::from(self.address_width.unwrap_or(of_table) & 7)
    }

    /// P and FPD.
    fn flags(&self) -> u64 {
        let present = if self.kind == Kind::Blocked { 0 } else { PRESENT };
        if self.fault_disabled { present | FAULT_DISABLE } else { present }
    }

    /// The context entry of legacy mode.
    pub(super) fn context(&self) -> Result<[u64; 2], Error> {
        self.check()?;
        let tt = match self.kind {
            Kind::FirstStage(_) | Kind::Nested(..) => return Err(Error::Legacy),
            Kind::SecondStage(_) if self.device_tlb => 1,
            Kind::PassThrough => 2,
            Kind::SecondStage(_) | Kind::Blocked => 0,
        };
        Ok([top(self.second()) | tt << 2 | self.flags(), u64::from(self.domain.0) << 8 | self.aw()])
    }

    /// The PASID table entry.
    pub(super) fn pasid(&self) -> Result<[u64; 8], Error> {
        self.check()?;
        let pgtt = match self.kind {
            Kind::FirstStage(_) => 1,
            Kind::SecondStage(_) => 2,
            Kind::Nested(..) => 3,
            Kind::PassThrough => 4,
            Kind::Blocked => 0,
        };
        let fspm = u64::from(self.first().is_some_and(|first| first.levels == 5));
        let low = top(self.second()) | pgtt << 6 | self.aw() << 2 | self.flags();
        Ok([low, self.domain.0.into(), top(self.first()) | fspm << 2, 0, 0, 0, 0, 0])
    }
}

fn top(table: Option<PageTable>) -> u64 {
    table.map_or(0, |table| table.top.page().0)
}
