//! Files from a container, put where they were asked for and nowhere else.
//!
//! # Assumptions
//! The container may be hostile: what it sends may name any path. No link is made, none that is there already is
//! followed, and nothing is written outside the destination.

use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use tokio::io::AsyncRead;

use super::tar::{Kind, Reader};
use crate::screen::warn;

/// How much is written at a time.
const PIECE_BYTES: usize = 32 * 1024;

/// Where files go.
#[derive(Clone, Debug)]
pub struct Destination {
    /// What all names begin with.
    prefix: String,
    root: PathBuf,
}

impl Destination {
    /// For what is at `source` there: below `local`, or into it where it is a folder and a single file comes.
    pub fn new(source: &str, local: &Path) -> Self {
        Self { prefix: prefix(source), root: local.to_owned() }
    }

    /// Where a file goes, by its name; nowhere when that leads out.
    ///
    /// # Errors
    /// When it is not one of those that were asked for.
    fn place(&self, name: &str) -> io::Result<Option<PathBuf>> {
        let wrong = || io::Error::other("tar contents corrupted");
        let rest = name.strip_prefix(&self.prefix).ok_or_else(wrong)?;
        if !self.prefix.is_empty() && !rest.is_empty() && !rest.starts_with('/') {
            return Err(wrong());
        }
        if self.prefix.is_empty() && rest.starts_with('/') {
            return Err(wrong());
        }
        let mut place = self.root.clone();
        for part in Path::new(rest.trim_start_matches('/')).components() {
            match part {
                Component::Normal(part) => place.push(part),
                Component::CurDir => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Ok(None),
            }
        }
        Ok(Some(place))
    }

    /// Whether some part of the way below the destination is a link.
    fn is_through_link(&self, place: &Path) -> bool {
        let below = place.strip_prefix(&self.root).unwrap_or(place);
        let mut way = self.root.clone();
        below.components().any(|part| {
            way.push(part);
            way.symlink_metadata().is_ok_and(|found| found.is_symlink())
        })
    }
}

/// What the names in an archive of this path begin with: tar takes slashes and dots from the beginning.
fn prefix(source: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Writes all that comes.
///
/// # Errors
/// When it is no archive, or cannot be written.
pub async fn all(from: impl AsyncRead + Unpin, source: &str, destination: &Destination) -> io::Result<()> {
    let mut reader = Reader::new(from);
    let mut piece = vec![0; PIECE_BYTES];
    while let Some(entry) = reader.next().await? {
        let Some(mut place) = destination.place(entry.name.trim_end_matches('/'))? else {
            warn(&format!("warning: file \"{}\" is outside target destination, skipping", entry.name));
            continue;
        };
        if place == destination.root && entry.kind == Kind::File && place.is_dir() {
            // One file, into a folder.
            place.push(Path::new(source).file_name().unwrap_or_default());
        }
        if destination.is_through_link(&place) {
            warn(&format!("warning: file \"{}\" would follow a symlink, skipping", place.display()));
            continue;
        }
        match entry.kind {
            Kind::Folder => std::fs::create_dir_all(&place)?,
            Kind::Link(target) => {
                warn(&format!("warning: skipping symlink: \"{}\" -> \"{target}\"", place.display()));
            }
            Kind::Other => warn(&format!("warning: skipping \"{}\": it is no file", place.display())),
            Kind::File => {
                if let Some(folder) = place.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                let mut file = std::fs::File::create(&place)?;
                loop {
                    match reader.read(&mut piece).await? {
                        0 => break,
                        count => file.write_all(&piece[..count])?,
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::recorded;
    use crate::verbs::cp::tar::{END, Entry, padding};

    fn archive(entries: &[(&str, Kind, &str)]) -> Vec<u8> {
        let one = |(name, kind, text): &(&str, Kind, &str)| {
            let entry =
                Entry { name: (*name).to_owned(), kind: kind.clone(), size: text.len() as u64, mode: 0o644 };
            [entry.header(), text.as_bytes().to_vec(), vec![0; padding(text.len() as u64)]].concat()
        };
        [entries.iter().flat_map(one).collect(), END.to_vec()].concat()
    }

    /// What was said, and the outcome.
    fn unpack(source: &str, local: &Path, entries: &[(&str, Kind, &str)]) -> (String, io::Result<()>) {
        recorded::begin();
        let bytes = archive(entries);
        let destination = Destination::new(source, local);
        let outcome = base::env::simulate(1, all(&bytes[..], source, &destination));
        (recorded::end(), outcome)
    }

    fn read(path: &Path) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    #[test]
    fn files_go_where_they_were_asked_for() {
        let root = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| root.path().join(name);
        let tree = [("srv/www/", Kind::Folder, ""), ("srv/www/a/b", Kind::File, "hello")];
        unpack("/srv/www", &at("out"), &tree).1.expect("unpacked");
        assert_eq!(read(&at("out/a/b")).as_deref(), Some("hello"));
        let one = [("srv/one", Kind::File, "1")];
        unpack("../srv/./one", &at("named"), &one).1.expect("unpacked");
        unpack("/srv/one", &at("out"), &one).1.expect("unpacked");
        assert_eq!((read(&at("named")).as_deref(), read(&at("out/one")).as_deref()), (Some("1"), Some("1")));
    }

    #[test]
    fn nothing_leaves_the_destination() {
        let root = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| root.path().join(name);
        let outside = at("outside");
        std::fs::create_dir(&outside).expect("create");
        std::fs::create_dir(at("out")).expect("create");
        std::os::unix::fs::symlink(&outside, at("out/there")).expect("link");
        let link = Kind::Link(outside.display().to_string());
        let entries = [
            ("x/../../escaped", Kind::File, "1"),
            ("x/link", link, ""),
            ("x/link/followed", Kind::File, "2"),
            ("x/there/followed", Kind::File, "3"),
            ("x/there", Kind::File, "4"),
            ("x/kept", Kind::File, "5"),
        ];
        let (said, outcome) = unpack("x", &at("out"), &entries);
        outcome.expect("the rest is unpacked");
        assert_eq!(said.lines().count(), 4, "{said}");
        assert!(
            said.starts_with("warning: file \"x/../../escaped\" is outside target destination, skipping\n")
        );
        assert!(!at("escaped").exists());
        assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 0);
        // What followed the link that was not made is in a folder of its name.
        assert_eq!(read(&at("out/link/followed")).as_deref(), Some("2"));
        assert!(at("out/there").is_symlink());
        assert_eq!(read(&at("out/kept")).as_deref(), Some("5"));
        for name in ["y/other", "xy", "/etc/passwd"] {
            let (_, outcome) = unpack("x", &at("out"), &[(name, Kind::File, "6")]);
            assert_eq!(outcome.expect_err(name).to_string(), "tar contents corrupted");
        }
        let (_, absolute) = unpack("/", &at("out"), &[("/etc/passwd", Kind::File, "7")]);
        assert!(absolute.is_err());
    }
}
