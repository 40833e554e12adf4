//! Every device, and the entries that lead to it.

use crate::walked::{Walk, Walked};
use crate::{Capture, FIRST_STAGE, SECOND_STAGE, VFIO, Way, number, words};
use iopt::memory::Page;
use iopt::vtd::{AddressSpace, Cause, Device, DeviceEntries, FaultReason, Structure, TranslationType};
use iopt::{Access, Iova, Pasid, PhysAddr, Requester};
use serde_json::{Value, json};

#[test]
fn every_device_is_found_with_its_entries() {
    Capture::each(|way| {
        let walk = Walk::whole(way);
        assert!(!way.devices().is_empty());
        assert_eq!(walk.devices.len(), way.devices().len(), "{}", way.name);
        for (walked, expected) in walk.devices.iter().zip(way.devices()) {
            compare(way, walked, expected);
        }
    });
}

fn compare(way: &Way<'_>, walked: &Walked, expected: &Value) {
    let name = format!("{}: {expected}", way.name);
    let device = &walked.device;
    assert_eq!(expected["bdf"], device.source_id.to_string(), "{name}");
    assert_eq!(expected["domain_id"], device.domain().unwrap().0, "{name}");
    assert_eq!(expected["fault_disable"], u8::from(device.fault_disabled()), "{name}");
    assert_eq!(device.entries.root(), words(&expected["root_entry"]), "{name}");
    assert_eq!(device.entries.context(), words(&expected["context_entry"]), "{name}");
    assert_eq!(device.root_table.0, number(&way.expected["table_pages"]["root"][0]), "{name}");

    let (translation, levels) = match &device.entries {
        DeviceEntries::Legacy { context, .. } => {
            assert_eq!((device.pasid, device.with_pasid), (None, false), "{name}");
            assert_eq!(way.expected["mode"], "legacy");
            (legacy_translation(device, context.translation_type()), context.address_width() + 2)
        }
        DeviceEntries::Scalable { context, pasid, .. } => {
            assert_eq!(way.expected["mode"], "scalable");
            let rid_pasid = expected["rid_pasid"].as_u64().unwrap();
            assert_eq!(u64::from(context.rid_pasid().0), rid_pasid, "{name}");
            assert_eq!(expected["pasid"], device.pasid.unwrap().0, "{name}");
            assert_eq!(device.with_pasid, expected["pasid"] != rid_pasid, "{name}");
            assert_eq!(expected["device_tlb"], u8::from(device.device_tlb()), "{name}");
            assert_eq!(words(&expected["pasid_entry"]), pasid.unwrap().words().into(), "{name}");
            scalable_translation(&device.space)
        }
    };
    assert_eq!(expected["translation"], translation, "{name}");
    assert_eq!(expected["levels"], levels, "{name}");

    assert_eq!(expected["page_table"], json!(walked.key()), "{name}");
    let root = match &device.space {
        AddressSpace::SecondStage(space) => Some(space.root),
        AddressSpace::FirstStage(space) => Some(space.root),
        _ => None,
    };
    assert_eq!(root, way.page_table(expected).map(|table| PhysAddr(number(&table["pt"]))), "{name}");
}

fn legacy_translation(device: &Device, translation: TranslationType) -> &'static str {
    assert_eq!(device.device_tlb(), translation == TranslationType::DeviceTlb);
    match translation {
        TranslationType::Untranslated => "second-level",
        TranslationType::DeviceTlb => "second-level+device-tlb",
        TranslationType::PassThrough => "pass-through",
        TranslationType::Reserved => "reserved",
    }
}

fn scalable_translation(space: &AddressSpace) -> (&'static str, u8) {
    match space {
        AddressSpace::SecondStage(space) => ("second-level", space.levels()),
        AddressSpace::FirstStage(space) => ("first-level", space.levels()),
        other => panic!("{other:?}"),
    }
}

/// A look-up comes to the same devices as a walk; there is nothing for any other source-id.
#[test]
fn every_source_id_leads_to_its_device_or_to_none() {
    for capture in [VFIO, SECOND_STAGE, FIRST_STAGE] {
        capture.ways(|way| {
            let walk = Walk::whole(way);
            let mut walked = walk.devices.iter().map(|walked| walked.device).peekable();
            let mut copy = Page::ZERO;
            for source_id in (0..=u16::MAX).map(iopt::SourceId) {
                let listed = walked.next_if(|device| device.source_id == source_id);
                let found = way.unit.device(&way.reader, source_id, &mut copy, |_| ());
                assert_eq!(found.ok(), listed, "{}: {source_id}", way.name);
            }
            assert!(walked.next().is_none());
        });
    }
}

/// The devices of these captures have PASIDE = 0; those in legacy mode could not have it.
#[test]
fn requests_with_a_pasid_are_refused() {
    for (capture, scalable) in [(VFIO, false), (SECOND_STAGE, true), (FIRST_STAGE, true)] {
        capture.ways(|way| {
            let mut copy = Page::ZERO;
            for Walked { device, .. } in Walk::whole(way).devices {
                let requester = Requester { source_id: device.source_id, pasid: Some(Pasid(0)) };
                let fault =
                    way.unit.translate(&way.reader, requester, Iova(0), Access::Read, &mut copy, |_| ()).unwrap_err();
                let (reason, cause, structure) = if scalable {
                    (FaultReason::ScalablePasidDisabled, Cause::PasidDisabled, Structure::Context)
                } else {
                    (FaultReason::RootAddressPasidRequest, Cause::PasidInLegacyMode, Structure::Root)
                };
                assert_eq!((fault.reason, fault.cause), (Some(reason), cause), "{fault}");
                assert_eq!((fault.place.structure, fault.place.pasid), (structure, Some(Pasid(0))), "{fault}");
            }
        });
    }
}
