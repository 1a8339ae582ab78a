//! Objects from a few words: one function each.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::server::Server;

/// What can be created without a file.
#[derive(Debug, Subcommand)]
pub enum Generator {
    /// A ClusterRole: what may be done with which resources, everywhere.
    #[command(name = "clusterrole")]
    ClusterRole(Rules),
    /// A ClusterRoleBinding: who has a ClusterRole everywhere.
    #[command(name = "clusterrolebinding")]
    ClusterRoleBinding(Binding),
    /// A ConfigMap.
    #[command(name = "configmap", alias = "cm")]
    ConfigMap(Data),
    /// A Deployment.
    #[command(alias = "deploy")]
    Deployment(Workload),
    /// A Job.
    Job(Workload),
    /// A Namespace.
    #[command(alias = "ns")]
    Namespace {
        /// Its name.
        name: String,
    },
    /// A Role: what may be done with which resources of a namespace.
    Role(Rules),
    /// A RoleBinding: who has a Role, or a ClusterRole, in a namespace.
    #[command(name = "rolebinding")]
    RoleBinding(Binding),
    /// A Secret.
    #[command(subcommand)]
    Secret(Secret),
    /// A Service.
    #[command(alias = "svc")]
    Service(Service),
    /// A ServiceAccount.
    #[command(name = "serviceaccount", alias = "sa")]
    ServiceAccount {
        /// Its name.
        name: String,
    },
}

/// Which kind of Secret.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Any data.
    Generic {
        #[command(flatten)]
        data: Data,
        /// Its type [default: Opaque].
        #[arg(long, default_value = "", hide_default_value = true)]
        r#type: String,
    },
    /// A certificate and its key.
    Tls {
        /// Its name.
        name: String,
        /// The file of the certificate.
        #[arg(long, value_name = "FILE")]
        cert: String,
        /// The file of the key.
        #[arg(long, value_name = "FILE")]
        key: String,
    },
}

/// Names with texts.
#[derive(clap::Args, Debug)]
pub struct Data {
    /// Its name.
    name: String,
    /// KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    from_literal: Vec<String>,
    /// KEY=FILE, a file named as its key, or a folder of such.
    #[arg(long, value_name = "[KEY=]FILE")]
    from_file: Vec<String>,
    /// A file with a line KEY=VALUE for each.
    #[arg(long, value_name = "FILE")]
    from_env_file: Vec<String>,
}

/// A program, and how many of it.
#[derive(clap::Args, Debug)]
pub struct Workload {
    /// Its name.
    name: String,
    /// The image.
    #[arg(long)]
    image: String,
    /// How many pods. Of Deployments.
    #[arg(long, default_value_t = 1)]
    replicas: u32,
    /// The port that it serves. Of Deployments.
    #[arg(long)]
    port: Option<u16>,
    /// What to run in place of the image's own command.
    #[arg(last = true)]
    command: Vec<String>,
}

/// A Service's ports, and where they lead.
#[derive(clap::Args, Debug)]
pub struct Service {
    /// clusterip, nodeport or loadbalancer.
    #[arg(value_parser = ["clusterip", "nodeport", "loadbalancer"])]
    r#type: String,
    /// Its name.
    name: String,
    /// PORT or PORT:TARGET.
    #[arg(long, value_delimiter = ',', required = true)]
    tcp: Vec<String>,
}

/// What may be done.
#[derive(clap::Args, Debug)]
pub struct Rules {
    /// Its name.
    name: String,
    /// get, list, watch, create, update, patch, delete, *...
    #[arg(long = "verb", value_delimiter = ',', required = true)]
    verbs: Vec<String>,
    /// With which resources: pods, deployments.apps, pods/log.
    #[arg(long = "resource", value_delimiter = ',', required = true)]
    resources: Vec<String>,
    /// Only with the objects of these names.
    #[arg(long = "resource-name", value_delimiter = ',')]
    names: Vec<String>,
}

/// Who may do it.
#[derive(clap::Args, Debug)]
pub struct Binding {
    /// Its name.
    name: String,
    /// The ClusterRole.
    #[arg(long, value_name = "NAME")]
    clusterrole: Option<String>,
    /// The Role. Of RoleBindings.
    #[arg(long, value_name = "NAME", conflicts_with = "clusterrole")]
    role: Option<String>,
    /// Users.
    #[arg(long = "user", value_delimiter = ',', value_name = "NAMES")]
    users: Vec<String>,
    /// Groups.
    #[arg(long = "group", value_delimiter = ',', value_name = "NAMES")]
    groups: Vec<String>,
    /// NAMESPACE:NAME
    #[arg(long = "serviceaccount", value_delimiter = ',', value_name = "NAMES")]
    accounts: Vec<String>,
}

