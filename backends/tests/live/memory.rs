//! Memory of several sources, page by page.

use crate::machine::{CRASH_KERNEL, Machine, capture, capture_kernel, parts, register, registers, running};
use iopt::memory::{Page, PhysReader, ReadErrorKind, ranges};
use iopt::vtd::{Cap, Ecap, Rtaddr, Unit};
use iopt::walk::Scratch;
use iopt::{PhysAddr, PhysRange};
use iopt_backends::live::{ErrorKind, Memory, Paths};
use iopt_backends::open;

fn memory(machine: &Machine) -> Memory {
    Memory::open(&Paths::in_folder(machine.folder())).unwrap()
}

/// Every range of the unit of `case`, and every fault.
fn walk(case: &str, memory: &impl PhysReader) -> Vec<String> {
    let registers = registers(case);
    let value = |name| register(&registers, name);
    let unit = Unit::new(Rtaddr(value("RTADDR")))
        .unwrap()
        .with_capabilities(Some(Cap(value("CAP"))), Some(Ecap(value("ECAP"))))
        .with_host_address_width(Some(48));
    let mut scratch = Scratch::new();
    let text = |range: Result<_, _>| match range {
        Ok(range) => format!("{range}"),
        Err(fault) => format!("fault: {fault}"),
    };
    let walked = unit.ranges(memory, &mut scratch).map(text).collect::<Vec<_>>();
    assert!(!walked.is_empty());
    walked
}

fn read(memory: &impl PhysReader, addr: u64) -> Result<Page, ReadErrorKind> {
    let mut page = Page::ZERO.clone();
    memory.read_page(PhysAddr(addr), &mut page).map(|()| page).map_err(|error| error.kind)
}

