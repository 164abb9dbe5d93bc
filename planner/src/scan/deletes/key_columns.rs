//! Where the columns of equality deletes' keys are: in the table as it is read, or in an earlier schema.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use iceberg::spec::{NestedFieldRef, Schema, Transform, Type};
use landfast_catalog::TableSnapshot;

use crate::scan::defaults::initial_defaults;
use crate::types::arrow_field;

/// One column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// The position, among the columns that the scan may read, of the column that has it.
    pub column: usize,
    /// The way through structs to the field that it is, by positions; empty for a column of its own.
    pub path: Box<[usize]>,
}

/// A key's columns, and how delete files are asked for them: each as a column that has, within structs, that field
/// alone.
#[derive(Debug, Clone)]
pub(super) struct KeyShape {
    pub(super) columns: Arc<[KeyColumn]>,
    pub(super) asked: Arc<[FieldRef]>,
}

/// Finds the columns of keys. Those that the table no longer has are read beside its own.
#[derive(Debug)]
pub(in crate::scan) struct KeyColumns<'a> {
    table: &'a TableSnapshot,
    /// How many columns the scan may read besides those that are found here.
    own: usize,
    dropped: Vec<NestedFieldRef>,
    hidden: Vec<FieldRef>,
    defaults: Vec<(i32, ScalarValue)>,
    known: HashMap<Box<[i32]>, KeyShape>,
}

impl<'a> KeyColumns<'a> {
    /// The keys of a table whose scan may read so many columns, of which the table's own come first.
    pub(in crate::scan) fn new(table: &'a TableSnapshot, own: usize) -> Self {
        Self {
            table,
            own,
            dropped: Vec::new(),
            hidden: Vec::new(),
            defaults: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// Columns that are read for keys alone, with their field ids, and their initial defaults.
    pub(in crate::scan) fn into_hidden(self) -> (Vec<FieldRef>, Vec<(i32, ScalarValue)>) {
        (self.hidden, self.defaults)
    }

    /// The key of these field ids.
    ///
    /// # Errors
    /// A field is in no schema of the table, in a list or a map, in a struct that it was dropped from, or was dropped though the
    /// table was partitioned by it.
    pub(super) fn shape(&mut self, field_ids: &[i32]) -> Result<KeyShape> {
        if let Some(known) = self.known.get(field_ids) {
            return Ok(known.clone());
        }
        let (mut columns, mut asked) = (Vec::new(), Vec::new());
        for id in field_ids {
            let (column, field) = self.column(*id)?;
            asked.push(narrowed(&field, &column.path)?);
            columns.push(column);
        }
        let shape = KeyShape {
            columns: columns.into(),
            asked: asked.into(),
        };
        self.known.insert(field_ids.into(), shape.clone());
        Ok(shape)
    }

    fn column(&mut self, id: i32) -> Result<(KeyColumn, FieldRef)> {
        let schema = self.table.schema();
        let fields = schema.as_struct().fields();
        if let Some(path) = path_to(fields, id) {
            return key_column(&path, |at| arrow_field(&fields[at]));
        }
        if let Some(at) = self.dropped.iter().position(|field| field.id == id) {
            return key_column(&[self.own + at], |_| Ok(Arc::clone(&self.hidden[at])));
        }
        let Some((schema, field)) = last_schema_with(self.table, id) else {
            return plan_err!(
                "rows of {} are deleted by the field of id {id}, which is no column of the table, nor was one: keys \
                 within lists, maps, or structs that they were dropped from can't be compared",
                self.table.name
            );
        };
        self.refuse_constant(&field)?;
        let at = self.dropped.len();
        self.hidden.push(self.hidden_field(&field)?);
        let defaults = initial_defaults(&schema)?;
        let own = defaults.iter().filter(|(known, _)| *known == id);
        self.defaults.extend(own.cloned());
        self.dropped.push(field);
        key_column(&[self.own + at], |_| Ok(Arc::clone(&self.hidden[at])))
    }

    /// Files may lack an identity partition's column, and its values are known by today's columns alone.
    fn refuse_constant(&self, field: &NestedFieldRef) -> Result<()> {
        let specs = self.table.metadata.partition_specs_iter();
        let mut fields = specs.flat_map(|spec| spec.fields());
        if fields.any(|of| of.source_id == field.id && of.transform == Transform::Identity) {
            return plan_err!(
                "rows of {} are deleted by the column {}, which was dropped and which the table is or was partitioned by: \
                 files may lack it, so such keys can't be compared",
                self.table.name,
                field.name
            );
        }
        Ok(())
    }

    /// The field under a name that no other column has. Files that were written since have no such column.
    fn hidden_field(&self, field: &NestedFieldRef) -> Result<FieldRef> {
        let schema = self.table.schema();
        let mut name = format!("__key_{}", field.id);
        while schema.field_by_name(&name).is_some() {
            name.insert(0, '_');
        }
        let arrow = arrow_field(field)?.as_ref().clone();
        Ok(Arc::new(arrow.with_name(name).with_nullable(true)))
    }
}

fn key_column(
    path: &[usize],
    field: impl FnOnce(usize) -> Result<FieldRef>,
) -> Result<(KeyColumn, FieldRef)> {
    let Some((column, path)) = path.split_first() else {
        return internal_err!("a key column is nowhere");
    };
    let found = KeyColumn {
        column: *column,
        path: path.into(),
    };
    Ok((found, field(*column)?))
}

/// The way to a field through structs, by positions.
fn path_to(fields: &[NestedFieldRef], id: i32) -> Option<Vec<usize>> {
    fields.iter().enumerate().find_map(|(at, field)| {
        if field.id == id {
            return field.field_type.is_primitive().then(|| vec![at]);
        }
        let Type::Struct(within) = field.field_type.as_ref() else {
            return None;
        };
        let mut path = path_to(within.fields(), id)?;
        path.insert(0, at);
        Some(path)
    })
}

/// The last of the table's schemas that has the field as a column. Types only ever widen, so that is its widest.
fn last_schema_with(table: &TableSnapshot, id: i32) -> Option<(Arc<Schema>, NestedFieldRef)> {
    let schemas = table.metadata.schemas_iter();
    let having = schemas.filter_map(|schema| {
        let mut fields = schema.as_struct().fields().iter();
        let field = fields.find(|field| field.id == id && field.field_type.is_primitive())?;
        Some((Arc::clone(schema), Arc::clone(field)))
    });
    having.max_by_key(|(schema, _)| schema.schema_id())
}

/// A field with nothing within structs but what a path leads to. A delete file has no more of it.
fn narrowed(field: &FieldRef, path: &[usize]) -> Result<FieldRef> {
    let Some((at, rest)) = path.split_first() else {
        return Ok(Arc::clone(field));
    };
    let DataType::Struct(fields) = field.data_type() else {
        return internal_err!("the way to a key column leads through no struct");
    };
    let Some(child) = fields.get(*at) else {
        return internal_err!("the way to a key column leads nowhere");
    };
    let only = DataType::Struct(Fields::from(vec![narrowed(child, rest)?]));
    Ok(Arc::new(Field::clone(field).with_data_type(only)))
}
