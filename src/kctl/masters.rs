//! Asking the masters of a kubeconfig until one answers.

use std::path::PathBuf;
use std::time::Duration;

use base::env;
use http::{Method, Request, Uri};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::de::DeserializeOwned;

/// How long a connection may take to open: a dead machine does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one master may take to answer. Above the masters' own bound for a change of members.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// Why the cluster could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum MastersError {
    /// No file where one may be.
    #[error(
        "there is no kubeconfig at {}: name one with --kubeconfig or $KUBECONFIG, or start a cluster with `keelson up`",
        list(.looked_at)
    )]
    NoKubeconfig {
        /// The places.
        looked_at: Vec<PathBuf>,
    },
    /// A file that cannot be used.
    #[error("using the kubeconfig {} failed: {reason}", .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A master answered no.
    #[error("{operation} was refused by {server}: {reason}")]
    Refused {
        /// Method and path.
        operation: String,
        /// Who.
        server: String,
        /// In its words.
        reason: String,
    },
    /// Nobody answered.
    #[error(
        "{operation}: no master answered. Check that they run (their logs say why not) and that the addresses are \
         reachable from here:\n{}",
        .tried.iter().map(|(server, reason)| format!("  {server}: {reason}")).collect::<Vec<_>>().join("\n")
    )]
    NoAnswer {
        /// Method and path.
        operation: String,
        /// Each master and what went wrong.
        tried: Vec<(String, String)>,
    },
    /// An answer that is not what the path promises.
    #[error(
        "{operation}: the answer of {server} is not understood ({reason}): is kctl as new as the masters?"
    )]
    Malformed {
        /// Method and path.
        operation: String,
        /// Who.
        server: String,
        /// What is wrong.
        reason: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
}

/// An answer and who gave it.
#[derive(Debug)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// `https://HOST:PORT`
    pub server: String,
}

/// The masters of a kubeconfig.
pub struct Masters {
    /// The current context's first. Never empty.
    configs: Vec<Config>,
}

