//! Seeded draws: the same sequence on every machine and in every release.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Any number; another one is another company.
const SEED: u64 = 20_250_101;

/// One stream of draws. Each table has a stream of its own, so that a change to one table leaves the
/// rows of the others as they were.
///
/// Every draw takes one 32-bit word and is computed here with integers only: distributions of
/// libraries may change their algorithm, and floating-point functions differ between platforms.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub(super) fn of_stream(stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        random.set_stream(stream);
        Self(random)
    }

    /// A number in `0..bound`; `bound` is at most 2^32.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound <= 1 << 32, "one word can't reach {bound}");
        (u64::from(self.0.next_u32()) * bound) >> 32
    }

    /// A number in `low..=high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::from_le_bytes(self.below(high.abs_diff(low) + 1).to_le_bytes())
    }

    /// True in so many of 10,000 cases.
    pub(super) fn chance(&mut self, of_10_000: u64) -> bool {
        self.below(10_000) < of_10_000
    }

    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// A position in a list of so many, each as likely.
    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// A position in `weights`, as likely as its weight says.
    pub(super) fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        weights
            .iter()
            .position(|weight| match left.checked_sub(*weight) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            })
            .unwrap_or(0)
    }
}
