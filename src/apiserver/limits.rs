//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Bytes of a request's body: what Kubernetes accepts (3 MiB), room for the largest object as YAML.
pub const BODY_BYTES_MAX: usize = 3 << 20;

/// Bytes that are read of what goes beyond [`BODY_BYTES_MAX`], so that its client hears of it: what Go's server reads.
pub const EXCESS_BYTES_MAX: usize = 256 << 10;

/// How long that may take.
pub const EXCESS_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of the requests that one plan imagines: some hundred manifests.
pub const PLAN_BODY_BYTES_MAX: usize = 16 << 20;

/// Requests that one plan imagines.
pub const PLAN_REQUESTS_MAX: usize = 1_000;

/// Bytes of an agent's refusal that are told on.
pub const AGENT_REFUSAL_BYTES_MAX: usize = 4 << 10;

/// Proxied requests at a time, from their head to that of their answer: each has a connection to a node, and may wait
/// long for what its pod does. One further is refused with 429.
pub const PROXIED_MAX: usize = 1_000;

/// How long a pod may take to the head of its answer: longer than applications' own long polls.
pub const PROXIED_TIMEOUT: Duration = Duration::from_secs(600);

/// Bytes of a tag of HTML whose links are rewritten in a proxied page; of a longer one they stay.
pub const PROXY_TAG_BYTES_MAX: usize = 64 << 10;

/// Bytes of the name of who manages fields: Kubernetes' own bound.
pub const MANAGER_BYTES_MAX: usize = 128;

/// Connections at a time. 1,000 nodes keep a handful each. A process that may open 20,000 files, as many
/// are allowed to, keeps the rest for its store, the other masters and itself.
pub const CONNECTIONS_MAX: usize = 16_000;

/// Pause after the listener refused to accept, which happens when files run out: others must close first.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Requests in work at a time, from their head to that of their answer; what is small and no resource is
/// not counted. One further is refused with 429. Far above what keeps the log busy: this many are in work when something
/// below is stuck, and more would only wait with their bodies in memory.
pub const REQUESTS_MAX: usize = 4_096;

/// Bytes of the longest bearer token that is read: twenty times what a pod's has.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Tokens whose signatures are remembered: those of as many pods as a cluster's nodes run that talk to one master
/// at a time. What is forgotten is verified once more.
pub const TOKENS_REMEMBERED: usize = 16_384;

/// How long the set of keys that sign tokens may be kept by who reads it, as in Kubernetes. Seconds.
pub const KEY_SET_AGE_SECONDS: u32 = 3_600;

/// How often the leader looks whether something is missing that every cluster has.
pub const STANDING_INTERVAL: Duration = Duration::from_secs(5);

/// How often a master says that it lives. Each time is an entry of the log.
pub const PRESENCE_INTERVAL: Duration = Duration::from_secs(5);

/// How long that is good for, as its Lease says, seconds: two renewals may be missed.
pub const PRESENCE_SECONDS: u32 = 15;

/// How often the leader looks for requests for certificates, besides being woken by their changes: a node may have
/// told its addresses since.
pub const CERTIFICATES_INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of the headers of an HTTP/2 request.
pub const HEAD_BYTES_MAX: u32 = 64 << 10;

/// Bytes that an HTTP/1.1 connection reads ahead and writes behind; its heads must fit.
pub const CONNECTION_BUFFER_BYTES: usize = 512 << 10;

/// How long a client may take for a TLS handshake, for its first request, and over HTTP/1.1 for the head of
/// each.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Streams of one HTTP/2 connection at a time: a client opens a watch for each kind it knows.
pub const STREAMS_MAX: u32 = 1_000;

/// Bytes of request bodies that a client may send ahead on one HTTP/2 stream, and on the connection.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// See [`STREAM_WINDOW_BYTES`].
pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Bytes of an answer that wait on one HTTP/2 stream for a client that does not read.
pub const SEND_BUFFER_BYTES: usize = 256 << 10;

/// How long a client may take nothing of what waits for it, on a connection or on one HTTP/2 stream, before
/// that is closed. More than a network that comes back needs, and more than [`REQUEST_TIMEOUT`].
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(60);

/// How long any request may take to the head of its answer. Reading and proposing have limits of their own, below it.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long open requests may go on after a shutdown began.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that the server may add to an object after its user wrote it: what marks it as deleted, and what a
/// kind changes then. Measured: less than a hundred.
pub const OBJECT_HEADROOM_BYTES: usize = 4 << 10;

/// Bytes of the largest object that a user may write. What is larger could not be marked as deleted, and
/// would keep its namespace for ever.
pub const OBJECT_BYTES_MAX: usize = state::limits::OBJECT_BYTES_MAX - OBJECT_HEADROOM_BYTES;

/// How often a write is decided anew because others changed what it had read.
pub const ATTEMPTS_MAX: usize = 20;

/// Random characters behind a generateName, as Kubernetes adds them.
pub const GENERATED_CHARS: usize = 5;

/// How many names are tried for an object that asks for a generated one, as in Kubernetes.
pub const GENERATED_NAMES_MAX: usize = 8;

/// Longest name that is generated: the name of a label, so that every kind takes it.
pub const GENERATED_NAME_BYTES_MAX: usize = 63;

/// Objects that a list looks at before it lets others run: about a millisecond.
pub const SCAN_STEP_OBJECTS: usize = 8_192;

/// Bytes of a list's body made at a time.
pub const LIST_CHUNK_BYTES: usize = 256 << 10;

/// Bytes of what a part of a list is made of, where parts are made beside one another: some milliseconds of work, far
/// more than it takes to hand it over.
pub const LIST_PART_BYTES: usize = 1 << 20;

/// Such parts at a time: each takes a core.
pub const LIST_PARTS_AT_A_TIME: usize = 4;

/// Objects read from history at a time, for a list at an old revision.
pub const HISTORY_PAGE_OBJECTS: usize = 1_000;

/// How often a watch that allows bookmarks gets one, as in Kubernetes.
pub const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// How long a watch lasts that does not say: between this and twice this, so that not all end at once.
pub const WATCH_DURATION_MIN: Duration = Duration::from_secs(1_800);

/// The longest that a watch may ask to last.
pub const WATCH_DURATION_MAX: Duration = Duration::from_secs(86_400);

/// Bytes of watch frames put together before they are handed to the connection.
pub const WATCH_CHUNK_BYTES: usize = 64 << 10;

/// How long a health check may take.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Objects that the deletion of a collection deletes at a time: as many entries share a sync of the log.
pub const DELETES_AT_A_TIME: usize = 16;
