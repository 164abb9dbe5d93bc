//! GetTables: filtering, order, and the schemas of tables as clients see them.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::CommandGetTables;

use landfast_planner::{TableEntry, sql_type_name};

use crate::flight::fault::Fault;
use crate::flight::wire::wire_schema;

/// Which tables a GetTables wants.
pub(super) struct Wanted {
    catalog: Option<String>,
    schema: Option<Pattern>,
    table: Option<Pattern>,
    types: Vec<String>,
}

impl Wanted {
    pub(super) fn of(command: &CommandGetTables) -> Self {
        Self {
            catalog: command.catalog.clone(),
            schema: command
                .db_schema_filter_pattern
                .as_deref()
                .map(Pattern::new),
            table: command
                .table_name_filter_pattern
                .as_deref()
                .map(Pattern::new),
            types: command.table_types.clone(),
        }
    }

    /// Whether a table is wanted.
    pub(super) fn takes(&self, entry: &TableEntry) -> bool {
        self.catalog
            .as_ref()
            .is_none_or(|catalog| *catalog == entry.catalog)
            && self
                .schema
                .as_ref()
                .is_none_or(|schema| schema.matches(&entry.schema))
            && self
                .table
                .as_ref()
                .is_none_or(|table| table.matches(&entry.table))
            && (self.types.is_empty()
                || self
                    .types
                    .iter()
                    .any(|wanted| wanted == entry.kind.as_str()))
    }

    /// Whether the asked-for pattern is this very name, taken literally.
    fn is_exactly(&self, table: &str) -> bool {
        self.table
            .as_ref()
            .is_some_and(|pattern| pattern.literal == table)
    }
}

/// A pattern of the protocol: `%` is any text, `_` any one character, and a backslash takes the next one literally.
pub(super) struct Pattern {
    parts: Vec<Part>,
    /// The pattern as a name that means itself.
    literal: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Exactly(char),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut parts = Vec::with_capacity(text.len());
        let mut literal = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let part = match character {
                '%' => Part::Any,
                '_' => Part::One,
                '\\' => Part::Exactly(characters.next().unwrap_or('\\')),
                other => Part::Exactly(other),
            };
            literal.push(if let Part::Exactly(exactly) = part {
                exactly
            } else {
                character
            });
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
        }
        Self { parts, literal }
    }

    /// Whether a name fits; takes time in proportion to the two lengths' product at most.
    pub(super) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut part, mut at) = (0, 0);
        // The last `%` passed, and where in the name it was tried from.
        let mut retry: Option<(usize, usize)> = None;
        while at < name.len() {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    retry = Some((part, at));
                    part += 1;
                }
                Some(Part::One) => {
                    part += 1;
                    at += 1;
                }
                Some(Part::Exactly(character)) if *character == name[at] => {
                    part += 1;
                    at += 1;
                }
                _ => match &mut retry {
                    Some((any, from)) => {
                        *from += 1;
                        part = *any + 1;
                        at = *from;
                    }
                    None => return false,
                },
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::Any)
    }
}

/// Tables and their columns; none of one whose columns are not known, or not asked for.
pub(super) type Found = Vec<(TableEntry, Option<Arc<Schema>>)>;

/// Tables of one part: with schemas of some twenty columns each, about a message.
const PART_TABLES: usize = 128;

/// The tables in parts, each a batch of its own. Those that bear exactly the asked-for name are in the first.
pub(super) fn parts(command: &CommandGetTables, found: Found) -> Vec<Found> {
    let wanted = Wanted::of(command);
    let (mut ordered, rest): (Found, Found) = found
        .into_iter()
        .partition(|(entry, _)| wanted.is_exactly(&entry.table));
    ordered.extend(rest);
    let mut parts = Vec::with_capacity(ordered.len().div_ceil(PART_TABLES));
    while ordered.len() > PART_TABLES {
        let rest = ordered.split_off(PART_TABLES);
        parts.push(std::mem::replace(&mut ordered, rest));
    }
    parts.push(ordered);
    parts
}

