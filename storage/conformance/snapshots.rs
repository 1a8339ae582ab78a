//! The suite for [`Stores`]: snapshots taken, sent, received, opened and adopted.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::versions::{Model, View};
use super::{NewSubject, Subject, Verdict, done, expect_eq, refused};
use crate::snapshot::{Manifest, SnapshotReader, Stores};

/// Odd, so that parts never end where files do.
const PART_BYTES: usize = 777;

/// Runs everything against one implementation.
///
/// # Errors
/// The first thing that is not as it must be.
pub fn stores_suite(new: NewSubject<'_>) -> Verdict {
    a_snapshot_is_one_moment_and_survives(new().as_mut())?;
    a_received_store_replaces_the_current_one(new().as_mut(), new().as_mut())?;
    a_damaged_transfer_is_refused(new().as_mut(), new().as_mut())?;
    each_step_survives(new().as_mut(), new().as_mut())
}

/// Writes `count` random batches.
fn grow(stores: &dyn Stores, model: &mut Model, random: &mut SmallRng, count: usize) -> Verdict {
    for _ in 0..count {
        let batch = model.random_batch(random);
        done("write", stores.versions().write(&batch))?;
        model.write(&batch);
    }
    Ok(())
}

/// Every byte of a snapshot, file by file, checked against its manifest.
fn content(snapshot: &dyn SnapshotReader) -> Result<Vec<Vec<u8>>, String> {
    let mut files = Vec::new();
    for (number, file) in snapshot.manifest().files.iter().enumerate() {
        let mut bytes = Vec::new();
        loop {
            let part = done("read", snapshot.read(number, bytes.len() as u64, PART_BYTES))?;
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(&part);
        }
        let found = (bytes.len() as u64, crc32c::crc32c(&bytes));
        expect_eq(&format!("size and checksum of {}", file.name), found, (file.size_bytes, file.crc32c))?;
        files.push(bytes);
    }
    Ok(files)
}

fn a_snapshot_is_one_moment_and_survives(subject: &mut dyn Subject) -> Verdict {
    let mut random = SmallRng::seed_from_u64(1);
    let mut model = Model::default();
    let stores = done("open", subject.restart())?;
    expect_eq("no snapshot", done("current", stores.current_snapshot())?.is_none(), true)?;
    refused("a snapshot of nothing", stores.take_snapshot())?;
    grow(&*stores, &mut model, &mut random, 20)?;
    let first = done("take", stores.take_snapshot())?;
    expect_eq("its image", Some(first.manifest().image.clone()), model.view_image())?;
    expect_eq(
        "taking makes durable",
        done("durable", stores.versions().durable_image())?,
        model.view_image(),
    )?;
    let bytes = content(&*first)?;
    grow(&*stores, &mut model, &mut random, 20)?;
    let second = done("take again", stores.take_snapshot())?;
    expect_eq("the first while it is held", content(&*first)?, bytes)?;
    let manifest = second.manifest().clone();
    drop(first);
    drop(second);
    drop(stores);
    let stores = done("restart", subject.restart())?;
    let current = done("current", stores.current_snapshot())?.ok_or("the snapshot is gone")?;
    expect_eq("the snapshot after a restart", current.manifest(), &manifest)?;
    content(&*current).map(drop)
}

/// Sends a snapshot as a master would, with `damage` done to one part.
fn transfer(
    from: &dyn SnapshotReader,
    to: &dyn Stores,
    manifest: &Manifest,
    damage: Option<(usize, usize)>,
) -> crate::Result<Arc<dyn SnapshotReader>> {
    let mut writer = to.receive(manifest)?;
    for number in 0..from.manifest().files.len() {
        let mut offset = 0;
        loop {
            let mut part = from.read(number, offset, PART_BYTES)?.to_vec();
            if part.is_empty() {
                break;
            }
            if let Some((file, at)) = damage
                && file == number
                && (offset as usize..offset as usize + part.len()).contains(&at)
            {
                part[at - offset as usize] ^= 1;
            }
            offset += part.len() as u64;
            writer.write(number, &part)?;
        }
    }
    writer.finish().map(Arc::from)
}

fn a_received_store_replaces_the_current_one(source: &mut dyn Subject, target: &mut dyn Subject) -> Verdict {
    let mut random = SmallRng::seed_from_u64(2);
    let (mut model, mut other) = (Model::default(), Model::default());
    let from = done("open", source.restart())?;
    let to = done("open", target.restart())?;
    grow(&*from, &mut model, &mut random, 40)?;
    grow(&*to, &mut other, &mut random, 5)?;
    let snapshot = done("take", from.take_snapshot())?;
    let received = done("transfer", transfer(&*snapshot, &*to, snapshot.manifest(), None))?;
    let opened = done("open_received", to.open_received(&*received))?;
    expect_eq("the store received", View::of(&*opened)?, model.view())?;
    let before = to.versions();
    expect_eq("the current store until adopted", View::of(&*before)?, other.view())?;
    refused("adopting a store that was not received", to.adopt(from.versions()))?;
    done("adopt", to.adopt(Arc::clone(&opened)))?;
    refused("adopting twice", to.adopt(opened))?;
    expect_eq("the old store while it is held", View::of(&*before)?, other.view())?;
    drop(before);
    expect_eq("the store adopted", View::of(&*to.versions())?, model.view())?;
    drop(received);
    drop(to);
    let to = done("restart", target.restart())?;
    expect_eq("the store adopted, after a restart", View::of(&*to.versions())?, model.view())?;
    let current = done("current", to.current_snapshot())?.ok_or("the adopted snapshot is gone")?;
    expect_eq("the snapshot adopted", current.manifest(), snapshot.manifest())?;
    content(&*current)?;
    grow(&*to, &mut model, &mut random, 10)?;
    expect_eq("the store adopted, written to", View::of(&*to.versions())?, model.view())
}

