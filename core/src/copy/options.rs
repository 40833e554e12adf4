use crate::radix::Budget;
use crate::vtd::TranslationMode;

/// What is made new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every table.
    #[default]
    Copy,
    /// Root and context tables; PASID tables and page tables stay where they are, in the old kernel's memory. Linux
    /// does so today.
    Adopt,
}

/// What to do about tables that can't be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partial {
    /// Copy all or nothing.
    #[default]
    Refuse,
    /// Keep what can be kept. Entries of which the table is lost are not present in the copy. A table that is lost only
    /// after page tables behind it were copied makes a new plan necessary: [`Error::Torn`](super::Error::Torn).
    Keep,
}

/// What the new kernel's [`IovaReserver`](crate::memory::IovaReserver) is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// Every range that is mapped, besides the domains and devices in use.
    #[default]
    Ranges,
    /// The domains and devices in use. It is enough for a kernel that maps nothing in these domains: one that gives a
    /// device a domain with another domain-id before it gives it an address. Adopted page tables are not looked at
    /// then, so that it takes no longer however many there are.
    Domains,
}

/// How to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is made new.
    pub mode: Mode,
    /// What to do about tables that can't be read.
    pub partial: Partial,
    /// What the new kernel's allocator of I/O addresses is told.
    pub reserve: Reserve,
    /// The mode that the new kernel wants, if it has a wish: the mode of a unit can't change while devices do DMA.
    pub translation_mode: Option<TranslationMode>,
    /// How many [tables](Budget::tables) may be read in all, each of which counts once for each level that it is read
    /// at. As many again may be read of those that are read [again](Self::max_rereads). To find the devices of each unit
    /// and what nested ones of them map is a walk of its own, with this budget.
    pub budget: Budget,
    /// How many tables that were met on another path already may be read again for each page table of a domain, to find
    /// what it maps through them, beyond as many as there are tables. What is mapped behind further ones is [reserved
    /// as a whole](super::Problem::Coarse): the paths through a few tables that share the tables below can be more than
    /// can ever be followed.
    pub max_rereads: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Copy,
            partial: Partial::Refuse,
            reserve: Reserve::Ranges,
            translation_mode: None,
            budget: Budget::default(),
            max_rereads: 1 << 18,
        }
    }
}
