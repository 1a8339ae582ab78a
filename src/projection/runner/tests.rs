//! The runner on virtual time, over a log that answers as it is told.

mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base::env;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::advance;

use super::{Leadership, Report, hold_office};
use crate::limits::{
    KEYS_SUBMITTING_MAX, OFFICE_GAP_MAX, OFFICE_INTERVAL, PANIC_BACKOFF, RELEASE_AFTER, SUBMISSIONS_MAX,
    SWEEP_INTERVAL,
};
use cluster::{Answer, Cluster, plans};

const MS: Duration = Duration::from_millis(1);

/// Longer than a proposal takes, and shorter than anybody waits for something.
const A_WHILE: Duration = Duration::from_millis(10);

#[test]
fn a_timer_that_comes_due_between_planning_and_waiting_is_not_lost() {
    env::simulate(1, async {
        let cluster = Cluster::leading();
        cluster.put("a", json!({"again": "10"}));
        let mut runner = cluster.runner();
        for _ in 0..3 {
            let facts = runner.source.next().await;
            runner.take(facts);
        }
        let more = runner.act();
        assert_eq!(plans(), ["a"]);
        advance(MS * 10).await;
        assert!(runner.next_wake(more) <= env::monotonic() + MS, "it is due");
        runner.act();
        assert_eq!(plans(), ["a"]);
    });
}

/// Somebody who leads, or not.
struct Led {
    term: AtomicU64,
    is_confirmed: AtomicBool,
}

#[async_trait::async_trait]
impl Leadership for Led {
    fn term(&self) -> Option<u64> {
        Some(self.term.load(Ordering::SeqCst))
    }

    async fn confirm(&self) -> bool {
        self.is_confirmed.load(Ordering::SeqCst)
    }
}

#[test]
fn only_time_in_which_a_leader_could_hear_nodes_counts() {
    env::simulate(1, async {
        let led = Arc::new(Led { term: AtomicU64::new(1), is_confirmed: AtomicBool::new(true) });
        let (sender, mut reports) = mpsc::unbounded_channel();
        let office = env::spawn(hold_office(Arc::clone(&led) as _, sender));
        let mut counted_after = async |intervals: u32| {
            env::sleep(OFFICE_INTERVAL * intervals + MS).await;
            let mut counted_ms = 0;
            while let Ok(Report::Office { elapsed_ms, .. }) = reports.try_recv() {
                counted_ms += elapsed_ms;
            }
            counted_ms.div_ceil(OFFICE_INTERVAL.as_millis() as u64)
        };
        assert_eq!(counted_after(5).await, 4, "from the first confirmation on");
        led.is_confirmed.store(false, Ordering::SeqCst);
        assert_eq!(counted_after(5).await, 0, "no quorum confirms it");
        led.is_confirmed.store(true, Ordering::SeqCst);
        assert_eq!(counted_after(3).await, 2);
        advance(OFFICE_GAP_MAX * 2).await;
        assert_eq!(counted_after(2).await, 2, "not the time in which the process stood still");
        led.term.store(2, Ordering::SeqCst);
        assert_eq!(counted_after(3).await, 2, "another term begins anew");
        office.abort();
    });
}

#[test]
fn a_leader_plans_what_changed_of_late_then_everything_and_nobody_else_plans() {
    env::simulate(1, async {
        let cluster = Cluster::following();
        let runner = cluster.run();
        for name in ["c", "b", "a", "c"] {
            cluster.put(name, json!({}));
        }
        env::sleep(SWEEP_INTERVAL * 2).await;
        assert_eq!(plans(), [""; 0], "another leads");
        cluster.lead(1);
        env::sleep(A_WHILE).await;
        assert_eq!(plans(), ["c", "b", "a"], "in the order in which they were woken, once each");
        env::sleep(SWEEP_INTERVAL).await;
        assert_eq!(plans(), ["a", "b", "c"], "and now and then without a reason");
        cluster.lose();
        for name in ["a", "c"] {
            cluster.put(name, json!({"changed": "yes"}));
            env::sleep(SWEEP_INTERVAL).await;
        }
        assert_eq!(plans(), [""; 0]);
        cluster.lead(2);
        env::sleep(A_WHILE).await;
        assert_eq!(plans(), ["c", "a", "b"], "what changed while another led comes first, then all");
        drop(runner);
    });
}

#[test]
fn a_key_is_not_planned_before_its_own_writes_are_applied_here() {
    env::simulate(1, async {
        let cluster = Cluster::leading();
        let runner = cluster.run();
        cluster.answer("a", Some(Answer::Nothing));
        cluster.put("a", json!({"intents": "2"}));
        env::sleep(A_WHILE).await;
        cluster.lag();
        cluster.answer("a", None);
        env::sleep(SWEEP_INTERVAL * 2).await;
        assert_eq!((plans().len(), cluster.proposals()), (1, 2), "World does not show them");
        cluster.catch_up();
        env::sleep(A_WHILE).await;
        assert_eq!((plans().len(), cluster.proposals()), (1, 2), "the second plan wants nothing");
        drop(runner);
    });
}

