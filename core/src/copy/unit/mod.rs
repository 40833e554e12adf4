//! What leads to page tables: root and context tables, PASID directories and tables.

pub(super) mod entry;
mod legacy;
mod pasids;
mod scalable;

use super::copier::{Copier, read};
use super::in_use::InUse;
use super::page_tables::Tree;
use super::workspace::Images;
use super::{Error, Problem};
use crate::address::PhysAddr;
use crate::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use crate::radix::Format;
use crate::vtd::{Cause, Fault, FaultReason, Place, Rtaddr, Unit, fault_at};
use entry::POINTER;

impl<R: PhysReader + ?Sized> Copier<'_, '_, R> {
    /// Copies all tables of a unit, and returns the new value for its root table address register.
    pub(super) fn unit(&mut self, unit: &Unit) -> Result<Rtaddr, Error> {
        let root = unit.rtaddr().root_table();
        let reason = if unit.is_scalable() { FaultReason::ScalableRootUnreadable } else { FaultReason::RootUnreadable };
        self.spend()?;
        if let Err(error) = read(self.old, root, &mut self.images.root) {
            let fault = Fault::new(reason, Cause::Unreadable(error), Place::root(root, 0, None, None), false);
            // Without a root table there is nothing of which a part could be kept.
            return Err(Error::Incomplete { unit: self.unit, fault });
        }
        if let Err(wrong) = unit.check_mode() {
            self.tell(&Problem::Refused(fault_at(wrong, Place::root(root, 0, None, None), false)));
        }
        for bus in 0..=255 {
            if unit.is_scalable() {
                self.scalable_bus(unit, bus)?;
            } else {
                self.legacy_bus(unit, bus)?;
            }
        }
        let copy = self.allocate(root, 1)?;
        self.root = Some(copy);
        self.write(root, copy, |images| &images.root)?;
        Ok(Rtaddr(copy.0 | unit.rtaddr().0 & !POINTER))
    }

    /// A root entry that is present and points to nothing is taken for what it is: a mistake.
    fn is_null(&mut self, table: PhysAddr, place: Place) -> Result<bool, Error> {
        if table.0 == 0 {
            let error = ReadError::new(table, ReadErrorKind::Hole);
            let fault = Fault { reason: None, cause: Cause::Unreadable(error), place, suppressed: false };
            self.tell(&Problem::NullTable(place));
            self.lose(&Problem::Lost(fault))?;
        }
        Ok(table.0 == 0)
    }

    /// Reads a table above page tables into its image; `None` if that can't be.
    fn fetch(
        &mut self,
        table: PhysAddr,
        reason: FaultReason,
        parent: (Place, bool),
        image: impl Fn(&mut Images) -> &mut Page,
    ) -> Result<Option<()>, Error> {
        self.spend()?;
        match read(self.old, table, image(self.images)) {
            Ok(()) => Ok(Some(())),
            Err(error) => {
                let (place, fault_disabled) = parent;
                self.lose(&Problem::Lost(Fault::new(reason, Cause::Unreadable(error), place, fault_disabled)))?;
                Ok(None)
            }
        }
    }

    /// The copy of a page table; `None` if its top table can't be read. What it maps has been told before.
    fn subtree<F: Format>(&mut self, tree: &Tree<'_, F>, root: PhysAddr) -> Result<Option<PhysAddr>, Error> {
        if root.0 == 0 {
            self.tell(&Problem::NullTable(tree.parent));
        }
        let met = self.memo.meet(root, tree.stage.role(tree.top()));
        self.plan.shared = self.plan.shared.wrapping_add(met.into());
        match self.tree(tree, root, &mut InUse::new(self.unit, None))? {
            Ok(copy) => Ok(Some(copy)),
            Err(defect) => {
                let fault = tree.fault(tree.stage.top_unreadable(), defect.into(), tree.parent);
                self.lose(&Problem::Lost(fault))?;
                Ok(None)
            }
        }
    }
}
