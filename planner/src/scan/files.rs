//! From a snapshot's data files to the file groups of a scan.

use std::sync::Arc;

use chrono::DateTime;
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion_datasource::PartitionedFile;
use datafusion_datasource::file_groups::FileGroup;
use iceberg::spec::{Literal, NestedFieldRef, PrimitiveType, Transform, Type};
use landfast_catalog::{DataFile, TableSnapshot, WantedColumn};
use landfast_sites::CanonicalUri;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::deletes::{LakeDeletes, of_file_with_deletes};
use super::placing::Placed;
use super::source::{LakeFile, PieceCost};
use super::split::{Cuttable, Piece, Reading, deal};
use super::statistics::StatisticsMaker;
use crate::types::{arrow_type, scalar};

/// Describes the files of one table to DataFusion.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileMaker<'a> {
    pub(super) table: &'a TableSnapshot,
}

impl FileMaker<'_> {
    /// Field ids of what a query reads, nested ones too, and which share of all of the table's columns they are.
    pub(super) fn columns_read(&self, projection: Option<&[usize]>) -> (Vec<i32>, f64) {
        let fields = self.table.schema().as_struct().fields();
        let read: Vec<&NestedFieldRef> = match projection {
            Some(projection) => projection.iter().filter_map(|at| fields.get(*at)).collect(),
            None => fields.iter().collect(),
        };
        let mut ids = Vec::new();
        for field in &read {
            leaves(field, &mut ids);
        }
        (ids, read.len() as f64 / fields.len().max(1) as f64)
    }

    /// The columns whose metrics each file is to have: those with statistics, those that may hold NaN, and those of keys.
    pub(super) fn columns_with_metrics(
        &self,
        known: &[WantedColumn],
        keys: &[i32],
    ) -> Vec<WantedColumn> {
        let fields = self.table.schema().as_struct().fields().iter();
        let floats = fields.filter_map(|field| {
            let of = field.field_type.as_primitive_type()?;
            let float = matches!(of, PrimitiveType::Float | PrimitiveType::Double);
            float.then(|| (field.id, of.clone()))
        });
        let keys = keys.iter().filter_map(|id| {
            let of = self.table.schema().field_by_id(*id)?;
            Some((*id, of.field_type.as_primitive_type()?.clone()))
        });
        let mut all: Vec<WantedColumn> = known.iter().cloned().chain(floats).chain(keys).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all.dedup_by_key(|(id, _)| *id);
        all
    }

    /// The files, cut and dealt to at most so many groups that take about as long.
    pub(super) fn groups(
        &self,
        files: &[&DataFile],
        placed: &[Placed],
        deletes: &[Option<Arc<LakeDeletes>>],
        maker: &StatisticsMaker<'_>,
        partitions: usize,
    ) -> Result<Vec<FileGroup>> {
        let per_file = maker.per_file(files.len());
        let mut opened = Vec::with_capacity(files.len());
        for ((file, placed), deletes) in files.iter().zip(placed).zip(deletes) {
            let mut part = self.partitioned(file, placed, deletes)?;
            // Not `with_statistics`, which would add partition columns' statistics: there are none.
            part.statistics = per_file.then(|| match deletes {
                Some(_) => Arc::new(of_file_with_deletes(&maker.of_file(file))),
                None => maker.of_file(file),
            });
            opened.push(part);
        }
        let each = files.iter().zip(placed).zip(deletes);
        let cuttable = each.map(|((file, placed), deletes)| Cuttable {
            size_bytes: file.id.size.unwrap_or_default(),
            row_groups: &file.split_offsets,
            cost: reading(file, placed, deletes.as_deref()).cost(),
        });
        let cuttable: Vec<Cuttable<'_>> = cuttable.collect();
        let dealt = deal(&cuttable, partitions).into_iter();
        dealt
            .map(|pieces| {
                pieces
                    .iter()
                    .map(|piece| part(&opened, piece))
                    .collect::<Result<Vec<_>>>()
                    .map(FileGroup::new)
            })
            .collect()
    }

    fn partitioned(
        &self,
        file: &DataFile,
        placed: &Placed,
        deletes: &Option<Arc<LakeDeletes>>,
    ) -> Result<PartitionedFile> {
        let size_bytes = file.id.size.unwrap_or_default();
        let lake = LakeFile {
            uri: file.id.uri.clone(),
            size_bytes,
            route: placed.route.clone(),
            constants: self.constants(file)?,
            maybe_nan: self.maybe_nan(file),
            sequence_number: file.sequence_number,
            first_row_id: file.first_row_id,
            deletes: deletes.clone(),
        };
        let meta = ObjectMeta {
            location: identity_path(&file.id.uri),
            last_modified: DateTime::UNIX_EPOCH,
            size: size_bytes,
            e_tag: None,
            version: None,
        };
        Ok(PartitionedFile::new_from_meta(meta).with_extension(Arc::new(lake)))
    }

    /// Positions of floating-point columns that may hold NaN in this file, as far as its metrics say.
    fn maybe_nan(&self, file: &DataFile) -> Arc<[usize]> {
        let fields = self.table.schema().as_struct().fields().iter().enumerate();
        let unsure = fields.filter(|(_, field)| {
            let float = Type::as_primitive_type(&field.field_type)
                .is_some_and(|of| matches!(of, PrimitiveType::Float | PrimitiveType::Double));
            float && file.column(field.id).and_then(|column| column.nan_count) != Some(0)
        });
        unsure.map(|(at, _)| at).collect()
    }

    /// The values of a file's identity partition fields, for columns that the file itself may lack.
    fn constants(&self, file: &DataFile) -> Result<Arc<[(i32, ScalarValue)]>> {
        let Some(spec) = self.table.metadata.partition_spec_by_id(file.spec_id) else {
            return Ok(Arc::new([]));
        };
        let schema = self.table.schema();
        let fields = spec.fields().iter().zip(file.partition.fields());
        let mut constants = Vec::new();
        for (field, value) in fields.filter(|(field, _)| field.transform == Transform::Identity) {
            let Some(source) = schema.field_by_id(field.source_id) else {
                continue;
            };
            let Some(of) = source.field_type.as_primitive_type() else {
                continue;
            };
            let value = match value {
                Some(Literal::Primitive(value)) => scalar(value, of),
                Some(_) => None,
                None => ScalarValue::try_new_null(&arrow_type(&source.field_type)?).ok(),
            };
            constants.extend(value.map(|value| (source.id, value)));
        }
        Ok(constants.into())
    }
}

