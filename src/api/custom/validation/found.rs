//! What is wrong with a value, and where.

use std::fmt;

use serde_json::Value;

use crate::field_error::FieldError;

/// The way to a value, written only when something is wrong with it.
pub(super) enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    /// A member that no property names: its dot is written even below the root.
    Extra(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Place::Root, name) => f.write_str(name),
            Self::Member(above, name) | Self::Extra(above, name) => write!(f, "{above}.{name}"),
            Self::Item(above, at) => write!(f, "{above}[{at}]"),
        }
    }
}

/// One mistake.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) place: String,
    pub(super) mistake: Mistake,
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) enum Mistake {
    /// About no place in particular.
    Composite,
    Enumeration(Value, Vec<String>),
    Invalid(Value),
    Required,
    TooLong(i64),
    TooMany(usize, i64),
    Type(Value),
}

impl Wrong {
    pub(super) fn told(self, within: &str) -> FieldError {
        let place = self.place.strip_prefix('.').unwrap_or(&self.place);
        let field = match (within, place) {
            ("", "") => "<nil>".to_owned(),
            ("", place) => place.to_owned(),
            (within, "") => within.to_owned(),
            (within, place) => format!("{within}.{place}"),
        };
        match self.mistake {
            Mistake::Composite => {
                let field = if within.is_empty() { "<nil>" } else { within };
                FieldError::invalid(field, "", &self.text)
            }
            Mistake::Enumeration(value, words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                FieldError::not_supported(&field, value.clone(), &words).showing(&value)
            }
            Mistake::Invalid(value) => FieldError::invalid(&field, value.clone(), &self.text).showing(&value),
            Mistake::Required => FieldError::required(&field, ""),
            Mistake::TooLong(most) => FieldError::too_long(&field, usize::try_from(most).unwrap_or_default()),
            Mistake::TooMany(count, most) => {
                FieldError::too_many(&field, count, usize::try_from(most).unwrap_or_default())
            }
            Mistake::Type(value) => {
                FieldError::type_invalid(&field, value.clone(), &self.text).showing(&value)
            }
        }
    }
}

/// What was found, and how many checks were passed: the branch of a junctor that passed most tells its mistakes.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) wrong: Vec<Wrong>,
    pub(super) passed: u32,
}

impl Found {
    pub(super) fn add(&mut self, place: &Place<'_>, mistake: Mistake, text: String) {
        self.push(Wrong { place: place.to_string(), mistake, text });
    }

    /// The same text is told once.
    pub(super) fn push(&mut self, wrong: Wrong) {
        if !self.wrong.iter().any(|known| known.text == wrong.text) {
            self.wrong.push(wrong);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        other.wrong.into_iter().for_each(|wrong| self.push(wrong));
    }

    pub(super) fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }
}