impl Generator {
    /// The object.
    ///
    /// # Errors
    /// When the words make no sense, or a file cannot be read.
    pub fn object(&self, server: &Server) -> Result<Value, Failure> {
        match self {
            Self::ClusterRole(rules) => rules.object("ClusterRole", server),
            Self::ClusterRoleBinding(binding) => binding.object("ClusterRoleBinding"),
            Self::ConfigMap(data) => data.config_map(),
            Self::Deployment(workload) => Ok(workload.deployment()),
            Self::Job(workload) => Ok(workload.job()),
            Self::Namespace { name } => Ok(plain("v1", "Namespace", name)),
            Self::Role(rules) => rules.object("Role", server),
            Self::RoleBinding(binding) => binding.object("RoleBinding"),
            Self::Secret(secret) => secret.object(),
            Self::Service(service) => service.object(),
            Self::ServiceAccount { name } => Ok(plain("v1", "ServiceAccount", name)),
        }
    }
}

fn plain(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
}

fn usage(why: String) -> Failure {
    Failure::Usage(why)
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::Refused(format!("reading {} failed: {error}", path.display())))
}

impl Data {
    /// All names with their bytes.
    fn entries(&self) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
        for literal in &self.from_literal {
            let pair = literal.split_once('=').filter(|(key, _)| !key.is_empty());
            let (key, value) =
                pair.ok_or_else(|| usage(format!("invalid literal source {literal}, expected key=value")))?;
            entries.push((key.to_owned(), value.as_bytes().to_vec()));
        }
        for source in &self.from_file {
            let (key, path) =
                source.split_once('=').map_or((None, source.as_str()), |(key, path)| (Some(key), path));
            let path = Path::new(path);
            let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                let failed = |error| Failure::Refused(format!("reading {} failed: {error}", path.display()));
                let mut files: Vec<_> =
                    std::fs::read_dir(path).map_err(failed)?.flatten().map(|file| file.path()).collect();
                files.retain(|file| file.is_file());
                files.sort();
                for file in files {
                    entries.push((name(&file), bytes(&file)?));
                }
            } else {
                entries.push((key.map_or_else(|| name(path), str::to_owned), bytes(path)?));
            }
        }
        for file in &self.from_env_file {
            let text = String::from_utf8_lossy(&bytes(Path::new(file))?).into_owned();
            for line in
                text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'))
            {
                let (key, value) = line.split_once('=').unwrap_or((line, ""));
                entries.push((key.to_owned(), value.as_bytes().to_vec()));
            }
        }
        for (at, (key, _)) in entries.iter().enumerate() {
            if entries[..at].iter().any(|(other, _)| other == key) {
                return Err(usage(format!("cannot add key {key}, another key by that name already exists")));
            }
        }
        Ok(entries)
    }

    fn config_map(&self) -> Result<Value, Failure> {
        let mut object = plain("v1", "ConfigMap", &self.name);
        for (key, value) in self.entries()? {
            match String::from_utf8(value) {
                Ok(text) => object["data"][key] = text.into(),
                Err(error) => object["binaryData"][key] = STANDARD.encode(error.as_bytes()).into(),
            }
        }
        Ok(object)
    }
}

impl Secret {
    fn object(&self) -> Result<Value, Failure> {
        let (name, kind, entries) = match self {
            Self::Generic { data, r#type } => (&data.name, r#type.as_str(), data.entries()?),
            Self::Tls { name, cert, key } => {
                let entry =
                    |key: &str, path: &str| bytes(Path::new(path)).map(|bytes| (key.to_owned(), bytes));
                (name, "kubernetes.io/tls", vec![entry("tls.crt", cert)?, entry("tls.key", key)?])
            }
        };
        let mut object = plain("v1", "Secret", name);
        if !kind.is_empty() {
            object["type"] = kind.into();
        }
        let data: Map<String, Value> =
            entries.into_iter().map(|(key, value)| (key, STANDARD.encode(&value).into())).collect();
        if !data.is_empty() {
            object["data"] = data.into();
        }
        Ok(object)
    }
}

impl Workload {
    fn container(&self) -> Value {
        let name = self.image.rsplit('/').next().unwrap_or_default();
        let name = name.split([':', '@']).next().unwrap_or_default();
        let mut container = json!({"name": name, "image": self.image});
        if !self.command.is_empty() {
            container["command"] = json!(self.command);
        }
        container
    }

