use super::Leaf;

/// Leaves that follow each other, as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub iova: u64,
    /// The last address, inclusive.
    pub last: u64,
    /// Where the first byte is in host memory; `None` if the range is in more than one piece there.
    pub phys: Option<u64>,
    /// Whether it may be read.
    pub read: bool,
    /// Whether it may be written.
    pub write: bool,
    /// The memory attributes of its leaves.
    pub attributes: u64,
}

/// Joins leaves, which come by ascending IOVA, into the fewest ranges.
///
/// Two leaves of whatever sizes join if the second starts where the first ends and their permissions and
/// memory attributes are equal. Their host addresses must be consecutive too, unless `by_iova_only`.
pub fn ranges(leaves: &[Leaf], by_iova_only: bool) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::new();
    for leaf in leaves {
        let last = leaf.iova + (leaf.size - 1);
        if let Some(range) = joined.last_mut() {
            // No address follows the last one of a 64-bit space, so nothing joins it.
            let follows = range.last.checked_add(1) == Some(leaf.iova);
            let alike = (range.read, range.write, range.attributes) == (leaf.read, leaf.write, leaf.attributes);
            let one_piece = range.phys.is_some_and(|phys| phys + (range.last - range.iova) + 1 == leaf.phys);
            if follows && alike && (one_piece || by_iova_only) {
                range.last = last;
                if !one_piece {
                    range.phys = None;
                }
                continue;
            }
        }
        let Leaf { iova, phys, read, write, attributes, .. } = *leaf;
        joined.push(Range { iova, last, phys: Some(phys), read, write, attributes });
    }
    joined
}
