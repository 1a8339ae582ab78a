//! The leader by preference, and slowly.

use std::time::Duration;

use base::env;
use k8s_openapi::api::core::v1::ConfigMap;

use super::{numbered, path};
use crate::fake::{Act, Fake};
use crate::{Client, DRIFT, Event, Selection, Watch};

/// Whom the last request of a sort was sent to.
fn last(fake: &Fake, is_it: impl Fn(&crate::fake::Ask) -> bool) -> Option<usize> {
    fake.asked().iter().rfind(|ask| is_it(ask)).map(|ask| ask.master)
}

fn last_watch(fake: &Fake) -> Option<usize> {
    last(fake, crate::fake::Ask::is_watch)
}

async fn read(client: &Client) {
    client.get(&path("a")).await.expect("read");
}

/// A client whose watch is open.
async fn watching(fake: &Fake) -> (Client, Watch<ConfigMap>) {
    fake.put(&path("a"), numbered(1));
    let client = fake.client().expect("a client");
    let mut watch = client.watch::<ConfigMap>(Selection::namespace("default"));
    assert!(matches!(watch.next().await, Some(Event::Restarted(_))));
    while last_watch(fake).is_none() {
        env::sleep(Duration::from_millis(10)).await;
    }
    (client, watch)
}

#[test]
fn requests_go_to_the_leader_as_soon_as_it_is_known() {
    env::simulate(1, async {
        let fake = Fake::new(3);
        fake.set_leader(Some(2));
        fake.put(&path("a"), numbered(1));
        let client = fake.client().expect("a client");
        read(&client).await;
        read(&client).await;
        assert_eq!(last(&fake, |ask| ask.path == path("a")), Some(2));
        assert_eq!(client.leader(), Some(fake.servers()[2].clone()));
        fake.set_leader(Some(0));
        read(&client).await;
        read(&client).await;
        assert_eq!(last(&fake, |ask| ask.path == path("a")), Some(0));
    });
}

#[test]
fn a_stream_that_works_moves_to_the_new_leader_later() {
    let after = |seed| {
        env::simulate(seed, async {
            let fake = Fake::new(3);
            fake.set_leader(Some(0));
            let (client, mut watch) = watching(&fake).await;
            assert_eq!(last_watch(&fake), Some(0));
            fake.set_leader(Some(1));
            read(&client).await;
            let began = env::monotonic();
            while last_watch(&fake) == Some(0) {
                assert!(began.elapsed() < DRIFT + Duration::from_secs(5), "it never moved");
                env::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(last_watch(&fake), Some(1));
            // Nothing is told of the move.
            fake.put(&path("b"), numbered(2));
            assert!(matches!(watch.next().await, Some(Event::Applied(_))));
            began.elapsed()
        })
    };
    let moves: Vec<Duration> = (0..24).map(after).collect();
    let early = moves.iter().filter(|after| **after < DRIFT / 2).count();
    assert!((6..=18).contains(&early), "not spread over {DRIFT:?}: {moves:?}");
}

#[test]
fn a_broken_stream_goes_on_elsewhere_soon() {
    env::simulate(1, async {
        let fake = Fake::new(3);
        fake.set_leader(Some(0));
        let (_client, mut watch) = watching(&fake).await;
        let began = env::monotonic();
        fake.set_alive(0, false);
        fake.set_leader(Some(1));
        fake.put(&path("b"), numbered(2));
        assert!(matches!(watch.next().await, Some(Event::Applied(_))));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    });
}

#[test]
fn a_leader_that_does_not_answer_gets_no_streams() {
    env::simulate(1, async {
        let fake = Fake::new(2);
        fake.set_leader(Some(0));
        let (client, _watch) = watching(&fake).await;
        // It leads, the other says, but cannot be reached from here.
        fake.set_leader(Some(1));
        fake.script(|ask| if ask.master == 1 { Act::Refuse } else { Act::Serve });
        let reads = async {
            loop {
                read(&client).await;
                env::sleep(Duration::from_secs(1)).await;
            }
        };
        let _ = env::timeout(5 * DRIFT, reads).await;
        let watches = fake.asked().iter().filter(|ask| ask.is_watch() && ask.master == 0).count();
        assert_eq!(watches, 1, "the stream that works was given up");
    });
}

#[test]
fn a_replaced_master_is_found() {
    env::simulate(1, async {
        let fake = Fake::new(1);
        fake.put(&path("a"), numbered(1));
        let client = fake.client().expect("a client");
        read(&client).await;
        let added = fake.add_master();
        // Time to ask who the masters are.
        env::sleep(Duration::from_secs(300)).await;
        fake.set_alive(0, false);
        read(&client).await;
        assert_eq!(last(&fake, |ask| ask.path == path("a")), Some(added));
    });
}