/// What a query does with a file.
fn reading(file: &DataFile, placed: &Placed, deletes: Option<&LakeDeletes>) -> Reading {
    Reading {
        bytes: placed.bytes,
        moving: placed.moving,
        waiting: placed.waiting,
        sifted_rows: deletes.map_or(0, |_| file.rows),
        key_sets: deletes.map_or(0, |deletes| deletes.keys.len() as u64),
    }
}

fn part(opened: &[PartitionedFile], piece: &Piece) -> Result<PartitionedFile> {
    let file = opened[piece.file]
        .clone()
        .with_extension(PieceCost(piece.cost_us));
    let Some(range) = &piece.range else {
        return Ok(file);
    };
    let offset =
        |at: u64| i64::try_from(at).map_err(|error| DataFusionError::External(Box::new(error)));
    Ok(file.with_range(offset(range.start)?, offset(range.end)?))
}

/// Field ids of the primitive columns within a column.
fn leaves(field: &NestedFieldRef, ids: &mut Vec<i32>) {
    match field.field_type.as_ref() {
        Type::Primitive(_) => ids.push(field.id),
        Type::Struct(fields) => fields.fields().iter().for_each(|field| leaves(field, ids)),
        Type::List(list) => leaves(&list.element_field, ids),
        Type::Map(map) => {
            leaves(&map.key_field, ids);
            leaves(&map.value_field, ids);
        }
    }
}

/// A path that tells files apart in plans and metrics: scheme, bucket and key as they are written. Nothing is read by
/// it, so a key that object_store's paths can't hold may be shown encoded.
fn identity_path(uri: &CanonicalUri) -> Path {
    let text = uri.as_str();
    let (scheme, rest) = text.split_once(':').unwrap_or(("file", text));
    let path = format!("{scheme}/{}", rest.trim_start_matches('/'));
    Path::parse(&path).unwrap_or_else(|_| Path::from(path))
}
