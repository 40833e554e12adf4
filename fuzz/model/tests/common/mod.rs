//! What the tests of seeded programs share.

use iopt_model::{Bad, Leaf, random_bytes};

/// Room for nearly every program.
pub const SLOTS: usize = 256;

/// Addresses worth a request: about the ends of some leaves, at bad entries, and anywhere.
pub fn probes(seed: u64, leaves: &[Leaf], bad: &[Bad]) -> Vec<u64> {
    let mut probes = vec![0, 0xfee0_0000, 1 << 39, 1 << 48, 1 << 57, u64::MAX];
    for leaf in leaves.iter().step_by(1 + leaves.len() / 60) {
        let last = leaf.iova + (leaf.size - 1);
        probes.extend([leaf.iova, last, leaf.iova.wrapping_sub(1), last.wrapping_add(1)]);
    }
    for bad in bad.iter().step_by(1 + bad.len() / 60) {
        probes.extend([bad.iova, bad.iova.wrapping_sub(1)]);
    }
    for bytes in random_bytes(seed, 160).chunks_exact(8) {
        let any = u64::from_le_bytes(bytes.try_into().unwrap());
        probes.extend([any, any >> 16, any >> 25, any >> 40]);
    }
    probes
}
