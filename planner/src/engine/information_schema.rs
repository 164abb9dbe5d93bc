//! `information_schema`, ours, in every catalog: what tools ask a database about itself.
//!
//! A catalog's own lists that catalog; Landfast's lists the whole namespace. A table whose columns can't be had stays
//! listed, without columns, and keeps nobody else's from being shown.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int32Builder, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use landfast_catalog::CatalogName;
use landfast_sites::ReadLog;

use super::catalog_entries::{TableEntry, TableKind};
use super::names_wanted::{NameColumns, NamesWanted};
use super::{Engine, sql_type_name};
use crate::{Asker, Result};

/// The schema's name.
pub(super) const NAME: &str = "information_schema";

/// Its tables.
pub(super) const TABLES: [&str; 4] = ["columns", "schemata", "tables", "views"];

/// Which of a table's columns name a table; `schemata` has none.
pub(super) fn names(table: &str) -> Option<NameColumns> {
    (table != "schemata").then_some(["table_catalog", "table_schema", "table_name"])
}

/// The columns of one of the tables.
pub(super) fn schema(table: &str) -> Option<SchemaRef> {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str, nullable: bool| Field::new(name, DataType::Int32, nullable);
    let fields = match table {
        "schemata" => vec![
            text("catalog_name", false),
            text("schema_name", false),
            text("schema_owner", true),
            text("default_character_set_catalog", true),
            text("default_character_set_schema", true),
            text("default_character_set_name", true),
            text("sql_path", true),
        ],
        "tables" => vec![
            text("table_catalog", false),
            text("table_schema", false),
            text("table_name", false),
            text("table_type", false),
        ],
        "views" => vec![
            text("table_catalog", false),
            text("table_schema", false),
            text("table_name", false),
            text("view_definition", true),
        ],
        "columns" => vec![
            text("table_catalog", false),
            text("table_schema", false),
            text("table_name", false),
            text("column_name", false),
            number("ordinal_position", false),
            text("column_default", true),
            text("is_nullable", false),
            text("data_type", false),
            number("character_maximum_length", true),
            number("numeric_precision", true),
            number("numeric_precision_radix", true),
            number("numeric_scale", true),
            number("datetime_precision", true),
        ],
        _ => return None,
    };
    Some(Arc::new(Schema::new(fields)))
}

