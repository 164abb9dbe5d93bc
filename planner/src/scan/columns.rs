//! How the table's columns are had from one file: by field id at every level.
//!
//! A column that the file lacks is, in this order (the specification's "Column projection"): the constant of an identity
//! partition, the column's initial default, NULL where it is optional. A required one without any of these can't be
//! read; that is an error only for a query that reads it. A column that the file has under its id is read from the file,
//! though a partition may have its value too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion_physical_expr_adapter::PhysicalExprAdapter;
use iceberg::spec::NameMapping;
use landfast_sites::CanonicalUri;

use super::cast::{ByFieldId, Conversion, conversion};
use super::mapping::{IdSource, identified};
use crate::error::OF_DATA_FILES;
use crate::types::field_id;

/// The table's columns as one file has them. It is its own adapter: what it maps to is one file.
#[derive(Debug)]
pub(super) struct FileColumns {
    uri: CanonicalUri,
    table: SchemaRef,
    file: SchemaRef,
    sources: Vec<ColumnSource>,
}

/// Where one column of the table comes from.
#[derive(Debug)]
enum ColumnSource {
    /// From the file's column at this position.
    Column { at: usize, how: Conversion },
    /// The same for every row.
    Constant(ScalarValue),
    /// Nowhere: why, for the query that asks for it.
    Unreadable(String),
}

/// A file's own schema, with the field ids that it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileSchema<'a> {
    /// What the file's types are in Arrow.
    pub(super) inferred: &'a SchemaRef,
    /// The same with INT96 timestamps in nanoseconds, where the file has any.
    pub(super) in_nanos: Option<&'a SchemaRef>,
}

/// What a table says of columns that a file may lack.
#[derive(Debug, Default)]
pub(super) struct Absentees<'a> {
    /// The values of the file's identity partition fields, by source field id.
    pub(super) partition: &'a [(i32, ScalarValue)],
    /// Initial defaults by field id.
    pub(super) defaults: &'a [(i32, ScalarValue)],
    /// Whether a column without either must be there, be it optional.
    pub(super) refused: bool,
}

impl FileColumns {
    /// Resolves every column of `table` against a file.
    pub(super) fn resolve(
        uri: &CanonicalUri,
        table: &SchemaRef,
        schema: FileSchema<'_>,
        mapping: Option<&NameMapping>,
        absentees: &Absentees<'_>,
    ) -> Self {
        let constants = absentees.partition;
        let known = identified(schema.inferred, mapping, constants);
        let wanted = |field: &Field| {
            let id = field_id(field)?;
            table
                .fields()
                .iter()
                .find(|wanted| field_id(wanted) == Some(id))
                .map(Arc::as_ref)
        };
        let (mut known, mut inferred) = (known.to_vec(), schema.inferred.fields().to_vec());
        if let Some(nanos) = schema.in_nanos {
            let finer = identified(nanos, mapping, constants);
            for (at, field) in finer.iter().enumerate() {
                if wanted(field).is_some_and(|wanted| has_nanos(wanted.data_type())) {
                    known[at] = Arc::clone(field);
                    inferred[at] = Arc::clone(&nanos.fields()[at]);
                }
            }
        }
        let by_id: HashMap<i32, usize> = known
            .iter()
            .enumerate()
            .rev()
            .filter_map(|(at, field)| Some((field_id(field)?, at)))
            .collect();
        let hinted = known
            .iter()
            .zip(&inferred)
            .map(|(known, actual)| hinted(known, actual, wanted(known)));
        let hinted: Vec<FieldRef> = guard_names(hinted.collect(), &known, table);
        let by_position = IdSource::of(schema.inferred, mapping) == IdSource::Position;
        let sources = table
            .fields()
            .iter()
            .map(|field| {
                let source = source(field, &by_id, &known, &hinted, absentees);
                match source {
                    ColumnSource::Column { .. } if by_position && has_struct(field.data_type()) => {
                        ColumnSource::Unreadable(NO_IDS_WITHIN.to_owned())
                    }
                    source => source,
                }
            })
            .collect();
        let metadata = schema.inferred.metadata().clone();
        Self {
            uri: uri.clone(),
            table: Arc::clone(table),
            file: Arc::new(Schema::new_with_metadata(hinted, metadata)),
            sources,
        }
    }

