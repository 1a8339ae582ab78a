//! Directory entries: as they are, and as a power cut would leave them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use rand::RngExt;
use rand::rngs::SmallRng;

use super::Mercy;

/// An inode's number. Never reused within one disk.
pub type Ino = u64;

/// One entry set (`Some`) or removed (`None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The directory that holds the entry.
    pub directory: Ino,
    /// The entry's name.
    pub name: OsString,
    /// What it names from now on.
    pub target: Option<Ino>,
}

type Entries = BTreeMap<OsString, Ino>;

/// Every directory of a disk, twice: what programs see, and what is on the platters.
///
/// # Guarantees
/// - An operation (a create, link, unlink, or both halves of a rename) survives whole or not at all.
/// - `sync` of a directory makes every operation on it durable, and nothing else but what those
///   operations are entangled with through renames between directories.
/// - A power cut keeps a random prefix of the operations that are still pending: they reach the disk
///   in order, as through a metadata journal.
#[derive(Debug, Default)]
pub struct Names {
    live: BTreeMap<Ino, Entries>,
    durable: BTreeMap<Ino, Entries>,
    pending: Vec<Vec<Edit>>,
}

impl Names {
    /// Makes `directory` exist, empty. It is lost with the entry that names it.
    pub fn add_directory(&mut self, directory: Ino) {
        self.live.insert(directory, Entries::new());
        self.durable.insert(directory, Entries::new());
    }

    /// Whether `ino` is a directory.
    pub fn is_directory(&self, ino: Ino) -> bool {
        self.live.contains_key(&ino)
    }

    /// What `name` names in `directory`.
    pub fn get(&self, directory: Ino, name: &OsStr) -> Option<Ino> {
        self.live.get(&directory)?.get(name).copied()
    }

    /// The entries of `directory`, by name; empty when it is none.
    pub fn entries(&self, directory: Ino) -> impl Iterator<Item = (&OsString, Ino)> {
        self.live.get(&directory).into_iter().flatten().map(|(name, ino)| (name, *ino))
    }

    /// Applies one operation to what programs see; it stays pending until synced.
    pub fn change(&mut self, operation: Vec<Edit>) {
        apply(&mut self.live, &operation);
        self.pending.push(operation);
    }

    /// Makes every pending operation on `directory` durable.
    pub fn sync(&mut self, directory: Ino) {
        let entangled = self.entangled(directory);
        let (synced, pending) =
            std::mem::take(&mut self.pending).into_iter().partition(|operation: &Vec<Edit>| {
                operation.iter().any(|edit| entangled.contains(&edit.directory))
            });
        self.pending = pending;
        let synced: Vec<Vec<Edit>> = synced;
        synced.iter().for_each(|operation| apply(&mut self.durable, operation));
    }

    /// `directory` and those that pending renames tie to it, so that operations on one name are never
    /// made durable out of order.
    fn entangled(&self, directory: Ino) -> BTreeSet<Ino> {
        let mut found = BTreeSet::from([directory]);
        loop {
            let before = found.len();
            for operation in &self.pending {
                if operation.iter().any(|edit| found.contains(&edit.directory)) {
                    found.extend(operation.iter().map(|edit| edit.directory));
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// Loses power: a random prefix of the pending operations survives, or none, then programs see the disk.
    pub fn cut(&mut self, mercy: Mercy, random: &mut SmallRng) {
        let surviving = match mercy {
            Mercy::Random => random.random_range(0..=self.pending.len()),
            Mercy::None => 0,
        };
        for operation in std::mem::take(&mut self.pending).iter().take(surviving) {
            apply(&mut self.durable, operation);
        }
        self.live = self.durable.clone();
    }

    /// Every inode that programs see, that the disk holds, or that a pending operation may bring back.
    pub fn referenced(&self) -> BTreeSet<Ino> {
        let entries = self.live.values().chain(self.durable.values()).flat_map(|entries| entries.values());
        let pending = self.pending.iter().flatten().filter_map(|edit| edit.target.as_ref());
        entries.chain(pending).copied().collect()
    }

    /// How many entries name `ino`.
    pub fn links(&self, ino: Ino) -> u32 {
        let entries = self.live.values().flat_map(|entries| entries.values());
        entries.filter(|target| **target == ino).count() as u32
    }

    /// Forgets directories that nothing references any more.
    pub fn drop_directories(&mut self, keep: impl Fn(Ino) -> bool) {
        self.live.retain(|ino, _| keep(*ino));
        self.durable.retain(|ino, _| keep(*ino));
    }
}

fn apply(directories: &mut BTreeMap<Ino, Entries>, operation: &[Edit]) {
    for edit in operation {
        let Some(entries) = directories.get_mut(&edit.directory) else { continue };
        match edit.target {
            Some(ino) => entries.insert(edit.name.clone(), ino),
            None => entries.remove(&edit.name),
        };
    }
}
