//! The data directory: which store is current, and how it is replaced.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use base::env::monotonic;
use parking_lot::Mutex;

use super::directory::OwnedDirectory;
use super::log::RocksLog;
use super::options::{RocksOptions, Sizing};
use super::pointer::{Pointer, STATE_PREFIX, snapshot_directory, state_directory};
use super::seal::Seal;
use super::snapshot::{self, ReceivingDirectory, SnapshotDirectory};
use super::versions::{RocksVersions, side_file};
use crate::error::{Result, StorageError};
use crate::files;
use crate::snapshot::{Manifest, SnapshotReader, SnapshotWriter, Stores};
use crate::space::{Guard, SpaceState};
use crate::under_way::{SYNC_LIMIT, UnderWay};
use crate::{LogStore, VersionStore};

/// How long a process that has the directory open may take to end. One that is killed gives its locks back
/// one after the other, behind everything that it has in memory, while it already counts as ended.
pub const IN_USE_MAX: Duration = Duration::from_secs(10);

/// Pause before it is tried again.
const IN_USE_RETRY: Duration = Duration::from_millis(20);

/// What only a crash leaves in the data directory, besides states that are not current.
const LEFTOVER_NAMES: [&str; 3] = ["current.tmp", "incoming", "log.synced.tmp"];

/// Everything a master keeps on disk, in RocksDB.
pub struct RocksStores {
    data: PathBuf,
    sizing: Sizing,
    guard: Arc<Guard>,
    log: Arc<RocksLog>,
    /// Held while a snapshot is taken: one at a time.
    taking: Mutex<()>,
    current: Mutex<Current>,
}

/// What the pointer file names, opened.
struct Current {
    pointer: Pointer,
    versions: Arc<RocksVersions>,
    snapshot: Option<Arc<SnapshotDirectory>>,
    /// The next number for a state, a snapshot or something received; never used twice in one run.
    next_number: u64,
    received: Vec<Received>,
}

/// A store opened from a snapshot, waiting to be adopted.
struct Received {
    state: u64,
    snapshot_number: u64,
    versions: Weak<RocksVersions>,
    snapshot: Arc<SnapshotDirectory>,
}

impl RocksStores {
    /// Opens the stores below `directory`, or creates them in an empty one.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when what is found is not what was last made durable; otherwise when the
    /// operating system refuses, or another process has the directory open.
    pub fn open(directory: &Path, options: RocksOptions) -> Result<Self> {
        let deadline = monotonic() + IN_USE_MAX;
        loop {
            match Self::open_once(directory, &options) {
                Err(StorageError::InUse { .. }) if monotonic() < deadline => {
                    std::thread::sleep(IN_USE_RETRY);
                }
                opened => return opened,
            }
        }
    }

    fn open_once(directory: &Path, options: &RocksOptions) -> Result<Self> {
        files::create_directory(directory)?;
        let sizing = Sizing::for_directory(directory, options)?;
        let guard = Arc::new(Guard::new(directory, sizing.reserve));
        let is_unused = RocksLog::is_unused(directory)?;
        // First of all, because RocksDB's lock on it keeps a second process out of the rest.
        let log = Arc::new(RocksLog::open(directory, &sizing, Arc::clone(&guard))?);
        let pointer = find_pointer(directory, is_unused)?;
        remove_leftovers(directory, pointer)?;
        let path = state_directory(directory, pointer.state);
        let state = OwnedDirectory::temporary(path.clone(), vec![side_file(&path)]);
        state.keep(true);
        let versions = RocksVersions::open(state, &sizing, Arc::clone(&guard), is_unused)?;
        let snapshot = open_snapshot(directory, pointer.snapshot)?;
        let current = Current {
            pointer,
            versions: Arc::new(versions),
            snapshot,
            next_number: pointer.state.max(pointer.snapshot) + 1,
            received: Vec::new(),
        };
        let (data, current) = (directory.to_owned(), Mutex::new(current));
        Ok(Self { data, sizing, guard, log, taking: Mutex::new(()), current })
    }

