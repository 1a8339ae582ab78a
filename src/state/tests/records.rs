//! Records: golden bytes, and that damage is noticed.

mod common;

use bytes::Bytes;
use common::*;
use proptest::prelude::*;
use state::codec::{DecodeError, decode_batch, decode_txn, encode_batch, encode_batch_of, encode_txn};
use state::frame::FrameError;
use state::image::{decode_version, encode_version};
use state::limits::{BATCH_BYTES_MAX, BATCH_TXNS_MAX};
use state::{Batch, Guard, Meta, State, Txn, Write};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One of every guard and write.
fn everything() -> Txn {
    let meta = Meta {
        uid: "u".into(),
        generation: -2,
        deleting: true,
        finalizers: false,
        charges: vec![("pods".into(), 300), ("cpu".into(), -1)],
    };
    let (k, prefix) = (|| key("g/r/n"), "g/r/".to_owned());
    txn(
        0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
        vec![
            Guard::AtRevision { key: k(), revision: 250 },
            Guard::Absent { key: k() },
            Guard::Live { key: k(), uid: "u".into() },
            Guard::AtGeneration { key: k(), generation: -1 },
            Guard::Unwritten { prefix, since: 251 },
            Guard::WithinLimit { counter: "c".into() },
            Guard::LeaderTerm { term: 1 << 40 },
        ],
        vec![
            Write::Put { key: k(), body: body("n"), splice: Some(SPLICE), meta },
            Write::Put { key: k(), body: Bytes::new(), splice: None, meta: Meta::default() },
            delete("~f/n"),
            limit("c", 5),
            limit("c", None),
            raise(2),
        ],
    )
}

const GOLDEN_TXN: &str = "4b5301010000a4000000d0f69e05fe100f0e0d0c0b0a09080706050403020105616c696365070005672f722f6efa0105672f722f6e0205672f722f6e01750305672f722f6e010404672f722ffbfb0005016306fd0000000000010000060005672f722f6e197b226d65746164617461223a7b226e616d65223a226e227d7d010d01750301000204706f6473fb580203637075010005672f722f6e0000000000000001047e662f6e020163010a020163000302";
const GOLDEN_BATCH: &str = "4b53010200002a000000386726ed0403020100000000010000004b5301010000100000005797c77b0105616c69636500010105612f622f63";
const GOLDEN_HEAD: &str =
    "4b53010400001b00000059e94179020101fbe80301000001fea29b34df7e1d7d4599c666228fc0e1ea";
const GOLDEN_VERSION: &str = "4b5301030000530000007c80f9c70101fbe803fe0100000000000000010000000000000005616c696365010d00000000002f7b226d65746164617461223a7b227265736f7572636556657273696f6e223a2232222c226e616d65223a2263227d7d";
const GOLDEN_SIDES: [(&str, &str); 3] = [
    ("lx", "4b530105000003000000526e7938fb5802"),
    ("o\0\0", "4b530106000014000000f99a0a8c00fe010000000000000001000000000000000002"),
    ("pa/b/", "4b530107000001000000546bdef602"),
];

#[test]
fn golden_bytes() {
    let txn = everything();
    let record = encode_txn(&txn).unwrap();
    assert_eq!(hex(&record), GOLDEN_TXN);
    assert_eq!(decode_txn(&record), Ok(txn.clone()));
    let small = Batch { time_ms: 0x0102_0304, txns: vec![common::txn(1, vec![], vec![delete("a/b/c")])] };
    let record = encode_batch(&small).unwrap();
    assert_eq!(hex(&record), GOLDEN_BATCH);
    assert_eq!(decode_batch(&record), Ok(small));
}

/// What is written to the durable image.
#[test]
fn golden_image() {
    let created = step(&State::default(), vec![], vec![put("a/b/c"), limit("x", 300), delete("a/b/c")]).0;
    let version = encode_version(&created.changes[1]);
    assert_eq!(hex(&version), GOLDEN_VERSION);
    assert_eq!(decode_version("a/b/c", 2, 1, true, version).as_ref(), Ok(&*created.changes[1].object));
    assert_eq!(hex(&created.state.head()), GOLDEN_HEAD);
    let sides: Vec<_> = created
        .sides
        .iter()
        .map(|(key, value)| (String::from_utf8(key.clone()).unwrap(), hex(value.as_ref().unwrap())))
        .collect();
    let expect = GOLDEN_SIDES.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(sides, expect);
}

#[test]
fn a_batch_of_records_is_the_batch() {
    let txns = vec![everything(), txn(2, vec![], vec![])];
    let records: Vec<Bytes> = txns.iter().map(|txn| encode_txn(txn).unwrap()).collect();
    let batch = Batch { time_ms: 7, txns };
    assert_eq!(encode_batch_of(7, &records), encode_batch(&batch));
    assert_eq!(decode_batch(&encode_batch_of(7, &records).unwrap()), Ok(batch));
}

#[test]
fn decoded_bodies_are_slices_of_the_record() {
    let record = encode_batch(&batch(vec![everything()])).unwrap();
    let decoded = decode_batch(&record).unwrap();
    let Write::Put { body, .. } = &decoded.txns[0].writes[0] else { panic!("a put") };
    assert!(record.as_ptr_range().contains(&body.as_ptr()));
}

#[test]
fn too_much_for_one_entry() {
    let small = encode_txn(&txn(1, vec![], vec![])).unwrap();
    assert!(encode_batch_of(0, &vec![small.clone(); BATCH_TXNS_MAX]).is_ok());
    assert!(encode_batch_of(0, &vec![small; BATCH_TXNS_MAX + 1]).is_err());
    assert!(encode_batch_of(0, &[Bytes::from(vec![0; BATCH_BYTES_MAX])]).is_err());
}

#[test]
fn what_follows_a_record_is_refused() {
    let extra = |record: Bytes| Bytes::from([&record[..], b"x"].concat());
    let trailing = DecodeError::Frame(FrameError::Trailing { extra: 1 });
    assert_eq!(decode_txn(&extra(encode_txn(&everything()).unwrap())), Err(trailing.clone()));
    assert_eq!(decode_batch(&extra(encode_batch(&batch(vec![])).unwrap())), Err(trailing.clone()));
    // Inside the batch, behind the transactions it counts; and inside a transaction's body.
    let one = encode_txn(&txn(1, vec![], vec![])).unwrap();
    assert_eq!(decode_batch(&encode_batch_of(0, &[extra(one)]).unwrap()), Err(trailing));
}

fn damaged_is_refused(record: &Bytes, at: usize, decode: impl Fn(&Bytes) -> bool) {
    let mut flipped = record.to_vec();
    let at = at % (flipped.len() * 8);
    flipped[at / 8] ^= 1 << (at % 8);
    assert!(!decode(&flipped.into()), "bit {at}");
    assert!(!decode(&record.slice(..at / 8)), "cut at {}", at / 8);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_and_torn_ends_are_refused(at in any::<usize>()) {
        damaged_is_refused(&encode_txn(&everything()).unwrap(), at, |record| decode_txn(record).is_ok());
        let record = encode_batch(&batch(vec![everything(), everything()])).unwrap();
        damaged_is_refused(&record, at, |record| decode_batch(record).is_ok());
    }
}
