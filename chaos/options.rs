//! How a cluster is started.

/// What the masters' data directories are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disks {
    /// Plain directories.
    Plain,
    /// File systems that lose what was not synced, see [`crate::lossy`].
    Lossy,
    /// A tmpfs of this many MiB each.
    Tmpfs(u32),
}

/// How to start a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many masters.
    pub masters: usize,
    /// How many nodes; with any the sample application is deployed.
    pub nodes: usize,
    /// What they write to.
    pub disks: Disks,
    /// Environment variables that the masters inherit.
    pub environment: Vec<(String, String)>,
    /// Further flags of `keelson up`.
    pub flags: &'static [&'static str],
    /// Whether they run as a user without rights, whoever runs the test: then they share loopback.
    pub unprivileged: bool,
}

/// Nothing acts by itself but what empties namespaces and definitions, and lets go of volumes.
const API_ALONE: &[&str] = &[
    "--controllers=custom-resource-definition,namespace,pv-protection,pvc-protection",
    "--disable-admission-plugins=ServiceAccount",
];

impl Options {
    /// Masters whose API is asked alone: nothing but what empties namespaces acts by itself.
    pub fn api_alone() -> Self {
        Self { flags: API_ALONE, ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            masters: 3,
            nodes: 0,
            disks: Disks::Plain,
            environment: Vec::new(),
            flags: &[],
            unprivileged: false,
        }
    }
}
