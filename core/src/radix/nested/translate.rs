use super::{Inner, Stage};
use crate::access::Access;
use crate::address::{Iova, PhysAddr};
use crate::memory::{Page, PhysReader, lend_or_copy};
use crate::radix::locate::last_input;
use crate::radix::translate::{Path, Stepped};
use crate::radix::{Format, Refusal, Translation, Visit, translate};
use core::fmt;

/// Why a request through two stages was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NestedRefusal {
    /// The outer tree refuses it.
    Outer(Refusal),
    /// The outer table that this outer entry points to is beyond the input of the inner tree; `None` stands for the
    /// top table.
    TableBeyond(PhysAddr, Option<Visit>),
    /// The inner tree refuses to read the outer table that this outer entry points to; `None` stands for the top table.
    Table(Refusal, Option<Visit>),
    /// The hardware would have to mark this outer entry as accessed or dirty, and the inner tree does not let it write
    /// to its table.
    Update(Visit),
    /// The address that this outer leaf leads to is beyond the input of the inner tree.
    OutputBeyond(PhysAddr, Visit),
    /// The inner tree refuses the address that this outer leaf leads to.
    Output(Refusal, Visit),
}

impl fmt::Display for NestedRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outer(refusal) => refusal.fmt(f),
            Self::TableBeyond(addr, None) => write!(f, "the second stage does not take {addr}, the top table"),
            Self::TableBeyond(addr, Some(entry)) => {
                write!(f, "the second stage does not take {addr}, the table of {entry}")
            }
            Self::Table(refusal, None) => write!(f, "the second stage refuses the top table: {refusal}"),
            Self::Table(refusal, Some(entry)) => write!(f, "the second stage refuses the table of {entry}: {refusal}"),
            Self::Update(entry) => write!(f, "the second stage does not let {entry} be marked"),
            Self::OutputBeyond(addr, leaf) => {
                write!(f, "the second stage does not take {addr}, which {leaf} leads to")
            }
            Self::Output(refusal, leaf) => write!(f, "the second stage refuses what {leaf} leads to: {refusal}"),
        }
    }
}

/// Follows the path of `iova` through an outer tree, whose top table is at the intermediate address `root`, and through
/// `inner`, as hardware does.
///
/// The inner tree has to let each outer table be read. Then the outer entry is fetched, and its permission is checked,
/// its reserved bits, and whether it can be marked. The inner tree has the last word about the address that comes out.
/// Calls `visit` for every entry in the order in which they are fetched. The page size of the result is the lesser one,
/// the permissions are those of both paths, and the leaf is the inner one.
///
/// Bits of `iova` above the outer format's top level do not matter here. `copy` is used where the reader can't lend.
///
/// # Errors
/// [`NestedRefusal`] by the first check that fails.
#[allow(clippy::too_many_arguments, reason = "two trees, and what `translate` takes")]
pub fn translate_nested<R: PhysReader + ?Sized, O: Format, I: Format>(
    reader: &R,
    outer: &O,
    root: PhysAddr,
    inner: &Inner<I>,
    iova: Iova,
    access: Access,
    copy: &mut Page,
    mut visit: impl FnMut(Stage, Visit),
) -> Result<Translation, NestedRefusal> {
    let limit = last_input(&inner.format, inner.input_bits);
    let mut path = Path::new(outer, root);
    // Where the table lies that comes next, and the entry that points to it.
    let mut next = root;
    let mut pointer: Option<Visit> = None;
    for level in outer.levels().iter().rev() {
        if next.0 > limit {
            return Err(NestedRefusal::TableBeyond(next, pointer));
        }
        let see = |entry| visit(Stage::Inner, entry);
        let located = translate(reader, &inner.format, inner.root, Iova(next.0), Access::Read, copy, see)
            .map_err(|refusal| NestedRefusal::Table(refusal, pointer))?;
        let page = lend_or_copy(reader, located.phys, copy)
            .map_err(|error| NestedRefusal::Outer(Refusal::Unreadable(error, pointer)))?;
        path.place_in(located.phys);
        let mut entry = None;
        let see = |fetched| {
            entry = Some(fetched);
            visit(Stage::Outer, fetched);
        };
        let stepped = path.step(outer, level, page, iova, access, see).map_err(NestedRefusal::Outer)?;
        pointer = entry;
        let Some(fetched) = entry else { break };
        let leaf = matches!(stepped, Stepped::Leaf(_));
        if !located.permissions.write() && outer.must_mark(level, fetched.raw, leaf, access) {
            return Err(NestedRefusal::Update(fetched));
        }
        match stepped {
            Stepped::Table(table, _) => {
                next = table;
                path.descend(table);
            }
            Stepped::Leaf(found) => {
                if found.phys.0 > limit {
                    return Err(NestedRefusal::OutputBeyond(found.phys, fetched));
                }
                let see = |entry| visit(Stage::Inner, entry);
                let output = translate(reader, &inner.format, inner.root, Iova(found.phys.0), access, copy, see)
                    .map_err(|refusal| NestedRefusal::Output(refusal, fetched))?;
                return Ok(Translation {
                    page_size_log2: output.page_size_log2.min(found.page_size_log2),
                    permissions: output.permissions & found.permissions,
                    ..output
                });
            }
        }
    }
    Err(NestedRefusal::Outer(path.astray()))
}
