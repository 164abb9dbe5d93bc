//! The partition tuple of files of several partition specs, as one row type.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::ScalarValue;
use iceberg::spec::{Literal, PrimitiveType, Struct, TableMetadata, Type};
use landfast_catalog::TableSnapshot;

use crate::Result;
use crate::types::{arrow_type, scalar};

/// Every field of every partition spec whose source column is still there, each once.
#[derive(Debug)]
pub(super) struct PartitionFields {
    fields: Vec<PartitionField>,
    metadata: Arc<TableMetadata>,
}

#[derive(Debug)]
struct PartitionField {
    id: i32,
    of: PrimitiveType,
    arrow: FieldRef,
}

impl PartitionFields {
    /// The fields of a table's specs, in the order in which the table got them.
    pub(super) fn new(table: &TableSnapshot) -> Result<Self> {
        let metadata = &table.metadata;
        let mut specs: Vec<_> = metadata.partition_specs_iter().collect();
        specs.sort_by_key(|spec| spec.spec_id());
        let mut fields: Vec<PartitionField> = Vec::new();
        for field in specs.iter().flat_map(|spec| spec.fields()) {
            let source = metadata.current_schema().field_by_id(field.source_id);
            let (Some(source), false) = (
                source,
                fields.iter().any(|known| known.id == field.field_id),
            ) else {
                continue;
            };
            if let Ok(Type::Primitive(of)) = field.transform.result_type(&source.field_type) {
                let arrow =
                    Field::new(&field.name, arrow_type(&Type::Primitive(of.clone()))?, true);
                fields.push(PartitionField {
                    id: field.field_id,
                    of,
                    arrow: Arc::new(arrow),
                });
            }
        }
        Ok(Self {
            fields,
            metadata: Arc::clone(metadata),
        })
    }

    /// The row type; none for a table that never had a partition field.
    pub(super) fn data_type(&self) -> Option<DataType> {
        (!self.fields.is_empty()).then(|| DataType::Struct(self.arrow()))
    }

    fn arrow(&self) -> Fields {
        self.fields
            .iter()
            .map(|field| Arc::clone(&field.arrow))
            .collect()
    }

    /// The tuples of files of these specs. A field that a file's spec lacks is null.
    pub(super) fn array<'a>(
        &self,
        tuples: impl Iterator<Item = (i32, &'a Struct)> + Clone,
    ) -> Result<ArrayRef> {
        let columns = self
            .fields
            .iter()
            .map(|field| {
                let values = tuples
                    .clone()
                    .map(|(spec_id, tuple)| self.value(field, spec_id, tuple));
                let values = values.collect::<Result<Vec<_>>>()?;
                Ok(ScalarValue::iter_to_array(values)?)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StructArray::try_new(self.arrow(), columns, None)?))
    }

    fn value(&self, field: &PartitionField, spec_id: i32, tuple: &Struct) -> Result<ScalarValue> {
        let spec = self.metadata.partition_spec_by_id(spec_id);
        let at = spec.and_then(|spec| {
            let mut fields = spec.fields().iter();
            fields.position(|known| known.field_id == field.id)
        });
        let value = at.and_then(|at| tuple.iter().nth(at).flatten());
        let known = match value {
            Some(Literal::Primitive(value)) => scalar(value, &field.of),
            _ => None,
        };
        match known {
            Some(known) => Ok(known),
            None => Ok(ScalarValue::try_new_null(field.arrow.data_type())?),
        }
    }
}