/// The rows of one part of GetTables. The builder puts them in the protocol's order; what bears exactly the asked-for name
/// comes first, because ADBC looks for it in the first batch only, and `_` in a name matches others too.
pub(super) fn build(
    command: &CommandGetTables,
    tables: &[(TableEntry, Option<Arc<Schema>>)],
) -> Result<RecordBatch, Fault> {
    let wanted = Wanted::of(command);
    let no_filters = CommandGetTables {
        include_schema: command.include_schema,
        ..CommandGetTables::default()
    };
    let mut builder = no_filters.into_builder();
    let unknown = Schema::empty();
    for (entry, schema) in tables {
        let shown = schema.as_ref().map(|schema| described(schema));
        let schema = shown.as_ref().unwrap_or(&unknown);
        builder
            .append(
                &entry.catalog,
                &entry.schema,
                &entry.table,
                entry.kind.as_str(),
                schema,
            )
            .map_err(Fault::internal)?;
    }
    let batch = builder.build().map_err(Fault::internal)?;
    let names = batch.column(2).as_string::<i32>();
    let exact: BooleanArray = names
        .iter()
        .map(|name| name.map(|name| wanted.is_exactly(name)))
        .collect();
    if exact.true_count() == 0 || exact.true_count() == exact.len() {
        return Ok(batch);
    }
    let (first, rest): (Vec<u32>, Vec<u32>) = (0u32..)
        .take(exact.len())
        .partition(|row| exact.value(*row as usize));
    let order: UInt32Array = first.into_iter().chain(rest).collect();
    take_record_batch(&batch, &order).map_err(Fault::internal)
}

/// A table's schema as clients see its rows, with the protocol's metadata on each column; the table's names stand beside it.
fn described(schema: &Schema) -> Schema {
    let wire = wire_schema(schema);
    let fields = wire
        .fields()
        .iter()
        .zip(schema.fields())
        .map(|(field, original)| {
            let mut metadata = std::collections::HashMap::from([
                (
                    "ARROW:FLIGHT:SQL:TYPE_NAME".to_owned(),
                    sql_type_name(field.data_type()),
                ),
                (
                    "ARROW:FLIGHT:SQL:IS_AUTO_INCREMENT".to_owned(),
                    "0".to_owned(),
                ),
                (
                    "ARROW:FLIGHT:SQL:IS_CASE_SENSITIVE".to_owned(),
                    u8::from(is_text(field.data_type())).to_string(),
                ),
                ("ARROW:FLIGHT:SQL:IS_READ_ONLY".to_owned(), "1".to_owned()),
                ("ARROW:FLIGHT:SQL:IS_SEARCHABLE".to_owned(), "1".to_owned()),
            ]);
            if let DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) =
                field.data_type()
            {
                metadata.insert(
                    "ARROW:FLIGHT:SQL:PRECISION".to_owned(),
                    precision.to_string(),
                );
                metadata.insert("ARROW:FLIGHT:SQL:SCALE".to_owned(), scale.to_string());
            }
            if let Some(remarks) = original
                .metadata()
                .get("doc")
                .or_else(|| original.metadata().get("comment"))
            {
                metadata.insert("ARROW:FLIGHT:SQL:REMARKS".to_owned(), remarks.clone());
            }
            Field::new(field.name(), field.data_type().clone(), field.is_nullable())
                .with_metadata(metadata)
        });
    Schema::new(fields.collect::<Vec<_>>())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8)
}

#[cfg(test)]
mod tests {
    use arrow_ipc::convert::try_schema_from_ipc_buffer;
    use landfast_planner::TableKind;

    use super::*;

    fn entry(schema: &str, table: &str) -> TableEntry {
        TableEntry {
            catalog: "lake".into(),
            schema: schema.into(),
            table: table.into(),
            kind: TableKind::Table,
        }
    }

