//! How a process ends: a master whose core has failed must not serve on, and no end may get stuck.

use std::panic::PanicHookInfo;

/// Exit code after a panic in a core thread. Rust's own code for a panicked main thread.
pub const PANIC_EXIT_CODE: i32 = 101;
/// How the names of threads begin that a master cannot live without: Raft's runtime, which also applies, and
/// the log's flusher. What fails on an `api` thread is reported by its task ([`replica::Replica::failed`]).
const CORE_THREADS: &str = "raft";

/// Makes a panic in a core thread end the process, after the usual report. Elsewhere a panic ends only
/// the request or task it happened in.
pub fn exit_on_core_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        report(panic);
        if std::thread::current().name().is_some_and(is_core) {
            leave(PANIC_EXIT_CODE);
        }
    }));
}

/// Ends the process at once. The C library's exit handlers are left out: they would destroy locks that
/// RocksDB's threads still use. Nothing is lost by it, since what was acknowledged is on disk.
pub fn leave(code: i32) -> ! {
    // SAFETY: touches no memory and does not return.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(code)
    }
}

/// An error and its causes, each told once: some texts already end in their cause's.
pub fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told {
        told if told.is_empty() => cause,
        told if told.ends_with(&cause) => told,
        told => format!("{told}: {cause}"),
    })
}

fn is_core(thread: &str) -> bool {
    thread.starts_with(CORE_THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_threads_a_master_cannot_live_without() {
        for (thread, core) in [("raft", true), ("raft-flusher", true), ("api", false), ("main", false)] {
            assert_eq!(is_core(thread), core, "{thread}");
        }
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow::anyhow!("no such file").context("reading x: no such file").context("starting");
        assert_eq!(chain(&error), "starting: reading x: no such file");
    }
}
