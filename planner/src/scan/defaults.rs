//! Initial defaults: what a column, or a field within one, is in files that were written before it was there.
//!
//! Only the initial default counts for reading; a write default is for writers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, plan_err};
use iceberg::spec::{Literal, NestedFieldRef, Schema, Type};

use crate::types::{arrow_field, scalar};

/// The initial defaults of a schema's fields, nested ones too, by field id.
///
/// # Errors
/// A default is no value of its field's type.
pub(super) fn initial_defaults(schema: &Schema) -> Result<Arc<[(i32, ScalarValue)]>> {
    let mut found = Vec::new();
    for field in schema.as_struct().fields() {
        collect(field, &mut found)?;
    }
    Ok(found.into())
}

fn collect(field: &NestedFieldRef, found: &mut Vec<(i32, ScalarValue)>) -> Result<()> {
    if let Some(default) = &field.initial_default {
        found.push((field.id, value(default, field)?));
    }
    match field.field_type.as_ref() {
        Type::Primitive(_) => Ok(()),
        Type::Struct(fields) => fields
            .fields()
            .iter()
            .try_for_each(|field| collect(field, found)),
        Type::List(list) => collect(&list.element_field, found),
        Type::Map(map) => {
            collect(&map.key_field, found)?;
            collect(&map.value_field, found)
        }
    }
}

/// A default as a scalar of the field's Arrow type.
fn value(default: &Literal, field: &NestedFieldRef) -> Result<ScalarValue> {
    let arrow = arrow_field(field)?;
    match (default, field.field_type.as_ref(), arrow.data_type()) {
        (Literal::Primitive(literal), Type::Primitive(of), _) => {
            if let Some(scalar) = scalar(literal, of) {
                return Ok(scalar);
            }
        }
        // An empty struct stands for one whose fields have their own defaults.
        (Literal::Struct(given), Type::Struct(of), DataType::Struct(fields)) => {
            let children = of.fields().iter().zip(given.fields());
            let children = children.map(|(field, given)| child(field, given.as_ref()));
            return structure(fields, children.collect::<Result<_>>()?);
        }
        (Literal::List(given), Type::List(of), DataType::List(element)) => {
            let values = given
                .iter()
                .map(|given| optional(given.as_ref(), &of.element_field));
            let values = array(element, values.collect::<Result<_>>()?)?;
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            let list = ListArray::try_new(Arc::clone(element), offsets, values, None)?;
            return Ok(ScalarValue::List(Arc::new(list)));
        }
        (Literal::Map(given), Type::Map(of), DataType::Map(entries, sorted)) => {
            let DataType::Struct(both) = entries.data_type() else {
                return refused(field);
            };
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for (key, given) in given.clone() {
                keys.push(value(&key, &of.key_field)?);
                values.push(optional(given.as_ref(), &of.value_field)?);
            }
            let columns = vec![array(&both[0], keys)?, array(&both[1], values)?];
            let rows = StructArray::try_new(both.clone(), columns, None)?;
            let offsets = OffsetBuffer::from_lengths([rows.len()]);
            let map = MapArray::try_new(Arc::clone(entries), offsets, rows, None, *sorted)?;
            return Ok(ScalarValue::Map(Arc::new(map)));
        }
        _ => {}
    }
    refused(field)
}

/// A field of a struct that is a default: what was given for it, or its own default.
fn child(field: &NestedFieldRef, given: Option<&Literal>) -> Result<ScalarValue> {
    optional(given.or(field.initial_default.as_ref()), field)
}

fn optional(given: Option<&Literal>, field: &NestedFieldRef) -> Result<ScalarValue> {
    match given {
        Some(given) => value(given, field),
        None if field.required => refused(field),
        None => ScalarValue::try_new_null(arrow_field(field)?.data_type()),
    }
}

fn structure(fields: &Fields, children: Vec<ScalarValue>) -> Result<ScalarValue> {
    let columns = children.iter().map(ScalarValue::to_array);
    let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
    let built = StructArray::try_new_with_length(fields.clone(), columns, None, 1)?;
    Ok(ScalarValue::Struct(Arc::new(built)))
}

fn array(field: &FieldRef, values: Vec<ScalarValue>) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(new_empty_array(Field::data_type(field)));
    }
    ScalarValue::iter_to_array(values)
}

fn refused(field: &NestedFieldRef) -> Result<ScalarValue> {
    plan_err!(
        "the initial default of field '{}' (id {}) is no value of its type, {}",
        field.name,
        field.id,
        field.field_type
    )
}
