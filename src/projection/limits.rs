//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Submissions in flight at a time, of all controllers together: enough to fill an entry of the log, few enough that
/// deciding them does not hold up the folding of Changes.
pub const SUBMISSIONS_MAX: usize = 64;

/// Keys whose intents are on their way at a time: those of more would only wait for a place, while what they were planned
/// from changes.
pub const KEYS_SUBMITTING_MAX: usize = 64;

/// How long a key whose intents were refused waits before it is planned again; doubled each time.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(20);

/// The longest such wait: Kubernetes' controllers go up to 1,000 s, too long for what a person mends meanwhile.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// How long such a key waits after its failure at most once something about it changed.
pub const RELEASE_AFTER: Duration = Duration::from_secs(1);

/// How long a key whose plan panicked is left alone, whatever changes: mostly nothing but a change of the program mends
/// it, and each time it is told in the log.
pub const PANIC_BACKOFF: Duration = Duration::from_secs(60);

/// How many times as long as its plan took a key rests afterwards: one key takes a tenth of the loop's time at most.
pub const PLAN_REST_FACTOR: u32 = 9;

/// The longest such rest: what happens meanwhile is noticed that much later.
pub const PLAN_REST_MAX: Duration = Duration::from_millis(100);

/// How often every key of every controller is planned again, in the background: the repair of whatever a wake missed.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(300);

/// Keys of a sweep that are planned between two looks at what else there is to do.
pub const SWEEP_STEP: usize = 32;

/// Facts that are folded before the next plan, when so many wait: then outcomes are heard as well.
pub const FACTS_TOGETHER_MAX: usize = 1_024;

/// Changes of late that a master remembers while it does not lead: a new leader looks first at what these are about.
pub const RECENT_CHANGES_MAX: usize = 10_000;

/// What their objects may hold together. Mostly the watches keep them as well.
pub const RECENT_BYTES_MAX: usize = 16 << 20;

/// How long what is applied on a master that does not lead waits to be folded at most, where much is: a pod that is made,
/// bound and run meanwhile is looked at once. Whoever comes to lead folds at once what waits.
pub const BEHIND_MAX: Duration = Duration::from_millis(100);

/// How many objects wait like that at most: folding them takes some tens of milliseconds.
pub const BEHIND_CHANGES_MAX: usize = 2_048;

/// How often the leader confirms that it leads and that its log goes on; between two confirmations further apart than
/// [`OFFICE_GAP_MAX`] no time counts.
pub const OFFICE_INTERVAL: Duration = Duration::from_millis(500);

/// See [`OFFICE_INTERVAL`].
pub const OFFICE_GAP_MAX: Duration = Duration::from_secs(2);

/// Typed objects kept decoded, twice this at most.
pub const TYPED_MAX: usize = 4_096;

/// Events that wait to be written; further ones push out the oldest.
pub const EVENTS_WAITING_MAX: usize = 20_000;

/// Events written by one transaction.
pub const EVENTS_PER_TXN: usize = 64;

/// How long Events are gathered before they are written.
pub const EVENTS_PAUSE: Duration = Duration::from_millis(100);

/// Events about the same thing that are remembered, to count up one instead of writing another.
pub const EVENTS_KNOWN_MAX: usize = 8_192;

/// How long a reason that is told again changes nothing: plans tell their reasons each time they run.
pub const EVENT_REPEAT_AFTER: Duration = Duration::from_secs(60);
