//! Which devices use the same page tables.

use crate::args::Common;
use crate::human;
use iopt::memory::PhysReader;
use iopt::vtd::{Device, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Pasid, PhysAddr, Requester};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The first user of each set of page tables of a unit.
#[derive(Debug, Default)]
pub struct Sharing(HashMap<Tables, User>);

/// What a device's page tables are told from others by: where the top table of each stage is, and how many levels it
/// has. The same table read with another number of levels, or as the other stage, is another.
type Tables = [Option<(PhysAddr, u8)>; 2];

#[derive(Debug)]
struct User {
    pasid: Option<Pasid>,
    name: Requester,
}

impl Sharing {
    /// What the devices of the unit use that a walk of just some of them may not come to.
    pub fn before(common: &Common, unit: &Unit, reader: &impl PhysReader, scratch: &mut Scratch) -> Self {
        let mut sharing = Self::default();
        if common.device.is_none() && common.pasid.is_none() {
            return sharing;
        }
        let mut walk = unit.walk(reader, scratch).budget(common.budget());
        while let Some(step) = walk.next() {
            let Step::Device(device) = step else { continue };
            if common.device.is_some_and(|only| device.source_id > only) {
                break;
            }
            sharing.first_user(device);
            walk.skip();
        }
        sharing
    }

    /// The first user of the device's page tables, if that is another device, or another PASID of this one.
    pub fn first_user(&mut self, device: &Device) -> Option<Requester> {
        let first = device.space.first_stage().map(|first| (first.root, first.levels()));
        let second = device.space.second_stage().map(|second| (second.root, second.levels()));
        if first.is_none() && second.is_none() {
            return None;
        }
        match self.0.entry([first, second]) {
            Entry::Occupied(known) => {
                let user = known.get();
                ((user.name.source_id, user.pasid) != (device.source_id, device.pasid)).then_some(user.name)
            }
            Entry::Vacant(unknown) => {
                unknown.insert(User { pasid: device.pasid, name: human::name(device) });
                None
            }
        }
    }
}
