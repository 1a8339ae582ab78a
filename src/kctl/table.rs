//! Columns for people, as kubectl sets them: upper-case heads, three spaces between.

/// The rows below their head, each column as wide as its widest cell.
pub fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width =
        |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or(0);
            format!("{cell:width$}")
        });
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned() + "\n"
    };
    all.iter().map(|row| line(row)).collect()
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
    }
}