    fn names(command: &CommandGetTables, all: &[(TableEntry, Option<Arc<Schema>>)]) -> Vec<String> {
        let wanted = Wanted::of(command);
        let some: Vec<_> = all
            .iter()
            .filter(|(entry, _)| wanted.takes(entry))
            .cloned()
            .collect();
        let batch = build(command, &some).unwrap();
        batch
            .column(2)
            .as_string::<i32>()
            .iter()
            .flatten()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn patterns_know_percent_underscore_and_backslash() {
        for (pattern, name, fits) in [
            ("%", "", true),
            ("", "", true),
            ("", "a", false),
            ("a%c", "abbc", true),
            ("a%c", "abcd", false),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("a\\_c", "abc", false),
            ("a\\_c", "a_c", true),
            ("%b%b%", "abcb", true),
            ("%a_", "aaaa", true),
            ("_", "ä", true),
            ("A", "a", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(name),
                fits,
                "{pattern} on {name}"
            );
        }
    }

    #[test]
    fn the_exact_name_comes_first_even_where_its_underscores_match_others() {
        let all = [
            (entry("s", "aXb"), None),
            (entry("s", "a_b"), None),
            (entry("s", "a0b"), None),
            (entry("s", "zz"), None),
        ];
        let command = CommandGetTables {
            table_name_filter_pattern: Some("a_b".into()),
            ..CommandGetTables::default()
        };
        assert_eq!(names(&command, &all), ["a_b", "a0b", "aXb"]);
    }

    #[test]
    fn catalogs_are_taken_exactly_and_types_by_name() {
        let all = [(entry("s", "t"), None)];
        let with = |change: fn(&mut CommandGetTables)| {
            let mut command = CommandGetTables::default();
            change(&mut command);
            names(&command, &all).len()
        };
        assert_eq!(with(|c| c.catalog = Some("lake".into())), 1);
        assert_eq!(with(|c| c.catalog = Some("l%".into())), 0);
        assert_eq!(with(|c| c.catalog = Some(String::new())), 0);
        assert_eq!(
            with(|c| c.table_types = vec!["VIEW".into(), "TABLE".into()]),
            1
        );
        assert_eq!(with(|c| c.table_types = vec!["VIEW".into()]), 0);
        assert_eq!(with(|c| c.db_schema_filter_pattern = Some("_".into())), 1);
    }

    #[test]
    fn thousands_of_tables_come_in_parts_and_the_named_one_in_the_first() {
        let all: Found = (0..1_000)
            .map(|at| (entry("s", &format!("t_{at:04}")), None))
            .collect();
        let command = CommandGetTables {
            table_name_filter_pattern: Some("t_0999".into()),
            ..CommandGetTables::default()
        };
        let parts = parts(&command, all.clone());
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 1_000);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= PART_TABLES));
        assert_eq!(names(&command, &parts[0])[0], "t_0999");
        let none = super::parts(&command, Vec::new());
        assert_eq!(none.len(), 1, "no table is a part without rows");
    }

    #[test]
    fn schemas_come_with_the_protocols_metadata_and_only_when_asked_for() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("t", DataType::Utf8View, true)
                .with_metadata([("PARQUET:field_id".to_owned(), "1".to_owned())].into()),
            Field::new("d", DataType::Decimal128(15, 2), false),
        ]));
        let tables = [(entry("s", "t"), Some(schema))];
        assert_eq!(
            build(&CommandGetTables::default(), &tables)
                .unwrap()
                .num_columns(),
            4
        );
        let command = CommandGetTables {
            include_schema: true,
            ..CommandGetTables::default()
        };
        let batch = build(&command, &tables).unwrap();
        let told = try_schema_from_ipc_buffer(batch.column(4).as_binary::<i32>().value(0)).unwrap();
        assert_eq!(told.field(0).data_type(), &DataType::Utf8);
        assert_eq!(
            told.field(0).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"],
            "VARCHAR"
        );
        assert!(!told.field(0).metadata().contains_key("PARQUET:field_id"));
        assert_eq!(told.field(1).metadata()["ARROW:FLIGHT:SQL:PRECISION"], "15");
        assert!(!told.field(1).is_nullable());
    }
}
