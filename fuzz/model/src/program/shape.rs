//! What a program is made of. Names say what; where each thing is put is decided when it is built.

use super::draw::{between, few, length, rarely, seldom, weighted};
use crate::twin::Stage;
use arbitrary::{Arbitrary, Result, Unstructured};

/// What is known of the unit, and where its tables are.
#[derive(Debug, Clone, Arbitrary)]
pub struct Unit {
    /// Scalable mode, instead of legacy mode.
    pub scalable: bool,
    pub knows_cap: bool,
    pub knows_ecap: bool,
    pub knows_haw: bool,
    #[arbitrary(with = between::<0, 4>)]
    pub haw: u8,
    /// Address widths beyond those that the trees have.
    pub more_widths: u8,
    /// Leaves out the width of the first tree.
    #[arbitrary(with = rarely::<16>)]
    pub lacks_a_width: bool,
    /// Bits by which MGAW falls short of the widest tree.
    #[arbitrary(with = seldom::<_, 4>)]
    pub narrow: Option<u8>,
    #[arbitrary(with = rarely::<4>)]
    pub few_domains: bool,
    #[arbitrary(with = rarely::<8>)]
    pub lacks_2_mib: bool,
    #[arbitrary(with = rarely::<8>)]
    pub lacks_1_gib: bool,
    #[arbitrary(with = rarely::<4>)]
    pub lacks_snoop: bool,
    #[arbitrary(with = rarely::<4>)]
    pub lacks_device_tlb: bool,
    #[arbitrary(with = rarely::<4>)]
    pub lacks_pass_through: bool,
    /// Capabilities that have nothing to do with a walk.
    pub noise: u64,
    /// Where tables start, in pages.
    pub arena: u32,
    #[arbitrary(with = between::<0, 3>)]
    pub stride: u8,
    /// Root and context entries point above bit 51, where nothing is known to forbid it.
    #[arbitrary(with = rarely::<8>)]
    pub tall: bool,
    #[arbitrary(with = rarely::<64>)]
    pub no_root: bool,
    /// Leaves out some capabilities of scalable mode, by a seed.
    #[arbitrary(with = seldom::<_, 2>)]
    pub lacks: Option<u64>,
}

/// One tree of page tables.
#[derive(Debug, Clone, Arbitrary)]
pub struct Tree {
    /// A first stage, which legacy mode does not have.
    pub first_stage: bool,
    /// AW, two levels more than that; of a first stage, 5 levels instead of 4 if it is odd.
    #[arbitrary(with = between::<0, 4>)]
    pub width: u8,
    /// Hardware has set A in all entries of a first stage.
    pub marked: bool,
    /// Leaves of the first stage may have XD.
    #[arbitrary(with = rarely::<4>)]
    pub execute_disable: bool,
    /// What is put in, in order: later things overwrite earlier ones.
    #[arbitrary(with = few::<_, 3, 14>)]
    pub plants: Vec<Plant>,
}

impl Tree {
    /// How many levels it has as one of this stage.
    pub fn levels(&self, stage: Stage) -> u8 {
        if stage == Stage::First { 4 + self.width % 2 } else { self.width + 2 }
    }
}

/// A place in the tree and what goes there.
#[derive(Debug, Clone, Arbitrary)]
pub struct Plant {
    pub anchor: Anchor,
    /// How many entries before the anchor it starts.
    #[arbitrary(with = before)]
    pub before: u16,
    /// Software's bits in the tables' entries on the way.
    #[arbitrary(with = seldom::<_, 2>)]
    pub dress: Option<u16>,
    pub what: What,
}

fn before(u: &mut Unstructured<'_>) -> Result<u16> {
    if u.arbitrary()? { length(u) } else { Ok(0) }
}

#[derive(Debug, Clone)]
pub enum Anchor {
    /// Where the last thing ended.
    Next,
    /// A multiple of 2 MiB near zero: things get close to each other here.
    Low(u8),
    /// A power of two, or the end of the tree if that comes first.
    Edge(u8),
    /// The very end of the tree.
    End,
    /// Half of it: in a first stage, where the lower half of the 64-bit space ends and the upper one begins.
    Middle,
    /// A few 1 GiB tables, far apart.
    Far(u8),
    /// Anywhere.
    Anywhere(u64),
}