fn a_damaged_transfer_is_refused(source: &mut dyn Subject, target: &mut dyn Subject) -> Verdict {
    let mut random = SmallRng::seed_from_u64(3);
    let mut model = Model::default();
    let from = done("open", source.restart())?;
    let to = done("open", target.restart())?;
    grow(&*from, &mut model, &mut random, 20)?;
    let snapshot = done("take", from.take_snapshot())?;
    for (number, file) in snapshot.manifest().files.iter().enumerate().filter(|(_, file)| file.size_bytes > 0)
    {
        let damage = Some((number, file.size_bytes as usize / 2));
        if transfer(&*snapshot, &*to, snapshot.manifest(), damage).is_ok() {
            return Err(format!("a flipped bit in {} was not noticed", file.name));
        }
    }
    let mut shorter = snapshot.manifest().clone();
    if let Some(file) = shorter.files.iter_mut().find(|file| file.size_bytes > 0) {
        file.size_bytes -= 1;
    }
    if transfer(&*snapshot, &*to, &shorter, None).is_ok() {
        return Err("a file longer than its manifest says was not noticed".to_owned());
    }
    expect_eq("the store meanwhile", View::of(&*to.versions())?, View::default())
}

/// What is done to the stores that a snapshot is sent to.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Writes, flushed.
    Write,
    /// A snapshot of its own.
    Take,
    /// The transfer breaks off.
    ReceivePart,
    /// The transfer ends; nobody opens what came.
    Receive,
    /// What came is opened, and not adopted.
    Open,
    /// It is adopted.
    Adopt,
}

/// What stores must hold.
#[derive(Clone, Default)]
struct Held {
    model: Model,
    snapshot: Option<Manifest>,
}

impl Held {
    /// Takes a step with `stores`, to which `sent` comes.
    fn step(
        &mut self,
        step: Step,
        stores: &dyn Stores,
        (sent, content): (&dyn SnapshotReader, &Model),
        random: &mut SmallRng,
    ) -> Verdict {
        let receive = || done("transfer", transfer(sent, stores, sent.manifest(), None));
        let open = || done("open_received", stores.open_received(&*receive()?));
        match step {
            Step::Write => {
                grow(stores, &mut self.model, random, 5)?;
                done("flush", stores.versions().flush())?;
            }
            Step::Take => self.snapshot = Some(done("take", stores.take_snapshot())?.manifest().clone()),
            Step::ReceivePart => {
                let mut writer = done("receive", stores.receive(sent.manifest()))?;
                done("write", writer.write(0, &done("read", sent.read(0, 0, PART_BYTES))?))?;
            }
            Step::Receive => drop(receive()?),
            Step::Open => drop(open()?),
            Step::Adopt => {
                done("adopt", stores.adopt(open()?))?;
                *self = Self { model: content.clone(), snapshot: Some(sent.manifest().clone()) };
            }
        }
        Ok(())
    }

    fn check(&self, what: &str, stores: &dyn Stores) -> Verdict {
        expect_eq(what, View::of(&*stores.versions())?, self.model.view())?;
        let current = done("current", stores.current_snapshot())?;
        let manifest = current.as_ref().map(|snapshot| snapshot.manifest().clone());
        expect_eq(&format!("the snapshot {what}"), &manifest, &self.snapshot)?;
        current.map_or(Ok(()), |snapshot| content(&*snapshot).map(drop))
    }
}

/// Restarts after each kind of step.
fn each_step_survives(source: &mut dyn Subject, target: &mut dyn Subject) -> Verdict {
    use Step::{Adopt, Open, Receive, ReceivePart, Take, Write};
    let mut random = SmallRng::seed_from_u64(5);
    let from = done("open", source.restart())?;
    let mut sent_model = Model::default();
    grow(&*from, &mut sent_model, &mut random, 20)?;
    let sent = done("take", from.take_snapshot())?;

    let mut held = Held::default();
    let mut to = done("open", target.restart())?;
    for step in [Write, ReceivePart, Take, Write, Receive, Open, Take, Adopt, Write, Open, Take, Adopt] {
        held.step(step, &*to, (&*sent, &sent_model), &mut random)?;
        held.check(&format!("after {step:?}"), &*to)?;
        drop(to);
        to = done("restart", target.restart())?;
        held.check(&format!("after {step:?} and a restart"), &*to)?;
    }
    Ok(())
}
