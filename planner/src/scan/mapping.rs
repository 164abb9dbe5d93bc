//! Which field of a file is which field of the table: the ids that the file has, or those that a name mapping gives.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::common::{Result, plan_err};
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

/// The file's fields, each with its field id where it has one. A file that has ids anywhere is taken at its word, as
/// Iceberg's own readers do; one that has none is mapped by name.
///
/// `None` when the file has no ids and the table has no mapping: its columns could only be guessed.
pub(super) fn identified(file: &Schema, mapping: Option<&NameMapping>) -> Option<Fields> {
    if file.fields().is_empty() || any_id(file.fields()) {
        return Some(file.fields().clone());
    }
    let mapped: Vec<&MappedField> = mapping?.fields().iter().collect();
    Some(map_fields(file.fields(), &mapped))
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

fn map_fields(fields: &Fields, mapping: &[&MappedField]) -> Fields {
    fields
        .iter()
        .map(|field| map_field(field, field.name(), mapping))
        .collect()
}

/// `name` is what the mapping calls the field: its own name, or what Iceberg calls an element, a key or a value.
fn map_field(field: &FieldRef, name: &str, mapping: &[&MappedField]) -> FieldRef {
    let found = mapping
        .iter()
        .find(|mapped| mapped.names().iter().any(|known| known == name));
    let children: Vec<&MappedField> = found
        .map(|found| found.fields().iter().map(Arc::as_ref).collect())
        .unwrap_or_default();
    let data_type = map_type(field.data_type(), &children);
    let metadata = match found.and_then(|found| found.field_id()) {
        Some(id) => HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]),
        None => HashMap::new(),
    };
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata))
}

fn map_type(data_type: &DataType, mapping: &[&MappedField]) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(map_fields(fields, mapping)),
        DataType::List(element) => DataType::List(map_field(element, "element", mapping)),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(both) if both.len() == 2 => {
                let both = vec![
                    map_field(&both[0], "key", mapping),
                    map_field(&both[1], "value", mapping),
                ];
                let entries = entries
                    .as_ref()
                    .clone()
                    .with_data_type(DataType::Struct(both.into()));
                DataType::Map(Arc::new(entries), *sorted)
            }
            _ => data_type.clone(),
        },
        _ => data_type.clone(),
    }
}
