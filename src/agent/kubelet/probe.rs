//! Probes: when one is due and what its results mean, as a pure machine.

use k8s_openapi::api::core::v1::Probe;

use crate::pod::Member;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Others wait until it succeeded once.
    Startup,
    /// Whether traffic may come.
    Readiness,
    /// Whether the container must be replaced.
    Liveness,
}

impl ProbeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// As messages begin.
    pub fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }

    /// The container's probe of this kind.
    pub fn of(self, member: &Member) -> Option<&Probe> {
        let container = &member.container;
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
        }
    }
}

/// One probe of one container, by the engine's id: a restarted container starts over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeState {
    /// What holds; `None` until enough results agree.
    pub verdict: Option<bool>,
    /// The last result and how often it came in a row.
    pub last: Option<bool>,
    /// See [`ProbeState::last`].
    pub run: i32,
    /// When it began last; 0 before the first time.
    pub began_ms: u64,
    /// Whether it runs now.
    pub is_running: bool,
    /// Nothing more is asked of this container: it started, or it will be replaced.
    pub is_over: bool,
}

/// When the probe is due.
pub fn due_ms(probe: &Probe, state: &ProbeState, container_started_ms: u64) -> u64 {
    let seconds = |value: Option<i32>, default: i32| u64::try_from(value.unwrap_or(default)).unwrap_or(0);
    let first = container_started_ms + seconds(probe.initial_delay_seconds, 0) * 1000;
    let next = state.began_ms + seconds(probe.period_seconds, 10).max(1) * 1000;
    if state.began_ms == 0 { first } else { first.max(next) }
}

impl ProbeState {
    /// The probe begins.
    #[must_use]
    pub fn begin(self, now_ms: u64) -> Self {
        Self { began_ms: now_ms, is_running: true, ..self }
    }

    /// The probe could not be made: no result.
    #[must_use]
    pub fn drop_result(self) -> Self {
        Self { is_running: false, ..self }
    }

    /// The probe ended with this result.
    #[must_use]
    pub fn end(self, kind: ProbeKind, probe: &Probe, result: bool) -> Self {
        let run = if self.last == Some(result) { self.run + 1 } else { 1 };
        let mut next = Self { last: Some(result), run, is_running: false, ..self };
        let threshold = if result { probe.success_threshold } else { probe.failure_threshold };
        if run < threshold.unwrap_or(if result { 1 } else { 3 }) {
            return next;
        }
        next.verdict = Some(result);
        next.is_over = kind == ProbeKind::Startup || (kind == ProbeKind::Liveness && !result);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(kind: ProbeKind, success: i32, failure: i32, results: &str) -> String {
        let probe =
            Probe { success_threshold: Some(success), failure_threshold: Some(failure), ..Probe::default() };
        let mut state = ProbeState::default();
        let mut shown = String::new();
        for result in results.chars() {
            state = state.begin(1).end(kind, &probe, result == '+');
            shown.push(match state.verdict {
                None => '?',
                Some(true) => '+',
                Some(false) => '-',
            });
            if state.is_over {
                shown.push('.');
                break;
            }
        }
        shown
    }

    #[test]
    fn thresholds_count_results_in_a_row() {
        assert_eq!(verdicts(ProbeKind::Readiness, 1, 3, "+--+---+"), "+++++".to_owned() + "+-+");
        assert_eq!(verdicts(ProbeKind::Readiness, 2, 1, "+-++"), "?--+");
        assert_eq!(verdicts(ProbeKind::Liveness, 1, 3, "--+---+"), "??+++-.");
        assert_eq!(verdicts(ProbeKind::Startup, 1, 3, "--+"), "??+.");
        assert_eq!(verdicts(ProbeKind::Startup, 1, 2, "--+"), "?-.");
    }

    #[test]
    fn a_probe_is_due_after_its_delay_and_then_every_period() {
        let probe = Probe { initial_delay_seconds: Some(5), period_seconds: Some(3), ..Probe::default() };
        let state = ProbeState::default();
        assert_eq!(due_ms(&probe, &state, 1_000), 6_000);
        assert_eq!(due_ms(&probe, &state.begin(6_200), 1_000), 9_200);
    }
}
