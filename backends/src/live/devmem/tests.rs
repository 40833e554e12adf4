use super::*;
use std::collections::BTreeMap;

/// A kernel's `/dev/mem`: each page has a first word, or an error number.
#[derive(Debug)]
struct Fake(BTreeMap<u64, Result<u64, i32>>);

impl ReadPages for Fake {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> io::Result<()> {
        assert_eq!(addr, addr.page());
        let found = self.0.get(&addr.0).unwrap_or_else(|| panic!("{addr} must not be asked for"));
        let word = found.map_err(io::Error::from_raw_os_error)?;
        page.clone_from(&Page::ZERO);
        page.words_mut()[0].set(word);
        Ok(())
    }
}

fn ram(first: u64, last: u64) -> PhysRange {
    PhysRange::new(PhysAddr(first), PhysAddr(last)).unwrap()
}

fn devmem(ram: &[PhysRange], pages: &[(u64, Result<u64, i32>)]) -> Devmem {
    Devmem::new("/dev/mem".as_ref(), Box::new(Fake(pages.iter().copied().collect())), ram.to_vec())
}

fn read(devmem: &Devmem, addr: u64) -> Result<u64, ReadErrorKind> {
    let mut page = Page::ZERO.clone();
    devmem.read_page(PhysAddr(addr), &mut page).map(|()| page.word(0)).map_err(|error| {
        assert_eq!(error.addr, PhysAddr(addr).page());
        error.kind
    })
}

const LOW: (u64, u64) = (0x1000, 0x9fbff);

/// System RAM is denied, and zeros stand in for the lowest of it.
#[test]
fn a_strict_kernel_is_recognised_and_its_zeros_are_not_taken_for_memory() {
    let memory = [ram(LOW.0, LOW.1), ram(0x10_0000, 0x10_3fff)];
    let strict =
        [(0x1000, Ok(0)), (0x2000, Ok(7)), (0x10_0000, Err(EPERM)), (0x10_1000, Err(EPERM)), (0x10_3000, Ok(0))];
    let devmem = devmem(&memory, &strict);
    assert_eq!(devmem.denied(), Some(PhysAddr(0x10_0000)));
    assert_eq!(read(&devmem, 0x1fff), Err(ReadErrorKind::Excluded));
    assert_eq!(read(&devmem, 0x2008), Ok(7));
    assert_eq!(read(&devmem, 0x10_1000), Err(ReadErrorKind::Io(EPERM)));
    assert_eq!(read(&devmem, 0x10_3000), Ok(0), "zeros above 1 MiB are nothing else");
    let message = devmem.if_not_strict().unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1);
    assert!(message.starts_with("/dev/mem: ") && message.contains("page 0x100000 denied"), "{message}");
    assert!(message.ends_with("CONFIG_STRICT_DEVMEM"), "{message}");
}

#[test]
fn zeros_are_memory_where_the_kernel_denies_none() {
    let memory = [ram(LOW.0, LOW.1), ram(0x10_0000, 0x10_0fff)];
    let devmem = devmem(&memory, &[(0x1000, Ok(0)), (0x10_0000, Ok(0))]);
    assert_eq!(devmem.denied(), None);
    assert_eq!((read(&devmem, 0x1000), read(&devmem, 0x10_0000)), (Ok(0), Ok(0)));
    assert!(devmem.if_not_strict().is_ok());
}

/// Nothing above 1 MiB tells whether the kernel is strict.
#[test]
fn zeros_are_doubted_where_nothing_is_known() {
    let devmem = devmem(&[ram(LOW.0, LOW.1)], &[(0x1000, Ok(0))]);
    assert_eq!((devmem.denied(), read(&devmem, 0x1000)), (None, Err(ReadErrorKind::Excluded)));
    let broken = self::devmem(&[ram(0, 0x10_0fff)], &[(0, Ok(0)), (0x10_0000, Err(EFAULT))]);
    assert_eq!((broken.denied(), read(&broken, 0)), (None, Err(ReadErrorKind::Excluded)));
}

#[test]
fn an_error_is_that_of_its_page_alone() {
    let memory = [ram(0x10_0000, 0x10_3fff)];
    let pages = [(0x10_0000, Ok(1)), (0x10_1000, Err(EFAULT)), (0x10_2000, Err(libc::EIO)), (0x10_3000, Ok(4))];
    let devmem = devmem(&memory, &pages);
    assert_eq!(read(&devmem, 0x10_0000), Ok(1));
    assert_eq!(read(&devmem, 0x10_1000), Err(ReadErrorKind::Hole));
    assert_eq!(read(&devmem, 0x10_2000), Err(ReadErrorKind::Io(libc::EIO)));
    assert_eq!(read(&devmem, 0x10_3000), Ok(4));
}

/// The fake panics when it is asked for anything else.
#[test]
fn only_whole_pages_of_memory_are_asked_for() {
    let memory = [ram(0x10_0800, 0x10_1fff), ram(0x10_2000, 0x10_27ff), ram(0x10_2800, 0x10_2fff)];
    let devmem = devmem(&memory, &[(0x10_1000, Ok(5)), (0x10_2000, Ok(6))]);
    assert_eq!(read(&devmem, 0x10_1000), Ok(5));
    assert_eq!(read(&devmem, 0x10_2000), Ok(6));
    for outside in [0x10_0000, 0x10_3000, 0xfed9_0000, 0, u64::MAX] {
        assert_eq!(read(&devmem, outside), Err(ReadErrorKind::Hole), "{outside:#x}");
    }
    let ranges: Vec<_> = iopt::memory::ranges(&devmem).collect();
    assert_eq!(ranges, [ram(0x10_0800, 0x10_2fff)]);
}
