//! Rows as a table for people, or as CSV or JSON for programs.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder as JsonWriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use clap::ValueEnum;

use crate::error::ProxyError;

/// How rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A table with borders, and a count below
    #[default]
    Table,
    /// Comma-separated values with a header line; NULL is empty
    Csv,
    /// One JSON object per row and line
    Json,
}

/// Takes the batches of one result, one by one.
pub(super) struct Renderer<'a> {
    format: OutputFormat,
    out: &'a mut dyn Write,
    schema: SchemaRef,
    rows: u64,
    /// Only for a table, whose columns are as wide as their widest value: the first `rows_max` rows.
    kept: Vec<RecordBatch>,
    rows_max: usize,
    header_due: bool,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(
        format: OutputFormat,
        schema: SchemaRef,
        rows_max: usize,
        out: &'a mut dyn Write,
    ) -> Self {
        Self {
            format,
            out,
            schema,
            rows: 0,
            kept: Vec::new(),
            rows_max,
            header_due: true,
        }
    }

    /// How many rows came so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<(), ProxyError> {
        match self.format {
            OutputFormat::Table => {
                let kept = usize::try_from(self.rows).unwrap_or(usize::MAX);
                let room = self.rows_max.saturating_sub(kept).min(batch.num_rows());
                if room > 0 {
                    self.kept.push(batch.slice(0, room));
                }
            }
            OutputFormat::Csv => self.csv(batch)?,
            OutputFormat::Json => {
                let mut writer = JsonWriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, LineDelimited>(&mut *self.out);
                writer.write(batch).map_err(unwritable)?;
                writer.finish().map_err(unwritable)?;
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<u64, ProxyError> {
        match self.format {
            OutputFormat::Table => self.table()?,
            OutputFormat::Csv if self.header_due => {
                let empty = RecordBatch::new_empty(SchemaRef::clone(&self.schema));
                self.csv(&empty)?;
            }
            OutputFormat::Csv | OutputFormat::Json => {}
        }
        self.out.flush()?;
        Ok(self.rows)
    }

    fn csv(&mut self, batch: &RecordBatch) -> Result<(), ProxyError> {
        let batch = &flat(batch).map_err(unwritable)?;
        let mut writer = csv::WriterBuilder::new()
            .with_header(self.header_due)
            .build(&mut *self.out);
        writer.write(batch).map_err(unwritable)?;
        self.header_due = false;
        Ok(())
    }

    fn table(&mut self) -> Result<(), ProxyError> {
        if self.kept.is_empty() {
            self.kept
                .push(RecordBatch::new_empty(SchemaRef::clone(&self.schema)));
        }
        let options = FormatOptions::default().with_null("NULL");
        let table = pretty_format_batches_with_options(&self.kept, &options)
            .map_err(|e| ProxyError::Usage(format!("the result can't be shown: {e}")))?;
        writeln!(self.out, "{table}")?;
        let shown: usize = self.kept.iter().map(RecordBatch::num_rows).sum();
        let unit = if self.rows == 1 { "row" } else { "rows" };
        if shown as u64 == self.rows {
            writeln!(self.out, "{} {unit}", self.rows)?;
        } else {
            writeln!(
                self.out,
                "{} {unit}, the first {shown} shown; --rows shows more, --format csv or json all",
                self.rows
            )?;
        }
        Ok(())
    }
}

/// The batch with its nested columns as JSON, as CSV knows none.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(Arc::new(as_json(column)?) as ArrayRef);
        } else {
            fields.push(field.as_ref().clone());
            columns.push(ArrayRef::clone(column));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

/// Each value as JSON; NULL stays NULL.
fn as_json(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    (0..column.len())
        .map(|at| {
            if column.is_null(at) {
                return Ok(None);
            }
            let one = RecordBatch::try_from_iter([("v", column.slice(at, 1))])?;
            let mut line = Vec::new();
            let mut writer = JsonWriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, LineDelimited>(&mut line);
            writer.write(&one)?;
            writer.finish()?;
            drop(writer);
            let line = String::from_utf8_lossy(&line);
            let value = line.trim_end().strip_prefix("{\"v\":");
            Ok(value
                .and_then(|value| value.strip_suffix('}'))
                .map(str::to_owned))
        })
        .collect()
}

fn unwritable(error: ArrowError) -> ProxyError {
    match error {
        ArrowError::IoError(_, source) => ProxyError::Terminal(source),
        other => ProxyError::Usage(format!("the result can't be written: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StructArray};

    use super::*;

    fn rendered(format: OutputFormat, batches: &[RecordBatch], rows_max: usize) -> String {
        let mut out = Vec::new();
        let mut renderer = Renderer::new(format, two_rows().schema(), rows_max, &mut out);
        for batch in batches {
            renderer.batch(batch).unwrap();
        }
        renderer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn two_rows() -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a,b"), None]));
        RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("name", names, true)])
            .unwrap()
    }

    #[test]
    fn a_table_counts_its_rows_and_shows_null() {
        let text = rendered(OutputFormat::Table, &[two_rows()], 10);
        assert!(text.contains("| 2  | NULL |"), "{text}");
        assert!(text.ends_with("2 rows\n"), "{text}");
    }

    #[test]
    fn a_long_table_says_how_much_it_left_out() {
        let text = rendered(OutputFormat::Table, &[two_rows(), two_rows()], 3);
        assert!(text.contains("4 rows, the first 3 shown"), "{text}");
    }

    #[test]
    fn csv_has_one_header_even_without_rows() {
        assert_eq!(rendered(OutputFormat::Csv, &[], 10), "id,name\n");
        assert_eq!(
            rendered(OutputFormat::Csv, &[two_rows(), two_rows()], 10),
            "id,name\n1,\"a,b\"\n2,\n1,\"a,b\"\n2,\n"
        );
    }

    #[test]
    fn csv_has_nested_values_as_json() {
        let field = Arc::new(Field::new("n", DataType::Int64, true));
        let numbers = Int64Array::from(vec![Some(1), None]);
        let nested: ArrayRef = Arc::new(StructArray::new(
            vec![field].into(),
            vec![Arc::new(numbers)],
            Some(vec![true, false].into()),
        ));
        let batch = RecordBatch::try_from_iter([("s", nested)]).unwrap();
        let mut out = Vec::new();
        let mut renderer = Renderer::new(OutputFormat::Csv, batch.schema(), 10, &mut out);
        renderer.batch(&batch).unwrap();
        renderer.finish().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "s\n\"{\"\"n\"\":1}\"\n\"\"\n"
        );
    }

    #[test]
    fn json_has_one_object_a_line() {
        assert_eq!(
            rendered(OutputFormat::Json, &[two_rows()], 10),
            "{\"id\":1,\"name\":\"a,b\"}\n{\"id\":2,\"name\":null}\n"
        );
    }
}
