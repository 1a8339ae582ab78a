//! How a process ends: a master whose core has failed must not serve on, and no end may get stuck.

use std::panic::PanicHookInfo;
use std::time::Duration;

use base::env;

/// Exit code after a panic in a core thread. Rust's own code for a panicked main thread.
pub const PANIC_EXIT_CODE: i32 = 101;
/// Exit code after any other failure.
pub const FAILURE_EXIT_CODE: i32 = 1;
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

/// Ends the process after `limit` if nothing else does before: saying why may wait for a disk that hangs.
pub fn leave_within(limit: Duration) {
    // Without a thread the process ends as soon as it has said why.
    let _ = env::thread("leave", move || {
        std::thread::sleep(limit);
        leave(FAILURE_EXIT_CODE)
    });
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

    /// Names to a child the thread that panics there.
    const PANICKING: &str = "KEELSON_TEST_PANICKING";

    /// Exit code of a child that outlived the panic.
    const OUTLIVED: i32 = 42;

    /// The test starts its own executable again as the process that may end.
    #[test]
    fn a_panic_in_a_core_thread_ends_the_process_and_another_does_not() {
        if let Ok(thread) = std::env::var(PANICKING) {
            exit_on_core_panic();
            let panicking = base::env::thread(&thread, || panic!("on purpose"));
            let _panicked = panicking.expect("a thread").join();
            leave(OUTLIVED);
        }
        let this = std::env::current_exe().expect("this executable");
        for (thread, code) in
            [("raft", PANIC_EXIT_CODE), ("raft-flusher", PANIC_EXIT_CODE), ("api", OUTLIVED)]
        {
            let child = std::process::Command::new(&this)
                .args(["a_panic_in_a_core_thread_ends_the_process_and_another_does_not", "--nocapture"])
                .env(PANICKING, thread)
                .output()
                .expect("a child");
            let told = String::from_utf8_lossy(&child.stderr);
            assert_eq!(child.status.code(), Some(code), "{thread}: {told}");
            // A failed test has the same exit code.
            assert!(told.contains(&format!("thread '{thread}'")) && told.contains("on purpose"), "{told}");
        }
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow::anyhow!("no such file").context("reading x: no such file").context("starting");
        assert_eq!(chain(&error), "starting: reading x: no such file");
    }
}
