//! Columns of the user's own: `-o custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image`.

use serde_json::Value;

use crate::jsonpath::Template;
use crate::table::render;

/// Heads, and where the cells are.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    columns: Vec<(String, Template)>,
    headless: bool,
}

impl Columns {
    /// Reads `HEAD:PATH,HEAD:PATH`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::of(text.split(',').map(|part| {
            part.split_once(':').ok_or_else(|| {
                format!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
            })
        }))
    }

    /// Reads a line of heads and one of paths.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse_file(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let mut words = || lines.next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        let (heads, paths) = (words(), words());
        if heads.is_empty() || heads.len() != paths.len() {
            return Err("it takes a line of heads and a line of as many paths".to_owned());
        }
        Self::of(heads.into_iter().zip(paths).map(Ok))
    }

    fn of<'t>(pairs: impl Iterator<Item = Result<(&'t str, &'t str), String>>) -> Result<Self, String> {
        let column = |pair: Result<(&str, &str), String>| {
            let (head, path) = pair?;
            Ok((head.to_owned(), Template::relaxed(path).map_err(|error| error.to_string())?))
        };
        Ok(Self { columns: pairs.map(column).collect::<Result<_, String>>()?, headless: false })
    }

    /// The same without heads.
    #[must_use]
    pub fn headless(self) -> Self {
        Self { headless: true, ..self }
    }

    /// The objects, one a row.
    pub fn print(&self, objects: &[&Value]) -> String {
        let row = |object: &&Value| self.columns.iter().map(|(_, path)| cell(path, object)).collect();
        let rows: Vec<Vec<String>> = objects.iter().map(row).collect();
        let heads: Vec<&str> = self.columns.iter().map(|(head, _)| head.as_str()).collect();
        if !self.headless {
            return render(&heads, &rows);
        }
        let [first, rest @ ..] = &rows[..] else { return String::new() };
        render(&first.iter().map(String::as_str).collect::<Vec<_>>(), rest)
    }
}

fn cell(path: &Template, object: &Value) -> String {
    let found = path.values(object).unwrap_or_default();
    match found[..] {
        [] => "<none>".to_owned(),
        _ => found.into_iter().map(in_go).collect::<Vec<_>>().join(","),
    }
}

/// As Go prints a value: `map[a:1]`, `[a b]`.
pub fn in_go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(in_go).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            let members = members.into_iter().map(|(name, value)| format!("{name}:{}", in_go(value)));
            format!("map[{}]", members.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_what_the_paths_lead_to() {
        let pod = json!({"metadata": {"name": "a", "labels": {"y": "2", "x": "1"}}, "spec": {"containers": [{"image": "i"}, {"image": "j"}], "n": 7}});
        let text = "NAME:.metadata.name,IMAGES:{.spec.containers[*].image},LABELS:metadata.labels,N:.spec.n,NO:.no,ALL:.spec.containers";
        let columns = Columns::parse(text).expect("columns");
        assert_eq!(
            columns.print(&[&pod]),
            "NAME   IMAGES   LABELS         N     NO       ALL\na      i,j      map[x:1 y:2]   7     <none>   [map[image:i] map[image:j]]\n"
        );
        let from_file = Columns::parse_file("NAME N\n.metadata.name .spec.n\n").expect("columns");
        assert_eq!(from_file.headless().print(&[&pod, &pod]), "a     7\na     7\n");
        assert!(Columns::parse_file("A B\n.a\n").is_err());
    }
}