    /// The schema to read the file with: its own fields, in the types that convert to the table's at the least cost.
    pub(super) fn file_schema(&self) -> &SchemaRef {
        &self.file
    }

    /// Where the file has a column of the table.
    pub(super) fn file_column(&self, at: usize) -> Option<usize> {
        match self.sources.get(at)? {
            ColumnSource::Column { at, .. } => Some(*at),
            ColumnSource::Constant(_) | ColumnSource::Unreadable(_) => None,
        }
    }

    fn column(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let at = match self.table.fields().get(column.index()) {
            Some(field) if field.name() == column.name() => column.index(),
            _ => self.table.index_of(column.name())?,
        };
        let field = &self.table.fields()[at];
        Ok(match &self.sources[at] {
            ColumnSource::Column { at, how } => {
                let read: Arc<dyn PhysicalExpr> =
                    Arc::new(Column::new(self.file.field(*at).name(), *at));
                match how {
                    Conversion::Same => read,
                    Conversion::Cast => Arc::new(CastExpr::new_with_target_field(
                        read,
                        Arc::clone(field),
                        None,
                    )),
                    nested => Arc::new(ByFieldId::new(read, nested.clone(), Arc::clone(field))),
                }
            }
            ColumnSource::Constant(value) => {
                let metadata = FieldMetadata::from(field.as_ref());
                Arc::new(Literal::new_with_metadata(value.clone(), Some(metadata)))
            }
            ColumnSource::Unreadable(why) => {
                let error = exec_datafusion_err!(
                    "column '{}' can't be read from data file {}: {why}",
                    field.name(),
                    self.uri
                );
                return Err(error.context(format!("{OF_DATA_FILES} {}", self.uri)));
            }
        })
    }
}

impl PhysicalExprAdapter for FileColumns {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform(|expr| match expr.downcast_ref::<Column>() {
            Some(column) => Ok(Transformed::yes(self.column(column)?)),
            None => Ok(Transformed::no(expr)),
        })
        .data()
    }
}

fn source(
    field: &Field,
    by_id: &HashMap<i32, usize>,
    known: &[FieldRef],
    hinted: &[FieldRef],
    absentees: &Absentees<'_>,
) -> ColumnSource {
    let found = match field_id(field).and_then(|id| by_id.get(&id).copied()) {
        Some(at) => conversion(&known[at], hinted[at].data_type(), field, &|field| {
            absentees.value(field)
        })
        .map(|how| ColumnSource::Column { at, how }),
        None => absentees.value(field).map(ColumnSource::Constant),
    };
    found.unwrap_or_else(|error| ColumnSource::Unreadable(error.strip_backtrace()))
}

impl Absentees<'_> {
    /// The value of a field that the file lacks.
    fn value(&self, field: &Field) -> Result<ScalarValue> {
        let id = field_id(field);
        let known = |of: &[(i32, ScalarValue)]| {
            of.iter()
                .find(|(known, _)| Some(*known) == id)
                .map(|(_, v)| v.clone())
        };
        let value = known(self.partition).or_else(|| known(self.defaults));
        if self.refused {
            // The default of a whole struct says nothing of the one field of it that is asked for.
            let value = value.filter(|value| value.data_type() == *field.data_type());
            return match (value, id) {
                (Some(value), _) => Ok(value),
                (None, Some(id)) => exec_err!("the file lacks the field of id {id}"),
                (None, None) => exec_err!("the file lacks '{}'", field.name()),
            };
        }
        match value {
            Some(value) => Ok(value),
            None if field.is_nullable() => ScalarValue::try_new_null(field.data_type()),
            None => exec_err!("the file lacks '{}', which is required", field.name()),
        }
    }
}

