//! What masters are told about what they do by themselves.

use anyhow::bail;
use apiserver::chain::admission::settings::TOLERATION_SECONDS;
use apiserver::chain::admission::{MUTATING_STEPS, Settings, VALIDATING_STEPS};
use projection::Controller;
use projection::rules::Rules;

use crate::controllers::all;
use crate::rules::Flags;

/// What a master does by itself, and to what is written.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Controllers that act, by name: `*` is all of them, `-NAME` leaves one out; for clusters whose controllers run
    /// elsewhere. Every master must be told the same.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    controllers: Vec<String>,
    /// Steps of admission to leave out, by name: `ServiceAccount`, `DefaultTolerationSeconds`, ...
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    disable_admission_plugins: Vec<String>,
    /// How long a pod that says nothing about it stays on a node that is not ready.
    #[arg(long, value_name = "SECONDS", default_value_t = TOLERATION_SECONDS)]
    default_not_ready_toleration_seconds: i64,
    /// How long a pod that says nothing about it stays on a node that cannot be reached.
    #[arg(long, value_name = "SECONDS", default_value_t = TOLERATION_SECONDS)]
    default_unreachable_toleration_seconds: i64,
    #[command(flatten)]
    rules: Flags,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            controllers: vec!["*".to_owned()],
            disable_admission_plugins: Vec::new(),
            default_not_ready_toleration_seconds: TOLERATION_SECONDS,
            default_unreachable_toleration_seconds: TOLERATION_SECONDS,
            rules: Flags::default(),
        }
    }
}

impl Behaviour {
    /// The controllers that act.
    ///
    /// # Errors
    /// For a name that none of them has.
    pub fn table(&self) -> anyhow::Result<Vec<Controller>> {
        let known: Vec<&str> = all().map(|controller| controller.name).collect();
        for name in self.controllers.iter().map(|name| name.trim_start_matches('-')) {
            if !["", "*"].contains(&name) && !known.contains(&name) {
                bail!("--controllers {name}: there is no such controller; there are {}", known.join(", "));
            }
        }
        let named = |name: &str| self.controllers.iter().any(|one| one == name);
        let is_chosen = |name: &str| named(name) || named("*") && !named(&format!("-{name}"));
        Ok(all().filter(|controller| is_chosen(controller.name)).collect())
    }

    /// The settings of admission.
    ///
    /// # Errors
    /// For a step that there is not.
    pub fn admission(&self) -> anyhow::Result<Settings> {
        let mutating = MUTATING_STEPS.iter().map(|(name, _)| *name);
        let known: Vec<&str> = mutating.chain(VALIDATING_STEPS.iter().map(|(name, _)| *name)).collect();
        for name in self.disable_admission_plugins.iter().filter(|name| !name.is_empty()) {
            if !known.contains(&name.as_str()) {
                bail!(
                    "--disable-admission-plugins {name}: there is no such step; there are {}",
                    known.join(", ")
                );
            }
        }
        Ok(Settings {
            disabled: self.disable_admission_plugins.clone(),
            not_ready_toleration_seconds: self.default_not_ready_toleration_seconds,
            unreachable_toleration_seconds: self.default_unreachable_toleration_seconds,
        })
    }

    /// By which numbers they act.
    pub fn rules(&self) -> Rules {
        self.rules.rules()
    }

    /// The same flags for another process; none for the defaults.
    pub fn arguments(&self) -> Vec<String> {
        let pairs = self.pairs().into_iter().zip(Self::default().pairs());
        let other = pairs.filter(|(pair, usual)| pair != usual);
        other.map(|((name, value), _)| format!("--{name}={value}")).collect()
    }

    /// Each flag with its name and its value.
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("controllers", self.controllers.join(",")),
            ("disable-admission-plugins", self.disable_admission_plugins.join(",")),
            ("default-not-ready-toleration-seconds", self.default_not_ready_toleration_seconds.to_string()),
            (
                "default-unreachable-toleration-seconds",
                self.default_unreachable_toleration_seconds.to_string(),
            ),
        ];
        pairs.extend(self.rules.pairs());
        pairs
    }
}

