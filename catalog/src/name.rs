//! Names in the one tree `catalog.schema.table`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{CatalogError, Result};

/// The catalog name that Landfast keeps for its own tables.
pub const RESERVED_CATALOG: &str = "landfast";

/// A name's length at most, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// The name that a member is mounted under.
///
/// Letters, digits, `_` and `-`, at most 63 of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CatalogName(Arc<str>);

impl CatalogName {
    /// Takes a catalog's name, or says why it can't be one.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        let fits = !name.is_empty()
            && name.len() <= 63
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !fits {
            return Err(CatalogError::invalid(format!(
                "{name:?} can't be a catalog's name: use 1 to 63 letters, digits, '_' and '-'"
            )));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the name that Landfast keeps for itself, in any case.
    pub fn is_reserved(&self) -> bool {
        self.0.eq_ignore_ascii_case(RESERVED_CATALOG)
    }
}

/// The name of a schema: the levels of an Iceberg namespace joined by dots.
///
/// The levels can't always be told from the name (a level may hold a dot itself): the member's listing says which
/// namespace it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemaName(Arc<str>);

impl SchemaName {
    /// Takes a schema's name, or says why it can't be one.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        check_name("schema", name)?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The full name of a table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The catalog that the member is mounted under.
    pub catalog: CatalogName,
    /// The schema.
    pub schema: SchemaName,
    /// The table's own name.
    pub table: String,
}

impl TableName {
    /// Takes a table's full name.
    pub fn new(catalog: CatalogName, schema: SchemaName, table: impl Into<String>) -> Result<Self> {
        let table = table.into();
        check_name("table", &table)?;
        Ok(Self {
            catalog,
            schema,
            table,
        })
    }
}

/// Checks a table's name that may have been put together by hand.
pub(crate) fn check_parts(name: &TableName) -> Result<()> {
    check_name("table", &name.table)
}

fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(CatalogError::invalid(format!(
            "{name:?} can't be a {what}'s name: it is empty, too long or has control characters"
        )));
    }
    Ok(())
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = CatalogError;

            fn try_from(name: String) -> Result<Self> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = CatalogError;

            fn from_str(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }
    };
}

text!(CatalogName);
text!(SchemaName);

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", Part(self.catalog.as_str()))?;
        write!(f, "{}.{}", Part(self.schema.as_str()), Part(&self.table))
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One part of a name, quoted where it could be read wrongly.
struct Part<'a>(&'a str);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self
            .0
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if plain {
            f.write_str(self.0)
        } else {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_name_takes_letters_digits_dashes_and_underscores_only() {
        assert!(CatalogName::new("lake-2_b").is_ok());
        for bad in ["", "a.b", "a b", "ä", &"x".repeat(64)] {
            assert!(CatalogName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_reserved_catalog_is_reserved_in_any_case() {
        assert!(CatalogName::new("LandFast").unwrap().is_reserved());
        assert!(!CatalogName::new("landfaster").unwrap().is_reserved());
    }

    #[test]
    fn a_nested_schema_is_quoted_in_a_full_name() {
        let name = TableName::new(
            CatalogName::new("lake").unwrap(),
            SchemaName::new("a.b").unwrap(),
            "orders",
        )
        .unwrap();
        assert_eq!(name.to_string(), "lake.\"a.b\".orders");
    }

    #[test]
    fn names_survive_serialising_and_bad_ones_are_refused() {
        let name = TableName::new(
            CatalogName::new("lake").unwrap(),
            SchemaName::new("a").unwrap(),
            "T",
        )
        .unwrap();
        let text = serde_json::to_string(&name).unwrap();
        assert_eq!(serde_json::from_str::<TableName>(&text).unwrap(), name);
        assert!(serde_json::from_str::<CatalogName>("\"a b\"").is_err());
    }
}
