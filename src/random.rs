//! Random draws that are the same on every machine.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

pub struct Random(ChaCha8Rng);

impl Random {
    /// A stream of its own for each purpose under one seed.
    pub fn new(seed: u64, purpose: &str) -> Random {
        // FNV-1a
        let hash =
            purpose.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Random(ChaCha8Rng::seed_from_u64(seed ^ hash))
    }

    /// Evenly from 0 to `end`, which is left out and at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        // What would favour the first numbers is drawn again.
        let zone = u64::MAX - u64::MAX % end;
        loop {
            let drawn = self.0.next_u64();
            if drawn < zone {
                return (drawn % end) as usize;
            }
        }
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.below(last + 1);
            list.swap(last, other);
        }
    }

    /// So many characters of an alphabet.
    pub fn letters(&mut self, alphabet: &str, count: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..count).map(|_| *self.pick(&alphabet)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_and_cover_their_range() {
        let draw = |purpose: &str| {
            let mut random = Random::new(42, purpose);
            (0..200).map(|_| random.below(7)).collect::<Vec<_>>()
        };
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
        assert!((0..7).all(|value| draw("a").contains(&value)) && draw("a").iter().all(|value| *value < 7));
        let mut list: Vec<usize> = (0..50).collect();
        Random::new(1, "c").shuffle(&mut list);
        assert!(!list.is_sorted());
        list.sort_unstable();
        assert_eq!(list, (0..50).collect::<Vec<_>>());
    }
}