#[cfg(test)]
impl Behaviour {
    /// From a command line.
    pub fn of(flags: &str) -> Self {
        #[derive(clap::Parser)]
        struct All {
            #[command(flatten)]
            behaviour: Behaviour,
        }
        <All as clap::Parser>::parse_from(std::iter::once("flags").chain(flags.split_whitespace())).behaviour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Result<Vec<&'static str>, String> {
        let controllers = list.iter().map(|name| (*name).to_owned()).collect();
        let choice = Behaviour { controllers, ..Behaviour::default() };
        let table = choice.table().map_err(|error| error.to_string())?;
        Ok(table.into_iter().map(|controller| controller.name).collect())
    }

    #[test]
    fn controllers_are_chosen_by_name() {
        let settings = |step: &str| {
            let disable_admission_plugins = vec![step.to_owned()];
            Behaviour { disable_admission_plugins, ..Behaviour::default() }.admission()
        };
        assert!(settings("ServiceAccount").is_ok() && settings("ServiceAcount").is_err());
        let everything = names(&["*"]).expect("all");
        assert!(everything.contains(&"namespace") && everything.contains(&"scheduler"), "{everything:?}");
        assert_eq!(names(&["namespace"]), Ok(vec!["namespace"]));
        assert_eq!(names(&[""]), Ok(vec![]));
        let without = names(&["*", "-namespace"]).expect("all but one");
        assert_eq!((without.len(), without.contains(&"namespace")), (everything.len() - 1, false));
        let unknown = names(&["naemspace"]).expect_err("a typo");
        assert!(
            unknown.starts_with("--controllers naemspace: there is no such controller; there are "),
            "{unknown}"
        );
        let mut sorted = everything.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), everything.len(), "a name is given twice");
    }

    #[test]
    fn what_is_not_usual_is_told_to_masters_as_it_was_told() {
        use clap::Parser;
        #[derive(Parser)]
        struct Words {
            #[command(flatten)]
            behaviour: Behaviour,
        }
        let read = |words: &[&str]| Words::try_parse_from([&["keelson"], words].concat());
        let usual = read(&[]).expect("no flags").behaviour;
        assert_eq!((usual.rules(), usual.arguments()), (Rules::default(), vec![]));
        let words = [
            "--controllers=*,-namespace",
            "--node-monitor-grace-period=40s",
            "--node-startup-grace-period=1500ms",
            "--node-eviction-rate=0.5",
            "--secondary-node-eviction-rate=0",
            "--large-cluster-size-threshold=3",
            "--unhealthy-zone-threshold=0.6",
            "--terminated-pod-gc-threshold=7",
            "--event-ttl=1800s",
        ];
        let other = read(&words).expect("flags").behaviour;
        assert_eq!(other.arguments(), words);
        let rules = Rules {
            node_monitor_grace_ms: 40_000,
            node_startup_grace_ms: 1_500,
            node_eviction_interval_ms: Some(2_000),
            secondary_node_eviction_interval_ms: None,
            large_cluster_size_threshold: 3,
            unhealthy_zone_percent: 60,
            terminated_pod_gc_threshold: 7,
            event_ttl_ms: 1_800_000,
        };
        assert_eq!(other.rules(), rules);
        for (word, why) in [
            ("--event-ttl=soon", "give a span of time like 9s or 1m30s"),
            ("--node-monitor-grace-period=0s", "give a span of time like 9s or 1m30s"),
            ("--unhealthy-zone-threshold=55", "give a share from 0 to 1, like 0.55"),
            ("--node-eviction-rate=-1", "give how many a second, like 0.1; 0 is none at all"),
        ] {
            let Err(error) = read(&[word]) else { panic!("{word} was taken") };
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
