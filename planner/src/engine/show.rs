//! SHOW and DESCRIBE.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};

use super::catalog_entries::TableEntry;
use super::logical::Wanted;
use super::{Engine, PlanRequest, sql_type_name};
use crate::settings::SessionSettings;
use crate::sql::bind::{NamedTable, fits};
use crate::sql::refuse::place;
use crate::sql::statement::{Like, Show};
use crate::{PlannerError, Result};

/// The columns of a listing.
pub(super) fn schema(show: &Show) -> SchemaRef {
    let names: &[&str] = match show {
        Show::Catalogs(_) => &["catalog_name"],
        Show::Schemas { .. } => &["catalog_name", "schema_name"],
        Show::Tables { .. } => &["table_catalog", "table_schema", "table_name", "table_type"],
        Show::Columns { .. } | Show::ColumnsOf(_) => &["column_name", "data_type", "is_nullable"],
        Show::Settings(_) => &["name", "value", "description"],
    };
    Arc::new(Schema::new(
        names
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, false))
            .collect::<Vec<_>>(),
    ))
}

impl Engine {
    pub(super) async fn show(&self, show: &Show, request: &PlanRequest<'_>) -> Result<RecordBatch> {
        let rows =
            match show {
                Show::Catalogs(like) => self
                    .catalogs(request.asker)
                    .into_iter()
                    .filter(|name| like.matches(name))
                    .map(|name| vec![name])
                    .collect(),
                Show::Schemas { within, like } => {
                    self.schema_rows(within.as_ref(), like, request).await?
                }
                Show::Tables { within, like } => {
                    self.table_rows(within.as_ref(), like, request).await?
                }
                Show::Columns {
                    table,
                    version,
                    like,
                } => {
                    let named = NamedTable {
                        name: table.clone(),
                        version: version.clone(),
                    };
                    let access = self.access(request.asker);
                    let temporary = self.temporary_of(request.asker);
                    let table = self
                        .named_table(&named, request.settings, &access, &temporary)
                        .await?;
                    let mut rows = columns(&table.schema, like);
                    let unreadable = table.unreadable().into_iter();
                    rows.extend(unreadable.filter(|(name, _)| like.matches(name)).map(
                        |(name, of)| vec![name, format!("{of} (can't be read)"), "YES".to_string()],
                    ));
                    rows
                }
                Show::ColumnsOf(query) => {
                    let (described, _) = self
                        .describe_query(
                            Wanted::Sql(query),
                            request.statement.parameters,
                            request.settings,
                            &self.access(request.asker),
                            &self.temporary_of(request.asker),
                        )
                        .await?;
                    columns(&described.schema, &Like::default())
                }
                Show::Settings(key) => setting_rows(key.as_deref(), request.settings)?,
            };
        let schema = schema(show);
        let columns: Vec<ArrayRef> = (0..schema.fields().len())
            .map(|at| -> ArrayRef {
                Arc::new(rows.iter().map(|row| row.get(at)).collect::<StringArray>())
            })
            .collect();
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    async fn schema_rows(
        &self,
        within: Option<&Ident>,
        like: &Like,
        request: &PlanRequest<'_>,
    ) -> Result<Vec<Vec<String>>> {
        let access = self.access(request.asker);
        let catalog = within
            .map(|written| self.names.catalog(written, &access))
            .transpose()?;
        let entries = self.entries(request.asker).await;
        Ok(entries
            .schemas
            .into_iter()
            .filter(|(name, schema)| {
                catalog
                    .as_ref()
                    .is_none_or(|catalog| catalog.as_str() == name)
                    && like.matches(schema)
            })
            .map(|(catalog, schema)| vec![catalog, schema])
            .collect())
    }

    /// Tables of one schema, of one catalog, or of the session's schema and its own; without one, all there are.
    async fn table_rows(
        &self,
        within: Option<&ObjectName>,
        like: &Like,
        request: &PlanRequest<'_>,
    ) -> Result<Vec<Vec<String>>> {
        let entries = self.entries(request.asker).await;
        let access = self.access(request.asker);
        let default_catalog = self
            .default_catalog(request.settings, &access)
            .map(|name| name.to_string());
        let parts = within.map(super::target::idents).transpose()?;
        let wanted: Box<dyn Fn(&TableEntry) -> bool> = match parts.as_deref() {
            None => {
                let schema = self
                    .default_schema(request.settings)
                    .map(|name| name.to_string());
                match (default_catalog, schema) {
                    (Some(catalog), Some(schema)) => Box::new(move |entry| {
                        entry.kind == super::TableKind::Temporary
                            || (entry.catalog == catalog && entry.schema == schema)
                    }),
                    _ => Box::new(|entry| entry.kind != super::TableKind::System),
                }
            }
            Some([one]) => {
                let schemas: Vec<&(String, String)> = entries
                    .schemas
                    .iter()
                    .filter(|(catalog, schema)| {
                        Some(catalog) == default_catalog.as_ref() && fits(one, schema)
                    })
                    .collect();
                match schemas.as_slice() {
                    [] => {
                        let catalog = self
                            .names
                            .catalog(one, &access)
                            .map_err(|_| unknown_scope(one))?
                            .to_string();
                        Box::new(move |entry| entry.catalog == catalog)
                    }
                    _ => {
                        let (one, catalog) = (one.clone(), default_catalog);
                        Box::new(move |entry| {
                            Some(&entry.catalog) == catalog.as_ref() && fits(&one, &entry.schema)
                        })
                    }
                }
            }
            Some([catalog, levels @ ..]) => {
                let catalog = self.names.catalog(catalog, &access)?.to_string();
                let schema = joined(levels);
                let there = entries
                    .schemas
                    .iter()
                    .any(|(name, found)| *name == catalog && fits(&schema, found));
                if !there {
                    return Err(super::no_such(
                        "schema",
                        &format!("{catalog}.{}", schema.value),
                        Vec::new(),
                    )
                    .at(place(schema.span)));
                }
                Box::new(move |entry| entry.catalog == catalog && fits(&schema, &entry.schema))
            }
            Some([]) => Box::new(|_| true),
        };
        Ok(entries
            .tables
            .iter()
            .filter(|entry| wanted(entry) && like.matches(&entry.table))
            .map(|entry| {
                let kind = entry.kind.as_str().to_string();
                vec![
                    entry.catalog.clone(),
                    entry.schema.clone(),
                    entry.table.clone(),
                    kind,
                ]
            })
            .collect())
    }
}

/// Several parts as the one name of a nested schema.
pub(super) fn joined(levels: &[Ident]) -> Ident {
    let value = levels
        .iter()
        .map(|level| level.value.as_str())
        .collect::<Vec<_>>()
        .join(".");
    let quote_style = levels
        .iter()
        .any(|level| level.quote_style.is_some())
        .then_some('"');
    Ident {
        value,
        quote_style,
        span: levels[0].span,
    }
}

fn unknown_scope(written: &Ident) -> PlannerError {
    super::no_such("catalog or schema", &written.value, Vec::new()).at(place(written.span))
}

fn columns(schema: &SchemaRef, like: &Like) -> Vec<Vec<String>> {
    schema
        .fields()
        .iter()
        .filter(|field| like.matches(field.name()))
        .map(|field| {
            let nullable = if field.is_nullable() { "YES" } else { "NO" };
            vec![
                field.name().clone(),
                sql_type_name(field.data_type()),
                nullable.to_string(),
            ]
        })
        .collect()
}

fn setting_rows(key: Option<&str>, settings: &SessionSettings) -> Result<Vec<Vec<String>>> {
    let keys = match key {
        Some(key) => vec![SessionSettings::canonical_key(key)?],
        None => SessionSettings::keys(),
    };
    keys.into_iter()
        .map(|key| {
            Ok(vec![
                key.to_string(),
                settings.show(key)?,
                SessionSettings::describe(key)?.to_string(),
            ])
        })
        .collect()
}

impl Like {
    /// Whether a name is of the pattern; every name is of none.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some(pattern) = &self.pattern else {
            return true;
        };
        let chars = |text: &str| -> Vec<char> {
            if self.any_case {
                text.to_lowercase().chars().collect()
            } else {
                text.chars().collect()
            }
        };
        like(&chars(pattern), &chars(name))
    }
}

