//! [`Selection`]: what of a table's rows and columns one asker sees, by all of their grants together.

use std::collections::BTreeSet;

use super::{Grant, RowFilter};

/// Some columns of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The columns; all if there is no list.
    pub columns: Option<BTreeSet<String>>,
    /// Rows that one of these filters lets through; all rows if there is none.
    pub rows: Vec<RowFilter>,
}

impl Part {
    fn has(&self, column: &str) -> bool {
        self.columns
            .as_ref()
            .is_none_or(|columns| columns.contains(column))
    }

    /// Whether everything of the other is in this one, as far as can be told from how filters are written.
    fn covers(&self, other: &Self) -> bool {
        let columns = match (&self.columns, &other.columns) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.is_subset(own),
        };
        let rows = self.rows.is_empty()
            || (!other.rows.is_empty() && other.rows.iter().all(|row| self.rows.contains(row)));
        columns && rows
    }

    fn same_rows(&self, other: &Self) -> bool {
        self.rows.len() == other.rows.len() && self.rows.iter().all(|row| other.rows.contains(row))
    }
}

/// Parts of a table, one for each grant that adds something to the others.
///
/// A row is seen when it is in some part, and a cell when some part has both its row and its column: of a row that is
/// seen by one part, a column that only another part has is null unless the row is in that part too. So parts never give
/// more together than one after the other, and never less.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    parts: Vec<Part>,
}

impl Selection {
    /// What grants give together; nothing if there are none.
    pub(super) fn of<'a>(grants: impl IntoIterator<Item = &'a Grant>) -> Option<Self> {
        let mut parts: Vec<Part> = Vec::new();
        for grant in grants {
            let part = Part {
                columns: grant.columns.clone(),
                rows: grant.rows.iter().cloned().collect(),
            };
            if !parts.iter().any(|known| known.covers(&part)) {
                parts.retain(|known| !part.covers(known));
                parts.push(part);
            }
        }
        while let Some((at, part)) = merged(&parts) {
            parts.swap_remove(at.1);
            parts[at.0] = part;
        }
        (!parts.is_empty()).then_some(Self { parts })
    }

    /// Whether it is all of the table.
    pub fn is_whole(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.columns.is_none() && part.rows.is_empty())
    }

    /// The same without these columns, where they are granted by their names.
    pub(crate) fn without(&self, columns: &BTreeSet<String>) -> Self {
        let parts = self.parts.iter().map(|part| Part {
            columns: part.columns.as_ref().map(|own| own - columns),
            rows: part.rows.clone(),
        });
        Self {
            parts: parts.collect(),
        }
    }

    /// Its parts.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether a column is in some part.
    pub fn has(&self, column: &str) -> bool {
        self.parts.iter().any(|part| part.has(column))
    }

    /// The filters of which a row has to pass one; all rows are seen if there is none.
    pub fn rows(&self) -> Vec<&RowFilter> {
        any_of(self.parts.iter())
    }

    /// The filters of which a row has to pass one for this column to be seen where the row is; none if it always is.
    pub fn mask(&self, column: &str) -> Vec<&RowFilter> {
        let mask = any_of(self.parts.iter().filter(|part| part.has(column)));
        let rows = self.rows();
        let same = !rows.is_empty() && rows.iter().all(|row| mask.contains(row));
        if same { Vec::new() } else { mask }
    }
}

/// The filters of all parts together; none where some part has all rows.
fn any_of<'a>(parts: impl Iterator<Item = &'a Part> + Clone) -> Vec<&'a RowFilter> {
    if parts.clone().any(|part| part.rows.is_empty()) {
        return Vec::new();
    }
    let mut all: Vec<&RowFilter> = Vec::new();
    for row in parts.flat_map(|part| &part.rows) {
        if !all.contains(&row) {
            all.push(row);
        }
    }
    all
}

