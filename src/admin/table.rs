//! Text in aligned columns, two spaces apart; numbers stand right.

/// Rows under a header.
pub(super) struct Table {
    /// Each header, and whether its column holds numbers.
    columns: Vec<(&'static str, bool)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; a name that begins with `#` is one of numbers.
    pub(super) fn new(columns: &[&'static str]) -> Self {
        let column = |name: &&'static str| match name.strip_prefix('#') {
            Some(name) => (name, true),
            None => (*name, false),
        };
        Self { columns: columns.iter().map(column).collect(), rows: Vec::new() }
    }

    /// One more row; an empty cell shows as `-`.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The text, each line with its end.
    pub(super) fn text(&self) -> String {
        let widths: Vec<_> = (0..self.columns.len()).map(|n| self.width(n)).collect();
        let header: Vec<_> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let lines = std::iter::once(&header).chain(&self.rows);
        lines.map(|cells| self.line(cells, &widths)).collect()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let cells = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        cells.max(self.columns[column].0.len())
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, number)) in cells.iter().zip(widths).zip(&self.columns) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            if *number {
                line.push_str(&format!("{cell:>width$}"));
            } else {
                line.push_str(&format!("{cell:<width$}"));
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let mut table = Table::new(&["NAME", "#CALLS", "DETAIL"]);
        table.row(vec!["i1".into(), "7".into(), String::new()]);
        table.row(vec!["instance".into(), "1234567".into(), "x".into()]);
        let expected = "NAME        CALLS  DETAIL\n\
                        i1              7  -\n\
                        instance  1234567  x\n";
        assert_eq!(table.text(), expected);
    }
}