impl Masters {
    /// Reads the first of `candidates` of which a file is there; the files of one count as one, the first of
    /// them wins. With `context` only that one is used.
    pub async fn open(candidates: &[Vec<PathBuf>], context: Option<&str>) -> Result<Self, MastersError> {
        let there = |files: &Vec<PathBuf>| files.iter().filter(|path| path.exists()).cloned().collect();
        let found: Option<Vec<PathBuf>> =
            candidates.iter().map(there).find(|files: &Vec<_>| !files.is_empty());
        let found = found.ok_or_else(|| MastersError::NoKubeconfig { looked_at: candidates.concat() })?;
        let mut kubeconfig = Kubeconfig::default();
        for path in &found {
            let read =
                Kubeconfig::read_from(path).and_then(|next| std::mem::take(&mut kubeconfig).merge(next));
            kubeconfig = read.map_err(|error| MastersError::Kubeconfig {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        }
        let failed = |reason: String| MastersError::Kubeconfig { path: found[0].clone(), reason };
        let mut configs = Vec::new();
        let names = in_order(&kubeconfig);
        if let Some(missing) = context.filter(|wanted| !names.iter().any(|name| name == wanted)) {
            return Err(failed(format!("it has no context {missing}, but {}", names.join(", "))));
        }
        for context in names.into_iter().filter(|name| context.is_none_or(|wanted| wanted == name)) {
            let options = KubeConfigOptions { context: Some(context), ..KubeConfigOptions::default() };
            let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await;
            configs.push(bounded(config.map_err(|error| failed(error.to_string()))?));
        }
        if configs.is_empty() {
            return Err(failed("it has no contexts".to_owned()));
        }
        Ok(Self { configs })
    }

    /// How to reach each, the current context's first.
    pub fn configs(&self) -> &[Config] {
        &self.configs
    }

    /// Asks one master after another until one answers. Only for requests that may be repeated.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<Answer<T>, MastersError> {
        let mut tried = Vec::new();
        for config in &self.configs {
            match ask(config, &method, path).await {
                Err(MastersError::NoAnswer { tried: more, .. }) => tried.extend(more),
                answered => return answered,
            }
        }
        Err(MastersError::NoAnswer { operation: operation(&method, path), tried })
    }

    /// Asks the master at `server` and no other, with the current context's credentials.
    pub async fn ask_at<T: DeserializeOwned>(
        &self,
        server: &str,
        method: Method,
        path: &str,
    ) -> Result<Answer<T>, MastersError> {
        let operation = operation(&method, path);
        let malformed = |error: http::uri::InvalidUri| MastersError::Malformed {
            operation,
            server: server.to_owned(),
            reason: error.to_string(),
        };
        let cluster_url: Uri = server.parse().map_err(malformed)?;
        let mut config = self.configs[0].clone();
        config.cluster_url = cluster_url;
        ask(&config, &method, path).await
    }
}

/// The contexts' names, the current one first.
fn in_order(kubeconfig: &Kubeconfig) -> Vec<String> {
    let mut names: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    // Stable: the others keep their order.
    names.sort_by_key(|name| kubeconfig.current_context.as_ref() != Some(name));
    names
}

fn bounded(mut config: Config) -> Config {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(ANSWER_TIMEOUT);
    // The next master is the retry.
    config.default_retry = false;
    config
}

fn operation(method: &Method, path: &str) -> String {
    format!("{method} {path}")
}

async fn ask<T: DeserializeOwned>(
    config: &Config,
    method: &Method,
    path: &str,
) -> Result<Answer<T>, MastersError> {
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let operation = operation(method, path);
    let no_answer = |reason: String| MastersError::NoAnswer {
        operation: operation.clone(),
        tried: vec![(server.clone(), reason)],
    };
    let client = Client::try_from(config.clone()).map_err(|error| no_answer(causes(&error)))?;
    let request = Request::builder().method(method.clone()).uri(path).body(Vec::new());
    let request = request.map_err(|error| no_answer(error.to_string()))?;
    let text = match env::timeout(ANSWER_TIMEOUT, client.request_text(request)).await {
        Err(_) => return Err(no_answer(format!("nothing within {} s", ANSWER_TIMEOUT.as_secs()))),
        Ok(Ok(text)) => text,
        // Another master may be able to what this one is not.
        Ok(Err(kube::Error::Api(status))) if status.code >= 500 => return Err(no_answer(status.message)),
        Ok(Err(kube::Error::Api(status))) => {
            return Err(MastersError::Refused { operation, server, reason: status.message });
        }
        Ok(Err(error)) => return Err(no_answer(causes(&error))),
    };
    match serde_json::from_str(&text) {
        Ok(value) => Ok(Answer { value, server }),
        Err(error) => Err(MastersError::Malformed { operation, server, reason: error.to_string() }),
    }
}

/// The innermost cause: `Connection refused` says more than `ServiceError`.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: keelson
clusters:
- name: one
  cluster: {server: 'https://127.0.0.1:1'}
- name: two
  cluster: {server: 'https://127.0.0.1:2'}
contexts:
- name: master-1
  context: {cluster: two, user: me}
- name: keelson
  context: {cluster: one, user: me}
users:
- name: me
  user: {}
";

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().expect("temporary directory");
        let path = root.path().join("kubeconfig");
        std::fs::write(&path, text).expect("write");
        (root, path)
    }

    #[tokio::test]
    async fn the_current_context_comes_first_and_all_are_tried() {
        let (_root, path) = written(KUBECONFIG);
        let masters =
            Masters::open(&[vec!["/nowhere".into()], vec!["/never".into(), path]], None).await.expect("open");
        let asked = masters.ask::<serde_json::Value>(Method::GET, "/x").await;
        let Err(MastersError::NoAnswer { tried, .. }) = asked else { panic!("{asked:?}") };
        let servers: Vec<_> = tried.iter().map(|(server, _)| server.as_str()).collect();
        assert_eq!(servers, ["https://127.0.0.1:1", "https://127.0.0.1:2"]);
    }

    #[tokio::test]
    async fn a_missing_or_empty_kubeconfig_is_told_with_its_place() {
        let missing = Masters::open(&[vec!["/nowhere".into()], vec!["/never".into()]], None).await;
        let told = missing.err().expect("fails").to_string();
        assert!(told.starts_with("there is no kubeconfig at /nowhere or /never: "), "{told}");
        let (_root, path) = written("apiVersion: v1\nkind: Config\n");
        let told = Masters::open(&[vec![path.clone()]], None).await.err().expect("fails").to_string();
        assert_eq!(told, format!("using the kubeconfig {} failed: it has no contexts", path.display()));
    }
}
