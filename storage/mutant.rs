//! Deliberate faults, in builds made for testing the tests: the power cuts of `tests/durability.rs`, the
//! kills of `storage/tests/kill.rs`, the comparison of masters in `tests/membership.rs` or the first start in
//! `tests/bootstrap.rs` must find them.
//! `KEELSON_MUTANT` names one; without the feature `mutants` there are none, and [`check`] says so.

/// Names the fault that a process is to have.
const VARIABLE: &str = "KEELSON_MUTANT";

/// Whether the process has the fault that it is to have, if any.
///
/// # Errors
/// When it is to have one and was built without any: whoever waits for the fault would wait in vain.
pub fn check() -> Result<(), String> {
    match std::env::var(VARIABLE) {
        Ok(name) if !cfg!(feature = "mutants") => Err(format!(
            "{VARIABLE}={name} asks for a fault, and this program was built without any: build it with \
             --features storage/mutants, or unset {VARIABLE}"
        )),
        _ => Ok(()),
    }
}

/// `no-fsync`: a sync of the log writes nothing to disk.
pub(crate) fn skips_sync() -> bool {
    is_on("no-fsync")
}

/// `ack-before-flush`: appends are acknowledged first and synced with later ones. For whoever completes
/// appends.
pub fn acknowledges_early() -> bool {
    is_on("ack-before-flush")
}

/// `no-write`: a sync of the log leaves what was appended in the memory of the process.
pub(crate) fn keeps_log_in_memory() -> bool {
    is_on("no-write")
}

/// `no-flush`: a flush of the version store leaves what was written in the memory of the process.
pub(crate) fn keeps_versions_in_memory() -> bool {
    is_on("no-flush")
}

/// `diverge`: apply gives entries another time, and so State other objects. For whoever applies.
pub fn diverges() -> bool {
    is_on("diverge")
}

/// `panic`: apply panics. For whoever applies.
pub fn panics() -> bool {
    is_on("panic")
}

fn is_on(name: &str) -> bool {
    cfg!(feature = "mutants") && std::env::var_os(VARIABLE).is_some_and(|mutant| mutant == name)
}
