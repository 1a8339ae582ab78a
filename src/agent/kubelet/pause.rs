//! The program that holds a pod's network: built here, loaded into the engine, never pulled.
//!
//! It blocks SIGINT, SIGTERM and SIGCHLD and waits for them in turn. A blocked signal reaches the first process of a
//! namespace too, which needs no handler then. On the first two it ends with code 0; on the third it takes the exit
//! codes of whatever ended, since it is the parent of orphans where the pod shares its process namespace.
//!
//! The instructions below are the whole program. They come from an assembler; the words beside them are its input.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// The image's name. A changed program is a new version: the engine keeps what it has under a name.
pub const IMAGE: &str = "keelson/pause:1";

/// Where the program stands in its image.
const PATH: &str = "pause";

/// A machine that the program is written for.
struct Machine {
    /// As images name it.
    name: &'static str,
    /// As ELF numbers it.
    elf: u16,
    code: &'static [&'static [u8]],
}

const X86_64: Machine = Machine {
    name: "amd64",
    elf: 62,
    code: &[
        &[0x68, 0x02, 0x40, 0x01, 0x00], // push 0x14002: signals 2, 15 and 17, as a set
        &[0x48, 0x89, 0xe6],             // mov rsi, rsp
        &[0x31, 0xff],                   // xor edi, edi: SIG_BLOCK
        &[0x31, 0xd2],                   // xor edx, edx: the old set is not wanted
        &[0x6a, 0x08, 0x41, 0x5a],       // push 8; pop r10: bytes of a set
        &[0x6a, 0x0e, 0x58],             // push 14; pop rax: rt_sigprocmask
        &[0x0f, 0x05],                   // syscall
        &[0x48, 0x89, 0xe7],             // wait: mov rdi, rsp
        &[0x31, 0xf6],                   // xor esi, esi: no details
        &[0x31, 0xd2],                   // xor edx, edx: no time limit
        &[0x6a, 0x08, 0x41, 0x5a],       // push 8; pop r10
        &[0xb8, 0x80, 0x00, 0x00, 0x00], // mov eax, 128: rt_sigtimedwait
        &[0x0f, 0x05],                   // syscall
        &[0x83, 0xf8, 0x02, 0x74, 0x20], // cmp eax, SIGINT; je exit
        &[0x83, 0xf8, 0x0f, 0x74, 0x1b], // cmp eax, SIGTERM; je exit
        &[0x83, 0xf8, 0x11, 0x75, 0xdf], // cmp eax, SIGCHLD; jne wait
        &[0x6a, 0xff, 0x5f],             // reap: push -1; pop rdi: any child
        &[0x31, 0xf6],                   // xor esi, esi: its status is not wanted
        &[0x6a, 0x01, 0x5a],             // push 1; pop rdx: WNOHANG
        &[0x45, 0x31, 0xd2],             // xor r10d, r10d
        &[0x6a, 0x3d, 0x58],             // push 61; pop rax: wait4
        &[0x0f, 0x05],                   // syscall
        &[0x85, 0xc0, 0x7f, 0xec],       // test eax, eax; jg reap
        &[0xeb, 0xc9],                   // jmp wait
        &[0x31, 0xff],                   // exit: xor edi, edi
        &[0xb8, 0xe7, 0x00, 0x00, 0x00], // mov eax, 231: exit_group
        &[0x0f, 0x05],                   // syscall
    ],
};

const AARCH64: Machine = Machine {
    name: "arm64",
    elf: 183,
    code: &[
        &[0x49, 0x00, 0x88, 0x52], // mov w9, #0x4002
        &[0x29, 0x00, 0xa0, 0x72], // movk w9, #1, lsl #16: signals 2, 15 and 17, as a set
        &[0xe9, 0x0f, 0x1f, 0xf8], // str x9, [sp, #-16]!
        &[0x00, 0x00, 0x80, 0xd2], // mov x0, #0: SIG_BLOCK
        &[0xe1, 0x03, 0x00, 0x91], // mov x1, sp
        &[0x02, 0x00, 0x80, 0xd2], // mov x2, #0: the old set is not wanted
        &[0x03, 0x01, 0x80, 0xd2], // mov x3, #8: bytes of a set
        &[0xe8, 0x10, 0x80, 0xd2], // mov x8, #135: rt_sigprocmask
        &[0x01, 0x00, 0x00, 0xd4], // svc #0
        &[0xe0, 0x03, 0x00, 0x91], // wait: mov x0, sp
        &[0x01, 0x00, 0x80, 0xd2], // mov x1, #0: no details
        &[0x02, 0x00, 0x80, 0xd2], // mov x2, #0: no time limit
        &[0x03, 0x01, 0x80, 0xd2], // mov x3, #8
        &[0x28, 0x11, 0x80, 0xd2], // mov x8, #137: rt_sigtimedwait
        &[0x01, 0x00, 0x00, 0xd4], // svc #0
        &[0x1f, 0x08, 0x00, 0x71], // cmp w0, SIGINT
        &[0xc0, 0x01, 0x00, 0x54], // b.eq exit
        &[0x1f, 0x3c, 0x00, 0x71], // cmp w0, SIGTERM
        &[0x80, 0x01, 0x00, 0x54], // b.eq exit
        &[0x1f, 0x44, 0x00, 0x71], // cmp w0, SIGCHLD
        &[0xa1, 0xfe, 0xff, 0x54], // b.ne wait
        &[0x00, 0x00, 0x80, 0x92], // reap: mov x0, #-1: any child
        &[0x01, 0x00, 0x80, 0xd2], // mov x1, #0: its status is not wanted
        &[0x22, 0x00, 0x80, 0xd2], // mov x2, #1: WNOHANG
        &[0x03, 0x00, 0x80, 0xd2], // mov x3, #0
        &[0x88, 0x20, 0x80, 0xd2], // mov x8, #260: wait4
        &[0x01, 0x00, 0x00, 0xd4], // svc #0
        &[0x1f, 0x00, 0x00, 0x71], // cmp w0, #0
        &[0x2c, 0xff, 0xff, 0x54], // b.gt reap
        &[0xec, 0xff, 0xff, 0x17], // b wait
        &[0x00, 0x00, 0x80, 0xd2], // exit: mov x0, #0
        &[0xc8, 0x0b, 0x80, 0xd2], // mov x8, #94: exit_group
        &[0x01, 0x00, 0x00, 0xd4], // svc #0
    ],
};

