use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::limits::SEND_BUFFER_BYTES;

type Server = mpsc::UnboundedReceiver<Incoming>;

/// A client and a server that takes every stream, over a connection that holds this many bytes.
fn connected(capacity: usize) -> (Opener, Server, Pipes) {
    let (near, far) = tokio::io::duplex(capacity);
    let (driver, opener) = client(near);
    env::spawn(driver);
    let (server, pipes) = served(far);
    (opener, server, pipes)
}

fn served(stream: DuplexStream) -> (Server, Pipes) {
    let (spdy, incoming) = Spdy::new(stream, Role::Server, Box::new(|_| Ok(())));
    let pipes = spdy.pipes.clone();
    env::spawn(Driver::new(spdy, pipes.clone(), Role::Server));
    (incoming, pipes)
}

async fn open(opener: &Opener, server: &mut Server) -> (Pipe, Pipe) {
    let near = opener.open(Headers::new().with("streamType", "data")).await.expect("it is taken");
    (near, server.recv().await.expect("it arrives").pipe)
}

/// Runs on virtual time, and for no longer than a day of it: pings would keep what hangs alive for ever.
fn simulate<F: Future>(future: F) -> F::Output {
    simulate_from(1, future)
}

fn simulate_from<F: Future>(seed: u64, future: F) -> F::Output {
    let day = Duration::from_secs(24 * 60 * 60);
    env::simulate(seed, async { env::timeout(day, future).await.expect("it ends") })
}

/// Lets everything happen that can without further input.
async fn settle() {
    env::sleep(Duration::from_millis(1)).await;
}

/// A peer as Go's: frames by hand, and no windows.
struct Raw {
    stream: DuplexStream,
    encoder: Encoder,
    decoder: Decoder,
    input: BytesMut,
}

impl Raw {
    fn new(stream: DuplexStream) -> Self {
        Self { stream, encoder: Encoder::new(), decoder: Decoder::new(), input: BytesMut::new() }
    }

    async fn send(&mut self, frame: Frame) {
        let mut bytes = BytesMut::new();
        self.encoder.encode(&frame, &mut bytes).expect("short");
        self.stream.write_all(&bytes).await.expect("the server is there");
    }

    async fn open(&mut self, id: u32) {
        self.send(Frame::SynStream { id, fin: false, headers: Headers::new() }).await;
    }

    async fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.input).expect("frames") {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.input).await.expect("readable") == 0 {
                return None;
            }
        }
    }

    /// The next frame that is neither settings nor data's head.
    async fn answer(&mut self) -> Option<Frame> {
        loop {
            match self.receive().await? {
                Frame::Settings { .. } => {}
                Frame::Data { fin: false, bytes, .. } if bytes.is_empty() => {}
                frame => return Some(frame),
            }
        }
    }
}