    fn next_number(&self) -> u64 {
        let mut current = self.current.lock();
        current.next_number += 1;
        current.next_number - 1
    }

    /// Points to other stores. Whoever asks for the current ones waits meanwhile.
    fn replace(
        &self,
        current: &mut Current,
        pointer: Pointer,
        versions: Option<Arc<RocksVersions>>,
        snapshot: Arc<SnapshotDirectory>,
    ) -> Result<()> {
        let replace = || current.replace(&self.data, pointer, versions, snapshot);
        self.sizing.under_way.during("pointing to other stores", SYNC_LIMIT, replace)
    }

    /// A directory for a snapshot that comes from elsewhere.
    fn begin_receiving(&self, manifest: &Manifest) -> Result<(u64, ReceivingDirectory)> {
        self.guard.admit("receiving a snapshot")?;
        let number = self.next_number();
        let unfinished = self.data.join("incoming").join(number.to_string());
        files::create_directory(&self.data.join("snapshots"))?;
        files::create_directory(&self.data.join("incoming"))?;
        let target = snapshot_directory(&self.data, number);
        Ok((number, ReceivingDirectory::begin(manifest, unfinished, target)?))
    }

    /// A snapshot of this data directory with the same content, by links where that is possible.
    fn localize(&self, snapshot: &dyn SnapshotReader) -> Result<(u64, SnapshotDirectory)> {
        let (number, receiving) = self.begin_receiving(snapshot.manifest())?;
        match snapshot.directory() {
            Some(source) if source.starts_with(&self.data) => {
                Ok((number, snapshot::link(source, receiving)?))
            }
            _ => Ok((number, snapshot::copy(snapshot, receiving)?)),
        }
    }
}

impl Stores for RocksStores {
    fn log(&self) -> Arc<dyn LogStore> {
        Arc::clone(&self.log) as Arc<dyn LogStore>
    }

    fn versions(&self) -> Arc<dyn VersionStore> {
        Arc::clone(&self.current.lock().versions) as Arc<dyn VersionStore>
    }

    fn take_snapshot(&self) -> Result<Arc<dyn SnapshotReader>> {
        let _one_at_a_time = self.taking.lock();
        let (versions, before) = {
            let current = self.current.lock();
            (Arc::clone(&current.versions), current.snapshot.clone())
        };
        versions.flush()?;
        files::create_directory(&self.data.join("snapshots"))?;
        let number = self.next_number();
        let target = snapshot_directory(&self.data, number);
        let taken = Arc::new(versions.checkpoint(&target, before.as_deref())?);
        let mut current = self.current.lock();
        if !Arc::ptr_eq(&current.versions, &versions) {
            // Another store was adopted meanwhile, and its snapshot is the newer one.
            return Ok(taken);
        }
        let pointer = Pointer { snapshot: number, ..current.pointer };
        self.replace(&mut current, pointer, None, Arc::clone(&taken))?;
        Ok(taken)
    }

    fn current_snapshot(&self) -> Result<Option<Arc<dyn SnapshotReader>>> {
        let snapshot = self.current.lock().snapshot.clone();
        Ok(snapshot.map(|snapshot| snapshot as Arc<dyn SnapshotReader>))
    }

    fn receive(&self, manifest: &Manifest) -> Result<Box<dyn SnapshotWriter>> {
        let (_, receiving) = self.begin_receiving(manifest)?;
        Ok(Box::new(receiving))
    }

    fn open_received(&self, snapshot: &dyn SnapshotReader) -> Result<Arc<dyn VersionStore>> {
        let (snapshot_number, local) = self.localize(snapshot)?;
        let state = self.next_number();
        let path = state_directory(&self.data, state);
        let directory = OwnedDirectory::temporary(path.clone(), vec![side_file(&path)]);
        snapshot::unfold(&local, &path)?;
        Seal::prepare(&side_file(&path))?;
        let opened = RocksVersions::open(directory, &self.sizing, Arc::clone(&self.guard), false)?;
        opened.check_image(&local.manifest().image)?;
        let opened = Arc::new(opened);
        let mut current = self.current.lock();
        current.received.retain(|received| received.versions.strong_count() > 0);
        current.received.push(Received {
            state,
            snapshot_number,
            versions: Arc::downgrade(&opened),
            snapshot: Arc::new(local),
        });
        Ok(opened)
    }

