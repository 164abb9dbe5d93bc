//! Rows on their way into a temporary table: all of them are put there, or none.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use landfast_catalog::TableName;
use uuid::Uuid;

use super::charge::Charge;
use super::columns::{Incoming, kept_type, may_follow, not_kept};
use super::{Rows, SessionTables, TemporaryTable, full_name};
use crate::{ErrorKind, PlannerError, Result};

/// Rows of a batch as it is kept.
const BATCH_ROWS: usize = 8192;
/// What a batch and each of its columns take beside their values, and each column of a table.
const OVERHEAD_BYTES: usize = 256;

/// What is to be done where rows are put into a table that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// It is made.
    Create,
    /// That is an error.
    Fail,
}

/// What is to be done where rows are put into a table that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfThere {
    /// That is an error.
    Fail,
    /// The rows follow those that it has.
    Append,
    /// The rows take the place of those that it has, and their columns that of its columns.
    Replace,
}

/// Rows that come in for a table. Dropping it leaves the table as it is.
#[derive(Debug)]
pub struct Upload {
    session: Arc<SessionTables>,
    name: TableName,
    missing: IfMissing,
    there: IfThere,
    /// What the client sends.
    sent: SchemaRef,
    /// What is kept.
    schema: SchemaRef,
    /// Which column that is sent each column is.
    from: Vec<usize>,
    columns: Charge,
    rows: Vec<Rows>,
    count: usize,
}

impl SessionTables {
    /// Begins to put rows of these columns into the table of this name.
    ///
    /// # Errors
    /// `AlreadyExists` or `NotFound` as asked for, `Unsupported` for a column that can't be kept, `InvalidArgument` for
    /// columns that no table has or that don't fit the table's, `ResourceExhausted` where there is no room.
    pub fn begin(
        self: &Arc<Self>,
        name: &str,
        missing: IfMissing,
        there: IfThere,
        sent: &SchemaRef,
    ) -> Result<Upload> {
        let name = full_name(name)?;
        let table = self.table(&name.table);
        check_wanted(&name, table.as_deref(), missing, there)?;
        let mut columns = self.charge();
        columns.grow(schema_bytes(sent))?;
        let kept = kept_schema(sent)?;
        let (schema, from) = match table.filter(|_| there == IfThere::Append) {
            Some(table) => (Arc::clone(table.schema()), fitted(&table, &kept)?),
            None => (Arc::new(kept), (0..sent.fields().len()).collect()),
        };
        Ok(Upload {
            session: Arc::clone(self),
            name,
            missing,
            there,
            sent: Arc::clone(sent),
            schema,
            from,
            columns,
            rows: Vec::new(),
            count: 0,
        })
    }
}

impl Upload {
    /// Takes the rows of a batch, and charges them.
    ///
    /// # Errors
    /// `ResourceExhausted` when a limit is met, `InvalidArgument` for other columns than were announced.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.schema().fields() != self.sent.fields() {
            return Err(PlannerError::invalid(
                "a batch has other columns than the schema before it",
            ));
        }
        let columns = self.from.iter().zip(self.schema.fields());
        let columns = columns
            .map(|(at, field)| Incoming::new(batch.column(*at), field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        for from in (0..batch.num_rows()).step_by(BATCH_ROWS) {
            let count = BATCH_ROWS.min(batch.num_rows() - from);
            let mut charge = self.session.charge();
            charge.grow(overhead(columns.len(), count))?;
            let kept = columns
                .iter()
                .map(|column| column.rows(from, count, &mut charge))
                .collect::<Result<Vec<_>>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            let kept = RecordBatch::try_new_with_options(Arc::clone(&self.schema), kept, &options)?;
            self.rows.push(charged(kept, charge)?);
        }
        self.count += batch.num_rows();
        Ok(())
    }

    /// Puts the rows into the table; how many there are.
    ///
    /// # Errors
    /// As [`SessionTables::begin`], of the table as it is by now, and `FailedPrecondition` when the session has ended.
    pub fn commit(self) -> Result<usize> {
        let Self {
            session,
            name,
            missing,
            there,
            schema,
            columns,
            rows,
            count,
            ..
        } = self;
        let rows = joined(&session, rows)?;
        session.change(&name, |table| {
            check_wanted(&name, table.map(Arc::as_ref), missing, there)?;
            let (mut all, columns) = match table.filter(|_| there == IfThere::Append) {
                None => (Vec::new(), Arc::new(columns)),
                Some(table) if *table.schema() == schema => {
                    (table.rows.clone(), Arc::clone(&table.columns))
                }
                Some(_) => {
                    return Err(PlannerError::of_kind(
                        ErrorKind::FailedPrecondition,
                        format!("{name} was replaced while the rows came: send them again"),
                    ));
                }
            };
            // Many small uploads are to make few batches.
            let mut rows = rows;
            if let Some(last) = all.pop() {
                rows.insert(0, last);
                let rest = rows.split_off(rows.len().min(2));
                rows = joined(&session, rows)?;
                rows.extend(rest);
            }
            all.extend(rows);
            Ok(TemporaryTable {
                name: name.clone(),
                schema: Arc::clone(&schema),
                rows: all,
                columns,
                id: Uuid::new_v4(),
            })
        })?;
        Ok(count)
    }
}

