//! From one ruleset to another: commands that go to the kernel as one transaction.

use std::collections::BTreeMap;

use crate::plan::Ruleset;
use crate::rules::{Family, Hook, Key, Name, Rule, Table, Verdict};
use crate::service::Part;

/// Commands that happen all or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Whose table it is about.
    pub family: Family,
    /// In this order.
    pub commands: Vec<Command>,
}

/// One change of our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The table is there; nothing happens if it was.
    AddTable,
    /// The table goes, with everything in it.
    DeleteTable,
    /// A map or set of all services.
    AddMap(Table),
    /// A set that remembers clients.
    AddSet(Name),
    /// Such a set goes.
    DeleteSet(Name),
    /// A chain without rules.
    AddChain(Name, Option<Hook>),
    /// The chain's rules go.
    FlushChain(Name),
    /// The chain goes; nothing may lead to it any more.
    DeleteChain(Name),
    /// A rule at the end of the chain.
    AddRule(Name, Rule),
    /// Keys come into a map or set.
    AddElements(Table, Vec<(Key, Verdict)>),
    /// Keys go out of a map or set.
    DeleteElements(Table, Vec<Key>),
}

/// Replaces whatever the table holds, whoever left it there. Established connections go on: they are
/// translated by what connection tracking remembers, not by rules.
pub fn replacement(new: &Ruleset) -> Batch {
    let mut commands = vec![Command::AddTable, Command::DeleteTable, Command::AddTable];
    commands.extend(Table::ALL.map(Command::AddMap));
    commands.extend(new.frame.iter().map(|chain| Command::AddChain(chain.name.clone(), chain.hook)));
    let mut changes = Changes::default();
    for part in new.parts.values() {
        changes.add(None, Some(part));
    }
    let frame_rules = new
        .frame
        .iter()
        .flat_map(|chain| chain.rules.iter().map(|rule| Command::AddRule(chain.name.clone(), rule.clone())));
    changes.rules.splice(..0, frame_rules);
    commands.extend(changes.into_commands());
    Batch { family: new.family, commands }
}

/// What makes `new` of `old`, as small as what changed. The frames must be the same: they depend on the
/// node alone, and a node with other facts begins with a [`replacement`].
pub fn difference(old: &Ruleset, new: &Ruleset) -> Batch {
    debug_assert_eq!(old.frame, new.frame, "a change of the frame is a replacement");
    let mut changes = Changes::default();
    let (mut olds, mut news) = (old.parts.iter().peekable(), new.parts.iter().peekable());
    loop {
        match (olds.peek(), news.peek()) {
            (Some((before, _)), Some((after, _))) if before == after => {
                let (Some((_, before)), Some((_, after))) = (olds.next(), news.next()) else { break };
                // What was not planned again is the same, and need not be looked at.
                if !std::sync::Arc::ptr_eq(before, after) {
                    changes.add(Some(before), Some(after));
                }
            }
            (Some((before, _)), Some((after, _))) if after < before => {
                changes.add(None, news.next().map(|(_, part)| &**part));
            }
            (Some(_), _) => changes.add(olds.next().map(|(_, part)| &**part), None),
            (None, Some(_)) => changes.add(None, news.next().map(|(_, part)| &**part)),
            (None, None) => break,
        }
    }
    Batch { family: new.family, commands: changes.into_commands().collect() }
}

/// Commands by the time at which they may happen: nothing is used before it is there, nothing goes while it
/// is used.
#[derive(Default)]
struct Changes {
    additions: Vec<Command>,
    gone: BTreeMap<Table, Vec<Key>>,
    rules: Vec<Command>,
    come: BTreeMap<Table, Vec<(Key, Verdict)>>,
    flushes: Vec<Command>,
    deletions: Vec<Command>,
}

impl Changes {
    fn add(&mut self, old: Option<&Part>, new: Option<&Part>) {
        let nothing = Part::default();
        let (old, new) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
        self.additions.extend(new.sets.difference(&old.sets).cloned().map(Command::AddSet));
        for (name, rules) in &new.chains {
            let known = old.chains.get(name);
            match known {
                Some(known) if known == rules => continue,
                Some(_) => self.rules.push(Command::FlushChain(name.clone())),
                None => self.additions.push(Command::AddChain(name.clone(), None)),
            }
            self.rules.extend(rules.iter().map(|rule| Command::AddRule(name.clone(), rule.clone())));
        }
        for (place, verdict) in &old.elements {
            if new.elements.get(place) != Some(verdict) {
                self.gone.entry(place.0).or_default().push(place.1);
            }
        }
        for (place, verdict) in &new.elements {
            if old.elements.get(place) != Some(verdict) {
                self.come.entry(place.0).or_default().push((place.1, verdict.clone()));
            }
        }
        for name in old.chains.keys().filter(|name| !new.chains.contains_key(*name)) {
            self.flushes.push(Command::FlushChain(name.clone()));
            self.deletions.push(Command::DeleteChain(name.clone()));
        }
        self.deletions.extend(old.sets.difference(&new.sets).cloned().map(Command::DeleteSet));
    }

    fn into_commands(self) -> impl Iterator<Item = Command> {
        let gone = self.gone.into_iter().map(|(table, keys)| Command::DeleteElements(table, keys));
        let come = self.come.into_iter().map(|(table, elements)| Command::AddElements(table, elements));
        self.additions
            .into_iter()
            .chain(gone)
            .chain(self.rules)
            .chain(come)
            .chain(self.flushes)
            .chain(self.deletions)
    }
}
