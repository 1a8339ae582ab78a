//! What `up` tells in the end: where everything is, and what to try first.

use std::path::Path;

use super::ClusterDir;
use super::cluster_file::{ClusterFile, Network};
use super::host::Host;
use super::sample;

/// How to call the programs that ask a cluster, from anywhere.
#[derive(Clone, Debug)]
pub struct Commands {
    /// Whichever there is for objects.
    kubectl: String,
    kctl: String,
}

impl Commands {
    /// `kctl` is built and installed beside `program`, this one; whoever has no `kubectl` has it.
    pub fn of(host: &dyn Host, program: &Path) -> Self {
        let beside = program.with_file_name("kctl");
        let kctl = if beside.exists() { quoted(&beside) } else { "kctl".to_owned() };
        let kubectl = if host.has("kubectl") { "kubectl".to_owned() } else { kctl.clone() };
        Self { kubectl, kctl }
    }
}

/// What to tell of a cluster whose sample, if it has one, answers at an address.
pub fn of(directory: &ClusterDir, file: &ClusterFile, commands: &Commands, sample: Option<&str>) -> String {
    let place = match file.network {
        Network::Bridge { .. } => "each in a network namespace of its own",
        Network::Loopback => {
            "on loopback ports (a new cluster that root starts has network namespaces of its own)"
        }
    };
    let masters: String = file.masters.iter().map(|m| format!("  {}  {}\n", m.name, m.api.url())).collect();
    let mut told = format!(
        "cluster {} is up: {}, {place}\n  API       {}\n{masters}",
        file.cluster,
        counted(file.masters.len(), "master"),
        file.stable.url(),
    );
    if let Some(address) = sample {
        told.push_str(&format!("\nthe sample application answers at\n  {address}\n"));
    }
    told.push_str(&format!("\nto try:\n  export KUBECONFIG={}\n", quoted(&directory.kubeconfig())));
    for command in to_try(commands, sample.is_some()) {
        told.push_str(&format!("  {command}\n"));
    }
    told
}

/// What there is, what would follow from something, and how the masters are.
fn to_try(Commands { kubectl, kctl }: &Commands, has_sample: bool) -> [String; 3] {
    let (shown, image) = match has_sample {
        true => ("pods -o wide", sample::IMAGE),
        false => ("namespaces", "nginx"),
    };
    let object = format!("create deployment shop --image={image} --replicas=3 --dry-run=client -o yaml");
    [
        format!("{kubectl} get {shown}"),
        format!("{kubectl} {object} | {kctl} plan -f -"),
        format!("{kctl} cluster status"),
    ]
}

/// `1 master`, `3 masters`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::up::host::fake::FakeHost;

    #[test]
    fn one_is_not_many() {
        assert_eq!([1, 3].map(|count| counted(count, "master")), ["1 master", "3 masters"]);
    }

    #[test]
    fn paths_are_words_of_a_shell() {
        assert_eq!(quoted(Path::new("/a-b/c_1.d")), "/a-b/c_1.d");
        assert_eq!(quoted(Path::new("/it's mine")), r"'/it'\''s mine'");
    }

    #[test]
    fn whoever_has_no_kubectl_is_shown_kctl() {
        let host = FakeHost { lacking: vec!["kubectl"], ..FakeHost::default() };
        let commands = Commands::of(&host, Path::new("/no/such/keelson"));
        expect![[r#"
            [
                "kctl get pods -o wide",
                "kctl create deployment shop --image=keelson/hello:1 --replicas=3 --dry-run=client -o yaml | kctl plan -f -",
                "kctl cluster status",
            ]
        "#]]
        .assert_debug_eq(&to_try(&commands, true));
        let commands = Commands::of(&FakeHost::default(), Path::new("/no/such/keelson"));
        assert_eq!(to_try(&commands, false)[0], "kubectl get namespaces");
    }
}