/// Refuses what the client asked to be refused.
fn check_wanted(
    name: &TableName,
    table: Option<&TemporaryTable>,
    missing: IfMissing,
    there: IfThere,
) -> Result<()> {
    if table.is_none() && missing == IfMissing::Fail {
        return Err(PlannerError::not_found(
            format!("there is no table {name} to put rows into"),
            Vec::new(),
        ));
    }
    if table.is_some() && there == IfThere::Fail {
        return Err(PlannerError::of_kind(
            ErrorKind::AlreadyExists,
            format!("there is a table {name} already: append to it, replace it or drop it"),
        ));
    }
    Ok(())
}

/// The columns as they are kept, each of which may be null.
fn kept_schema(sent: &Schema) -> Result<Schema> {
    if sent.fields().is_empty() {
        return Err(PlannerError::invalid("a table has a column at least"));
    }
    let mut names = HashSet::new();
    let fields = sent.fields().iter().map(|field| {
        if !names.insert(field.name().as_str()) {
            return Err(PlannerError::invalid(format!(
                "two columns are called {:?}: give each a name of its own",
                field.name()
            )));
        }
        let of = kept_type(field.data_type())
            .map_err(|why| not_kept(field.name(), field.data_type(), why))?;
        // What a client's own metadata means, nobody here knows.
        Ok(Field::new(field.name(), of, true))
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>>>()?))
}

/// Where each column of a table stands among those that are sent: they go by name, in any order.
fn fitted(table: &TemporaryTable, given: &Schema) -> Result<Vec<usize>> {
    let misfit = |what: String| {
        Err(PlannerError::invalid(format!(
            "the rows don't fit {}: {what}",
            table.full_name()
        )))
    };
    let has = table.schema();
    for field in given.fields() {
        if has.index_of(field.name()).is_err() {
            return misfit(format!(
                "it has no column {:?}, which the rows have",
                field.name()
            ));
        }
    }
    let mut from = Vec::with_capacity(has.fields().len());
    for field in has.fields() {
        let Ok(at) = given.index_of(field.name()) else {
            return misfit(format!(
                "it has a column {:?}, which the rows have not",
                field.name()
            ));
        };
        let of = given.field(at).data_type();
        if !may_follow(of, field.data_type()) {
            return misfit(format!(
                "its column {:?} is {}, and that of the rows is {of}",
                field.name(),
                field.data_type()
            ));
        }
        from.push(at);
    }
    Ok(from)
}

fn overhead(columns: usize, rows: usize) -> usize {
    OVERHEAD_BYTES
        .saturating_mul(columns + 1)
        .saturating_add(rows)
}

fn schema_bytes(schema: &Schema) -> usize {
    let fields = schema.flattened_fields().into_iter();
    fields
        .map(|field| OVERHEAD_BYTES + 2 * field.name().len())
        .sum()
}

/// Rows that are charged with what they really take.
fn charged(batch: RecordBatch, mut charge: Charge) -> Result<Rows> {
    let values = batch.columns().iter();
    let values: usize = values.map(|column| column.get_array_memory_size()).sum();
    charge.resize(overhead(batch.num_columns(), batch.num_rows()).saturating_add(values))?;
    Ok(Rows {
        batch,
        charge: Arc::new(charge),
    })
}

/// The same rows in batches of about [`BATCH_ROWS`]: what came in many small ones takes and costs no more for it.
fn joined(session: &SessionTables, rows: Vec<Rows>) -> Result<Vec<Rows>> {
    let mut all = Vec::with_capacity(rows.len());
    let (mut group, mut count) = (Vec::new(), 0);
    for rows in rows {
        let more = rows.batch.num_rows();
        if count + more > BATCH_ROWS {
            all.extend(one(session, std::mem::take(&mut group))?);
            count = 0;
        }
        count += more;
        group.push(rows);
    }
    all.extend(one(session, group)?);
    Ok(all)
}

fn one(session: &SessionTables, mut group: Vec<Rows>) -> Result<Option<Rows>> {
    if group.len() <= 1 {
        return Ok(group.pop());
    }
    let Some(schema) = group.first().map(|rows| rows.batch.schema()) else {
        return Ok(None);
    };
    let mut charge = session.charge();
    charge.grow(group.iter().map(|rows| rows.charge.bytes()).sum())?;
    let batches = group.iter().map(|rows| &rows.batch);
    let batch = concat_batches(&schema, batches)?;
    charged(batch, charge).map(Some)
}
