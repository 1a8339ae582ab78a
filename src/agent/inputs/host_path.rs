//! What stands on a node, and what a pod says that it is.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};

use api::field_error::quoted;

use crate::error::Error;

/// Checks the type of a hostPath volume, and makes what may be made.
///
/// # Errors
/// Something else stands there or nothing, or it could not be made.
pub(crate) fn check(path: &str, kind: &str) -> Result<(), Error> {
    let is_missing = || fs::metadata(path).is_err();
    match kind {
        // Kubernetes checks nothing here, and the container runtimes make a folder.
        "" | "DirectoryOrCreate" if is_missing() => {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
            made.map_err(|why| Error::file("mkdir", path, why))
        }
        "FileOrCreate" if is_missing() => {
            let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path);
            made.map(drop).map_err(|why| Error::file("open", path, why))
        }
        "" => Ok(()),
        "Directory" | "DirectoryOrCreate" => expect(path, "Directory", "directory"),
        "File" | "FileOrCreate" => expect(path, "File", "file"),
        "Socket" => expect(path, kind, "socket file"),
        "CharDevice" => expect(path, kind, "character device"),
        "BlockDevice" => expect(path, kind, "block device"),
        _ => Err(Error::HostPathType(format!("{kind} is an invalid volume type"))),
    }
}

fn expect(path: &str, kind: &str, words: &str) -> Result<(), Error> {
    let unknown = |why: String| {
        format!("hostPath type check failed, {path} is not a {words}, unable to determine its type: {why}")
    };
    let text = match fs::metadata(path) {
        Ok(meta) => match kind_of(&meta) {
            Some(found) if found == kind => return Ok(()),
            Some(found) => format!("hostPath type check failed: {path} is not a {words}, it's a {found}"),
            None => unknown(
                "only recognise file, directory, socket, block device and character device".to_owned(),
            ),
        },
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            unknown(format!("path {} does not exist", quoted(path)))
        }
        Err(why) => unknown(why.to_string()),
    };
    Err(Error::HostPathType(text))
}

fn kind_of(meta: &Metadata) -> Option<&'static str> {
    let kind = meta.file_type();
    let kinds = [
        (kind.is_dir(), "Directory"),
        (kind.is_file(), "File"),
        (kind.is_socket(), "Socket"),
        (kind.is_char_device(), "CharDevice"),
        (kind.is_block_device(), "BlockDevice"),
    ];
    kinds.into_iter().find_map(|(is, name)| is.then_some(name))
}
