//! `kctl apply --prune`: what was applied before, and is in no file any more, goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::selector::Selector;
use http::Method;
use serde_json::Value;

use super::apply::last_applied;
use super::delete;
use super::written::Report;
use crate::catalog::Kind;
use crate::failure::Failure;
use crate::flags::{Cascade, DryRun, Select};
use crate::manifest;
use crate::server::{Call, Server};
use crate::targets::{self, Target};

/// Kinds that are pruned when none are named.
const USUAL: &[(&str, &str)] = &[
    ("v1", "ConfigMap"),
    ("v1", "Endpoints"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "ReplicationController"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("v1", "Namespace"),
    ("v1", "PersistentVolume"),
];

/// Whether to prune, and what.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Delete what was applied before and is in the files no more. With -l, or with --all.
    #[arg(long, conflicts_with_all = ["force", "server_side"])]
    prune: bool,
    /// Only objects with these labels, of the files as well: a=b, a!=b, a in (b,c), a, !a.
    #[arg(
        short = 'l',
        long = "selector",
        value_name = "QUERY",
        default_value = "",
        hide_default_value = true
    )]
    labels: String,
    /// With --prune: whatever its labels.
    #[arg(long, conflicts_with = "labels")]
    all: bool,
    /// With --prune: objects of this kind, in place of the usual kinds; may be repeated: core/v1/ConfigMap
    #[arg(long = "prune-allowlist", value_name = "GROUP/VERSION/KIND")]
    kinds: Vec<String>,
}

/// What is to be pruned, and what was applied meanwhile and stays.
#[derive(Debug)]
pub struct Pruning {
    kinds: Vec<Arc<Kind>>,
    labels: String,
    namespaces: BTreeSet<String>,
    uids: BTreeSet<String>,
}

impl Options {
    /// What of the files is meant.
    ///
    /// # Errors
    /// When the selector is none, and when nothing is left.
    pub fn selected(&self, mut targets: Vec<Target>) -> Result<Vec<Target>, Failure> {
        let selector = Selector::parse(&self.labels)
            .map_err(|error| Failure::Usage(format!("-l {}: {error}", self.labels)))?;
        targets.retain(|target| {
            let labels = target.object.as_ref().map_or(&Value::Null, |object| &object["metadata"]["labels"]);
            selector.matches(|key| labels[key].as_str())
        });
        if targets.is_empty() {
            return Err(Failure::Refused(format!(
                "no objects passed to apply: none is of -l {}",
                self.labels
            )));
        }
        Ok(targets)
    }

    /// What is to be pruned; `None`: nothing was to be.
    ///
    /// # Errors
    /// When neither labels nor --all say what, and when there is no such kind.
    pub fn begin(&self, server: &Server) -> Result<Option<Pruning>, Failure> {
        if !self.prune {
            return Ok(None);
        }
        if self.labels.is_empty() && !self.all {
            return Err(Failure::Usage(
                "--prune would delete whatever was applied before: say with -l what is meant, or that all is with --all"
                    .to_owned(),
            ));
        }
        let kinds = match self.kinds.as_slice() {
            [] => USUAL.iter().map(|(version, kind)| server.catalog.of_object(version, kind)).collect(),
            named => named.iter().map(|words| named_kind(words, server)).collect::<Result<_, _>>(),
        };
        // A namespace that is asked for is pruned even when nothing was applied there.
        let asked = server.is_namespace_given.then(|| server.namespace.clone());
        Ok(Some(Pruning {
            kinds: kinds?,
            labels: self.labels.clone(),
            namespaces: asked.into_iter().collect(),
            uids: BTreeSet::new(),
        }))
    }
}

fn named_kind(words: &str, server: &Server) -> Result<Arc<Kind>, Failure> {
    let parts: Vec<&str> = words.split('/').collect();
    match parts[..] {
        ["core", version, kind] => server.catalog.of_object(version, kind),
        [group, version, kind] => server.catalog.of_object(&format!("{group}/{version}"), kind),
        _ => Err(Failure::Usage(format!("--prune-allowlist {words}: write it like core/v1/ConfigMap"))),
    }
}

impl Pruning {
    /// Keeps an object that was just applied.
    pub fn keep(&mut self, target: &Target, object: &Value) {
        if target.kind.namespaced {
            self.namespaces.insert(target.namespace.clone());
        }
        self.uids.insert(manifest::text(object, "/metadata/uid").to_owned());
    }

    /// Deletes the others that were ever applied.
    ///
    /// # Errors
    /// At the first that the server refuses.
    pub async fn finish(&self, server: &Server, dry_run: DryRun, report: &mut Report) -> Result<(), Failure> {
        let (namespaced, whole): (Vec<_>, Vec<_>) = self.kinds.iter().partition(|kind| kind.namespaced);
        for namespace in &self.namespaces {
            for kind in &namespaced {
                self.prune(kind, namespace, server, dry_run, report).await?;
            }
        }
        for kind in whole {
            self.prune(kind, "", server, dry_run, report).await?;
        }
        Ok(())
    }

    async fn prune(
        &self,
        kind: &Arc<Kind>,
        namespace: &str,
        server: &Server,
        dry_run: DryRun,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let select = Select { labels: self.labels.clone(), ..Select::default() };
        for target in targets::listed(server, &Target::all(kind, namespace), &select).await? {
            let object = target.object.clone().unwrap_or_default();
            let is_kept = self.uids.contains(manifest::text(&object, "/metadata/uid"));
            if is_kept || last_applied(&object).is_none() {
                continue;
            }
            if dry_run != DryRun::Client {
                let options = delete::options(Cascade::Background, None, dry_run);
                let call = Call::new(Method::DELETE, target.path()).body("application/json", &options);
                server.json(call).await?;
            }
            report.add(&target, "pruned", object)?;
        }
        Ok(())
    }
}