/// The image for this machine, as `docker save` would write it.
///
/// The same bytes every time: no clock, so that loading it again changes nothing.
pub fn archive() -> Bytes {
    archive_for(if cfg!(target_arch = "aarch64") { &AARCH64 } else { &X86_64 })
}

fn archive_for(machine: &Machine) -> Bytes {
    let layer = tar(&[(PATH, 0o755, elf(machine))]);
    let config = serde_json::json!({
        "architecture": machine.name,
        "os": "linux",
        "config": { "Entrypoint": [format!("/{PATH}")], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex_digest(&layer))] },
    })
    .to_string()
    .into_bytes();
    let config_name = format!("{}.json", hex_digest(&config));
    let manifest = serde_json::json!([
        { "Config": config_name, "RepoTags": [IMAGE], "Layers": ["layer.tar"] }
    ])
    .to_string()
    .into_bytes();
    let files = [
        (config_name.as_str(), 0o644, config),
        ("layer.tar", 0o644, layer),
        ("manifest.json", 0o644, manifest),
    ];
    Bytes::from(tar(&files))
}

/// An executable of one segment: header, one program header, the code.
fn elf(machine: &Machine) -> Vec<u8> {
    /// Where the segment stands in memory.
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code = machine.code.concat();
    let size = HEADERS + code.len() as u64;
    // 64 bits, the lowest byte first, version 1, System V.
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend(2_u16.to_le_bytes()); // an executable
    file.extend(machine.elf.to_le_bytes());
    file.extend(1_u32.to_le_bytes()); // version
    file.extend((BASE + HEADERS).to_le_bytes()); // entry
    file.extend(64_u64.to_le_bytes()); // where the program headers are
    file.extend(0_u64.to_le_bytes()); // no section headers
    file.extend(0_u32.to_le_bytes()); // no flags
    for half in [64_u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes()); // sizes and counts of headers
    }
    file.extend(1_u32.to_le_bytes()); // a segment to load
    file.extend(5_u32.to_le_bytes()); // to read and to execute
    // From the file's beginning, to its addresses, all of it, on whole pages.
    for long in [0_u64, BASE, BASE, size, size, 0x1000] {
        file.extend(long.to_le_bytes());
    }
    file.extend(code);
    file
}

/// An archive of plain files.
fn tar(files: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut archive = Vec::new();
    for (name, mode, content) in files {
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000"); // root
        put(116, "0000000"); // and its group
        put(124, &format!("{:011o}", content.len()));
        put(136, "00000000000"); // no time
        put(148, "        "); // the sum is made over blanks in its place
        put(156, "0"); // a plain file
        put(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(header);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use base::env;

    use super::*;

    #[test]
    fn the_archive_is_the_same_every_time_and_small() {
        assert_eq!(archive(), archive());
        assert!(archive().len() < 8 * 1024, "{}", archive().len());
        // Jumps are relative: a changed instruction changes the length, and must be assembled again.
        assert_eq!(X86_64.code.concat().len(), 0x55);
        assert_eq!(AARCH64.code.concat().len(), 0x84);
    }

    /// Runs the program itself, without an engine: it waits, and ends well when asked to.
    #[tokio::test]
    async fn the_program_waits_until_it_is_asked_to_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(PATH);
        let machine = if cfg!(target_arch = "aarch64") { &AARCH64 } else { &X86_64 };
        std::fs::write(&path, elf(machine)).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let mut child = Command::new(&path).stdin(Stdio::null()).spawn().expect("it starts");
        let status = format!("/proc/{}/status", child.id());
        let blocks = || {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            text.lines().any(|line| line.starts_with("SigBlk:") && line.ends_with("14002"))
        };
        let limit = Duration::from_secs(20);
        assert!(env::wait_until(limit, Duration::from_millis(5), blocks).await, "it blocks the signals");
        assert!(child.try_wait().expect("asked").is_none(), "it waits");
        Command::new("kill").arg(child.id().to_string()).status().expect("kill");
        let ended = child.wait().expect("it ends");
        assert_eq!((ended.code(), ended.signal()), (Some(0), None));
    }
}
