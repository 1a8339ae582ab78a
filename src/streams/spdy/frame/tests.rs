use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// Frames as Go's spdystream wrote them in this order on one connection.
const FROM_GO: &[&str] = &[
    "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff",
    "80030001010000220000000300000000000002651c0c295029930829b08bc079c3c2c0c200000000ffff",
    "800300020000000e000000016260606000000000ffff",
    "800300060000000400000007",
    "80030003000000080000000300000005",
    "80030007000000080000000300000000",
    "80030009000000080000000300008000",
    "800300040000000c000000010000000700010000",
    "800300080100000c00000001c26310000000ffff",
    "000000010100000568656c6c6f",
];

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All frames in the bytes, which come in pieces of this size.
fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Error> {
    let (mut decoder, mut input, mut frames) = (Decoder::new(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        input.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut input)? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Data in as few parts as can be, so that what arrived can be compared with what was sent.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut all: Vec<Frame> = Vec::new();
    let mut is_open = false;
    for frame in frames {
        if let (true, Some(Frame::Data { id, fin, bytes }), Frame::Data { id: same, fin: ends, bytes: more }) =
            (is_open, all.last_mut(), &frame)
            && id == same
            && !*fin
        {
            *bytes = [&bytes[..], more].concat().into();
            *fin = *ends;
            continue;
        }
        is_open = matches!(frame, Frame::Data { .. });
        all.push(frame);
    }
    all
}

#[test]
fn frames_of_go_are_understood() {
    let bytes: Vec<u8> = FROM_GO.iter().flat_map(|frame| unhex(frame)).collect();
    let frames = joined(decode(&bytes, 1).expect("whole frames"));
    let shown: String = frames.iter().map(|frame| format!("{frame:?}\n")).collect();
    expect![[r#"
        SynStream { id: 1, fin: false, headers: Headers([("streamtype", "error")]) }
        SynStream { id: 3, fin: true, headers: Headers([("streamtype", "data"), ("port", "8080")]) }
        SynReply { id: 1, fin: false, headers: Headers([]) }
        Ping { id: 7 }
        RstStream { id: 3, status: 5 }
        GoAway { last_stream: 3, status: 0 }
        WindowUpdate { id: 3, delta: 32768 }
        Settings { initial_window: Some(65536) }
        Headers { id: 1, fin: true, headers: Headers([("streamtype", "error")]) }
        Data { id: 1, fin: true, bytes: b"hello" }
    "#]]
    .assert_eq(&shown);
}

#[test]
fn frames_without_headers_have_the_bytes_that_go_writes() {
    let frames = [
        Frame::Ping { id: 7 },
        Frame::RstStream { id: 3, status: 5 },
        Frame::GoAway { last_stream: 3, status: 0 },
        Frame::WindowUpdate { id: 3, delta: 32768 },
        Frame::Settings { initial_window: Some(65536) },
        Frame::Data { id: 1, fin: true, bytes: Bytes::from_static(b"hello") },
    ];
    let mut encoder = Encoder::new();
    for (frame, expected) in frames.iter().zip([3, 4, 5, 6, 7, 9]) {
        let mut bytes = BytesMut::new();
        encoder.encode(frame, &mut bytes).expect("short");
        assert_eq!(hex(&bytes), FROM_GO[expected]);
    }
}

#[test]
fn frames_with_headers_begin_as_go_writes_them() {
    let (mut encoder, mut bytes) = (Encoder::new(), BytesMut::new());
    let headers = Headers::new().with("streamType", "data").with("port", "8080");
    encoder
        .encode(&Frame::SynStream { id: 3, fin: true, headers: headers.clone() }, &mut bytes)
        .expect("short");
    // Up to the name of the dictionary; how the rest is compressed is the compressor's own.
    let head = [hex(&bytes[..7]), hex(&bytes[8..18]), hex(&bytes[20..24])];
    assert_eq!(head, ["80030001010000", "00000003000000000000", "e3c6a7c2"]);
    assert_eq!(decode(&bytes, 3).expect("whole"), [Frame::SynStream { id: 3, fin: true, headers }]);
}

#[test]
fn what_is_no_frame_is_an_error() {
    #[track_caller]
    fn check(bytes: &str, expected: Expect) {
        expected.assert_eq(&decode(&unhex(bytes), 64).expect_err("no frame").to_string());
    }
    check(
        "8002000600000004",
        expect!["the peer broke the protocol: a frame of SPDY/2 where SPDY/3 was agreed on"],
    );
    check(
        "8003000600ffffff",
        expect!["the peer broke the protocol: a control frame of 16777215 bytes exceeds 32768"],
    );
    check(
        "800300060000000200ff",
        expect!["the peer broke the protocol: a control frame is shorter than its kind"],
    );
    check(
        "80030004000000040fffffff",
        expect!["the peer broke the protocol: a control frame is shorter than its kind"],
    );
    check(
        "80030001000000060000000100000000",
        expect!["the peer broke the protocol: a control frame is shorter than its kind"],
    );
    check(
        "80030003000000080000000000000001",
        expect!["the peer broke the protocol: a frame of stream 0, which is none"],
    );
    check("0000000000000001", expect!["the peer broke the protocol: data of stream 0, which is none"]);
}

#[test]
fn a_long_frame_of_data_comes_in_parts_and_takes_no_room_for_the_rest() {
    let (mut decoder, mut input) = (Decoder::new(), BytesMut::from(&unhex("0000000101ffffff")[..]));
    let head = decoder.decode(&mut input).expect("data").expect("a head");
    assert_eq!(head, Frame::Data { id: 1, fin: false, bytes: Bytes::new() });
    assert_eq!(decoder.decode(&mut input).expect("data"), None);
    assert!(input.capacity() < 1024);
    input.extend_from_slice(b"part");
    let part = Frame::Data { id: 1, fin: false, bytes: Bytes::from_static(b"part") };
    assert_eq!(decoder.decode(&mut input).expect("data"), Some(part));
}

fn any_headers() -> impl Strategy<Value = Headers> {
    let header = ("[a-z-]{1,12}", "[ -~]{0,40}");
    proptest::collection::vec(header, 0..5).prop_map(|headers| {
        headers.into_iter().fold(Headers::new(), |all, (name, value)| all.with(&name, value))
    })
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let (id, number) = (1..1_u32 << 31, 0..1_u32 << 31);
    let payload = proptest::collection::vec(any::<u8>(), 0..600);
    prop_oneof![
        (id.clone(), any::<bool>(), any_headers()).prop_map(|(id, fin, headers)| Frame::SynStream {
            id,
            fin,
            headers
        }),
        (id.clone(), any::<bool>(), any_headers()).prop_map(|(id, fin, headers)| Frame::SynReply {
            id,
            fin,
            headers
        }),
        (id.clone(), any::<bool>(), any_headers()).prop_map(|(id, fin, headers)| Frame::Headers {
            id,
            fin,
            headers
        }),
        (id.clone(), number.clone()).prop_map(|(id, status)| Frame::RstStream { id, status }),
        (id.clone(), number.clone()).prop_map(|(id, delta)| Frame::WindowUpdate { id, delta }),
        number.clone().prop_map(|window| Frame::Settings { initial_window: Some(window) }),
        (number.clone(), number).prop_map(|(last_stream, status)| Frame::GoAway { last_stream, status }),
        id.clone().prop_map(|id| Frame::Ping { id }),
        // Without an end, two frames of one stream look like one.
        (id, payload).prop_map(|(id, bytes)| Frame::Data { id, fin: true, bytes: bytes.into() }),
    ]
}

proptest! {
    #[test]
    fn frames_come_back_however_their_bytes_are_split(
        frames in proptest::collection::vec(any_frame(), 0..12),
        piece in 1..700_usize,
    ) {
        let (mut encoder, mut bytes) = (Encoder::new(), BytesMut::new());
        for frame in &frames {
            encoder.encode(frame, &mut bytes).expect("short");
        }
        prop_assert_eq!(joined(decode(&bytes, piece).expect("whole frames")), frames);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1..64_usize) {
        let _ = decode(&bytes, piece);
    }

    #[test]
    fn no_damage_makes_decoding_panic(
        frames in proptest::collection::vec(any_frame(), 1..6),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let (mut encoder, mut bytes) = (Encoder::new(), BytesMut::new());
        for frame in &frames {
            encoder.encode(frame, &mut bytes).expect("short");
        }
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = decode(&bytes, 50);
    }
}