fn sources(memory: &Memory) -> Vec<String> {
    memory.sources().iter().map(|source| source.path().file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_capture_walks_the_same_out_of_kcore() {
    for case in ["legacy-48", "legacy-pt", "vfio-48", "intremap", "scalable", "scalable-first-stage", "kdump-on"] {
        let (machine, image) = running(case);
        let memory = memory(&machine);
        assert_eq!(sources(&memory), ["kcore"], "{case}");
        assert!(ranges(&memory).eq(ranges(&image)), "{case}");
        assert_eq!(walk(case, &memory), walk(case, &image), "{case}");
        for range in ranges(&image) {
            for addr in (range.first().0..=range.last().0).step_by(4096) {
                assert!(memory.lend_page(PhysAddr(addr)).is_none(), "live memory is never lent");
                assert_eq!(read(&memory, addr).unwrap().words(), read(&image, addr).unwrap().words(), "{addr:#x}");
            }
        }
    }
}

#[test]
fn a_capture_kernel_needs_its_own_memory_and_the_old_one() {
    let (machine, image) = capture_kernel();
    let both = memory(&machine);
    assert_eq!(sources(&both), ["kcore", "vmcore"]);
    let whole = walk("kdump-on", &image);
    assert!(whole.len() > 300 && !whole.iter().any(|line| line.starts_with("fault")));
    assert_eq!(walk("kdump-on", &both), whole);
    for missing in ["proc/vmcore", "proc/kcore"] {
        let (machine, _) = capture_kernel();
        std::fs::remove_file(machine.path(missing)).unwrap();
        let walked = walk("kdump-on", &memory(&machine));
        assert!(walked.iter().any(|line| line.contains("a hole")), "without {missing}: {walked:?}");
    }
}

/// What the hardware sees is what the running kernel has.
#[test]
fn the_running_kernel_comes_first_where_both_have_a_page() {
    let machine = Machine::new();
    machine.kcore(&[(0x5000, vec![1; 0x1000])]);
    machine.copy_of(&open(capture("kdump-on/vmcore.elf.xz")).unwrap(), "proc/vmcore");
    std::fs::rename(machine.path("proc/kcore"), machine.path("proc/first")).unwrap();
    machine.kcore(&[(0x5000, vec![2; 0x1000]), (0x9000, vec![3; 0x1000])]);
    let paths = Paths { vmcore: machine.path("proc/first"), ..Paths::in_folder(machine.folder()) };
    let memory = Memory::open(&paths).unwrap();
    assert_eq!(sources(&memory), ["kcore", "first"]);
    assert_eq!(read(&memory, 0x5000).unwrap().word(7), 0x0202_0202_0202_0202);
    let mut page = Page::ZERO.clone();
    assert!(memory.read_from(PhysAddr(0x9000), &mut page).unwrap().path().ends_with("kcore"));
    let all: Vec<_> = ranges(&memory).collect();
    let range = |first, last| PhysRange::new(PhysAddr(first), PhysAddr(last)).unwrap();
    assert_eq!(all, [range(0x5000, 0x5fff), range(0x9000, 0x9fff)]);
}

/// That one source has no such page must not hide that another one has it and fails.
#[test]
fn a_page_that_can_not_be_delivered_is_no_hole() {
    let (machine, image) = capture_kernel();
    let cut = machine.file("proc/vmcore");
    let whole = cut.metadata().unwrap().len();
    cut.set_len(whole - 0x1000).unwrap();
    let memory = memory(&machine);
    let old = parts(&image, 0, CRASH_KERNEL.0);
    let last = open(capture("kdump-on/vmcore.elf.xz")).unwrap();
    let last = ranges(&last).last().unwrap().last();
    assert!(old.iter().any(|(addr, _)| *addr < last.0));
    assert_eq!(read(&memory, last.0).err(), Some(ReadErrorKind::Io(0)));
    assert_eq!(read(&memory, 0x7000_0000).err(), Some(ReadErrorKind::Hole));
}

#[test]
fn a_page_that_each_source_has_and_none_can_deliver_fails_as_in_the_first() {
    let machine = Machine::new();
    for name in ["proc/first", "proc/second"] {
        machine.kcore(&[(0x5000, vec![1; 0x1000]), (0x9000, vec![2; 0x1000])]);
        std::fs::rename(machine.path("proc/kcore"), machine.path(name)).unwrap();
        let file = machine.file(name);
        file.set_len(file.metadata().unwrap().len() - 0x800).unwrap();
    }
    let [kcore, vmcore] = ["proc/first", "proc/second"].map(|name| machine.path(name));
    let memory = Memory::open(&Paths { kcore, vmcore, ..Paths::in_folder(machine.folder()) }).unwrap();
    assert_eq!(sources(&memory), ["first", "second"]);
    let read = [0x5000, 0x9000].map(|addr| read(&memory, addr).map(|page| page.word(0)));
    assert_eq!(read, [Err(ReadErrorKind::Io(0)), Ok(0x0202_0202_0202_0202)]);
}

#[test]
fn devmem_serves_where_nothing_else_does() {
    let image = open(capture("vfio-48/mem.lime.xz")).unwrap();
    let machine = Machine::new();
    machine.unit("vfio-48");
    machine.mem(&parts(&image, 0, u64::MAX));
    let memory = memory(&machine);
    assert_eq!(sources(&memory), ["mem"]);
    assert!(memory.vmcoreinfo().is_none(), "it is in no note of that file");
    assert!(ranges(&memory).eq(ranges(&image)));
    assert_eq!(walk("vfio-48", &memory), walk("vfio-48", &image));
    // The registers are in that file too, and must not be read as memory.
    assert_eq!(read(&memory, 0xfed9_0000).err(), Some(ReadErrorKind::Hole));
    let reasons: Vec<String> = memory.refused().iter().map(ToString::to_string).collect();
    assert!(reasons.len() == 2 && reasons[1].contains("no capture kernel"), "{reasons:?}");
}

#[test]
fn each_source_that_is_not_there_says_why() {
    let machine = Machine::new();
    let error = Memory::open(&Paths::in_folder(machine.folder())).unwrap_err();
    assert_eq!(error.0.len(), 3);
    let message = error.to_string();
    for expected in ["proc/kcore: ", "CONFIG_PROC_KCORE", "proc/vmcore: ", "no capture kernel", "dev/mem: "] {
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(message.lines().count(), 1);
}

/// Without CAP_SYS_ADMIN every address in /proc/iomem is 0.
#[test]
fn devmem_is_not_used_where_memory_is_not_known() {
    let machine = Machine::new();
    machine.mem(&[(0x10_0000, vec![1; 0x1000])]);
    assert_eq!(sources(&memory(&machine)), ["mem"]);
    for iomem in ["00000000-00000000 : System RAM\n", "", "00100000-00100fff : Reserved\nnonsense\n-:\n"] {
        std::fs::write(machine.path("proc/iomem"), iomem).unwrap();
        let error = Memory::open(&Paths::in_folder(machine.folder())).unwrap_err();
        assert!(matches!(error.0[2].kind, ErrorKind::NoSystemRam), "{error}");
        assert!(error.0[2].path.ends_with("proc/iomem"));
    }
}
