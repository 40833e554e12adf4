/// Knuth's linear congruential generator.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Words, of which the first of the vocabulary are the commonest.
pub fn text(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut word = || (0..2 + random.below(8)).map(|_| 97 + random.below(26) as u8).collect();
    let vocabulary: Vec<Vec<u8>> = (0..200).map(|_| word()).collect();
    let mut text = Vec::new();
    while text.len() < length {
        let (a, b) = (random.below(200), random.below(200));
        text.extend(&vocabulary[a.min(b) as usize]);
        text.push(b' ');
    }
    text.truncate(length);
    text
}

pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..length).map(|_| random.below(256) as u8).collect()
}

/// What the fixtures hold.
pub fn sample() -> Vec<u8> {
    let first = text(16000, 1);
    let parts = [&first, &noise(1500, 2), &vec![0; 20000], &text(6000, 3), &b"ab".repeat(3000)];
    [&parts.map(|part| &part[..]).concat(), &first[..6000], &noise(700, 4)].concat()
}

/// By the real tool.
pub const FIXTURES: [&[u8]; 3] = [
    include_bytes!("../fixtures/zstd/level-22.zst"),
    include_bytes!("../fixtures/zstd/window-4k.zst"),
    include_bytes!("../fixtures/zstd/window-1k.zst"),
];