/// Two parts that are exactly one: of the same columns, or of the same rows.
fn merged(parts: &[Part]) -> Option<((usize, usize), Part)> {
    for (right, b) in parts.iter().enumerate() {
        for (left, a) in parts[..right].iter().enumerate() {
            if a.columns == b.columns {
                let rows = any_of([a, b].into_iter()).into_iter().cloned().collect();
                let columns = a.columns.clone();
                return Some(((left, right), Part { columns, rows }));
            }
            if a.same_rows(b) {
                let columns = a.columns.clone().zip(b.columns.clone());
                let columns = columns.map(|(a, b)| a.union(&b).cloned().collect());
                let rows = a.rows.clone();
                return Some(((left, right), Part { columns, rows }));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(columns: Option<&[&str]>, rows: Option<&str>) -> Grant {
        Grant {
            columns: columns.map(|all| all.iter().map(ToString::to_string).collect()),
            rows: rows.map(|text| RowFilter::parse(text).unwrap()),
            ..Grant::default()
        }
    }

    fn texts(filters: &[&RowFilter]) -> Vec<String> {
        filters
            .iter()
            .map(|filter| filter.text().to_string())
            .collect()
    }

    #[test]
    fn grants_of_the_same_columns_or_rows_are_one() {
        let rows = [
            grant(Some(&["a"]), Some("x = 1")),
            grant(Some(&["a"]), Some("x = 2")),
        ];
        let selection = Selection::of(&rows).unwrap();
        assert_eq!(selection.parts().len(), 1);
        assert_eq!(texts(&selection.rows()), ["x = 1", "x = 2"]);
        assert!(selection.mask("a").is_empty() && !selection.has("b"));
        let columns = [
            grant(Some(&["a"]), Some("x = 1")),
            grant(Some(&["b"]), Some("x = 1")),
        ];
        let selection = Selection::of(&columns).unwrap();
        assert_eq!(selection.parts().len(), 1);
        assert!(selection.has("a") && selection.has("b") && selection.mask("b").is_empty());
        let whole = [
            grant(Some(&["a"]), Some("x = 1")),
            grant(None, None),
            grant(None, Some("y")),
        ];
        assert!(Selection::of(&whole).unwrap().is_whole());
        assert_eq!(Selection::of(&[]), None);
        let all_rows_by_two = [
            grant(Some(&["a", "b"]), Some("x = 1")),
            grant(Some(&["a"]), None),
            grant(Some(&["b"]), None),
        ];
        let selection = Selection::of(&all_rows_by_two).unwrap();
        assert_eq!(selection.parts().len(), 1);
        assert!(selection.rows().is_empty() && selection.mask("a").is_empty());
    }

    #[test]
    fn columns_of_one_grant_are_masked_in_the_rows_of_another() {
        let grants = [
            grant(Some(&["a", "b"]), Some("x = 1")),
            grant(Some(&["b", "c"]), Some("x = 2")),
        ];
        let selection = Selection::of(&grants).unwrap();
        assert!(!selection.is_whole());
        assert_eq!(texts(&selection.rows()), ["x = 1", "x = 2"]);
        assert_eq!(texts(&selection.mask("a")), ["x = 1"]);
        assert!(selection.mask("b").is_empty(), "both have it");
        assert_eq!(texts(&selection.mask("c")), ["x = 2"]);
        let all_rows = [
            grant(Some(&["a"]), None),
            grant(Some(&["b"]), Some("x = 2")),
        ];
        let selection = Selection::of(&all_rows).unwrap();
        assert!(selection.rows().is_empty() && selection.mask("a").is_empty());
        assert_eq!(texts(&selection.mask("b")), ["x = 2"]);
    }

    proptest! {
        /// Rows are known by which of three filters let them through.
        #[test]
        fn a_cell_is_seen_exactly_when_some_one_grant_gives_its_row_and_its_column(
            drawn in proptest::collection::vec((0_u8..16, 0_u8..4), 1..6),
        ) {
            let names = ["a", "b", "c"];
            let filters = ["f0", "f1", "f2"];
            let grants: Vec<Grant> = drawn.iter().map(|(columns, row)| {
                let listed: Vec<&str> = (0..3).filter(|at| columns & (1 << at) > 0).map(|at| names[at]).collect();
                let columns = (*columns < 8).then_some(listed.as_slice());
                grant(columns, filters.get(usize::from(*row)).copied())
            }).collect();
            let selection = Selection::of(&grants).unwrap();
            for row in 0_u8..8 {
                let passes = |filter: &RowFilter| {
                    filters.iter().position(|f| *f == filter.text()).is_some_and(|at| row & (1 << at) > 0)
                };
                let any = |of: &[&RowFilter]| of.is_empty() || of.iter().any(|filter| passes(filter));
                let granted = |grant: &&Grant| grant.rows.as_ref().is_none_or(passes);
                prop_assert_eq!(any(&selection.rows()), grants.iter().any(|grant| granted(&grant)));
                for name in names {
                    let wanted = grants.iter().filter(granted)
                        .any(|grant| grant.columns.as_ref().is_none_or(|columns| columns.contains(name)));
                    let seen = selection.has(name) && any(&selection.rows()) && any(&selection.mask(name));
                    prop_assert_eq!(seen, wanted, "{} of row {:b}", name, row);
                }
            }
        }
    }
}
