//! A set of fields: a tree of path elements, sorted, in which any node may be a member.
//!
//! # Guarantees
//! Below a node there is always a member, or it is one itself: an empty set has no nodes.

use std::cmp::Ordering;

use super::element::Element;

/// Some fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set<'a> {
    nodes: Vec<Node<'a>>,
}

/// What a set holds at one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// The step to it.
    pub element: Element<'a>,
    /// Whether the field itself belongs to the set.
    pub is_member: bool,
    /// The fields below it.
    pub below: Set<'a>,
}

impl<'a> Set<'a> {
    /// Nothing.
    pub const EMPTY: Self = Self { nodes: Vec::new() };

    /// A set of these paths of members.
    pub fn of_paths(paths: &'a [&'a [&'a str]]) -> Self {
        let mut set = Self::EMPTY;
        for path in paths {
            set.insert(path.iter().map(|name| Element::field(name)));
        }
        set
    }

    /// Adds a field. The fields that hold it are not added.
    pub fn insert(&mut self, path: impl IntoIterator<Item = Element<'a>>) {
        let mut path = path.into_iter().peekable();
        let mut set = self;
        while let Some(element) = path.next() {
            let node = set.node(element);
            if path.peek().is_none() {
                node.is_member = true;
                return;
            }
            set = &mut node.below;
        }
    }

    /// The node of an element, made if need be.
    fn node(&mut self, element: Element<'a>) -> &mut Node<'a> {
        let at = match self.nodes.binary_search_by(|node| node.element.cmp(&element)) {
            Ok(at) => at,
            Err(at) => {
                self.nodes.insert(at, Node { element, is_member: false, below: Self::EMPTY });
                at
            }
        };
        &mut self.nodes[at]
    }

    /// Adds a node behind all others, or where it belongs; one without members is left out.
    pub(super) fn push(&mut self, node: Node<'a>) {
        if !node.is_member && node.below.is_empty() {
            return;
        }
        if self.nodes.last().is_none_or(|last| last.element < node.element) {
            self.nodes.push(node);
        } else {
            let known = self.node(node.element);
            known.is_member |= node.is_member;
            if !node.below.is_empty() {
                known.below = node.below;
            }
        }
    }

    /// Its nodes, sorted by element.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    pub(super) fn nodes_mut(&mut self) -> &mut Vec<Node<'a>> {
        &mut self.nodes
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many members it has.
    pub fn size(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.is_member) + node.below.size()).sum()
    }

    /// What it holds at an element.
    pub fn get(&self, element: &Element<'_>) -> Option<&Node<'a>> {
        let at = self.nodes.binary_search_by(|node| node.element.cmp(element)).ok()?;
        Some(&self.nodes[at])
    }

    /// Whether a field is a member.
    pub fn has(&self, path: &[Element<'_>]) -> bool {
        match path {
            [] => false,
            [last] => self.get(last).is_some_and(|node| node.is_member),
            [first, rest @ ..] => self.get(first).is_some_and(|node| node.below.has(rest)),
        }
    }

    /// Calls `visit` for each member with its path: those of a node before those below.
    pub fn each(&self, visit: &mut impl FnMut(&[&Element<'a>])) {
        self.each_below(&mut Vec::new(), visit);
    }

    fn each_below<'s>(&'s self, path: &mut Vec<&'s Element<'a>>, visit: &mut impl FnMut(&[&Element<'a>])) {
        for node in self.nodes.iter().filter(|node| node.is_member) {
            path.push(&node.element);
            visit(path);
            path.pop();
        }
        for node in &self.nodes {
            path.push(&node.element);
            node.below.each_below(path, visit);
            path.pop();
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = Self { nodes: Vec::with_capacity(self.nodes.len() + other.nodes.len()) };
        let (mut mine, mut theirs) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            let next = match a.element.cmp(&b.element) {
                Ordering::Less => mine.next().cloned(),
                Ordering::Greater => theirs.next().cloned(),
                Ordering::Equal => mine.next().zip(theirs.next()).map(|(a, b)| Node {
                    element: a.element.clone(),
                    is_member: a.is_member || b.is_member,
                    below: a.below.union(&b.below),
                }),
            };
            all.nodes.extend(next);
        }
        all.nodes.extend(mine.chain(theirs).cloned());
        all
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Set<'_>) -> Self {
        self.beside(other, |mine, theirs| match theirs {
            Some(theirs) => (mine.is_member && theirs.is_member, mine.below.intersection(&theirs.below)),
            None => (false, Self::EMPTY),
        })
    }

    /// What is in this one and not in the other. The fields below a field are fields of their own.
    #[must_use]
    pub fn difference(&self, other: &Set<'_>) -> Self {
        self.beside(other, |mine, theirs| match theirs {
            Some(theirs) => (mine.is_member && !theirs.is_member, mine.below.difference(&theirs.below)),
            None => (mine.is_member, mine.below.clone()),
        })
    }

    /// What is in this one and neither in the other nor below what is in the other.
    #[must_use]
    pub fn recursive_difference(&self, other: &Set<'_>) -> Self {
        self.beside(other, |mine, theirs| match theirs {
            Some(theirs) if theirs.is_member => (false, Self::EMPTY),
            Some(theirs) => (mine.is_member, mine.below.recursive_difference(&theirs.below)),
            None => (mine.is_member, mine.below.clone()),
        })
    }

    /// Takes away what is in the other set: [`Set::difference`] in place.
    pub fn remove(&mut self, other: &Set<'_>) {
        if other.is_empty() {
            return;
        }
        let mut theirs = other.nodes.iter().peekable();
        self.nodes.retain_mut(|mine| {
            while theirs.next_if(|node| node.element < mine.element).is_some() {}
            if let Some(theirs) = theirs.next_if(|node| node.element == mine.element) {
                mine.is_member &= !theirs.is_member;
                mine.below.remove(&theirs.below);
            }
            mine.is_member || !mine.below.is_empty()
        });
    }

    /// Its nodes, each made anew from what the other set holds there.
    fn beside<'b>(
        &self,
        other: &Set<'b>,
        keep: impl Fn(&Node<'a>, Option<&Node<'b>>) -> (bool, Self),
    ) -> Self {
        let mut theirs = other.nodes.iter().peekable();
        let nodes = self.nodes.iter().filter_map(|mine| {
            while theirs.next_if(|node| node.element < mine.element).is_some() {}
            let (is_member, below) = keep(mine, theirs.next_if(|node| node.element == mine.element));
            let is_kept = is_member || !below.is_empty();
            is_kept.then(|| Node { element: mine.element.clone(), is_member, below })
        });
        Self { nodes: nodes.collect() }
    }
}
