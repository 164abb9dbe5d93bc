//! Which field of a file is which field of the table: the ids that the file has, or those that a name mapping gives.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::common::{Result, ScalarValue, plan_err};
use iceberg::spec::{DEFAULT_SCHEMA_NAME_MAPPING, MappedField, NameMapping, TableMetadata};

use crate::types::{FIELD_ID_KEY, field_id};

/// The table's name mapping, for files that were written without field ids (imported ones, as a rule).
///
/// # Errors
/// The table has one that can't be read.
pub(super) fn name_mapping(metadata: &TableMetadata) -> Result<Option<Arc<NameMapping>>> {
    let Some(text) = metadata.properties().get(DEFAULT_SCHEMA_NAME_MAPPING) else {
        return Ok(None);
    };
    match serde_json::from_str(text) {
        Ok(mapping) => Ok(Some(Arc::new(mapping))),
        Err(error) => plan_err!(
            "the table's property {DEFAULT_SCHEMA_NAME_MAPPING} is not a name mapping: {error}"
        ),
    }
}

/// Where the field ids of a file's fields are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdSource {
    /// The file has ids, at least somewhere, and is taken at its word, as Iceberg's own readers do.
    File,
    /// The file has none; the table maps names.
    Names,
    /// The file has none, and the table maps no names: the first column is 1, the second 2, as in Iceberg's own
    /// readers. Tables that such files belong to were made when a column couldn't be dropped.
    Position,
}

impl IdSource {
    /// What tells a file's columns apart.
    pub(super) fn of(file: &Schema, mapping: Option<&NameMapping>) -> Self {
        match mapping {
            _ if file.fields().is_empty() || any_id(file.fields()) => Self::File,
            Some(_) => Self::Names,
            None => Self::Position,
        }
    }
}

/// The file's fields, each with its field id where it has one.
///
/// `constants` are the ids of the file's identity partition fields. The specification has a column that "is not
/// present" in a file, which a column without an id of its own isn't, read as the partition's value *before* names are
/// looked at ("Column projection"): so such a field gets no id here.
pub(super) fn identified(
    file: &Schema,
    mapping: Option<&NameMapping>,
    constants: &[(i32, ScalarValue)],
) -> Fields {
    let ids = Ids { constants };
    match (IdSource::of(file, mapping), mapping) {
        (IdSource::Names, Some(mapping)) => {
            let mapped: Vec<&MappedField> = mapping.fields().iter().collect();
            ids.map_fields(file.fields(), &mapped)
        }
        (IdSource::Position, _) => ids.by_position(file.fields()),
        _ => file.fields().clone(),
    }
}

fn any_id(fields: &Fields) -> bool {
    fields
        .iter()
        .any(|field| field_id(field).is_some() || any_id_within(field.data_type()))
}

fn any_id_within(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => any_id(fields),
        DataType::List(element) => any_id_in(element),
        DataType::Map(entries, _) => any_id_in(entries),
        _ => false,
    }
}

fn any_id_in(field: &Field) -> bool {
    field_id(field).is_some() || any_id_within(field.data_type())
}

/// Gives out ids.
struct Ids<'a> {
    constants: &'a [(i32, ScalarValue)],
}

impl Ids<'_> {
    fn field(&self, field: &Field, id: Option<i32>, data_type: DataType) -> FieldRef {
        let id = id.filter(|id| self.constants.iter().all(|(constant, _)| constant != id));
        let metadata = match id {
            Some(id) => HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]),
            None => HashMap::new(),
        };
        Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata))
    }

    fn map_fields(&self, fields: &Fields, mapping: &[&MappedField]) -> Fields {
        fields
            .iter()
            .map(|field| self.map_field(field, field.name(), mapping))
            .collect()
    }

    /// `name` is what the mapping calls the field: its own name, or what Iceberg calls an element, a key or a value.
    fn map_field(&self, field: &FieldRef, name: &str, mapping: &[&MappedField]) -> FieldRef {
        let found = mapping
            .iter()
            .find(|mapped| mapped.names().iter().any(|known| known == name));
        let children: Vec<&MappedField> = found
            .map(|found| found.fields().iter().map(Arc::as_ref).collect())
            .unwrap_or_default();
        let data_type = self.map_type(field.data_type(), &children);
        self.field(field, found.and_then(|found| found.field_id()), data_type)
    }

    fn map_type(&self, data_type: &DataType, mapping: &[&MappedField]) -> DataType {
        match data_type {
            DataType::Struct(fields) => DataType::Struct(self.map_fields(fields, mapping)),
            DataType::List(element) => DataType::List(self.map_field(element, "element", mapping)),
            DataType::Map(entries, sorted) => match entries.data_type() {
                DataType::Struct(both) if both.len() == 2 => {
                    let both = vec![
                        self.map_field(&both[0], "key", mapping),
                        self.map_field(&both[1], "value", mapping),
                    ];
                    DataType::Map(with_children(entries, both), *sorted)
                }
                _ => data_type.clone(),
            },
            _ => data_type.clone(),
        }
    }

    /// Only top-level columns have a position that counts.
    fn by_position(&self, fields: &Fields) -> Fields {
        let numbered = fields.iter().zip(1..);
        numbered
            .map(|(field, id)| self.field(field, Some(id), field.data_type().clone()))
            .collect()
    }
}

fn with_children(entries: &FieldRef, children: Vec<FieldRef>) -> FieldRef {
    let children = DataType::Struct(children.into());
    Arc::new(entries.as_ref().clone().with_data_type(children))
}
