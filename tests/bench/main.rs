//! `keelson-bench`: measures Keelson against references taken in the same run, and prints a table in
//! which every line is met or missed.

mod bench;
mod etcd;
mod failover;
mod keelson;
mod lines;
mod load;
mod metrics;
mod probe;
mod process;
mod procfs;
mod profile;
mod propose;
mod report;
mod scale;
mod server;
mod stats;
mod watching;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use base::env;
use bench::{Bench, Stage};
use clap::{Parser, Subcommand};
use etcd::reference::{self, Need, References};
use keelson::cluster::Binaries;
use keelson::http::Protocol;
use lines::{LINES, Line};
use profile::{Profile, Samples};
use report::{Row, Section, Target, Value, Verdict};

/// Measures Keelson against references taken in the same run.
#[derive(Debug, Parser)]
#[command(name = "keelson-bench", after_help = lines_help())]
struct Options {
    /// Only this line (several times: only these)
    #[arg(long, value_name = "LINE", value_parser = known_line)]
    only: Vec<String>,
    /// The etcd that Keelson is held against
    #[arg(long, value_name = "PATH", default_value = "etcd")]
    etcd: PathBuf,
    /// The keelson to measure; kctl is expected beside it
    #[arg(long, value_name = "PATH", default_value = "bin/keelson")]
    keelson: PathBuf,
    /// What the gated throughput lines speak
    #[arg(long, value_enum, default_value = "http2")]
    protocol: Protocol,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Fail unless every line is met
    #[arg(long)]
    strict: bool,
    /// Measure only this line, and print where the masters' time goes meanwhile
    #[arg(long, value_name = "LINE", value_parser = known_line, conflicts_with = "only")]
    profile: Option<String>,
    #[command(subcommand)]
    helper: Option<Helper>,
}

#[derive(Debug, Subcommand)]
enum Helper {
    /// The server of the reference bodies, in a process of its own
    #[command(name = server::SUBCOMMAND, hide = true)]
    ServeReference {
        /// Where its files are
        directory: PathBuf,
    },
    /// First packets to Services, from inside a node's network
    #[command(name = probe::FIRST, hide = true)]
    ProbeFirst {
        /// Where addresses stand, one a line
        addresses: PathBuf,
    },
    /// What answers at an address, from inside a node's network
    #[command(name = probe::FOLLOW, hide = true)]
    ProbeFollow {
        /// The address
        address: String,
    },
}

impl Helper {
    fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            match self {
                Self::ServeReference { directory } => server::run(directory).await,
                Self::ProbeFirst { addresses } => probe::first(&addresses).await,
                Self::ProbeFollow { address } => probe::follow(&address).await,
            }
        })
    }
}

fn lines_help() -> String {
    let names: Vec<String> =
        LINES.iter().map(|line| format!("  {:<11} {}\n", line.name, line.about)).collect();
    format!("Lines:\n{}", names.concat())
}

fn known_line(name: &str) -> Result<String, String> {
    let known: Vec<&str> = LINES.iter().map(|line| line.name).collect();
    if known.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!("the lines are {}", known.join(", ")))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match start(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("keelson-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: Options) -> Result<ExitCode> {
    if let Some(helper) = options.helper {
        return helper.run().map(|()| ExitCode::SUCCESS);
    }
    // One thread: the load shares the machine with what it loads, and hands no work between cores.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            biased;
            // Dropping the measurement stops every process that it started.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::FAILURE),
            _ = terminated.recv() => Ok(ExitCode::FAILURE),
            measured = measure(&options) => measured,
        }
    })
}

