//! Plain-text tables with aligned columns.

use std::fmt;

/// A caption, a head and rows.
#[derive(Clone, Debug)]
pub struct Table {
    caption: String,
    /// How many columns at the left are text; the others are numbers, aligned at the right.
    text_columns: usize,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// A table without rows.
    pub fn new(caption: impl Into<String>, text_columns: usize, head: &[&str]) -> Self {
        Table {
            caption: caption.into(),
            text_columns,
            rows: vec![head.iter().map(|&name| name.to_owned()).collect()],
            notes: Vec::new(),
        }
    }

    /// Adds a line below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a row; one that is too short has empty cells.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.caption)?;
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::from(" ");
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let cell = if column < self.text_columns {
                    format!(" {cell:<width$} ")
                } else {
                    format!(" {cell:>width$} ")
                };
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end())?;
            if number == 0 {
                let length = widths.iter().map(|width| width + 2).sum::<usize>();
                writeln!(f, "  {}", "-".repeat(length.saturating_sub(2)))?;
            }
        }
        for note in &self.notes {
            writeln!(f, "   {note}")?;
        }
        Ok(())
    }
}

/// A number with about three digits that count; a dash where there is none.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "-".into(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.1 => format!("{value:.3}"),
        size if size >= 0.00005 => format!("{value:.4}"),
        _ => "0".into(),
    }
}

/// A ratio, as `1.52x`.
pub fn times(ratio: f64) -> String {
    if ratio.is_finite() {
        format!("{}x", number(ratio))
    } else {
        "-".into()
    }
}
