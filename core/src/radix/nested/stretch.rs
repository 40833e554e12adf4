use super::{Nested, NestedExtent, NestedFound, Stage};
use crate::address::{Iova, IovaRange, PhysAddr};
use crate::memory::PhysReader;
use crate::radix::item::{Extent, Found};
use crate::radix::locate::last_input;
use crate::radix::{Defect, Format, Run};

/// Outer leaves that continue each other, which the inner cursor looks up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// The outer leaves that are left, these first.
    rest: Extent,
    /// How many of them the stretch has.
    leaves: usize,
    /// log2 of the bytes of each.
    size_log2: u8,
    attributes: u64,
    /// The intermediate address of the first.
    first: u64,
    /// What is added to an intermediate address to get that of the device.
    shift: u64,
    /// The last address that the inner tree takes.
    limit: u64,
    input_bits: u8,
    /// Whether the stretch goes on behind it.
    beyond: bool,
}

impl<R: PhysReader + ?Sized, O: Format, I: Format> Nested<'_, R, O, I> {
    /// Begins with the first stretch of `rest`. It returns something only if the inner tree takes none of it.
    pub(super) fn begin(&mut self, rest: &Extent, input_bits: u8) -> Option<NestedFound> {
        let run = self.outer.run(rest)?;
        let first = run.phys(run.entries.first()?).0;
        let shift = run.iova.0.wrapping_sub(first);
        let (leaves, size_log2, attributes) = (run.linear.max(1), run.page_size_log2, run.attributes);
        let window = self.outer.window();
        let bytes = (leaves as u64).wrapping_mul(run.page_size());
        let device = IovaRange::from_to(run.iova, Iova(run.iova.0.wrapping_add(bytes).wrapping_sub(1)));
        // The ends of a run may stick out of the window; that its leaves are large must not cost a walk of it all.
        let Some(device) = device.intersection(&window) else {
            self.rest = after(&run, rest, leaves);
            return None;
        };
        let [from, last] = [device.first(), device.last()].map(|iova| iova.0.wrapping_sub(shift));
        let limit = last_input(self.inner.format(), input_bits);
        let stretch = Stretch {
            rest: *rest,
            leaves,
            size_log2,
            attributes,
            first,
            shift,
            limit,
            input_bits,
            beyond: last > limit,
        };
        match IovaRange::new(Iova(from), Iova(last.min(limit))) {
            Some(reached) => {
                self.inner.set_window(reached);
                self.stretch = Some(stretch);
                None
            }
            None => self.refuse(&stretch),
        }
    }

    /// What the inner tree has for the stretch next; `None` at its end.
    pub(super) fn look_up(&mut self) -> Option<NestedFound> {
        let stretch = self.stretch?;
        loop {
            match self.inner.advance() {
                Some(Found::Table(_)) => {}
                Some(Found::Malformed(mut malformed)) => {
                    malformed.iova = Iova(malformed.iova.0.max(stretch.first).wrapping_add(stretch.shift));
                    if let Defect::Budget(_) = malformed.defect {
                        self.end();
                    }
                    return Some(NestedFound::Malformed(Stage::Inner, malformed));
                }
                Some(Found::Run(extent)) => return self.combine(&stretch, &extent),
                None => {
                    self.stretch = None;
                    if stretch.beyond {
                        self.hand_over(Stage::Outer);
                        return self.refuse(&stretch);
                    }
                    let run = self.outer.run(&stretch.rest)?;
                    self.rest = after(&run, &stretch.rest, stretch.leaves);
                    return None;
                }
            }
        }
    }

    /// The pages that a run of the inner tree and the stretch have in common.
    fn combine(&mut self, stretch: &Stretch, extent: &Extent) -> Option<NestedFound> {
        let inner = self.inner.run(extent)?;
        let permissions = extent.permissions & stretch.rest.permissions;
        if inner.page_size_log2 <= stretch.size_log2 {
            return Some(NestedFound::Run(NestedExtent {
                stage: Stage::Inner,
                extent: Extent { permissions, ..*extent },
                shift: stretch.shift,
                attributes: stretch.attributes,
                offset: 0,
            }));
        }
        // All outer leaves that are in the first of these inner ones have the same way from there to memory.
        let leaf = IovaRange::block(inner.iova, inner.page_size_log2);
        let offset = inner.phys(inner.entries.first()?).0.wrapping_sub(leaf.first().0);
        let attributes = inner.attributes;
        let last = leaf.last().0.min(stretch.limit);
        let skipped = leaf.first().0.saturating_sub(stretch.first).wrapping_shr(stretch.size_log2.into());
        let skipped = usize::try_from(skipped).ok()?.min(stretch.leaves.saturating_sub(1));
        let outer = self.outer.run(&stretch.rest)?;
        let inside = |phys: PhysAddr| leaf.first().0 <= phys.0 && phys.0 <= last;
        let entries = outer.entries.get(skipped..)?;
        let len = entries.iter().position(|entry| !inside(outer.phys(entry))).unwrap_or(entries.len()).max(1);
        let found = Extent {
            index: stretch.rest.index.wrapping_add(skipped),
            len,
            linear: stretch.leaves.saturating_sub(skipped).min(len),
            permissions,
            ..stretch.rest
        };
        self.rest = after(&outer, &stretch.rest, skipped.saturating_add(len));
        self.stretch = None;
        // The leaves of this run count, not those that it was looked up in.
        self.inner.forget_leaves((extent.len as u64).wrapping_sub(len as u64));
        Some(NestedFound::Run(NestedExtent { stage: Stage::Outer, extent: found, shift: 0, attributes, offset }))
    }

    /// Tells of the leaves of the stretch and behind it that the inner tree does not take, once for all of them.
    fn refuse(&mut self, stretch: &Stretch) -> Option<NestedFound> {
        let run = self.outer.run(&stretch.rest)?;
        let addr = stretch.limit.wrapping_add(1).max(stretch.first);
        let reached = addr.wrapping_sub(stretch.first).wrapping_shr(stretch.size_log2.into());
        let reached = usize::try_from(reached).ok()?.min(stretch.leaves.saturating_sub(1));
        let entries = run.entries.get(reached..)?;
        let raw = entries.first()?.get();
        // The first of them may lie on the limit.
        let behind = entries.iter().skip(1).take_while(|entry| run.phys(entry).0 > stretch.limit);
        let refused = behind.count().saturating_add(1);
        self.rest = after(&run, &stretch.rest, reached.saturating_add(refused));
        let index = stretch.rest.index.wrapping_add(reached);
        let defect = Defect::BeyondInner { addr: PhysAddr(addr), bits: stretch.input_bits };
        let mut malformed = self.outer.judge(index, raw, defect)?;
        malformed.iova = Iova(addr.wrapping_add(stretch.shift));
        if let Defect::Budget(_) = malformed.defect {
            self.end();
        }
        Some(NestedFound::Malformed(Stage::Outer, malformed))
    }
}

/// What is left of `extent`, whose leaves are `run`, behind the first `count`.
fn after(run: &Run<'_>, extent: &Extent, count: usize) -> Option<Extent> {
    let len = extent.len.checked_sub(count).filter(|len| *len > 0)?;
    let linear = match extent.linear.saturating_sub(count) {
        0 => run.linear_from(count),
        linear => linear,
    };
    Some(Extent { index: extent.index.wrapping_add(count), len, linear, ..*extent })
}
