//! Which devices use the same page tables.

use iopt::memory::PhysReader;
use iopt::vtd::{AddressSpace, Device, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{PhysAddr, SourceId};
use std::collections::HashMap;

/// The first device of each page table of a unit. The same table read with another number of levels is another.
#[derive(Debug, Default)]
pub struct Sharing(HashMap<(PhysAddr, u8), SourceId>);

impl Sharing {
    /// What the devices before `only` use: a walk that visits just that one does not come to them.
    pub fn before(only: Option<SourceId>, unit: &Unit, reader: &impl PhysReader, scratch: &mut Scratch) -> Self {
        let mut sharing = Self::default();
        let Some(only) = only else { return sharing };
        let mut walk = unit.walk(reader, scratch);
        while let Some(step) = walk.next() {
            let Step::Device(device) = step else { continue };
            if device.source_id >= only {
                break;
            }
            sharing.first_user(device);
            walk.skip();
        }
        sharing
    }

    /// The first device before this one that has the same page tables.
    pub fn first_user(&mut self, device: &Device) -> Option<SourceId> {
        let AddressSpace::SecondStage(space) = &device.space else { return None };
        let first = *self.0.entry((space.root, space.levels())).or_insert(device.source_id);
        (first != device.source_id).then_some(first)
    }
}
