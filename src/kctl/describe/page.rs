//! Text whose cells line up: what stands in the same column of neighbouring lines is as wide.

/// Between a cell and the next.
const GAP: usize = 2;

/// Lines of cells.
#[derive(Debug, Default)]
pub struct Page {
    lines: Vec<Vec<String>>,
}

impl Page {
    /// A line: cells, the first indented by `level`.
    pub fn line(&mut self, level: usize, cells: &[&str]) {
        let mut cells: Vec<String> = cells.iter().map(|&cell| cell.to_owned()).collect();
        if let Some(first) = cells.first_mut() {
            first.insert_str(0, &"  ".repeat(level));
        }
        self.lines.push(cells);
    }

    /// A name and its value.
    pub fn field(&mut self, level: usize, name: &str, value: impl AsRef<str>) {
        let mut lines = value.as_ref().lines();
        self.line(level, &[&format!("{name}:"), lines.next().unwrap_or_default()]);
        lines.for_each(|line| self.line(0, &["", line]));
    }

    /// A name whose value follows below.
    pub fn head(&mut self, level: usize, name: &str) {
        self.line(level, &[&format!("{name}:")]);
    }

    /// The text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.block(0, self.lines.len(), &mut Vec::new(), &mut out);
        out
    }

    /// Lines `from..to`, of whose cells as many have their widths as there are widths.
    fn block(&self, mut from: usize, to: usize, widths: &mut Vec<usize>, out: &mut String) {
        let column = widths.len();
        let is_followed = |line: usize| column + 1 < self.lines[line].len();
        while let Some(begin) = (from..to).find(|&line| is_followed(line)) {
            self.write(from, begin, widths, out);
            let end = (begin..to).find(|&line| !is_followed(line)).unwrap_or(to);
            let cells = (begin..end).map(|line| self.lines[line][column].chars().count());
            widths.push(cells.max().unwrap_or(0) + GAP);
            self.block(begin, end, widths, out);
            widths.pop();
            from = end;
        }
        self.write(from, to, widths, out);
    }

    fn write(&self, from: usize, to: usize, widths: &[usize], out: &mut String) {
        for line in &self.lines[from..to] {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                match widths.get(column) {
                    Some(&width) => text.push_str(&format!("{cell:width$}")),
                    None => text.push_str(cell),
                }
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_line_up() {
        let mut page = Page::default();
        page.field(0, "Name", "web");
        page.field(0, "Annotations", "a: 1\nb: 2");
        page.head(0, "Template");
        page.field(1, "Image", "i");
        page.line(1, &["a", "bbbb", "c"]);
        page.line(1, &["aaa", "b", "c"]);
        assert_eq!(
            page.text(),
            "Name:         web\nAnnotations:  a: 1\n              b: 2\nTemplate:\n  Image:  i\n  a       bbbb  c\n  aaa     b     c\n"
        );
    }
}
