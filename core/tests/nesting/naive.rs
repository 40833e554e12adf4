//! One address at a time, by plain loops over the words of memory.

use crate::world::{HOST_BITS, World, shift};
use iopt::Access;
use iopt::radix::Stage;

pub type Step = (Stage, u8, u64, u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Denied,
    Reserved(u64),
    Unreadable,
}

/// Why a request is refused; the entry to blame is the last one of its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Outer(Why),
    TableBeyond(u64),
    Table(Why),
    Update,
    OutputBeyond(u64),
    Output(Why),
}

/// A page: memory, log2 of its size, reads, writes, attributes.
pub type Mapped = (u64, u32, bool, bool, u64);

fn allows(read: bool, write: bool, access: Access) -> bool {
    match access {
        Access::Read => read,
        Access::Write => write,
    }
}

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

fn reserved_address() -> u64 {
    ADDRESS & u64::MAX << HOST_BITS
}

/// What the inner tree says: memory and permissions, of which the write permission is the only one left to ask for.
pub fn inner(world: &World, addr: u64, access: Access, path: &mut Vec<Step>) -> Result<(u64, bool), Why> {
    look(world, addr, Some(access), path).map(|(phys, _, _, write, _)| (phys, write))
}

/// The inner tree's page, whatever it grants if no access is asked for.
fn look(world: &World, addr: u64, access: Option<Access>, path: &mut Vec<Step>) -> Result<Mapped, Why> {
    let mut table = world.inner_root;
    let (mut read, mut write) = (true, true);
    for level in (1..=world.inner_levels).rev() {
        let index = addr >> shift(level) & 0x1ff;
        let raw = world.memory.word(table, index).ok_or(Why::Unreadable)?;
        path.push((Stage::Inner, level, table, index, raw));
        (read, write) = (read && raw & 1 != 0, write && raw & 2 != 0);
        if raw & 3 == 0 || access.is_some_and(|access| !allows(read, write, access)) {
            return Err(Why::Denied);
        }
        let leaf = level == 1 || level < 4 && raw & 0x80 != 0;
        let inside = (1u64 << shift(level)) - 1;
        let mut reserved = 1 << 62 | reserved_address();
        if leaf {
            reserved |= inside & ADDRESS;
        } else {
            reserved |= 0x800 | if level > 3 { 0x80 } else { 0 };
        }
        if raw & reserved != 0 {
            return Err(Why::Reserved(raw & reserved));
        }
        if leaf {
            return Ok((raw & ADDRESS | addr & inside, shift(level), read, write, raw & 0x800));
        }
        table = raw & ADDRESS;
    }
    unreachable!()
}

fn outer_reserved(level: u8, leaf: bool) -> u64 {
    let inside = (1u64 << shift(level)) - 1;
    reserved_address()
        | if leaf && level > 1 { inside & ADDRESS & !0x1000 } else { 0 }
        | if level > 3 { 0x80 } else { 0 }
}

/// A request, as hardware does it.
pub fn translate(world: &World, iova: u64, access: Access) -> (Vec<Step>, Result<Mapped, Refused>) {
    let mut path = Vec::new();
    let found = request(world, iova, access, &mut path);
    (path, found)
}