impl Engine {
    /// The rows of one of the tables; of one catalog, or of all.
    pub(super) async fn information_rows(
        &self,
        table: &str,
        of: Option<&CatalogName>,
        asker: &Asker,
        names: &NamesWanted,
        log: &ReadLog,
    ) -> Result<RecordBatch> {
        let mut entries = self.entries(asker).await;
        let wanted = |catalog: &str| of.is_none_or(|of| of.as_str() == catalog);
        entries.tables.retain(|entry| wanted(&entry.catalog));
        let name =
            |entry: &TableEntry| [&entry.catalog, &entry.schema, &entry.table].map(String::clone);
        entries.tables = names.of(entries.tables, name)?;
        let tables = || entries.tables.iter();
        let schema = schema(table).ok_or_else(|| super::no_such("table", table, Vec::new()))?;
        let columns: Vec<ArrayRef> = match table {
            "schemata" => {
                let schemas: Vec<_> = entries
                    .schemas
                    .iter()
                    .filter(|(catalog, _)| wanted(catalog))
                    .collect();
                let none = || nothing(schemas.len());
                vec![
                    texts(schemas.iter().map(|(catalog, _)| catalog.as_str())),
                    texts(schemas.iter().map(|(_, schema)| schema.as_str())),
                    none(),
                    none(),
                    none(),
                    none(),
                    none(),
                ]
            }
            "tables" => vec![
                texts(tables().map(|entry| entry.catalog.as_str())),
                texts(tables().map(|entry| entry.schema.as_str())),
                texts(tables().map(|entry| entry.table.as_str())),
                texts(tables().map(|entry| match entry.kind {
                    TableKind::Table => "BASE TABLE",
                    TableKind::System => "SYSTEM TABLE",
                    TableKind::View => "VIEW",
                    TableKind::Temporary => "LOCAL TEMPORARY",
                })),
            ],
            "views" => {
                let views: Vec<&TableEntry> = tables()
                    .filter(|entry| entry.kind == TableKind::View)
                    .collect();
                vec![
                    texts(views.iter().map(|entry| entry.catalog.as_str())),
                    texts(views.iter().map(|entry| entry.schema.as_str())),
                    texts(views.iter().map(|entry| entry.table.as_str())),
                    // A definition is text of another engine's dialect, in one of several versions.
                    nothing(views.len()),
                ]
            }
            _ => {
                let access = self.access(asker);
                let temporary = self.temporary_of(asker);
                let known = self
                    .columns_of(entries.tables, &access, &temporary, log)
                    .await;
                let known: Vec<(TableEntry, SchemaRef)> = known
                    .into_iter()
                    .filter_map(|(entry, schema)| Some((entry, schema?)))
                    .collect();
                return columns(schema, &known);
            }
        };
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

fn columns(schema: SchemaRef, tables: &[(TableEntry, SchemaRef)]) -> Result<RecordBatch> {
    let rows = || {
        tables.iter().flat_map(|(entry, schema)| {
            schema
                .fields()
                .iter()
                .enumerate()
                .map(move |(at, field)| (entry, at, field))
        })
    };
    let mut types = StringBuilder::new();
    let (mut precision, mut radix, mut scale, mut fraction) = (
        Int32Builder::new(),
        Int32Builder::new(),
        Int32Builder::new(),
        Int32Builder::new(),
    );
    let mut count = 0;
    for (_, _, field) in rows() {
        count += 1;
        types.append_value(sql_type_name(field.data_type()));
        let (digits, base, after) = digits(field.data_type());
        precision.append_option(digits);
        radix.append_option(base);
        scale.append_option(after);
        fraction.append_option(matches!(field.data_type(), DataType::Timestamp(..)).then_some(6));
    }
    let positions: Int32Array = rows()
        .map(|(_, at, _)| i32::try_from(at + 1).ok())
        .collect();
    Ok(RecordBatch::try_new(
        schema,
        vec![
            texts(rows().map(|(entry, ..)| entry.catalog.as_str())),
            texts(rows().map(|(entry, ..)| entry.schema.as_str())),
            texts(rows().map(|(entry, ..)| entry.table.as_str())),
            texts(rows().map(|(.., field)| field.name().as_str())),
            Arc::new(positions),
            nothing(count),
            texts(rows().map(|(.., field)| if field.is_nullable() { "YES" } else { "NO" })),
            Arc::new(types.finish()),
            Arc::new(Int32Array::new_null(count)),
            Arc::new(precision.finish()),
            Arc::new(radix.finish()),
            Arc::new(scale.finish()),
            Arc::new(fraction.finish()),
        ],
    )?)
}

/// Precision, radix and scale of a number's type.
fn digits(of: &DataType) -> (Option<i32>, Option<i32>, Option<i32>) {
    match of {
        DataType::Int8 => (Some(8), Some(2), Some(0)),
        DataType::Int16 => (Some(16), Some(2), Some(0)),
        DataType::Int32 => (Some(32), Some(2), Some(0)),
        DataType::Int64 => (Some(64), Some(2), Some(0)),
        DataType::Float32 => (Some(24), Some(2), None),
        DataType::Float64 => (Some(53), Some(2), None),
        DataType::Decimal128(precision, scale) => (
            Some(i32::from(*precision)),
            Some(10),
            Some(i32::from(*scale)),
        ),
        _ => (None, None, None),
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

fn nothing(count: usize) -> ArrayRef {
    Arc::new(StringArray::new_null(count))
}
