//! What the masters' own metrics say about bytes written, part by part.

use crate::keelson::cluster::Cluster;
use crate::keelson::http::Protocol;

/// Every counter of written bytes of each master. Empty where a master tells none: the metrics explain
/// a number that the kernel gives, they are not needed for it.
pub async fn written_of_each(cluster: &Cluster) -> Vec<(String, Vec<(String, u64)>)> {
    let mut all = Vec::new();
    for (name, _) in cluster.processes() {
        let text = match cluster.connect(&name, Protocol::Http1).await {
            Ok(connection) => connection.get("/metrics").await.unwrap_or_default(),
            Err(_) => bytes::Bytes::new(),
        };
        all.push((name, written(&String::from_utf8_lossy(&text))));
    }
    all
}

/// The counters (name and labels) of Prometheus text that count bytes written.
fn written(text: &str) -> Vec<(String, u64)> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = samples.filter_map(|line| line.rsplit_once(' '));
    let of_bytes = pairs.filter(|(series, _)| {
        let name = series.split('{').next().unwrap_or(series);
        let counts = ["_bucket", "_count"].iter().all(|suffix| !name.ends_with(suffix));
        counts && name.contains("bytes") && (name.contains("written") || name.contains("write"))
    });
    of_bytes
        .filter_map(|(series, value)| Some((series.to_owned(), value.parse::<f64>().ok()? as u64)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counters_of_written_bytes_are_taken() {
        let text = "# HELP keelson_written_bytes x\n\
                    keelson_written_bytes_total{part=\"log\"} 4096\n\
                    keelson_written_bytes_total{part=\"image flush\"} 12\n\
                    keelson_read_bytes_total 9\n\
                    keelson_write_seconds_count 3\n\
                    keelson_written_bytes_bucket{le=\"1\"} 3\n\
                    # EOF\n";
        let expect = [("{part=\"log\"}", 4096), ("{part=\"image flush\"}", 12)];
        let expect = expect.map(|(labels, value)| (format!("keelson_written_bytes_total{labels}"), value));
        assert_eq!(written(text), expect);
    }
}
