//! Intel VT-d, second stage: "Second-Stage Paging Entries".

use crate::Case;
use crate::twin::{Bit, Twin};
use iopt::format::{SecondStage, SecondStageRules};

struct SecondStageTwin {
    levels: u8,
    rules: SecondStageRules,
}

impl Twin for SecondStageTwin {
    fn levels(&self) -> u8 {
        self.levels
    }

    fn input_bits(&self) -> u32 {
        [30, 39, 48, 57, 64][usize::from(self.levels) - 2]
    }

    fn signed(&self) -> bool {
        false
    }

    fn has_leaves(&self, level: u8) -> bool {
        match level {
            1 => true,
            2 => self.rules.pages_2m != Some(false),
            3 => self.rules.pages_1g != Some(false),
            _ => false,
        }
    }

    fn bit(&self, level: u8, leaf: bool, bit: u32) -> Bit {
        let haw = self.rules.host_address_width.map_or(52, u32::from);
        match bit {
            0 | 1 => Bit::Access,
            7 if level == 1 => Bit::Ignored,
            7 if self.has_leaves(level) => Bit::Leaf,
            7 => Bit::Reserved,
            11 if leaf && self.rules.snoop_control != Some(false) => Bit::Attribute,
            11 => Bit::Reserved,
            2..=10 => Bit::Ignored,
            12..=20 if leaf && level == 2 => Bit::Reserved,
            12..=29 if leaf && level == 3 => Bit::Reserved,
            12..=51 if bit < haw => Bit::Address,
            12..=51 | 62 => Bit::Reserved,
            _ => Bit::Ignored,
        }
    }

    fn present(&self, raw: u64) -> bool {
        raw & 3 != 0
    }

    fn is_leaf(&self, level: u8, raw: u64) -> bool {
        level == 1 || self.has_leaves(level) && raw >> 7 & 1 == 1
    }

    fn permissions(&self, raw: u64) -> (bool, bool) {
        (raw & 1 == 1, raw >> 1 & 1 == 1)
    }

    fn attributes(&self, _: u8, raw: u64) -> u64 {
        if self.rules.snoop_control == Some(false) { 0 } else { raw & 1 << 11 }
    }
}

fn case(levels: u8, rules: SecondStageRules) -> Case<SecondStage> {
    Case {
        name: format!("second stage, {levels} levels, {rules:?}"),
        format: SecondStage::new(levels, &rules).unwrap(),
        twin: Box::new(SecondStageTwin { levels, rules }),
    }
}

/// For a host of this many bits.
pub fn on_host(width: u8) -> Case<SecondStage> {
    case(5, SecondStageRules { host_address_width: Some(width), ..SecondStageRules::default() })
}

pub fn cases() -> Vec<Case<SecondStage>> {
    let unknown = SecondStageRules::default();
    let least = SecondStageRules {
        host_address_width: Some(39),
        pages_2m: Some(false),
        pages_1g: Some(false),
        snoop_control: Some(false),
    };
    let most = SecondStageRules {
        host_address_width: Some(46),
        pages_2m: Some(true),
        pages_1g: Some(true),
        snoop_control: Some(true),
    };
    let mut cases = Vec::new();
    for levels in 2..=6 {
        for rules in [unknown, least, most] {
            cases.push(case(levels, rules));
        }
    }
    cases
}
