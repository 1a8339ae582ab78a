//! Columns for people, as kubectl sets them: upper-case heads, three spaces between.

/// Narrower columns than this are as wide.
const WIDTH_MIN: usize = 3;

const GAP: &str = "   ";

/// The rows below their head, each column as wide as its widest cell.
pub fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let mut layout = Layout::default();
    layout.fit(std::iter::once(&head).chain(rows));
    layout.line(&head) + &rows.iter().map(|row| layout.line(row)).collect::<String>()
}

/// How wide columns are. Rows that come later do not make them narrower.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    widths: Vec<usize>,
}

impl Layout {
    /// Makes room for these rows.
    pub fn fit<'r>(&mut self, rows: impl IntoIterator<Item = &'r Vec<String>>) {
        for row in rows {
            let missing = row.len().saturating_sub(self.widths.len());
            self.widths.extend(std::iter::repeat_n(WIDTH_MIN, missing));
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
    }

    /// A row as a line.
    pub fn line(&self, row: &[String]) -> String {
        self.line_with(row, |_, cell| cell.to_owned())
    }

    /// A row as a line, each cell painted after its width was counted.
    pub fn line_with(&self, row: &[String], paint: impl Fn(usize, &str) -> String) -> String {
        let mut line = String::new();
        let mut blanks = 0;
        for (column, cell) in row.iter().enumerate() {
            if !cell.is_empty() {
                line.push_str(&" ".repeat(std::mem::take(&mut blanks)));
                line.push_str(&paint(column, cell));
            }
            blanks += self.widths[column].saturating_sub(cell.chars().count()) + GAP.len();
        }
        line + "\n"
    }
}

/// A value, or a dash for what is not known.
pub fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["master-1".to_owned(), cell(Some(7))], vec!["é".to_owned(), cell(None::<u64>)]];
        assert_eq!(render(&["NAME", "LAG"], &rows), "NAME       LAG\nmaster-1   7\né          -\n");
        let rows = [vec![String::new(), "b".to_owned()], vec!["a".to_owned(), String::new()]];
        assert_eq!(render(&["A", "B"], &rows), "A     B\n      b\na\n");
    }

    #[test]
    fn rows_that_come_later_keep_to_the_columns() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let mut layout = Layout::default();
        layout.fit([&row(["NAME", "AGE"])]);
        assert_eq!(layout.line(&row(["a", "1s"])), "a      1s\n");
        layout.fit([&row(["longest", ""])]);
        assert_eq!(layout.line_with(&row(["a", "1s"]), |_, cell| format!("<{cell}>")), "<a>         <1s>\n");
    }
}
