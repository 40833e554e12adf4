use crate::access::Permissions;
use crate::copy::in_use::{Below, InUse};
use crate::memory::{Page, Word};
use crate::radix::{BLOCK, Entry, Format, Level, Masks, Survey};

/// What is done with a table of level 1.
pub(super) struct Leaves<'l, 'i, F> {
    pub(super) format: &'l F,
    pub(super) shape: &'l Level,
    /// The first address that the table maps.
    pub(super) base: u64,
    /// What the path to it lets through.
    pub(super) path: Permissions,
    /// Where its copy goes, if it gets one.
    pub(super) to: Option<&'l mut Page>,
    /// Whether anybody wants to know what is in it.
    pub(super) look: bool,
    /// Is told what is in use.
    pub(super) uses: &'l mut InUse<'i>,
}

impl<F: Format> Leaves<'_, '_, F> {
    /// Copies the table block by block, and looks at each while tables further on are on their way: before each block
    /// `ahead` gets its first byte in the page and its size. `refused` gets the number of each entry that the hardware
    /// refuses, and its reserved bits that are set.
    #[inline(always)]
    pub(super) fn go(
        mut self,
        from: &Page,
        mut ahead: impl FnMut(usize, usize),
        refused: &mut dyn FnMut(usize, u64),
    ) -> Below {
        let Self { base, path, look, .. } = self;
        let shape = *self.shape;
        let Level { present, leaf, leaf_reserved, permissions, .. } = shape;
        let masks = Masks { present, alike: present | leaf | leaf_reserved | permissions };
        let mut survey = Survey::default();
        let mut copies = self.to.as_deref_mut().map(|page| page.words_mut().chunks_exact_mut(BLOCK));
        for (number, words) in from.words().chunks_exact(BLOCK).enumerate() {
            ahead(number.wrapping_mul(BYTES), BYTES);
            if let Some(copy) = copies.as_mut().and_then(Iterator::next) {
                copy.copy_from_slice(words);
            }
            if let (Some(block), true) = (words.first_chunk(), look) {
                survey.add(number, block, masks);
            }
        }
        survey.each_run(from, masks, |index, len, raw| match self.format.decode(&shape, raw) {
            Entry::Leaf(_) => {
                let bytes = |entries: usize| (entries as u64).wrapping_shl(shape.size_log2.into());
                let first = base.wrapping_add(bytes(index));
                let last = first.wrapping_add(bytes(len)).wrapping_sub(1);
                self.uses.add(first, last, self.format.permissions(raw) & path);
            }
            Entry::Malformed(bits) => tell(index, len, bits, refused),
            Entry::Absent | Entry::Table(_) => {}
        });
        match survey.uniform(from, masks) {
            _ if !look => Below::Various,
            _ if survey.is_empty() => Below::Nothing,
            Some(raw) => match self.format.decode(&shape, raw) {
                Entry::Leaf(_) => Below::All(self.format.permissions(raw)),
                _ => Below::Nothing,
            },
            None => Below::Various,
        }
    }
}

/// It is rare, and no part of the loop.
#[cold]
#[inline(never)]
fn tell(index: usize, len: usize, bits: u64, refused: &mut dyn FnMut(usize, u64)) {
    (index..).take(len).for_each(|index| refused(index, bits));
}

/// The bytes of a block.
const BYTES: usize = BLOCK * size_of::<Word>();
