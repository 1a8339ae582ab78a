//! Protobuf's own grammar: numbers, and fields by their numbers.

/// A body that is no message of the type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProtoError(pub(super) &'static str);

pub(super) const TRUNCATED: ProtoError = ProtoError("proto: unexpected end of message");
pub(super) const MALFORMED: ProtoError = ProtoError("proto: wrong wire type or value for a field");

/// What stands in a field.
pub(super) enum Wire<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
    Other,
}

/// Calls `visit` with each field of a message.
pub(super) fn each<'b>(
    mut rest: &'b [u8],
    mut visit: impl FnMut(u32, Wire<'b>) -> Result<(), ProtoError>,
) -> Result<(), ProtoError> {
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let number = u32::try_from(tag >> 3).map_err(|_| MALFORMED)?;
        let wire = match tag & 7 {
            0 => Wire::Varint(varint(&mut rest)?),
            1 => Wire::Fixed64(fixed64(&mut rest)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).map_err(|_| TRUNCATED)?;
                Wire::Bytes(take(&mut rest, length)?)
            }
            5 => take(&mut rest, 4).map(|_| Wire::Other)?,
            _ => return Err(MALFORMED),
        };
        visit(number, wire)?;
    }
    Ok(())
}

fn varint(rest: &mut &[u8]) -> Result<u64, ProtoError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(MALFORMED)
}

fn fixed64(rest: &mut &[u8]) -> Result<u64, ProtoError> {
    let bytes = take(rest, 8)?;
    bytes.try_into().map(u64::from_le_bytes).map_err(|_| TRUNCATED)
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Result<&'b [u8], ProtoError> {
    let (taken, left) = rest.split_at_checked(length).ok_or(TRUNCATED)?;
    *rest = left;
    Ok(taken)
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, ProtoError> {
    std::str::from_utf8(bytes).map_err(|_| ProtoError("proto: invalid UTF-8 in a string field"))
}

/// Appends a number in pieces of seven bits.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a field that holds a number.
pub(super) fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, number);
}

/// Appends a field that holds bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_length(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// How many bytes a field with so many bytes takes.
pub(super) fn length_of(field: u32, bytes: usize) -> usize {
    let width = |number: u64| number.max(1).ilog2() as usize / 7 + 1;
    width(u64::from(field) << 3) + width(bytes as u64) + bytes
}

/// Appends what comes before a field's bytes.
pub(super) fn put_length(out: &mut Vec<u8>, field: u32, length: usize) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, length as u64);
}

/// Appends a field that holds what `write` appends.
pub(super) fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    /// The length of what is long takes two bytes as a rule; what is short is soon moved.
    const ROOM: usize = 2;
    put_varint(out, u64::from(field) << 3 | 2);
    let at = out.len();
    out.extend_from_slice(&[0; ROOM]);
    write(out);
    let length = out.len() - at - ROOM;
    if length < 0x80 {
        out[at] = length as u8;
        out.copy_within(at + ROOM.., at + 1);
        out.pop();
        return;
    }
    let width = length.ilog2() as usize / 7 + 1;
    let pieces = (0..width).map(|at| (length >> (7 * at)) as u8 | if at + 1 < width { 0x80 } else { 0 });
    out.splice(at..at + ROOM, pieces);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_what_is_within() {
        for length in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0x20_0000] {
            let within = vec![7; length];
            let mut expect = b"before".to_vec();
            put_bytes(&mut expect, 3, &within);
            let mut out = b"before".to_vec();
            nested(&mut out, 3, |out| out.extend_from_slice(&within));
            assert!(out == expect, "{length}");
            assert_eq!(length_of(3, length), expect.len() - b"before".len());
        }
    }
}
