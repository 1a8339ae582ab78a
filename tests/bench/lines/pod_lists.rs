//! LIST of many pods in the forms that clients ask for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use base::env;
use bytes::Bytes;
use http::Method;

use crate::bench::Bench;
use crate::keelson::config_maps::ensure_namespace;
use crate::keelson::http::{Connection, Media, open_many};
use crate::keelson::workloads::{Kind, Way, Writers};
use crate::load;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const NAMESPACE: &str = "listed-pods";
const FORMS_RATIO_MAX: f64 = 1.5;
const PAGES_RATIO_MAX: f64 = 2.0;

/// What Go clients and kubectl ask for.
const FORMS: &[(&str, &str)] = &[
    ("protobuf", "application/vnd.kubernetes.protobuf"),
    ("as a Table", "application/json;as=Table;v=v1;g=meta.k8s.io"),
];

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let count = bench.protocol.connections(scale::POD_CLIENTS);
    let connections = open_many(&cluster.endpoint(&whole.leader)?, bench.protocol, count).await?;
    ensure_namespace(&connections[0], NAMESPACE).await?;
    let writers = Writers::new(connections, NAMESPACE, Kind::Pod, Way::Create, "pod");
    load::exactly(Arc::new(writers), scale::POD_CLIENTS, scale::LISTED_OBJECTS).await?;
    let connection = cluster.connect(&whole.leader, bench.protocol).await?;
    let path = Kind::Pod.collection(NAMESPACE);
    let mut rows = Vec::new();
    for (name, accept) in FORMS {
        let media = Media { accept, ..Media::JSON };
        let (mut plain, mut other) = (Samples::default(), Samples::default());
        let mut size_bytes = 0;
        // In turn, so that a slow moment of the machine meets both.
        for _ in 0..scale::LISTS {
            plain.push(timed(&connection, Media::JSON, &path).await?.0);
            let (took, bytes) = timed(&connection, media, &path).await?;
            other.push(took);
            size_bytes = bytes;
        }
        let name = format!("LIST of 10,000 pods {name}, median; in JSON");
        let (took, reference) = (Value::ms(other.median()), Value::ms(plain.median()));
        let row = Row::compared(name, took, reference, Target::RatioAtMost(FORMS_RATIO_MAX));
        rows.push(row.note(format!("{:.1} MiB", size_bytes as f64 / f64::from(1 << 20))));
    }
    rows.push(paged(&connection, &path).await?);
    Ok(rows)
}

async fn timed(connection: &Connection, media: Media, path: &str) -> Result<(Duration, u64)> {
    let started = env::monotonic();
    let size_bytes = connection.accepted_as(media, Method::GET, path, Bytes::new()).await?;
    Ok((started.elapsed(), size_bytes))
}

/// All pages one after another, against one list of everything.
async fn paged(connection: &Connection, path: &str) -> Result<Row> {
    let (mut walks, mut lists) = (Samples::default(), Samples::default());
    for _ in 0..scale::LISTS {
        let started = env::monotonic();
        connection.get(path).await?;
        lists.push(started.elapsed());
        let started = env::monotonic();
        let pages = walk(connection, path).await?;
        walks.push(started.elapsed());
        let expect = scale::LISTED_OBJECTS.div_ceil(scale::PAGE_OBJECTS as u64);
        ensure!(pages == expect, "{pages} pages instead of {expect}");
    }
    let name = "walk of 10,000 pods by 500, median; one LIST";
    let (walk, list) = (Value::ms(walks.median()), Value::ms(lists.median()));
    Ok(Row::compared(name, walk, list, Target::RatioAtMost(PAGES_RATIO_MAX)))
}

async fn walk(connection: &Connection, path: &str) -> Result<u64> {
    let mut token = String::new();
    for pages in 1.. {
        let page = connection.get(&format!("{path}?limit={}&continue={token}", scale::PAGE_OBJECTS)).await?;
        token = continue_token(&page);
        if token.is_empty() {
            return Ok(pages);
        }
    }
    Ok(0)
}

/// The token in a list's head: the client does not read the rest, as it does not of an unpaged list.
fn continue_token(page: &[u8]) -> String {
    const HEAD_BYTES: usize = 1024;
    let head = String::from_utf8_lossy(&page[..page.len().min(HEAD_BYTES)]).into_owned();
    let token = head.split_once("\"continue\":\"").and_then(|(_, rest)| rest.split_once('"'));
    token.map_or(String::new(), |(token, _)| token.to_owned())
}