#[test]
fn each_direction_of_a_stream_ends_by_itself() {
    simulate(async {
        let (opener, mut server, _) = connected(64);
        let (mut near, mut far) = open(&opener, &mut server).await;
        near.write_all(b"question").await.expect("open");
        near.shutdown().await.expect("open");
        let mut text = String::new();
        far.read_to_string(&mut text).await.expect("ends in order");
        assert_eq!(text, "question");
        far.write_all(b"answer").await.expect("the other direction is open");
        far.shutdown().await.expect("open");
        text.clear();
        near.read_to_string(&mut text).await.expect("ends in order");
        assert_eq!(text, "answer");
        let error = near.write_all(b"more").await.expect_err("it was shut down");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_dropped_writer_ends_its_direction_and_a_dropped_reader_takes_what_comes() {
    simulate(async {
        let (opener, mut server, pipes) = connected(64);
        let (near, far) = open(&opener, &mut server).await;
        let (near_reader, mut near_writer) = near.into_split();
        let (mut far_reader, far_writer) = far.into_split();
        drop(far_writer);
        drop(near_reader);
        let many = vec![7; 10 * STREAM_WINDOW_BYTES];
        let written = env::spawn(async move {
            near_writer.write_all(&many).await.expect("the other direction is open");
        });
        let mut first = [0; 10];
        far_reader.read_exact(&mut first).await.expect("it comes");
        drop(far_reader);
        written.await.expect("what nobody reads holds up nobody");
        settle().await;
        assert_eq!(pipes.lock().len(), 0, "a stream of which both ends are over is forgotten");
    });
}

#[test]
fn a_slow_reader_stops_its_writer_and_no_other_stream() {
    simulate(async {
        let (opener, mut server, pipes) = connected(4096);
        let (mut slow_near, mut slow_far) = open(&opener, &mut server).await;
        let (mut near, mut far) = open(&opener, &mut server).await;
        let all = 50 * STREAM_WINDOW_BYTES;
        let writer = env::spawn(async move { slow_near.write_all(&vec![1; all]).await.map(|()| slow_near) });
        settle().await;
        assert!(!writer.is_finished());
        assert_eq!(pipes.lock().buffered_bytes(), STREAM_WINDOW_BYTES);
        let waiting = opener.pipes.lock().buffered_bytes();
        assert!(waiting <= SEND_BUFFER_BYTES, "{waiting} bytes wait at the sender");
        for _ in 0..100 {
            near.write_all(&[2; 1000]).await.expect("open");
            let mut bytes = [0; 1000];
            far.read_exact(&mut bytes).await.expect("it goes past the one that stands");
        }
        let mut bytes = vec![0; all];
        slow_far.read_exact(&mut bytes).await.expect("the rest comes once it is read");
        writer.await.expect("ends").expect("is taken");
        settle().await;
        assert_eq!(pipes.lock().buffered_bytes(), 0);
    });
}

#[test]
fn a_peer_that_keeps_no_windows_is_stopped_by_not_being_read() {
    simulate(async {
        let (near, far) = tokio::io::duplex(4096);
        let (mut server, pipes) = served(far);
        let mut raw = Raw::new(near);
        raw.open(1).await;
        let mut pipe = server.recv().await.expect("it arrives").pipe;
        let all = 64 * STREAM_WINDOW_BYTES;
        let sender = env::spawn(async move {
            let bytes = Bytes::from(vec![1; all]);
            raw.send(Frame::Data { id: 1, fin: true, bytes }).await;
            raw
        });
        settle().await;
        assert!(!sender.is_finished());
        let held = pipes.lock().buffered_bytes();
        assert!(held > STREAM_WINDOW_BYTES && held <= STREAM_WINDOW_BYTES + READ_BUFFER_BYTES, "{held}");
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).await.expect("ends in order");
        assert_eq!(bytes.len(), all);
        sender.await.expect("all was taken");
    });
}

#[test]
fn a_peer_that_gives_no_room_is_sent_everything_until_it_shows_that_it_keeps_windows() {
    simulate(async {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (mut server, _) = served(far);
        let mut raw = Raw::new(near);
        raw.open(1).await;
        let mut pipe = server.recv().await.expect("it arrives").pipe;
        let bytes = vec![1; 4 * STREAM_WINDOW_BYTES];
        let taken = env::timeout(Duration::from_secs(1), pipe.write_all(&bytes));
        taken.await.expect("no window is kept").expect("open");
        settle().await;
        raw.send(Frame::WindowUpdate { id: 1, delta: 1 }).await;
        settle().await;
        let refused = env::timeout(Duration::from_secs(1), pipe.write_all(&bytes[..2 * SEND_BUFFER_BYTES]));
        refused.await.expect_err("more than the window is on its way");
        raw.send(Frame::WindowUpdate { id: 1, delta: 8 * STREAM_WINDOW_BYTES as u32 }).await;
        let taken = env::timeout(Duration::from_secs(1), pipe.write_all(&bytes[..SEND_BUFFER_BYTES]));
        taken.await.expect("there is room").expect("open");
    });
}

#[test]
fn what_a_peer_must_not_open_is_reset_and_its_pings_come_back() {
    simulate(async {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (_server, pipes) = served(far);
        let mut raw = Raw::new(near);
        raw.open(2).await;
        assert_eq!(raw.answer().await, Some(Frame::RstStream { id: 2, status: PROTOCOL_ERROR }));
        raw.open(5).await;
        assert_eq!(raw.answer().await, Some(Frame::SynReply { id: 5, fin: false, headers: Headers::new() }));
        raw.open(5).await;
        assert_eq!(raw.answer().await, Some(Frame::RstStream { id: 5, status: PROTOCOL_ERROR }));
        raw.send(Frame::Ping { id: 9 }).await;
        assert_eq!(raw.answer().await, Some(Frame::Ping { id: 9 }));
        for id in 0..STREAMS_MAX as u32 {
            raw.open(7 + 2 * id).await;
        }
        let mut last = None;
        for _ in 0..STREAMS_MAX {
            last = raw.answer().await;
        }
        let id = 7 + 2 * (STREAMS_MAX as u32 - 1);
        assert_eq!(last, Some(Frame::RstStream { id, status: REFUSED_STREAM }));
        assert_eq!(pipes.lock().len(), STREAMS_MAX);
    });
}

#[test]
fn a_peer_that_asks_without_reading_is_not_read_any_more() {
    simulate(async {
        let (near, far) = tokio::io::duplex(1024);
        let (_server, _) = served(far);
        let mut raw = Raw::new(near);
        let pings = async {
            for _ in 0..100 * ANSWERS_MAX {
                raw.send(Frame::Ping { id: 1 }).await;
            }
        };
        env::timeout(Duration::from_secs(1), pings).await.expect_err("nobody reads them for ever");
    });
}

#[test]
fn a_reset_is_an_error_for_readers_and_writers() {
    simulate(async {
        let (near, far) = tokio::io::duplex(4096);
        let (mut server, _) = served(far);
        let mut raw = Raw::new(near);
        raw.open(1).await;
        let mut pipe = server.recv().await.expect("it arrives").pipe;
        raw.send(Frame::Data { id: 1, fin: false, bytes: Bytes::from_static(b"half") }).await;
        raw.send(Frame::RstStream { id: 1, status: 5 }).await;
        let mut bytes = Vec::new();
        let error = pipe.read_to_end(&mut bytes).await.expect_err("it was cut");
        assert_eq!((error.kind(), &bytes[..]), (io::ErrorKind::ConnectionReset, &b"half"[..]));
        assert_eq!(pipe.write_all(b"x").await.expect_err("cut").kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_refused_stream_is_an_error_for_who_opened_it() {
    simulate(async {
        let (near, far) = tokio::io::duplex(4096);
        let (driver, opener) = client(near);
        env::spawn(driver);
        let (server, _incoming) = super::server(far, Box::new(|_| Err("no".into())));
        env::spawn(server);
        let error = opener.open(Headers::new()).await.expect_err("it is not taken");
        assert_eq!(error.to_string(), "the peer refused a stream");
    });
}

#[test]
fn closing_sends_what_was_written_says_goodbye_and_waits_for_the_peer() {
    simulate(async {
        let (near, far) = tokio::io::duplex(512);
        let (mut driver, mut server) = super::server(far, Box::new(|_| Ok(())));
        let mut raw = Raw::new(near);
        raw.open(1).await;
        let pipe = driver.during(server.recv()).await.expect("open").expect("it arrives").pipe;
        let (_reader, mut writer) = pipe.into_split();
        driver.during(writer.write_all(&[3; 20_000])).await.expect("open").expect("there is room");
        let closing = env::spawn(driver.close());
        let (mut count, mut has_ended, mut is_away) = (0, false, false);
        while let Some(frame) = raw.answer().await {
            match frame {
                Frame::Data { fin, bytes, .. } => {
                    count += bytes.len();
                    has_ended |= fin;
                }
                Frame::GoAway { last_stream: 1, status: 0 } => is_away = has_ended,
                _ => {}
            }
        }
        assert!(count == 20_000 && is_away, "{count} bytes, goodbye after the end: {is_away}");
        assert!(!closing.is_finished(), "the peer is still there");
        drop(raw);
        closing.await.expect("ends").expect("in order");
    });
}

#[test]
fn a_connection_that_breaks_is_no_end_in_order() {
    simulate(async {
        let (near, far) = tokio::io::duplex(4096);
        let (mut server, _) = served(far);
        let mut raw = Raw::new(near);
        raw.open(1).await;
        let mut pipe = server.recv().await.expect("it arrives").pipe;
        raw.stream.write_all(b"GET / HTTP/1.1\r\n").await.expect("the server is there");
        // The letters make data of a stream that is none, with most of it missing.
        raw.stream.write_all(&[0x80, 2, 0, 1, 0, 0, 0, 0].repeat(1 << 10)).await.ok();
        drop(raw);
        let read = pipe.read_u8().await.expect_err("nothing was sent");
        assert!(matches!(read.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof));
    });
}

#[test]
fn an_idle_connection_ends_and_a_clients_pings_keep_it() {
    simulate(async {
        let (near, far) = tokio::io::duplex(4096);
        let (driver, _incoming) = super::server(far, Box::new(|_| Ok(())));
        let ended = env::spawn(driver).await.expect("ends").expect_err("idle");
        assert_eq!(ended.to_string(), "timed out waiting for anything to move on the connection");
        drop(near);

        let (opener, mut server, _) = connected(4096);
        let (mut near, mut far) = open(&opener, &mut server).await;
        env::sleep(3 * crate::limits::IDLE_TIMEOUT).await;
        near.write_u8(1).await.expect("open");
        assert_eq!(far.read_u8().await.expect("open"), 1);
    });
}

#[test]
fn a_client_that_nobody_uses_any_more_closes() {
    simulate(async {
        let (opener, mut server, _) = connected(4096);
        let (near, far) = open(&opener, &mut server).await;
        drop(opener);
        settle().await;
        assert!(!server.is_closed(), "a stream is in use");
        drop((near, far));
        assert!(server.recv().await.is_none());
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn bytes_arrive_in_order_whatever_the_connection_holds(
        capacity in 1..3000_usize,
        writes in proptest::collection::vec((0..3_usize, 0..5000_usize), 1..40),
        seed in any::<u64>(),
    ) {
        simulate_from(seed, async move {
            let (opener, mut server, _) = connected(capacity);
            let (mut writers, mut readers) = (Vec::new(), Vec::new());
            for _ in 0..3 {
                let (near, mut far) = open(&opener, &mut server).await;
                writers.push(near);
                readers.push(env::spawn(async move {
                    let mut bytes = Vec::new();
                    far.read_to_end(&mut bytes).await.map(|_| bytes)
                }));
            }
            let mut sent = vec![Vec::new(); 3];
            for (at, (stream, count)) in writes.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..count).map(|byte| (byte + at) as u8).collect();
                writers[stream].write_all(&bytes).await.expect("open");
                sent[stream].extend(bytes);
            }
            drop(writers);
            for (reader, sent) in readers.into_iter().zip(sent) {
                assert_eq!(reader.await.expect("ends").expect("in order"), sent);
            }
        });
    }
}
