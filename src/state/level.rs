//! Feature levels: what apply and the builders do differently since when.
//!
//! Whatever changes an outcome or a byte of State is a row of [`LEVELS`]. State begins at the first
//! level; an entry raises it once every member knows the new one ([`crate::Write::FeatureLevel`]), and
//! the behaviour of older levels stays as long as a log or snapshot may need it.

/// What one level brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Level {
    /// Its number, from 1.
    pub number: u32,
    /// What it brought, for humans.
    pub brought: &'static str,
    /// Whether each applied entry is folded into a digest of the whole history, which is part of the
    /// hash. Without it, masters that differed once are found equal again as soon as the differing
    /// object was overwritten.
    pub(crate) folds_history: bool,
}

/// The levels that a program knows, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Levels(&'static [Level]);

/// The levels that this program knows.
pub const LEVELS: Levels = Levels(&[
    Level { number: 1, brought: "objects, guards, counters, remembered outcomes", folds_history: false },
    Level { number: 2, brought: "a digest of the whole history in the state hash", folds_history: true },
]);

/// The level of an empty State.
pub const FEATURE_LEVEL_FIRST: u32 = 1;
/// The newest level that this program knows: what a member advertises.
pub const FEATURE_LEVEL_MAX: u32 = 2;

impl Levels {
    /// Those up to `number`, as an older program knows them.
    pub fn up_to(self, number: u32) -> Self {
        let known = self.0.iter().take_while(|level| level.number <= number).count();
        Self(&self.0[..known.max(1)])
    }

    /// The number of the newest.
    pub fn newest(self) -> u32 {
        self.0.last().map_or(FEATURE_LEVEL_FIRST, |level| level.number)
    }

    /// All of them.
    pub fn rows(self) -> &'static [Level] {
        self.0
    }

    /// The level `number`. Decoding refuses entries and images above the newest, so there is one.
    pub(crate) fn of(self, number: u32) -> &'static Level {
        self.0.iter().rev().find(|level| level.number <= number).unwrap_or(&self.0[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_numbered_without_a_hole() {
        let numbers: Vec<u32> = LEVELS.rows().iter().map(|level| level.number).collect();
        assert_eq!(numbers, (FEATURE_LEVEL_FIRST..=FEATURE_LEVEL_MAX).collect::<Vec<_>>());
        assert_eq!((LEVELS.newest(), LEVELS.up_to(1).newest()), (FEATURE_LEVEL_MAX, 1));
        assert_eq!((LEVELS.of(1).number, LEVELS.of(2).number), (1, 2));
    }
}