async fn measure(options: &Options) -> Result<ExitCode> {
    let only: Vec<&String> = options.only.iter().chain(&options.profile).collect();
    let selected = LINES.iter().filter(|line| only.is_empty() || only.contains(&&line.name.to_owned()));
    let selected: Vec<&Line> = selected.collect();
    let mut needs: Vec<Need> = selected.iter().flat_map(|line| line.needs).copied().collect();
    needs.sort_unstable();
    needs.dedup();

    let started = env::monotonic();
    let mut sections = Vec::new();
    let references = if needs.is_empty() {
        References::default()
    } else {
        let (references, section) = reference::measure(&options.etcd, &needs).await?;
        sections.push(section);
        references
    };
    match Binaries::find(&options.keelson) {
        Ok(binaries) => {
            let mut bench = Bench::new(binaries, references, options.protocol);
            sections.extend(run_lines(&mut bench, &selected, options.profile.is_some()).await);
        }
        Err(absent) => {
            let without = |line: &&Line| not_measured(line, &absent);
            sections.extend(selected.iter().map(without));
        }
    }
    print(options, &sections);
    eprintln!("{:.0} s in all", started.elapsed().as_secs_f64());
    let failed = options.strict && !report::all_met(&sections);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(options: &Options, sections: &[Section]) {
    if options.json {
        println!("{:#}", report::json(sections));
    } else {
        println!("{}\n{}", report::table(sections), report::summary(sections));
    }
}

async fn run_lines(bench: &mut Bench, selected: &[&Line], profiled: bool) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut elections = Elections::default();
    for line in selected {
        eprintln!("{}: {}", line.name, line.about);
        let started = env::monotonic();
        let measured = run_line(bench, line, profiled, &mut elections).await;
        let mut section = match measured {
            Ok(rows) => Section { line: line.name, rows, took: started.elapsed() },
            Err(error) => {
                // The next line must not find what this one left.
                bench.leave();
                not_measured(line, &error)
            }
        };
        section.took = started.elapsed();
        sections.push(section);
    }
    bench.leave();
    sections.extend(elections.section());
    sections
}

async fn run_line(
    bench: &mut Bench,
    line: &Line,
    profiled: bool,
    elections: &mut Elections,
) -> Result<Vec<Row>> {
    bench.enter(line.stage).await.context("preparing the cluster")?;
    let before = bench.term().await;
    let processes = bench.cluster().map(|cluster| cluster.processes()).unwrap_or_default();
    let profile = Profile::start(processes.clone());
    let samples = profiled.then(|| Samples::start(&processes));
    let rows = (line.run)(bench).await.map(|rows| with_profile(rows, &profile));
    if let Some(samples) = samples {
        let threads = profile.finish().join("\n");
        eprintln!("where the masters' time went during {}:\n{threads}\n{}", line.name, samples.finish());
    }
    if !line.provokes_elections && line.stage != Stage::Empty {
        elections.compare(line.name, before, bench.term().await);
    }
    rows
}

/// A row that is missed says where the masters' time went during its line.
fn with_profile(rows: Vec<Row>, profile: &Profile) -> Vec<Row> {
    let explained = |row: Row| match row.verdict() {
        Verdict::Missed => profile.finish().into_iter().fold(row, Row::note),
        _ => row,
    };
    rows.into_iter().map(explained).collect()
}

fn not_measured(line: &Line, why: &anyhow::Error) -> Section {
    let row = Row::not_measured(line.about, Target::Printed, format!("{why:#}"));
    Section { line: line.name, rows: vec![row], took: std::time::Duration::ZERO }
}

/// Elections in lines that provoke none, by comparing terms.
#[derive(Debug, Default)]
struct Elections {
    lines: usize,
    terms: u64,
    notes: Vec<String>,
}

impl Elections {
    fn compare(&mut self, line: &str, before: Option<u64>, after: Option<u64>) {
        self.lines += 1;
        match (before, after) {
            (Some(before), Some(after)) if before == after => {}
            (Some(before), Some(after)) => {
                self.terms += after.abs_diff(before);
                self.notes.push(format!("{line}: term {before} before, {after} after"));
            }
            // A cluster that does not tell its term may have had any number of elections.
            unknown => {
                self.terms += 1;
                self.notes.push(format!("{line}: a term is not known: {unknown:?}"));
            }
        }
    }

    fn section(self) -> Option<Section> {
        let name = format!("elections during {} lines that provoke none", self.lines);
        let mut row = Row::alone(name, Value::Count(self.terms), Target::Exactly(Value::Count(0)));
        row.notes = self.notes;
        (self.lines > 0).then(|| Section {
            line: "elections",
            rows: vec![row],
            took: std::time::Duration::ZERO,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
        assert!(known_line("list").is_ok());
        assert!(known_line("lists").expect_err("unknown").contains("selector"));
    }

    #[test]
    fn a_changed_or_unknown_term_counts_as_an_election() {
        let check = |before: Option<u64>, after: Option<u64>, expect: u64| {
            let mut elections = Elections::default();
            elections.compare("list", before, after);
            assert_eq!(elections.terms, expect, "{before:?} {after:?}");
            assert_eq!(elections.notes.is_empty(), expect == 0);
        };
        check(Some(3), Some(3), 0);
        check(Some(3), Some(5), 2);
        check(Some(3), None, 1);
        check(None, None, 1);
    }
}
