//! Files of this machine, for a container.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::tar::{END, Entry, Kind, padding};
use crate::screen::warn;

/// How much is read at a time.
const PIECE_BYTES: usize = 32 * 1024;

/// Sends a file, or a folder with all that is in it, under another name.
///
/// # Errors
/// When something cannot be read, or nobody takes it.
pub async fn all(source: &Path, name: &str, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut waiting: Vec<(PathBuf, String)> = vec![(source.to_owned(), name.to_owned())];
    while let Some((path, name)) = waiting.pop() {
        let found = path.symlink_metadata()?;
        if !found.is_dir() {
            one(&path, name, &found, to).await?;
            continue;
        }
        let mut inside = std::fs::read_dir(&path)?.collect::<io::Result<Vec<_>>>()?;
        if inside.is_empty() {
            to.write_all(&entry(name, Kind::Folder, 0, &found).header()).await?;
            continue;
        }
        // The last is taken first.
        inside.sort_by_key(|file| std::cmp::Reverse(file.file_name()));
        let named = |file: &std::fs::DirEntry| {
            (file.path(), format!("{name}/{}", file.file_name().to_string_lossy()))
        };
        waiting.extend(inside.iter().map(named));
    }
    to.write_all(&END).await
}

fn entry(name: String, kind: Kind, size: u64, found: &Metadata) -> Entry {
    Entry { name, kind, size, mode: found.permissions().mode() }
}

async fn one(
    path: &Path,
    name: String,
    found: &Metadata,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    if found.is_symlink() {
        let target = std::fs::read_link(path)?.to_string_lossy().into_owned();
        return to.write_all(&entry(name, Kind::Link(target), 0, found).header()).await;
    }
    if !found.is_file() {
        warn(&format!("warning: skipping \"{}\": it is no file", path.display()));
        return Ok(());
    }
    let size = found.len();
    to.write_all(&entry(name, Kind::File, size, found).header()).await?;
    let mut file = File::open(path)?.take(size);
    let mut piece = vec![0; PIECE_BYTES];
    let mut sent = 0;
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => {
                to.write_all(&piece[..count]).await?;
                sent += count as u64;
            }
        }
    }
    if sent < size {
        return Err(io::Error::other(format!("{} became shorter while it was read", path.display())));
    }
    to.write_all(&vec![0; padding(size)]).await
}