impl<'a> Arbitrary<'a> for Anchor {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match weighted(u, &[30, 23, 10, 8, 6, 10, 13])? {
            0 => Self::Next,
            1 => Self::Low(u.int_in_range(0..=7)?),
            2 => Self::Edge(*u.choose(&[30, 39, 48, 57])?),
            3 => Self::End,
            4 => Self::Middle,
            5 => Self::Far(u.arbitrary()?),
            _ => Self::Anywhere(u.arbitrary()?),
        })
    }
}

#[derive(Debug, Clone)]
pub enum What {
    Run(Run),
    Seam(Seam),
    Tweak(Tweak),
}

impl<'a> Arbitrary<'a> for What {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match weighted(u, &[54, 10, 36])? {
            0 => Self::Run(u.arbitrary()?),
            1 => Self::Seam(u.arbitrary()?),
            _ => Self::Tweak(u.arbitrary()?),
        })
    }
}

/// Leaves side by side, alike but for a few.
#[derive(Debug, Clone, Arbitrary)]
pub struct Run {
    #[arbitrary(with = leaf_level)]
    pub level: u8,
    #[arbitrary(with = length)]
    pub count: u16,
    pub frames: Frames,
    pub rights: Rights,
    #[arbitrary(with = rarely::<5>)]
    pub snoop: bool,
    /// Software's bits in every leaf, or different ones in each.
    #[arbitrary(with = seldom::<_, 3>)]
    pub dress: Option<u16>,
    #[arbitrary(with = rarely::<6>)]
    pub motley: bool,
    #[arbitrary(with = few::<_, 0, 3>)]
    pub flaws: Vec<Flaw>,
}

fn leaf_level(u: &mut Unstructured<'_>) -> Result<u8> {
    Ok([1, 2, 3][weighted(u, &[75, 17, 8])?])
}

/// Where the leaves of a run point.
#[derive(Debug, Clone)]
pub enum Frames {
    Consecutive(u32),
    /// On from where the run before ended.
    Continue,
    /// Host address = IOVA, as far as it goes.
    Identity,
    /// Consecutive, from a multiple of 2 MiB near zero: where addresses behind another stage are likely mapped.
    Near(u8),
    Scattered(u32),
    /// Consecutive by eights, with a jump between them.
    Eights(u32),
    Backward(u32),
    Same(u32),
    /// Into the range of interrupt addresses, from so many pages before it.
    Interrupt(u16),
    /// Out of the range of interrupt addresses, from so many pages before its end.
    InterruptEnd(u16),
    /// High up in 52 bits: beyond the host address width, if that is known.
    High(u32),
}

impl<'a> Arbitrary<'a> for Frames {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match weighted(u, &[36, 20, 10, 10, 6, 3, 3, 2, 2, 3, 5])? {
            0 => Self::Consecutive(u.arbitrary()?),
            1 => Self::Continue,
            2 => Self::Identity,
            3 => Self::Scattered(u.arbitrary()?),
            4 => Self::Eights(u.arbitrary()?),
            5 => Self::Backward(u.arbitrary()?),
            6 => Self::Same(u.arbitrary()?),
            7 => Self::Interrupt(u.int_in_range(0..=20)?),
            8 => Self::InterruptEnd(u.int_in_range(0..=20)?),
            9 => Self::High(u.arbitrary()?),
            _ => Self::Near(u.int_in_range(0..=7)?),
        })
    }
}

/// R in bit 0, W in bit 1; in a first stage, U/S and R/W.
#[derive(Debug, Clone, Copy)]
pub struct Rights(pub u64);

impl<'a> Arbitrary<'a> for Rights {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self([3, 1, 2][weighted(u, &[70, 16, 14])?]))
    }
}

/// What sets one entry of a run apart.
#[derive(Debug, Clone, Arbitrary)]
pub struct Flaw {
    /// Which entry, counted round.
    #[arbitrary(with = flaw_at)]
    pub at: u16,
    pub kind: FlawKind,
}