/// Why a struct isn't read from a file whose columns are told apart by position.
const NO_IDS_WITHIN: &str = "the file has no field ids, and the table has no name mapping (property \
     'schema.name-mapping.default'): the fields of a struct can't be told apart safely";

fn has_struct(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(_) => true,
        DataType::List(element) => has_struct(element.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(both) => both.iter().any(|field| has_struct(field.data_type())),
            _ => true,
        },
        _ => false,
    }
}

fn has_nanos(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(unit, _) => *unit == TimeUnit::Nanosecond,
        DataType::Struct(fields) => fields.iter().any(|field| has_nanos(field.data_type())),
        DataType::List(field) | DataType::Map(field, _) => has_nanos(field.data_type()),
        _ => false,
    }
}

/// The file's field in the type to read it as: views where the table has views, at every level; all else untouched.
/// Bytes that the file doesn't call text are read as bytes, and cast: the reader wouldn't check them.
fn hinted(known: &Field, actual: &Field, wanted: Option<&Field>) -> FieldRef {
    let Some(wanted) = wanted else {
        return Arc::new(actual.clone());
    };
    let data_type = match (known.data_type(), actual.data_type(), wanted.data_type()) {
        (_, DataType::Utf8, DataType::Utf8View) => DataType::Utf8View,
        (_, DataType::Binary, DataType::Utf8View | DataType::BinaryView) => DataType::BinaryView,
        (DataType::Struct(known), DataType::Struct(actual), DataType::Struct(wanted)) => {
            DataType::Struct(hinted_children(known, actual, wanted))
        }
        (DataType::List(known), DataType::List(actual), DataType::List(wanted)) => {
            DataType::List(hinted(known, actual, Some(wanted)))
        }
        (DataType::Map(known, _), DataType::Map(actual, sorted), DataType::Map(wanted, _)) => {
            DataType::Map(hinted_entries(known, actual, wanted), *sorted)
        }
        (_, actual, _) => actual.clone(),
    };
    Arc::new(actual.clone().with_data_type(data_type))
}

fn hinted_children(known: &Fields, actual: &Fields, wanted: &Fields) -> Fields {
    let pairs = known.iter().zip(actual);
    pairs
        .map(|(known, actual)| {
            let same =
                |field: &&FieldRef| field_id(field).is_some() && field_id(field) == field_id(known);
            hinted(known, actual, wanted.iter().find(same).map(Arc::as_ref))
        })
        .collect()
}

/// A map's entries are a struct of two whose fields stand for each other by position.
fn hinted_entries(known: &Field, actual: &FieldRef, wanted: &Field) -> FieldRef {
    match (known.data_type(), actual.data_type(), wanted.data_type()) {
        (DataType::Struct(known), DataType::Struct(both), DataType::Struct(wanted)) => {
            let both = known.iter().zip(both).zip(wanted);
            let both: Fields = both
                .map(|((known, actual), wanted)| hinted(known, actual, Some(wanted)))
                .collect();
            Arc::new(
                actual
                    .as_ref()
                    .clone()
                    .with_data_type(DataType::Struct(both)),
            )
        }
        _ => Arc::clone(actual),
    }
}

/// DataFusion reads a binary column as text, unchecked, when the table has a text column *of that name*, whatever the
/// ids say; and after columns swapped names that is the wrong one. A dictionary type keeps it away from such a column.
fn guard_names(mut hinted: Vec<FieldRef>, known: &[FieldRef], table: &SchemaRef) -> Vec<FieldRef> {
    let text: HashSet<&str> = table
        .fields()
        .iter()
        .filter(|field| field.data_type() == &DataType::Utf8View)
        .map(|field| field.name().as_str())
        .collect();
    for (field, known) in hinted.iter_mut().zip(known) {
        let binary = matches!(field.data_type(), DataType::Binary | DataType::BinaryView);
        if binary && field_id(known).is_some() && text.contains(field.name().as_str()) {
            let kept = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Binary));
            *field = Arc::new(field.as_ref().clone().with_data_type(kept));
        }
    }
    hinted
}
