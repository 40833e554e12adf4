//! Intel VT-d, first stage: "First-Stage Paging Entries".

use crate::Case;
use crate::twin::{Bit, Twin};
use iopt::format::{FirstStage, FirstStageRules};

struct FirstStageTwin {
    levels: u8,
    rules: FirstStageRules,
}

impl Twin for FirstStageTwin {
    fn levels(&self) -> u8 {
        self.levels
    }

    fn input_bits(&self) -> u32 {
        if self.levels == 4 { 48 } else { 57 }
    }

    fn signed(&self) -> bool {
        true
    }

    fn has_leaves(&self, level: u8) -> bool {
        match level {
            1 | 2 => true,
            3 => self.rules.pages_1g != Some(false),
            _ => false,
        }
    }

    fn bit(&self, level: u8, leaf: bool, bit: u32) -> Bit {
        let haw = self.rules.host_address_width.map_or(52, u32::from);
        match bit {
            1 if self.rules.supervisor && !self.rules.write_protect => Bit::Ignored,
            2 if self.rules.supervisor => Bit::Ignored,
            0..=2 => Bit::Access,
            3 | 4 if leaf => Bit::Attribute,
            7 if level == 1 => Bit::Attribute,
            7 if self.has_leaves(level) => Bit::Leaf,
            7 => Bit::Reserved,
            3..=11 => Bit::Ignored,
            12 if leaf && level > 1 => Bit::Attribute,
            13..=20 if leaf && level == 2 => Bit::Reserved,
            13..=29 if leaf && level == 3 => Bit::Reserved,
            12..=51 if bit < haw => Bit::Address,
            12..=51 => Bit::Reserved,
            63 if self.rules.execute_disable == Some(false) => Bit::Reserved,
            _ => Bit::Ignored,
        }
    }

    fn present(&self, raw: u64) -> bool {
        raw & 1 == 1
    }

    fn is_leaf(&self, level: u8, raw: u64) -> bool {
        level == 1 || self.has_leaves(level) && raw >> 7 & 1 == 1
    }

    fn permissions(&self, raw: u64) -> (bool, bool) {
        let [present, write, user] = [0, 1, 2].map(|bit| raw >> bit & 1 == 1);
        match (self.rules.supervisor, self.rules.write_protect) {
            (false, _) => (present && user, present && user && write),
            (true, true) => (present, present && write),
            (true, false) => (present, present),
        }
    }

    fn attributes(&self, level: u8, raw: u64) -> u64 {
        let pat = if level == 1 { raw >> 7 & 1 } else { raw >> 12 & 1 };
        raw & 0x18 | pat << 7
    }
}

fn case(levels: u8, rules: FirstStageRules) -> Case<FirstStage> {
    Case {
        name: format!("first stage, {levels} levels, {rules:?}"),
        format: FirstStage::new(levels, &rules).unwrap(),
        twin: Box::new(FirstStageTwin { levels, rules }),
    }
}

/// For a host of this many bits.
pub fn on_host(width: u8) -> Case<FirstStage> {
    case(5, FirstStageRules { host_address_width: Some(width), ..FirstStageRules::default() })
}

pub fn cases() -> Vec<Case<FirstStage>> {
    let unknown = FirstStageRules::default();
    let least = FirstStageRules {
        host_address_width: Some(39),
        pages_1g: Some(false),
        execute_disable: Some(false),
        ..unknown
    };
    let most = FirstStageRules {
        host_address_width: Some(46),
        pages_1g: Some(true),
        execute_disable: Some(true),
        extended_accessed: Some(true),
        write_protect: true,
        ..unknown
    };
    let supervisor = FirstStageRules { supervisor: true, ..unknown };
    let protected = FirstStageRules { write_protect: true, ..supervisor };
    let mut cases = Vec::new();
    for levels in [4, 5] {
        for rules in [unknown, least, most, supervisor, protected] {
            cases.push(case(levels, rules));
        }
    }
    cases
}
