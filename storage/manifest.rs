//! The bytes of a snapshot's [`Manifest`], as kept beside its files.

use bytes::Bytes;

use crate::frame::{self, Damage, Fields, Kind};
use crate::snapshot::{Manifest, SnapshotFile};
use crate::versions::Image;

/// `index u64 | revision u64`, the fields of an image before its head.
pub(crate) fn image_header(image: &Image) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&image.index.to_le_bytes());
    header[8..].copy_from_slice(&image.revision.to_le_bytes());
    header
}

/// The inverse of [`image_header`] followed by the head.
pub(crate) fn image(body: &[u8]) -> Result<Image, Damage> {
    let mut fields = Fields(body);
    Ok(Image { index: fields.u64()?, revision: fields.u64()?, head: Bytes::copy_from_slice(fields.0) })
}

/// `index u64 | revision u64 | head (counted) | files u32 | (name (counted) | size u64 | crc32c u32)*`.
pub(crate) fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut body = image_header(&manifest.image).to_vec();
    put_counted(&mut body, &manifest.image.head);
    body.extend_from_slice(&(manifest.files.len() as u32).to_le_bytes());
    for file in &manifest.files {
        put_counted(&mut body, file.name.as_bytes());
        body.extend_from_slice(&file.size_bytes.to_le_bytes());
        body.extend_from_slice(&file.crc32c.to_le_bytes());
    }
    frame::seal(Kind::Manifest, 0, b"", &[&body])
}

/// The inverse of [`encode`].
pub(crate) fn decode(framed: &[u8]) -> Result<Manifest, Damage> {
    let mut fields = Fields(frame::open(Kind::Manifest, b"", framed)?.body);
    let (index, revision) = (fields.u64()?, fields.u64()?);
    let head = Bytes::copy_from_slice(fields.counted()?);
    let count = fields.u32()?;
    let mut files = Vec::new();
    for _ in 0..count {
        let name = String::from_utf8(fields.counted()?.to_vec()).map_err(|_| Damage::Fields)?;
        files.push(SnapshotFile { name, size_bytes: fields.u64()?, crc32c: fields.u32()? });
    }
    fields.end()?;
    Ok(Manifest { image: Image { index, revision, head }, files })
}

fn put_counted(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    body.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_survives_the_trip() {
        let file = |name: &str, crc32c| SnapshotFile { name: name.to_owned(), size_bytes: 1 << 40, crc32c };
        let image = Image { index: 7, revision: 9, head: Bytes::from_static(b"head") };
        let manifest = Manifest { image, files: vec![file("000012.sst", 5), file("CURRENT", 6)] };
        let encoded = encode(&manifest);
        assert_eq!(
            crate::files::hex(&encoded),
            "4b010a0095afd5394d000000070000000000000009000000000000000400000068656164020000000a000000\
             3030303031322e7373740000000000010000050000000700000043555252454e54000000000001000006000000"
        );
        assert_eq!(decode(&encoded), Ok(manifest));
        assert_eq!(decode(&encoded[..encoded.len() - 1]), Err(Damage::Short));
    }
}
