//! The membership, as it stands in log records and snapshots.
//!
//! ```text
//! format u8 = 1 | configs u8 | config* | members u16 | member*
//! config: voters u16 | node u64 *
//! member: node u64 | name text | peer text | api text         text: length u16 | UTF-8
//! ```

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Decoded, Reader, Writer};
use crate::limits::{MEMBER_TEXT_BYTES_MAX, MEMBERS_MAX};
use crate::member::{Member, Membership};
use crate::types::RaftMembership;

const FORMAT: u8 = 1;

pub(crate) fn encode(membership: &RaftMembership) -> Bytes {
    let mut writer = Writer::new(FORMAT, 256);
    let configs = membership.get_joint_config();
    writer.u8(configs.len() as u8);
    for config in configs {
        writer.u16(config.len() as u16);
        config.iter().for_each(|node| writer.u64(*node));
    }
    writer.u16(membership.nodes().count() as u16);
    for (node, member) in membership.nodes() {
        writer.u64(*node);
        for text in [&member.name, &member.peer, &member.api] {
            writer.text(text, MEMBER_TEXT_BYTES_MAX);
        }
    }
    writer.finish()
}

pub(crate) fn decode(bytes: Bytes) -> Decoded<RaftMembership> {
    let mut reader = Reader::new("a membership", bytes, FORMAT)?;
    let mut configs = Vec::new();
    for _ in 0..reader.u8()? {
        configs.push(read_config(&mut reader)?);
    }
    let count = limited(&mut reader)?;
    let mut members = BTreeMap::new();
    for _ in 0..count {
        let node = reader.u64()?;
        members.insert(node, read_member(&mut reader)?);
    }
    let membership = RaftMembership::new(configs, members);
    let membership = membership.map_err(|error| reader.unacceptable(error.to_string()))?;
    reader.end()?;
    Ok(membership)
}

fn read_config(reader: &mut Reader) -> Decoded<BTreeSet<u64>> {
    let count = limited(reader)?;
    (0..count).map(|_| reader.u64()).collect()
}

fn read_member(reader: &mut Reader) -> Decoded<Member> {
    Ok(Member {
        name: reader.text(MEMBER_TEXT_BYTES_MAX)?,
        peer: reader.text(MEMBER_TEXT_BYTES_MAX)?,
        api: reader.text(MEMBER_TEXT_BYTES_MAX)?,
    })
}

fn limited(reader: &mut Reader) -> Decoded<usize> {
    match usize::from(reader.u16()?) {
        count if count > MEMBERS_MAX => Err(reader.unacceptable(format!("{count} members"))),
        count => Ok(count),
    }
}

/// What the layers above see of a membership.
pub(crate) fn summary(membership: &RaftMembership) -> Membership {
    Membership {
        members: membership.nodes().map(|(node, member)| (*node, member.clone())).collect(),
        voters: membership.voter_ids().collect(),
        is_joint: membership.get_joint_config().len() > 1,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::{DecodeError, hex};
    use super::*;

    pub(crate) fn example() -> RaftMembership {
        let member =
            |name: &str| Member { name: name.into(), peer: "10.0.0.1:7000".into(), api: "https://a".into() };
        let members = BTreeMap::from([(1, member("m-1")), (2, member("m-2"))]);
        RaftMembership::new(vec![BTreeSet::from([1]), BTreeSet::from([1, 2])], members).expect("consistent")
    }

    #[test]
    fn bytes_of_format_1_never_change() {
        let golden = concat!(
            "01",
            "02",
            "0100",
            "0100000000000000",
            "0200",
            "0100000000000000",
            "0200000000000000",
            "0200",
            "0100000000000000",
            "0300",
            "6d2d31",
            "0d00",
            "31302e302e302e313a37303030",
            "0900",
            "68747470733a2f2f61",
            "0200000000000000",
            "0300",
            "6d2d32",
            "0d00",
            "31302e302e302e313a37303030",
            "0900",
            "68747470733a2f2f61",
        );
        let bytes = encode(&example());
        assert_eq!(hex(&bytes), golden);
        assert_eq!(decode(bytes), Ok(example()));
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let mut bytes = encode(&example()).to_vec();
        bytes[0] = 9;
        let error = decode(bytes.into()).expect_err("unknown");
        assert_eq!(error, DecodeError::UnknownFormat { what: "a membership", found: 9, known: 1 });
        assert!(error.to_string().contains("upgrade this master"), "{error}");
    }

    #[test]
    fn every_cut_is_refused() {
        let whole = encode(&example());
        for cut in 0..whole.len() {
            assert!(decode(whole.slice(..cut)).is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut tagged = vec![FORMAT];
            tagged.extend(bytes);
            if let Ok(membership) = decode(tagged.into()) {
                prop_assert_eq!(decode(encode(&membership)), Ok(membership));
            }
        }
    }
}
