//! The data files: rows are generated batch by batch and written at once, each to the file of its partition.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Date32Type, SchemaRef};
use chrono::{Datelike, NaiveDate};
use iceberg::spec::DataFile;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::metadata::TablePlan;
use super::{LakeError, LakeFile, LakeSpec, Progress, create_dir, generate, local, metrics};

/// Rows of a row group. With a file open for every month, this bounds the memory: some 5 MB each.
const ROW_GROUP_ROWS: usize = 122_880;

/// Rows of a file of a table without partitions.
const FILE_ROWS: u64 = 1_000_000;

/// A data file with its manifest entry.
pub(super) struct WrittenFile {
    pub(super) file: LakeFile,
    pub(super) entry: DataFile,
}

pub(super) fn write_files(
    spec: &LakeSpec,
    plan: &TablePlan,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<WrittenFile>, LakeError> {
    match plan.table().partition_column() {
        Some(column) => by_month(spec, plan, column, progress),
        None => whole(spec, plan, progress),
    }
}

/// One file per million rows.
fn whole(
    spec: &LakeSpec,
    plan: &TablePlan,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<WrittenFile>, LakeError> {
    let table = plan.table();
    // Nation and region know no parts.
    let parts = table.rows(spec.scale_factor).div_ceil(FILE_ROWS).max(1);
    let parts = i32::try_from(parts)
        .map_err(|_| LakeError::Spec(format!("{table} would have too many files")))?;
    let mut written = Vec::new();
    for part in 1..=parts {
        let mut file = OpenFile::create(spec, plan, &format!("data/{part:05}"), None)?;
        for batch in generate::batches(table, spec.scale_factor, part, parts) {
            file.write(&batch)?;
            progress(Progress {
                table,
                rows: batch.num_rows() as u64,
            });
        }
        written.push(file.close(spec, plan)?);
    }
    Ok(written)
}

/// One file per month of `column`.
fn by_month(
    spec: &LakeSpec,
    plan: &TablePlan,
    column: &str,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<WrittenFile>, LakeError> {
    let table = plan.table();
    let mut open: BTreeMap<i32, OpenFile> = BTreeMap::new();
    for batch in generate::batches(table, spec.scale_factor, 1, 1) {
        for (month, indices) in rows_by_month(&batch, column) {
            let share = take_record_batch(&batch, &UInt32Array::from(indices))
                .map_err(|e| LakeError::Spec(e.to_string()))?;
            let file = match open.entry(month) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let name = format!("data/{column}_month={}/00000", month_name(month));
                    entry.insert(OpenFile::create(spec, plan, &name, Some(month))?)
                }
            };
            file.write(&share)?;
        }
        progress(Progress {
            table,
            rows: batch.num_rows() as u64,
        });
    }
    open.into_values()
        .map(|file| file.close(spec, plan))
        .collect()
}

fn rows_by_month(batch: &RecordBatch, column: &str) -> BTreeMap<i32, Vec<u32>> {
    let mut rows: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    let Some(array) = batch.column_by_name(column) else {
        return rows;
    };
    let days = array.as_primitive::<Date32Type>();
    debug_assert_eq!(days.null_count(), 0, "TPC-H has no NULL");
    for (day, row) in days.values().iter().zip(0_u32..) {
        rows.entry(month_of(*day)).or_default().push(row);
    }
    rows
}

/// Iceberg's `month()`: whole months since January 1970.
fn month_of(days: i32) -> i32 {
    let date = NaiveDate::from_epoch_days(days).unwrap_or_default();
    (date.year() - 1970) * 12 + date.month0().cast_signed()
}

/// `1996-03`, as Iceberg's writers name the directory.
pub(super) fn month_name(month: i32) -> String {
    format!(
        "{:04}-{:02}",
        1970 + month.div_euclid(12),
        month.rem_euclid(12) + 1
    )
}

/// A Parquet file that is being written.
struct OpenFile {
    relative: String,
    path: PathBuf,
    month: Option<i32>,
    schema: SchemaRef,
    writer: ArrowWriter<BufWriter<File>>,
}

impl OpenFile {
    fn create(
        spec: &LakeSpec,
        plan: &TablePlan,
        name: &str,
        month: Option<i32>,
    ) -> Result<Self, LakeError> {
        let relative = plan.relative(&format!("{name}-{}.parquet", uuid::Uuid::new_v4()));
        let path = local(&spec.root, &relative);
        if let Some(parent) = path.parent() {
            create_dir(parent)?;
        }
        let file = File::create(&path).map_err(|source| LakeError::File {
            path: path.clone(),
            source,
        })?;
        let schema = plan.table().arrow_schema();
        let level = ZstdLevel::try_new(1).unwrap_or_default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_statistics_truncate_length(None)
            .build();
        // Other engines write no Arrow schema into the file, and readers must not need one.
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(BufWriter::new(file), Arc::clone(&schema), options)
                .map_err(|source| LakeError::Parquet {
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            relative,
            path,
            month,
            schema,
            writer,
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        // The same columns, with field ids.
        RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())
            .map_err(ParquetError::from)
            .and_then(|batch| self.writer.write(&batch))
            .map_err(|source| LakeError::Parquet {
                path: self.path.clone(),
                source,
            })
    }

    fn close(self, spec: &LakeSpec, plan: &TablePlan) -> Result<WrittenFile, LakeError> {
        let footer = self.writer.close().map_err(|source| LakeError::Parquet {
            path: self.path.clone(),
            source,
        })?;
        let bytes = std::fs::metadata(&self.path)
            .map_err(|source| LakeError::File {
                path: self.path.clone(),
                source,
            })?
            .len();
        let uri = format!("{}{}", spec.canonical, self.relative);
        let entry = metrics::data_file(&uri, bytes, self.month, plan.schema(), &footer)
            .map_err(|source| plan.fault(source))?;
        Ok(WrittenFile {
            file: LakeFile {
                path: self.relative,
                month: self.month,
                bytes,
                rows: u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default(),
            },
            entry,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{month_name, month_of};

    #[test]
    fn months_count_from_january_1970() {
        assert_eq!(month_of(0), 0);
        assert_eq!(month_of(-1), -1);
        assert_eq!(month_name(month_of(9_555)), "1996-02");
        assert_eq!(month_name(-1), "1969-12");
    }
}
