//! Translations: refused at the entry that leads to the page.

use super::{Broken, KINDS, is_told, unreadable};
use crate::Capture;
use crate::walked::{Walk, Walked};
use iopt::memory::{Failing, Page, ReadErrorKind};
use iopt::radix::Translation;
use iopt::vtd::{Fault, PathEntry, Place, Structure};
use iopt::{Access, Iova, PhysAddr, SourceId};

/// Mapped addresses of a device, in as many of its tables as can be, and some that are not mapped.
fn addresses(walked: &Walked) -> Vec<Iova> {
    let tables = walked.tables.iter().map(|table| table.iova);
    let stride = walked.leaves.len() / 8 + 1;
    let leaves = walked.leaves.iter().step_by(stride).chain(walked.leaves.last()).map(|leaf| leaf.iova);
    tables.chain(leaves).chain([Iova(0x7000_0000_0000)]).collect()
}

/// Translates, and tells what it went through and what was read.
fn translate(
    broken: &Broken<'_>,
    source_id: SourceId,
    iova: Iova,
) -> (Result<Translation, Fault>, Vec<PathEntry>, Vec<PhysAddr>) {
    let (mut copy, mut path) = (Page::ZERO, Vec::new());
    let (unit, reader) = (broken.way.unit, broken.reader());
    let found = unit.translate(&reader, source_id, iova, Access::Read, &mut copy, |entry| path.push(entry));
    (found, path, broken.asked())
}

/// What is told when the table of the entry behind `before` is not there.
fn told(
    walked: &Walked,
    iova: Iova,
    before: &[PathEntry],
    lost: &PathEntry,
    addr: PhysAddr,
    kind: ReadErrorKind,
) -> Fault {
    let scalable = walked.device.pasid.is_some();
    let code = match (lost.structure, before.last().map(|parent| parent.structure)) {
        (Structure::Root, _) => [0x08, 0x38][usize::from(scalable)],
        (Structure::Context, _) => [0x09, 0x40][usize::from(scalable)],
        (Structure::PasidDirectory, _) => 0x50,
        (Structure::PasidTable, _) => 0x58,
        (Structure::FirstStage(_), Some(Structure::PasidTable)) => 0x73,
        (Structure::FirstStage(_), _) => 0x70,
        (Structure::SecondStage(_), Some(Structure::PasidTable)) => 0x7b,
        (Structure::SecondStage(_), Some(Structure::Context)) => 0x03,
        (Structure::SecondStage(_), _) => [0x07, 0x78][usize::from(scalable)],
    };
    let source_id = Some(walked.device.source_id);
    let (structure, table, index, entry) = match before.last() {
        None => (Structure::Root, lost.table, walked.device.source_id.bus().into(), None),
        Some(PathEntry { structure, table, index, entry }) => (*structure, *table, *index, Some(*entry)),
    };
    let of_pasid = !matches!(structure, Structure::Root | Structure::Context);
    let pasid = walked.device.pasid.filter(|_| of_pasid);
    unreadable(code, addr, kind, Place { structure, table, index, entry, source_id, pasid, iova: Some(iova) })
}

#[test]
fn a_translation_is_refused_at_the_entry_that_leads_to_the_page() {
    let mut refused = 0;
    Capture::each(|way| {
        for walked in &Walk::whole(way).devices {
            let source_id = walked.device.source_id;
            for iova in addresses(walked) {
                let (whole, path, reads) = translate(&Broken::whole(way), source_id, iova);
                assert_eq!(reads.len(), path.len(), "each entry is fetched once");
                for (kind, (number, (lost, addr))) in
                    KINDS.into_iter().flat_map(|kind| path.iter().zip(&reads).enumerate().map(move |at| (kind, at)))
                {
                    let (found, before, asked) = translate(&Broken::at(way, number, kind), source_id, iova);
                    let expected = told(walked, iova, &path[..number], lost, *addr, kind);
                    assert_eq!(found, Err(expected), "{}: {source_id} {iova}", way.name);
                    assert_eq!((&before[..], &asked[..]), (&path[..number], &reads[..=number]), "{}", way.name);
                    refused += 1;
                }
                let retried = translate(&Broken::whole(way), source_id, iova);
                assert_eq!(retried, (whole, path, reads), "{}", way.name);
            }
        }
    });
    assert_eq!(refused, 80_712);
}

/// Many at once, of which the paths of some lead through the page.
#[test]
fn of_many_translations_those_are_refused_whose_path_has_the_page() {
    Capture::each(|way| {
        for walked in &Walk::whole(way).devices {
            let (device, iovas, mut copy) = (&walked.device, addresses(walked), Page::ZERO);
            let whole: Vec<_> = iovas
                .iter()
                .map(|iova| {
                    let mut path = Vec::new();
                    let visit = |entry: PathEntry| path.push(entry.table);
                    (device.translate(&way.reader, *iova, Access::Read, &mut copy, visit), path)
                })
                .collect();
            for (lost, kind) in walked.tables.iter().flat_map(|lost| KINDS.map(|kind| (lost.addr, kind))) {
                let reader = Failing::new(&way.reader, |_, addr: PhysAddr| (addr == lost).then_some(kind));
                let mut left = iovas.len();
                device.translate_all(&reader, &iovas, Access::Read, &mut copy, |at, found| {
                    let name = format!("{}: {} {} without {lost}", way.name, device.source_id, iovas[at]);
                    match &whole[at] {
                        (_, path) if path.contains(&lost) => {
                            let fault = found.unwrap_err();
                            assert!(is_told(way, &fault, Some(lost), kind), "{name}: {fault}");
                            assert_eq!(fault.place.iova, Some(iovas[at]), "{name}");
                        }
                        (whole, _) => assert_eq!(found, *whole, "{name}"),
                    }
                    left -= 1;
                });
                assert_eq!(left, 0, "{}", way.name);
            }
            way.reader.asked.take();
        }
    });
}
