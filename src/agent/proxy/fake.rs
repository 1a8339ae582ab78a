//! Packets without a kernel: the tables that batches make, and the kernel's refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::difference::{Batch, Command};
use crate::flows::Expected;
use crate::packets::{Packets, PacketsError};
use crate::rules::{Clause, Family, Hook, Key, Name, Rule, Table, Verdict};

/// What a table holds. As strict as the kernel: nothing is added twice, nothing goes that is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    tables: Option<BTreeMap<Table, BTreeMap<Key, Verdict>>>,
    sets: BTreeSet<Name>,
    chains: BTreeMap<Name, (Option<Hook>, Vec<Rule>)>,
}

impl Model {
    /// What the batch makes of this.
    ///
    /// # Errors
    /// The first command that the kernel would refuse, and why.
    pub fn after(&self, batch: &Batch) -> Result<Self, String> {
        let mut next = self.clone();
        for command in &batch.commands {
            next.run(command).map_err(|why| format!("{command:?}: {why}"))?;
        }
        Ok(next)
    }

    /// Whether there is a table.
    pub fn exists(&self) -> bool {
        self.tables.is_some()
    }

    /// What the map says about the key.
    pub fn verdict(&self, table: Table, key: &Key) -> Option<&Verdict> {
        self.tables.as_ref()?.get(&table)?.get(key)
    }

    fn run(&mut self, command: &Command) -> Result<(), &'static str> {
        match command {
            Command::AddTable => {
                self.tables.get_or_insert_default();
            }
            Command::DeleteTable => {
                check(self.exists(), "no such table")?;
                *self = Self::default();
            }
            Command::AddMap(table) => {
                let tables = self.tables.as_mut().ok_or("no table")?;
                check(tables.insert(*table, BTreeMap::new()).is_none(), "exists")?;
            }
            Command::AddSet(name) => check(self.sets.insert(name.clone()), "exists")?,
            Command::DeleteSet(name) => {
                let used = |clause: &Clause| matches!(clause, Clause::Remembered(set) | Clause::Remember { set, .. } if set == name);
                check(!self.clauses().any(used), "busy")?;
                check(self.sets.remove(name), "no such set")?;
            }
            Command::AddChain(name, hook) => {
                check(self.chains.insert(name.clone(), (*hook, Vec::new())).is_none(), "exists")?;
            }
            Command::FlushChain(name) => self.chains.get_mut(name).ok_or("no such chain")?.1.clear(),
            Command::DeleteChain(name) => {
                check(!self.is_target(name), "busy")?;
                check(self.chains.remove(name).is_some_and(|(_, rules)| rules.is_empty()), "not empty")?;
            }
            Command::AddRule(name, rule) => {
                check(rule.iter().all(|clause| self.can_run(clause)), "refers to nothing")?;
                self.chains.get_mut(name).ok_or("no such chain")?.1.push(rule.clone());
            }
            Command::AddElements(table, elements) => {
                for (key, verdict) in elements {
                    let known = !matches!(verdict, Verdict::Goto(chain) if !self.chains.contains_key(chain));
                    check(known, "leads to no chain")?;
                    let map =
                        self.tables.as_mut().and_then(|tables| tables.get_mut(table)).ok_or("no map")?;
                    check(map.insert(*key, verdict.clone()).is_none(), "key exists")?;
                }
            }
            Command::DeleteElements(table, keys) => {
                let map = self.tables.as_mut().and_then(|tables| tables.get_mut(table)).ok_or("no map")?;
                check(keys.iter().all(|key| map.remove(key).is_some()), "no such key")?;
            }
        }
        Ok(())
    }

    fn clauses(&self) -> impl Iterator<Item = &Clause> {
        self.chains.values().flat_map(|(_, rules)| rules).flatten()
    }

    fn can_run(&self, clause: &Clause) -> bool {
        match clause {
            Clause::Jump(chain) | Clause::Goto(chain) => self.chains.contains_key(chain),
            Clause::OneOf(chains) => {
                !chains.is_empty() && chains.iter().all(|chain| self.chains.contains_key(chain))
            }
            Clause::Remembered(set) | Clause::Remember { set, .. } => self.sets.contains(set),
            Clause::LookUp(table) => self.tables.as_ref().is_some_and(|tables| tables.contains_key(table)),
            Clause::Translate(to) => !to.is_empty(),
            _ => true,
        }
    }

    fn is_target(&self, name: &Name) -> bool {
        let by_rule = |clause: &Clause| match clause {
            Clause::Jump(chain) | Clause::Goto(chain) => chain == name,
            Clause::OneOf(chains) => chains.contains(name),
            _ => false,
        };
        let elements = self.tables.iter().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        let by_element = |verdict: &Verdict| matches!(verdict, Verdict::Goto(chain) if chain == name);
        self.clauses().any(by_rule) || elements.into_iter().any(by_element)
    }
}

fn check(holds: bool, why: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(why) }
}

/// A kernel that remembers what it was told, and fails when it is asked to.
#[derive(Debug, Default)]
pub struct FakePackets {
    state: Mutex<FakeState>,
}

#[derive(Debug, Default)]
struct FakeState {
    model: Model,
    applied: Vec<usize>,
    forgotten: Vec<Expected>,
    failures: usize,
}

impl FakePackets {
    /// Refuses the next `times` batches.
    pub fn fail(&self, times: usize) {
        self.state().failures = times;
    }

    /// Loses everything, as when somebody empties the ruleset.
    pub fn empty(&self) {
        self.state().model = Model::default();
    }

    /// What the table holds now.
    pub fn model(&self) -> Model {
        self.state().model.clone()
    }

    /// How many commands each successful batch had.
    pub fn batches(&self) -> Vec<usize> {
        self.state().applied.clone()
    }

    /// What was asked to be forgotten, each time.
    pub fn forgotten(&self) -> Vec<Expected> {
        self.state().forgotten.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, FakeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Packets for FakePackets {
    async fn apply(&self, batch: &Batch) -> Result<(), PacketsError> {
        let mut state = self.state();
        if state.failures > 0 {
            state.failures -= 1;
            return Err(PacketsError::Rules("was told to fail".into()));
        }
        state.model = state.model.after(batch).map_err(PacketsError::Rules)?;
        state.applied.push(batch.commands.len());
        Ok(())
    }

    async fn is_there(&self, _family: Family) -> Result<bool, PacketsError> {
        Ok(self.model().exists())
    }

    async fn forget(&self, _family: Family, expected: Expected) -> Result<usize, PacketsError> {
        self.state().forgotten.push(expected);
        Ok(0)
    }
}
