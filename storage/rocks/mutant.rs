//! Deliberate faults, in builds made for testing the tests.

/// Whether syncs must be skipped: `KEELSON_MUTANT=no-fsync` in a build with the feature `mutants`.
#[cfg(feature = "mutants")]
pub(super) fn skips_sync() -> bool {
    std::env::var_os("KEELSON_MUTANT").is_some_and(|mutant| mutant == "no-fsync")
}

/// Never, in this build.
#[cfg(not(feature = "mutants"))]
pub(super) fn skips_sync() -> bool {
    false
}