fn request(world: &World, iova: u64, access: Access, path: &mut Vec<Step>) -> Result<Mapped, Refused> {
    let mut at = world.outer_root;
    let (mut read, mut write) = (true, true);
    for level in (1..=world.outer_levels).rev() {
        if at >> world.input_bits != 0 {
            return Err(Refused::TableBeyond(at));
        }
        let (table, writable) = inner(world, at, Access::Read, path).map_err(Refused::Table)?;
        let index = iova >> shift(level) & 0x1ff;
        let raw = world.memory.word(table, index).ok_or(Refused::Outer(Why::Unreadable))?;
        path.push((Stage::Outer, level, table, index, raw));
        (read, write) = (read && raw & 5 == 5, write && raw & 7 == 7);
        if !allows(read, write, access) {
            return Err(Refused::Outer(Why::Denied));
        }
        let leaf = level == 1 || level < 4 && raw & 0x80 != 0;
        let reserved = raw & outer_reserved(level, leaf);
        if reserved != 0 {
            return Err(Refused::Outer(Why::Reserved(reserved)));
        }
        let dirty = leaf && access == Access::Write && raw & 0x40 == 0;
        if (raw & 0x20 == 0 || dirty) && !writable {
            return Err(Refused::Update);
        }
        if !leaf {
            at = raw & ADDRESS;
            continue;
        }
        let inside = (1u64 << shift(level)) - 1;
        let output = raw & ADDRESS & !inside | iova & inside;
        if output >> world.input_bits != 0 {
            return Err(Refused::OutputBeyond(output));
        }
        let (phys, size, inner_read, inner_write, attributes) =
            look(world, output, Some(access), path).map_err(Refused::Output)?;
        return Ok((phys, size.min(shift(level)), read && inner_read, write && inner_write, attributes));
    }
    unreachable!()
}

/// Something that a walk tells of: stage, level, table, index, entry, and what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    pub stage: Stage,
    pub level: u8,
    pub table: u64,
    pub index: u64,
    pub raw: u64,
    pub wrong: Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Reserved(u64),
    Unreadable,
    Loop,
    NotLocated(Why),
    Beyond,
}

/// What a walk has for the page at `iova`: `None` if nothing is mapped.
pub fn page(world: &World, iova: u64) -> Result<Option<Mapped>, Bad> {
    let (mut table, _) = inner(world, world.outer_root, Access::Read, &mut Vec::new()).unwrap();
    let mut tables = vec![table];
    let (mut read, mut write) = (true, true);
    for level in (1..=world.outer_levels).rev() {
        let index = iova >> shift(level) & 0x1ff;
        let raw = world.memory.word(table, index).unwrap();
        let bad = move |wrong| Bad { stage: Stage::Outer, level, table, index, raw, wrong };
        if raw & 1 == 0 {
            return Ok(None);
        }
        (read, write) = (read && raw & 5 == 5, write && raw & 7 == 7);
        let leaf = level == 1 || level < 4 && raw & 0x80 != 0;
        let reserved = raw & outer_reserved(level, leaf);
        if reserved != 0 {
            return Err(bad(Wrong::Reserved(reserved)));
        }
        if leaf {
            let inside = (1u64 << shift(level)) - 1;
            let output = raw & ADDRESS & !inside | iova & inside;
            if output >> world.input_bits != 0 {
                return Err(bad(Wrong::Beyond));
            }
            let pat = if level == 1 { raw & 0x80 } else { raw >> 5 & 0x80 };
            let mut path = Vec::new();
            return match look(world, output, None, &mut path) {
                Ok((phys, size, inner_read, inner_write, attributes)) => {
                    let attributes = attributes | raw & 0x18 | pat;
                    Ok(Some((phys, size.min(shift(level)), read && inner_read, write && inner_write, attributes)))
                }
                Err(Why::Denied) => Ok(None),
                Err(why) => {
                    let (stage, level, table, index, raw) = *path.last().unwrap();
                    let wrong = match why {
                        Why::Reserved(bits) => Wrong::Reserved(bits),
                        _ => Wrong::Unreadable,
                    };
                    Err(Bad { stage, level, table, index, raw, wrong })
                }
            };
        }
        let at = raw & ADDRESS;
        if at >> world.input_bits != 0 {
            return Err(bad(Wrong::Beyond));
        }
        let next = inner(world, at, Access::Read, &mut Vec::new());
        table = next.map_err(|why| bad(Wrong::NotLocated(why)))?.0;
        if tables.contains(&table) {
            return Err(bad(Wrong::Loop));
        }
        world.memory.word(table, 0).ok_or(bad(Wrong::Unreadable))?;
        tables.push(table);
    }
    unreachable!()
}
