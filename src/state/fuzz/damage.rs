//! What holds for every record, whatever is in it.

use bytes::Bytes;
use state::image::{Restore, decode_version};
use state::{Entry, State, apply, codec};

/// Decodes arbitrary bytes as every kind of record: an error or a value, never a panic. Bytes that are
/// a frame's body are also sealed first, so that what is behind the checksum is reached.
pub fn check_decode(bytes: &[u8]) {
    let plain = Bytes::copy_from_slice(bytes);
    for record in [plain.clone(), sealed(1, bytes), sealed(2, bytes), sealed(3, bytes), sealed(4, bytes)] {
        if let Ok(txn) = codec::decode_txn(&record)
            && let Ok(again) = codec::encode_txn(&txn)
        {
            assert_eq!(codec::decode_txn(&again), Ok(txn));
        }
        if let Ok(batch) = codec::decode_batch(&record) {
            let _ = apply(&State::default(), &Entry { index: 1, term: 1, batch: &batch });
        }
        let _ = decode_version("core/configmaps/a/b", 7, 0, false, record.clone());
        let _ = Restore::new(&record).map(Restore::finish);
    }
    let mut restore = Restore::new(&State::default().head()).expect("an empty State has a head");
    let (key, value) = bytes.split_at(bytes.len().min(3));
    for kind in 5..=7 {
        let _ = restore.side(key, sealed(kind, value));
    }
    let _ = restore.finish();
}

/// A record with a right header around any body.
fn sealed(kind: u8, body: &[u8]) -> Bytes {
    let mut record = [b"KS\x01", &[kind][..], &[0, 0], &(body.len() as u32).to_le_bytes()].concat();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&record), body);
    record.extend_from_slice(&crc.to_le_bytes());
    record.extend_from_slice(body);
    record.into()
}