    fn deployment(&self) -> Value {
        let labels = json!({"app": self.name});
        let mut container = self.container();
        if let Some(port) = self.port {
            container["ports"] = json!([{"containerPort": port}]);
        }
        let mut object = plain("apps/v1", "Deployment", &self.name);
        object["metadata"]["labels"] = labels.clone();
        object["spec"] = json!({
            "replicas": self.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        });
        object
    }

    fn job(&self) -> Value {
        let mut container = self.container();
        container["name"] = json!(self.name);
        let mut object = plain("batch/v1", "Job", &self.name);
        object["spec"] = json!({"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}});
        object
    }
}

impl Service {
    fn object(&self) -> Result<Value, Failure> {
        let port = |text: &String| {
            let (port, target) = text.split_once(':').unwrap_or((text, text));
            let number: u16 = port.parse().map_err(|_| usage(format!("--tcp {text}: {port} is no port")))?;
            let target = target.parse::<u16>().map_or_else(|_| json!(target), |number| json!(number));
            Ok(
                json!({"name": text.replace(':', "-"), "port": number, "protocol": "TCP", "targetPort": target}),
            )
        };
        let ports = self.tcp.iter().map(port).collect::<Result<Vec<_>, Failure>>()?;
        let kind = match self.r#type.as_str() {
            "nodeport" => "NodePort",
            "loadbalancer" => "LoadBalancer",
            _ => "ClusterIP",
        };
        let mut object = plain("v1", "Service", &self.name);
        object["metadata"]["labels"] = json!({"app": self.name});
        object["spec"] = json!({"ports": ports, "selector": {"app": self.name}, "type": kind});
        Ok(object)
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

impl Rules {
    fn object(&self, kind: &str, server: &Server) -> Result<Value, Failure> {
        let mut rules: Vec<(String, Vec<String>)> = Vec::new();
        for word in &self.resources {
            let (resource, below) =
                word.split_once('/').map_or((word.as_str(), ""), |(name, below)| (name, below));
            let (group, mut plural) = match resource {
                "*" => ("*".to_owned(), "*".to_owned()),
                resource => {
                    let kind = server.catalog.find(resource)?;
                    (kind.group.clone(), kind.plural.clone())
                }
            };
            if !below.is_empty() {
                plural = format!("{plural}/{below}");
            }
            match rules.iter_mut().find(|(known, _)| *known == group) {
                Some((_, plurals)) => plurals.push(plural),
                None => rules.push((group, vec![plural])),
            }
        }
        let rule = |(group, plurals): (String, Vec<String>)| {
            let mut rule = json!({"apiGroups": [group], "resources": plurals, "verbs": self.verbs});
            if !self.names.is_empty() {
                rule["resourceNames"] = json!(self.names);
            }
            rule
        };
        let mut object = plain(&format!("{RBAC}/v1"), kind, &self.name);
        object["rules"] = rules.into_iter().map(rule).collect();
        Ok(object)
    }
}

impl Binding {
    fn object(&self, kind: &str) -> Result<Value, Failure> {
        let (role, name) = match (&self.clusterrole, &self.role) {
            (Some(name), _) => ("ClusterRole", name),
            (None, Some(name)) if kind == "RoleBinding" => ("Role", name),
            _ => {
                return Err(usage(format!(
                    "which role? A {kind} needs --clusterrole=NAME{}",
                    if kind == "RoleBinding" { " or --role=NAME" } else { "" }
                )));
            }
        };
        let named =
            |kind: &'static str| move |name: &String| json!({"apiGroup": RBAC, "kind": kind, "name": name});
        let account = |text: &String| match text.split_once(':') {
            Some((namespace, name)) => {
                Ok(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}))
            }
            None => Err(usage(format!("serviceaccount must be <namespace>:<name>, not {text}"))),
        };
        let mut subjects: Vec<Value> = self.users.iter().map(named("User")).collect();
        subjects.extend(self.groups.iter().map(named("Group")));
        subjects.extend(self.accounts.iter().map(account).collect::<Result<Vec<_>, _>>()?);
        let mut object = plain(&format!("{RBAC}/v1"), kind, &self.name);
        object["roleRef"] = json!({"apiGroup": RBAC, "kind": role, "name": name});
        object["subjects"] = subjects.into();
        Ok(object)
    }
}