fn flaw_at(u: &mut Unstructured<'_>) -> Result<u16> {
    if u.arbitrary()? { length(u) } else { u.arbitrary() }
}

#[derive(Debug, Clone)]
pub enum FlawKind {
    Hole,
    /// R=W=0, and everything else still there.
    Absent,
    Rights(Rights),
    Snoop,
    /// One of software's bits.
    Ignored(u8),
    /// This entry points elsewhere.
    Skip,
    /// This entry and all behind it point elsewhere.
    Shift,
    /// A reserved bit.
    Reserved(u8),
}

impl<'a> Arbitrary<'a> for FlawKind {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match weighted(u, &[20, 8, 14, 14, 16, 12, 10, 6])? {
            0 => Self::Hole,
            1 => Self::Absent,
            2 => Self::Rights(u.arbitrary()?),
            3 => Self::Snoop,
            4 => Self::Ignored(u.arbitrary()?),
            5 => Self::Skip,
            6 => Self::Shift,
            _ => Self::Reserved(u.arbitrary()?),
        })
    }
}

/// Small leaves up to a large one's first address, large leaves, and small ones again, all of one piece.
#[derive(Debug, Clone, Arbitrary)]
pub struct Seam {
    #[arbitrary(with = between::<2, 3>)]
    pub level: u8,
    #[arbitrary(with = length)]
    pub before: u16,
    #[arbitrary(with = between::<1, 4>)]
    pub large: u8,
    #[arbitrary(with = length)]
    pub after: u16,
    pub frame: u32,
    pub rights: Rights,
    #[arbitrary(with = rarely::<5>)]
    pub snoop: bool,
    /// The leaves behind the large ones are not of that piece.
    #[arbitrary(with = rarely::<4>)]
    pub torn: bool,
}

/// A change to an entry that is no leaf.
#[derive(Debug, Clone, Arbitrary)]
pub struct Tweak {
    #[arbitrary(with = table_level)]
    pub level: u8,
    /// How many entries away from the anchor, for what makes a new entry; the others change what is there.
    #[arbitrary(with = between::<0, 4>)]
    pub step: u8,
    pub kind: TweakKind,
}

fn table_level(u: &mut Unstructured<'_>) -> Result<u8> {
    Ok([2, 3, 4, 5, 6][weighted(u, &[40, 25, 15, 10, 10])?])
}

#[derive(Debug, Clone)]
pub enum TweakKind {
    Rights(Rights),
    Ignored(u16),
    /// R=W=0, and everything else still there.
    Absent,
    Reserved(u8),
    /// Entries in a row that point to a table that others point to.
    Share {
        which: u16,
        count: u8,
        any_level: bool,
    },
    /// A table that was read while it was written: from some place on, it has the entries of another one.
    Torn {
        which: u16,
        from: u8,
    },
    /// Points to a table above it, or its own.
    Loop {
        up: u8,
    },
    /// Points to what is not in memory.
    Nowhere(u8),
    /// Points to the root table or a context table.
    Stranger(u8),
    /// Any word.
    Wild(u64),
}

impl<'a> Arbitrary<'a> for TweakKind {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match weighted(u, &[22, 14, 4, 4, 31, 5, 10, 7, 2, 1])? {
            0 => Self::Rights(u.arbitrary()?),
            1 => Self::Ignored(u.arbitrary()?),
            2 => Self::Absent,
            3 => Self::Reserved(u.arbitrary()?),
            4 => Self::Share {
                which: u.arbitrary()?,
                count: *u.choose(&[1, 1, 1, 2, 3, 8, 9])?,
                any_level: rarely::<6>(u)?,
            },
            5 => Self::Torn { which: u.arbitrary()?, from: u.arbitrary()? },
            6 => Self::Loop { up: u.int_in_range(0..=3)? },
            7 => Self::Nowhere(u.arbitrary()?),
            8 => Self::Stranger(u.arbitrary()?),
            _ => Self::Wild(u.arbitrary()?),
        })
    }
}