    fn adopt(&self, opened: Arc<dyn VersionStore>) -> Result<()> {
        let mut current = self.current.lock();
        let found = current.received.iter().enumerate().find_map(|(position, received)| {
            let versions = received.versions.upgrade()?;
            std::ptr::addr_eq(Arc::as_ptr(&versions), Arc::as_ptr(&opened)).then_some((position, versions))
        });
        let Some((position, versions)) = found else {
            return Err(StorageError::Misuse(
                "only a store opened from a snapshot can be adopted".to_owned(),
            ));
        };
        let received = current.received.swap_remove(position);
        let pointer = Pointer { state: received.state, snapshot: received.snapshot_number };
        self.replace(&mut current, pointer, Some(versions), received.snapshot)
    }

    fn space(&self) -> SpaceState {
        // A file system that does not even answer is not one to write to.
        self.guard.state().unwrap_or(SpaceState { free_bytes: 0, is_low: true })
    }

    fn under_way(&self) -> Arc<UnderWay> {
        Arc::clone(&self.sizing.under_way)
    }

    fn sync_p99_ms(&self) -> Option<f64> {
        self.log.sync_latency.p99_ms()
    }

    fn written_bytes(&self) -> Vec<(&'static str, u64)> {
        self.sizing.written()
    }
}

impl Current {
    /// Points to other stores; those before go with their last user.
    fn replace(
        &mut self,
        data: &Path,
        pointer: Pointer,
        versions: Option<Arc<RocksVersions>>,
        snapshot: Arc<SnapshotDirectory>,
    ) -> Result<()> {
        pointer.save(data)?;
        self.pointer = pointer;
        if let Some(versions) = versions {
            versions.directory.keep(true);
            self.versions.directory.keep(false);
            self.versions = versions;
        }
        snapshot.directory.keep(true);
        if let Some(before) = &self.snapshot {
            before.directory.keep(false);
        }
        self.snapshot = Some(snapshot);
        Ok(())
    }
}

/// What is current; a directory that was never in use gets its first pointer.
fn find_pointer(data: &Path, is_unused: bool) -> Result<Pointer> {
    match Pointer::load(data)? {
        Some(pointer) => Ok(pointer),
        // The pointer is written before the first state is made.
        None if is_unused && !Pointer::is_expected(data)? => {
            let first = Pointer { state: 1, snapshot: 0 };
            first.save(data)?;
            Ok(first)
        }
        None => Err(StorageError::corrupt(&Pointer::path(data), "the file is missing")),
    }
}

fn open_snapshot(data: &Path, number: u64) -> Result<Option<Arc<SnapshotDirectory>>> {
    if number == 0 {
        return Ok(None);
    }
    let path = snapshot_directory(data, number);
    match SnapshotDirectory::load(&path)? {
        Some(snapshot) => Ok(Some(Arc::new(snapshot))),
        None => Err(StorageError::corrupt(&path, "the current snapshot is missing")),
    }
}

/// Removes what a crash left behind: states and snapshots that are not current, and half-received ones.
fn remove_leftovers(data: &Path, pointer: Pointer) -> Result<()> {
    let state = state_directory(data, pointer.state);
    let side = side_file(&state);
    for name in files::names(data)? {
        let path = data.join(&name);
        let is_leftover = name.starts_with(STATE_PREFIX) && path != state && path != side;
        if is_leftover || LEFTOVER_NAMES.contains(&name.as_str()) {
            files::remove(&path);
        }
    }
    let kept = snapshot_directory(data, pointer.snapshot);
    for name in files::names(&data.join("snapshots"))? {
        let path = data.join("snapshots").join(&name);
        if path != kept {
            files::remove(&path);
        }
    }
    Ok(())
}
