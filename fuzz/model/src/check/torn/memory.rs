//! Memory that changes between any two reads.

use crate::program::mix;
use crate::twin::bits::{ADDRESS, PAGE_SIZE};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind, Word, ranges};
use iopt::{PhysAddr, PhysRange};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The pages of a memory, by address.
pub type Pages = BTreeMap<u64, Rc<Page>>;

/// All that `memory` has.
pub fn pages(memory: &impl PhysReader) -> Pages {
    let all = ranges(memory).flat_map(|range| range.first().0 >> 12..=range.last().0 >> 12);
    let read = |number: u64| {
        let mut page = Page::ZERO;
        memory.read_page(PhysAddr(number << 12), &mut page).ok().map(|()| (number << 12, Rc::new(page)))
    };
    all.filter_map(read).collect()
}

/// Each page holds what the one before it held: every table becomes one of another kind or level.
pub fn rotated(pages: &Pages) -> Pages {
    let contents = pages.values().cycle().skip(pages.len().saturating_sub(1)).cloned();
    pages.keys().copied().zip(contents).collect()
}

/// How memory changes.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// From the read of this number on, all of it is another memory.
    Swap(u64),
    /// Before each read, bits of a few entries flip, drawn from this seed.
    Flips(u64),
    /// Behind each read, the table that was read and an entry that leads to it are overwritten by what does most harm.
    Hostile(u64),
}

/// It lends nothing, and remembers what was read as it was then.
pub struct Changing<'o> {
    pages: RefCell<Pages>,
    other: &'o Pages,
    change: Change,
    asked: Cell<u64>,
    delivered: RefCell<Vec<(u64, Rc<Page>)>>,
}

impl<'o> Changing<'o> {
    pub fn new(pages: &Pages, other: &'o Pages, change: Change) -> Self {
        let pages = RefCell::new(pages.clone());
        Self { pages, other, change, asked: Cell::new(0), delivered: RefCell::default() }
    }

    /// What was read, from the read of this number on.
    pub fn delivered(&self, from: usize) -> Vec<(u64, Rc<Page>)> {
        self.delivered.borrow()[from..].to_vec()
    }

    /// How many pages were asked for.
    pub fn asked(&self) -> u64 {
        self.asked.get()
    }

    /// How many pages were read.
    pub fn reads(&self) -> usize {
        self.delivered.borrow().len()
    }

    /// Whether a read of the page at `addr` brought one of which this holds.
    pub fn brought(&self, addr: PhysAddr, is: impl Fn(&Page) -> bool) -> bool {
        self.delivered.borrow().iter().rev().any(|(read, page)| *read == addr.page().0 && is(page))
    }

    /// The memory as it is by now, which doesn't change any more.
    pub fn pages(&self) -> Pages {
        self.pages.borrow().clone()
    }

    /// What happens before `addr` is read.
    fn change(&self, number: u64, addr: u64) {
        let mut pages = self.pages.borrow_mut();
        match self.change {
            Change::Swap(at) if number == at => pages.clone_from(self.other),
            Change::Swap(_) => {}
            Change::Flips(seed) => {
                for flip in 0..mix(seed ^ number) % 4 {
                    let draw = mix(seed ^ number << 8 ^ flip);
                    let at = if draw & 1 == 0 { addr } else { any(&pages, draw >> 1) };
                    edit(&mut pages, at, |page| {
                        let index = filled(page, draw >> 20);
                        let word = &mut page.words_mut()[index];
                        *word = Word::new(word.get() ^ 1 << BITS[(draw >> 40) as usize % BITS.len()]);
                    });
                }
            }
            Change::Hostile(seed) => self.overwrite(&mut pages, mix(seed ^ number)),
        }
    }

    fn overwrite(&self, pages: &mut Pages, draw: u64) {
        let delivered = self.delivered.borrow();
        let Some(((table, _), before)) = delivered.split_last() else { return };
        let harm = |word: u64, own: u64, draw: u64| match draw % 7 {
            0 => word ^ PAGE_SIZE,
            1 => word & !ADDRESS | own,
            2 => word & !ADDRESS | any(pages, draw >> 3) & ADDRESS,
            3 => word & !ADDRESS | ADDRESS,
            4 => word ^ 1 << 62,
            5 => 0,
            _ => word,
        };
        let leads = |page: &Page| page.words().iter().position(|word| word.get() & ADDRESS == *table && *table != 0);
        let parent = before.iter().rev().take(64).find_map(|(at, page)| Some((*at, leads(page)?)));
        let spoilt = parent.map(|(at, index)| (at, index, harm(before_word(before, at, index), at, draw)));
        let fill = match draw >> 32 & 7 {
            0 => Some(table | 3),
            1 => Some(table | 3 | PAGE_SIZE),
            2 => Some(any(pages, draw >> 35) & ADDRESS | 3),
            _ => None,
        };
        let copied = (draw >> 36 & 3 == 0).then(|| pages[&any(pages, draw >> 38)].clone());
        if let Some((at, index, word)) = spoilt {
            edit(pages, at, |page| page.words_mut()[index] = Word::new(word));
        }
        if let Some(page) = copied {
            pages.insert(*table, page);
        } else if let Some(word) = fill {
            edit(pages, *table, |page| page.words_mut().fill(Word::new(word)));
        }
    }
}

/// The word of an entry as it was read last.
fn before_word(before: &[(u64, Rc<Page>)], at: u64, index: usize) -> u64 {
    before.iter().rev().find(|(addr, _)| *addr == at).map_or(0, |(_, page)| page.word(index))
}

/// P or R, W, U, page size, snoop, and bits of addresses, reserved ones and XD.
const BITS: [u32; 16] = [0, 1, 2, 3, 7, 8, 11, 12, 13, 14, 16, 21, 30, 51, 62, 63];

fn any(pages: &Pages, draw: u64) -> u64 {
    pages.keys().nth(draw as usize % pages.len().max(1)).copied().unwrap_or(0)
}

/// The first word from a drawn one on that isn't zero.
fn filled(page: &Page, draw: u64) -> usize {
    let first = draw as usize % 512;
    (first..512).chain(0..first).find(|at| page.word(*at) != 0).unwrap_or(first)
}

fn edit(pages: &mut Pages, at: u64, edit: impl FnOnce(&mut Page)) {
    if let Some(page) = pages.get_mut(&at) {
        edit(Rc::make_mut(page));
    }
}

impl PhysReader for Changing<'_> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let at = addr.page().0;
        let number = self.asked.replace(self.asked.get() + 1);
        self.change(number, at);
        let found = self.pages.borrow().get(&at).cloned().ok_or(ReadError::new(addr, ReadErrorKind::Hole))?;
        page.clone_from(&found);
        self.delivered.borrow_mut().push((at, found));
        Ok(())
    }

    fn next_range(&self, _: PhysAddr) -> Option<PhysRange> {
        None
    }
}
