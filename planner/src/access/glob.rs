//! Patterns of names.

use landfast_catalog::{CatalogName, SchemaName, TableName};

/// A pattern of one name: `*` stands for any text, also none.
///
/// Of a quoted text (`"a*b"`) every character stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Glob {
    /// What stands between the stars; one piece is a pattern without any.
    pieces: Vec<String>,
}

impl Glob {
    /// The pattern that every name is of.
    pub fn any() -> Self {
        Self {
            pieces: vec![String::new(), String::new()],
        }
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split(text)?;
        match (parts.pop(), parts.is_empty()) {
            (Some(part), true) => Ok(part),
            _ => Err(format!("{text:?} has more than one part")),
        }
    }

    /// Whether a name is of the pattern. Case counts.
    pub fn matches(&self, name: &str) -> bool {
        let [first, between @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|piece| piece == name);
        };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        for piece in between {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }

    /// Whether every name is of the pattern.
    pub fn is_any(&self) -> bool {
        self.pieces.len() > 1 && self.pieces.iter().all(String::is_empty)
    }

    /// The only name that is of the pattern, if there is but one.
    fn exact(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// A pattern of tables' names: `catalog.schema.table`. What is left out at the end is any.
///
/// With more than three parts, those in the middle are one nested schema's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern {
    catalog: Glob,
    schema: Glob,
    table: Glob,
}

impl NamePattern {
    /// The pattern that every table's name is of.
    pub fn any() -> Self {
        Self {
            catalog: Glob::any(),
            schema: Glob::any(),
            table: Glob::any(),
        }
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split(text)?;
        let catalog = parts.remove(0);
        let table = match parts.len() {
            0 | 1 => Glob::any(),
            _ => parts.pop().unwrap_or_else(Glob::any),
        };
        let schema = parts.into_iter().reduce(joined).unwrap_or_else(Glob::any);
        Ok(Self {
            catalog,
            schema,
            table,
        })
    }

    /// Whether a table's name is of the pattern.
    pub fn matches(&self, name: &TableName) -> bool {
        self.matches_schema(&name.catalog, &name.schema) && self.table.matches(&name.table)
    }

    /// Whether tables of this schema may be of the pattern.
    pub fn matches_schema(&self, catalog: &CatalogName, schema: &SchemaName) -> bool {
        self.matches_catalog(catalog) && self.schema.matches(schema.as_str())
    }

    /// Whether tables of this catalog may be of the pattern.
    pub fn matches_catalog(&self, catalog: &CatalogName) -> bool {
        self.catalog.matches(catalog.as_str())
    }

    /// Whether all tables of a schema are of the pattern as soon as one is.
    pub fn is_of_schemas(&self) -> bool {
        self.table.is_any()
    }

    /// Whether every table's name is of the pattern.
    pub fn is_any(&self) -> bool {
        self.catalog.is_any() && self.schema.is_any() && self.table.is_any()
    }

    /// The only table whose name is of the pattern, if there is but one.
    pub fn exact(&self) -> Option<TableName> {
        TableName::new(
            CatalogName::new(self.catalog.exact()?).ok()?,
            SchemaName::new(self.schema.exact()?).ok()?,
            self.table.exact()?,
        )
        .ok()
    }
}

fn joined(mut left: Glob, right: Glob) -> Glob {
    let mut right = right.pieces.into_iter();
    if let Some(last) = left.pieces.last_mut() {
        last.push('.');
        last.push_str(&right.next().unwrap_or_default());
    }
    left.pieces.extend(right);
    left
}

/// The parts between the dots.
fn split(text: &str) -> Result<Vec<Glob>, String> {
    let mut parts = Vec::new();
    let mut pieces = vec![String::new()];
    let (mut quoted, mut empty) = (false, true);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if let (false, '.') = (quoted, character) {
            if empty {
                return Err(format!("{text:?} has an empty part"));
            }
            empty = true;
            parts.push(Glob {
                pieces: std::mem::replace(&mut pieces, vec![String::new()]),
            });
            continue;
        }
        empty = false;
        match (quoted, character) {
            (true, '"') if characters.peek() == Some(&'"') => {
                characters.next();
                push(&mut pieces, '"');
            }
            (_, '"') => quoted = !quoted,
            (false, '*') => pieces.push(String::new()),
            (_, other) => push(&mut pieces, other),
        }
    }
    if quoted {
        return Err(format!("{text:?} has a quote that is not closed"));
    }
    if empty {
        return Err(format!("{text:?} has an empty part"));
    }
    parts.push(Glob { pieces });
    Ok(parts)
}

fn push(pieces: &mut [String], character: char) {
    if let Some(last) = pieces.last_mut() {
        last.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(catalog: &str, schema: &str, table: &str) -> TableName {
        let catalog = CatalogName::new(catalog).unwrap();
        TableName::new(catalog, SchemaName::new(schema).unwrap(), table).unwrap()
    }

    #[test]
    fn a_star_is_any_text_within_its_part_and_what_is_left_out_is_any() {
        let matches =
            |pattern: &str, name: &TableName| NamePattern::parse(pattern).unwrap().matches(name);
        let orders = name("lake", "tpch", "orders");
        for pattern in [
            "lake",
            "lake.tpch",
            "lake.tpch.orders",
            "*",
            "*.*.*",
            "la*.t*h.o*d*s",
            "lake.*.orders*",
        ] {
            assert!(matches(pattern, &orders), "{pattern}");
        }
        for pattern in [
            "Lake",
            "lak",
            "lake.tpc",
            "lake.tpch.order",
            "lake.tpch.*x",
            "lake.tpch.ORDERS",
            "o*",
            "lake.tpch.ordersorders*",
            "lake.tpch.or*rs*s",
        ] {
            assert!(!matches(pattern, &orders), "{pattern}");
        }
        let deep = name("lake", "a.b", "x.y*");
        assert!(matches("lake.a.b.*", &deep) && matches("lake.\"a.b\".\"x.y*\"", &deep));
        assert!(matches("lake.a*", &deep) && matches("lake.*.b.*", &deep));
        assert!(!matches("lake.a.*", &deep) && !matches("lake.a.b.\"x*\"", &deep));
        assert!(matches("lake.s.\"a\"\"b\"", &name("lake", "s", "a\"b")));
    }

    #[test]
    fn a_pattern_without_a_star_is_one_name() {
        let exact = |pattern: &str| NamePattern::parse(pattern).unwrap().exact();
        assert_eq!(exact("lake.a.b.t"), Some(name("lake", "a.b", "t")));
        assert_eq!(exact("lake.a.t*"), None);
        assert_eq!(exact("lake.a"), None);
        assert!(NamePattern::parse("lake.a").unwrap().is_of_schemas());
        assert!(!NamePattern::parse("lake.a.t*").unwrap().is_of_schemas());
    }

    #[test]
    fn what_can_be_no_pattern_is_refused() {
        for wrong in ["", "lake..t", ".lake", "lake.", "lake.\"a"] {
            assert!(NamePattern::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Glob::parse("landfast.x").is_err());
        assert!(Glob::parse("\"landfast.x\"").unwrap().matches("landfast.x"));
    }
}
