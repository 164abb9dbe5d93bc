//! Answers as the files write them.
//!
//! A type is a letter: `B`, `D` (dates and times), `I`, `P` (timestamps), `R` (numbers with a point), `T`, or `?` for others.
//! A null is `NULL`, an empty text `(empty)`, a number has at most twelve digits behind the point and no zeros at its
//! end, the lines of a last cell with several stand numbered below it, and everything else is as Arrow displays it.

use std::str::FromStr;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use bigdecimal::BigDecimal;

/// What the files tell of the columns' types, by one letter each.
pub(crate) fn types(schema: &Schema) -> String {
    let letter = |of: &DataType| match of {
        DataType::Boolean => 'B',
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => 'D',
        of if of.is_integer() => 'I',
        DataType::Timestamp(_, _) => 'P',
        of if of.is_floating() || of.is_decimal() => 'R',
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 'T',
        _ => '?',
    };
    let fields = schema.fields().iter();
    fields.map(|field| letter(field.data_type())).collect()
}

/// The rows, as cells.
pub(crate) fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>> {
    let mut rows = vec![];
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| cell(column, row));
            lines(cells.collect::<Result<_>>()?, &mut rows);
        }
    }
    Ok(rows)
}

fn lines(mut cells: Vec<String>, rows: &mut Vec<Vec<String>>) {
    let Some(last) = cells.last().filter(|last| last.contains('\n')).cloned() else {
        rows.push(cells);
        return;
    };
    cells.pop();
    rows.push(cells);
    for (at, line) in last.split('\n').enumerate() {
        let text = line.trim_start();
        let indent = "-".repeat(line.len() - text.len());
        rows.push(vec![format!("{:02}){indent}{text}", at + 1)]);
    }
}

fn cell(column: &ArrayRef, row: usize) -> Result<String> {
    if column.is_null(row) || *column.data_type() == DataType::Null {
        return Ok("NULL".to_owned());
    }
    Ok(match column.data_type() {
        DataType::Float32 => float(
            column.as_primitive::<Float32Type>().value(row).into(),
            &column.as_primitive::<Float32Type>().value(row).to_string(),
        )?,
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            float(value, &value.to_string())?
        }
        of if of.is_decimal() => plain(&displayed(column, row)?, None)?,
        DataType::Utf8 => text(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text(column.as_string::<i64>().value(row)),
        _ => displayed(column, row)?,
    })
}

fn displayed(column: &ArrayRef, row: usize) -> Result<String> {
    let options = FormatOptions::new()
        .with_null("NULL")
        .with_duration_format(DurationFormat::Pretty);
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    Ok(formatter.value(row).try_to_string()?)
}

fn text(value: &str) -> String {
    match value {
        "" => "(empty)".to_owned(),
        value => value.trim_end_matches('\n').replace('\0', "\\0"),
    }
}

fn float(value: f64, digits: &str) -> Result<String> {
    Ok(match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => plain(digits, Some(12))?,
    })
}

/// A number without an exponent, rounded to some digits behind the point.
fn plain(number: &str, digits: Option<i64>) -> Result<String> {
    let number = BigDecimal::from_str(number).with_context(|| format!("{number} is no number"))?;
    let rounded = match digits {
        Some(digits) => number.round(digits),
        None => number,
    };
    Ok(rounded.normalized().to_plain_string())
}

/// Whether an answer is what the file says; `<slt:ignore>` there stands for any text.
pub(crate) fn same(actual: &str, expected: &str) -> bool {
    let mut parts = expected.split("<slt:ignore>");
    let Some(mut rest) = parts.next().and_then(|start| actual.strip_prefix(start)) else {
        return false;
    };
    let mut ignores = false;
    for part in parts {
        ignores = true;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    ignores || rest.is_empty()
}
