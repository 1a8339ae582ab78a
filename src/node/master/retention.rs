//! How long a master keeps history.

use std::time::Duration;

use api::RESOURCES;
use api::resource::Retention;
use replica::limits::WATCH_WINDOW;
use replica::retention::Rule;

/// How long versions are kept unless their resource says less.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of history and live objects on disk beyond which the oldest history goes early: a tenth of a
/// small disk.
pub const HISTORY_BYTES_MAX: u64 = 8 << 30;

/// The column of `RESOURCES`, as rules. The shortest age that matches decides.
pub fn rules() -> Vec<Rule> {
    let short = RESOURCES.iter().filter(|row| row.particular.retention == Retention::Window);
    let short = short.map(|row| Rule { prefix: row.prefix(""), age: WATCH_WINDOW });
    std::iter::once(Rule { prefix: String::new(), age: DAY }).chain(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_the_age_that_its_row_says() {
        let rules = rules();
        for row in RESOURCES.iter() {
            let matching = rules.iter().filter(|rule| row.prefix("").starts_with(&rule.prefix));
            let expected = if row.particular.retention == Retention::Window { WATCH_WINDOW } else { DAY };
            assert_eq!(matching.map(|rule| rule.age).min(), Some(expected), "{}", row.plural);
        }
    }
}