#[test]
fn a_change_lets_a_refused_key_go_on_soon_and_no_flood_of_them_faster() {
    env::simulate(1, async {
        let cluster = Cluster::leading();
        let runner = cluster.run();
        cluster.answer("a", Some(Answer::Refused));
        cluster.put("a", json!({"intents": "1"}));
        env::sleep(SWEEP_INTERVAL / 2).await;
        let waited = plans().len();
        assert!((10..20).contains(&waited), "{waited} plans in minutes");
        cluster.answer("a", None);
        cluster.put("a", json!({"intents": "1", "changed": "yes"}));
        env::sleep(RELEASE_AFTER).await;
        assert_eq!(plans().len(), 2, "it is done, and looked at");
        cluster.answer("b", Some(Answer::Refused));
        for turn in 0..1_000 {
            cluster.put("b", json!({"intents": "1", "turn": turn.to_string()}));
            env::sleep(A_WHILE).await;
        }
        let flood = plans().len();
        assert!((10..20).contains(&flood), "{flood} plans in ten seconds");
        drop(runner);
    });
}

#[test]
fn a_panic_stops_its_key_alone_and_not_for_ever() {
    env::simulate(1, async {
        let cluster = Cluster::leading();
        let runner = cluster.run();
        cluster.put("a", json!({"panics": "yes"}));
        cluster.put("b", json!({"intents": "1"}));
        env::sleep(A_WHILE).await;
        assert_eq!(plans(), ["a", "b", "b"]);
        cluster.put("a", json!({"intents": "1"}));
        env::sleep(A_WHILE).await;
        assert_eq!(plans(), [""; 0]);
        env::sleep(PANIC_BACKOFF).await;
        assert_eq!(plans(), ["a", "a"]);
        drop(runner);
    });
}

#[test]
fn who_is_not_woken_for_a_panic_is_planned_in_the_next_sweep() {
    env::simulate(1, async {
        let cluster = Cluster::leading();
        let runner = cluster.run();
        env::sleep(A_WHILE).await;
        cluster.put("a", json!({"wakes": "panics"}));
        cluster.put("b", json!({"intents": "1"}));
        env::sleep(A_WHILE).await;
        assert_eq!(plans(), ["b", "b"]);
        assert_eq!(cluster.measured("controller_panics"), 1);
        env::sleep(SWEEP_INTERVAL).await;
        assert_eq!(plans(), ["a", "b"]);
        drop(runner);
    });
}

#[test]
fn each_controller_is_measured() {
    env::simulate(1, async {
        let cluster = Cluster::leading();
        let runner = cluster.run();
        cluster.put("a", json!({"panics": "yes"}));
        cluster.put("b", json!({"intents": "3"}));
        env::sleep(A_WHILE).await;
        cluster.answer("c", Some(Answer::Refused));
        cluster.put("c", json!({"intents": "1"}));
        env::sleep(A_WHILE).await;
        let names = ["plans", "intents", "intents_refused", "intents_stale", "panics"];
        let measured = names.map(|name| cluster.measured(&format!("controller_{name}")));
        assert_eq!(measured, [3, 4, 1, 0, 1], "{names:?}: b twice, and c");
        drop(runner);
    });
}

#[test]
fn nothing_of_a_key_is_planned_while_nobody_knows_what_came_of_it() {
    env::simulate(1, async {
        let cluster = Cluster::leading();
        let runner = cluster.run();
        cluster.answer("a", Some(Answer::Unknown));
        cluster.take_entries(false);
        cluster.put("a", json!({"intents": "1"}));
        env::sleep(A_WHILE).await;
        cluster.put("a", json!({"intents": "1", "changed": "yes"}));
        env::sleep(SWEEP_INTERVAL * 2).await;
        assert_eq!(plans(), ["a"], "no later entry of this leader was applied");
        cluster.answer("a", None);
        cluster.take_entries(true);
        env::sleep(RELEASE_AFTER).await;
        assert_eq!(plans(), ["a", "a"], "it is done, and looked at");
        drop(runner);
    });
}

#[test]
fn only_so_many_intents_and_keys_are_on_their_way_at_a_time() {
    env::simulate(1, async {
        let cluster = Cluster::leading();
        for key in 0..2 * KEYS_SUBMITTING_MAX {
            let name = format!("k{key:03}");
            cluster.answer(&name, Some(Answer::Nothing));
            cluster.put(&name, json!({"intents": "2"}));
        }
        let runner = cluster.run();
        env::sleep(A_WHILE).await;
        assert!(plans().len() <= KEYS_SUBMITTING_MAX, "the others are planned when they can go on");
        for key in 0..2 * KEYS_SUBMITTING_MAX {
            cluster.answer(&format!("k{key:03}"), None);
        }
        env::sleep(A_WHILE * 10).await;
        assert_eq!(
            (cluster.in_flight_max(), cluster.proposals()),
            (SUBMISSIONS_MAX, 4 * KEYS_SUBMITTING_MAX)
        );
        drop(runner);
    });
}