/// `%` stands for any text, `_` for one character; a backslash takes the next character as it is.
fn like(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let fits = match pattern.get(p) {
            Some('%') => {
                back = Some((p, t));
                p += 1;
                continue;
            }
            Some('_') if t < text.len() => Some(1),
            Some('\\') if p + 1 < pattern.len() => (text.get(t) == pattern.get(p + 1)).then_some(2),
            Some(c) => (text.get(t) == Some(c)).then_some(1),
            None if t == text.len() => return true,
            None => None,
        };
        match (fits, back) {
            (Some(used), _) => {
                p += used;
                t += 1;
            }
            (None, Some((at, from))) if from < text.len() => {
                back = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
            (None, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_patterns_match_as_sql_has_them() {
        let yes = |pattern: &str, text: &str| {
            Like {
                pattern: Some(pattern.into()),
                any_case: false,
            }
            .matches(text)
        };
        assert!(
            yes("%item", "lineitem")
                && yes("l%m", "lineitem")
                && yes("%", "")
                && yes("a%b%c", "aXbYbZc")
        );
        assert!(yes("l_neitem", "lineitem") && yes("a\\_b", "a_b"));
        assert!(
            !yes("a\\_b", "axb")
                && !yes("item", "lineitem")
                && !yes("_", "")
                && !yes("L%", "lineitem")
        );
        assert!(
            Like {
                pattern: Some("L%".into()),
                any_case: true
            }
            .matches("lineitem")
        );
        assert!(Like::default().matches("anything"));
    }
}
