//! How fast apply, a scan and a restore are: `cargo run --release -p state --example throughput`.
//!
//! Numbers to look at, not limits: nothing here fails.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use api::Key;
use bytes::Bytes;
use state::image::{Restore, encode_version};
use state::{Batch, Entry, Meta, Stamp, State, Txn, Write, apply, codec};

const OBJECTS: u64 = 300_000;
const TXNS_PER_ENTRY: u64 = 64;
const STATES_KEPT: usize = 64;

type Sides = BTreeMap<Vec<u8>, Option<Bytes>>;

fn main() {
    let (mut state, mut sides) = (State::default(), Sides::new());
    for (what, first_request) in [("create", 0), ("replace", OBJECTS)] {
        let records = records(first_request);
        let mut batches = Vec::new();
        report(&format!("decode ({what})"), OBJECTS, || {
            batches =
                records.iter().map(|record| codec::decode_batch(record).expect("just encoded")).collect();
        });
        report(&format!("apply ({what})"), OBJECTS, || apply_all(&mut state, &batches, &mut sides));
    }
    let matching = |state: &State| {
        state.range("core/configmaps/").filter(|object| object.labels().get("app") == Some("none")).count()
    };
    report("first scan (parses labels)", OBJECTS, || assert_eq!(matching(&state), 0));
    for _ in 0..3 {
        report("scan", OBJECTS, || assert_eq!(matching(&state), 0));
    }
    report("validate", OBJECTS, || assert_eq!(state.validate(), Ok(())));
    let versions: Vec<(Key, u64, u64, Bytes)> = state
        .range("")
        .map(|object| {
            let change = state::Change {
                revision: object.revision,
                object: object.clone(),
                previous: None,
                deleted: false,
            };
            (object.key.clone(), object.revision, object.previous, encode_version(&change))
        })
        .collect();
    report("restore", OBJECTS, || {
        let mut restore = Restore::new(&state.head()).expect("a head");
        for (key, revision, previous, record) in versions {
            restore.version(key.as_str(), revision, previous, record).expect("a version");
        }
        for (key, value) in sides {
            if let Some(value) = value {
                restore.side(&key, value).expect("a side record");
            }
        }
        assert_eq!(restore.finish().expect("the image is whole").hash(), state.hash());
    });
}

/// Puts every object once, in an order that jumps about the namespaces.
fn records(first_request: u64) -> Vec<Bytes> {
    let record = |start: u64| {
        let txns = (start..(start + TXNS_PER_ENTRY).min(OBJECTS)).map(|number| put(number, first_request));
        let batch = Batch { time_ms: start, txns: txns.collect() };
        codec::encode_batch(&batch).expect("within the limits")
    };
    (0..OBJECTS).step_by(TXNS_PER_ENTRY as usize).map(record).collect()
}

fn apply_all(state: &mut State, batches: &[Batch], sides: &mut Sides) {
    // The replica keeps recent States, so every entry copies the paths it changes.
    let mut kept = VecDeque::new();
    for batch in batches {
        let applied = apply(state, &Entry { index: state.index() + 1, term: 1, batch });
        sides.extend(applied.sides);
        kept.push_back(std::mem::replace(state, applied.state));
        if kept.len() > STATES_KEPT {
            kept.pop_front();
        }
    }
}

fn put(number: u64, first_request: u64) -> Txn {
    let scattered = number.wrapping_mul(7919) % OBJECTS;
    let key =
        Key::object("", "configmaps", &format!("ns-{}", scattered % 100), &format!("object-{scattered}"));
    let mut body = format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"{}","labels":{{"app":"web"}}}},"data":{{"#,
        key.name()
    );
    let _ = write!(body, r#""value":"{}"}}}}"#, "x".repeat(2048 - body.len()));
    let splice = body.find("\"name\"").map(|at| at as u32);
    let meta = Meta { uid: format!("00000000-0000-4000-8000-{number:012}"), ..Meta::default() };
    let write = Write::Put { key, body: body.into(), splice, meta };
    // As masters choose them: by time, so that neighbours meet in the same nodes of State's maps.
    let request = u128::from(first_request + number) << 64;
    Txn { stamp: Stamp { request, actor: "system:admin".to_owned() }, guards: vec![], writes: vec![write] }
}

/// Prints wall time, and this thread's time on a processor: on a busy machine only the latter compares.
#[allow(clippy::disallowed_methods, reason = "an example measures real time")]
fn report(what: &str, count: u64, work: impl FnOnce()) {
    let (begin, cpu_begin) = (std::time::Instant::now(), cpu());
    work();
    let (wall, cpu) = (begin.elapsed(), cpu() - cpu_begin);
    let each_ns = cpu.as_nanos() as f64 / count as f64;
    println!(
        "{what:<28} wall {wall:>9.1?}  cpu {cpu:>9.1?}  {each_ns:>7.0} ns each  {:>9.0} /s",
        1e9 / each_ns
    );
}

/// Linux: the first field is the time on a processor, in nanoseconds.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}
