//! Every bound of this crate, with its reason.

/// Bindings that one round plans at most: enough to fill entries of the log, few enough that a round holds up the
/// master's other plans for some ten milliseconds only.
pub const BINDINGS_MAX: usize = 1_024;

/// Conditions that one round writes at most, for the same reason.
pub const CONDITIONS_MAX: usize = 1_024;

/// What is remembered of nodes for classes of pods, all classes of a round together: 64 MB. With more, everything is
/// forgotten and found anew.
pub const CELLS_MAX: usize = 1 << 20;

/// Fewer nodes than this are all looked at: Kubernetes' `minFeasibleNodesToFind`.
pub const FEASIBLE_MIN: usize = 100;

/// The least share of nodes that is looked at, in percent: Kubernetes' `minFeasibleNodesPercentageToFind`.
pub const FEASIBLE_PERCENT_MIN: usize = 5;

/// The longest text of an Event: Kubernetes' `NoteLengthLimit`.
pub const NOTE_BYTES_MAX: usize = 1_024;
