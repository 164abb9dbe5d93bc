//! Tables about tables: which of them a query wants to hear of, known before anything is looked up.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result as EngineResult};
use datafusion::datasource::TableType;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_datasource::memory::MemorySourceConfig;
use futures::future::BoxFuture;

use crate::Result;

/// Columns that name a table: of its catalog, its schema and itself.
pub type NameColumns = [&'static str; 3];

/// Which tables a query wants to hear of: all, or those whose names pass its filters.
#[derive(Debug, Clone, Default)]
pub struct NamesWanted {
    filters: Vec<Arc<dyn PhysicalExpr>>,
    schema: Option<SchemaRef>,
}

impl NamesWanted {
    /// Every table.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of the tables that are wanted.
    ///
    /// # Errors
    /// A filter fails, as it would have on the whole row.
    pub fn of<T>(&self, tables: Vec<T>, names: impl Fn(&T) -> [String; 3]) -> Result<Vec<T>> {
        let Some(schema) = self.schema.as_ref().filter(|_| !self.filters.is_empty()) else {
            return Ok(tables);
        };
        let mut columns: [Vec<String>; 3] = Default::default();
        for table in &tables {
            for (column, name) in columns.iter_mut().zip(names(table)) {
                column.push(name);
            }
        }
        let columns = columns
            .into_iter()
            .zip(schema.fields())
            .map(|(names, field)| {
                let names: ArrayRef = Arc::new(StringArray::from(names));
                Ok(cast(&names, field.data_type())?)
            })
            .collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(Arc::clone(schema), columns)?;
        let mut wanted = vec![true; tables.len()];
        for filter in &self.filters {
            let passed = filter.evaluate(&batch)?.into_array(batch.num_rows())?;
            let passed = cast(&passed, &DataType::Boolean)?;
            let passed = passed.as_boolean();
            for (row, wanted) in wanted.iter_mut().enumerate() {
                *wanted &= passed.is_valid(row) && passed.value(row);
            }
        }
        let tables = tables.into_iter().zip(wanted);
        Ok(tables
            .filter_map(|(table, wanted)| wanted.then_some(table))
            .collect())
    }
}

/// Makes a table's rows for those names that are wanted.
pub(super) type Rows =
    Arc<dyn Fn(NamesWanted) -> BoxFuture<'static, Result<Vec<RecordBatch>>> + Send + Sync>;

/// A table whose rows are made when a query has said of which tables it wants to hear.
pub(super) struct TableOfTables {
    pub(super) schema: SchemaRef,
    /// Its columns that name a table; none where it is about something else.
    pub(super) names: Option<NameColumns>,
    pub(super) rows: Rows,
}

impl fmt::Debug for TableOfTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableOfTables")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl TableOfTables {
    /// Whether a filter speaks of names alone.
    fn is_about_names(&self, filter: &Expr) -> bool {
        let Some(names) = &self.names else {
            return false;
        };
        let columns = filter.column_refs();
        !columns.is_empty()
            && columns
                .iter()
                .all(|column| names.contains(&column.name.as_str()))
            && !filter.is_volatile()
    }

    fn wanted(&self, state: &dyn Session, filters: &[Expr]) -> EngineResult<NamesWanted> {
        let Some(names) = &self.names else {
            return Ok(NamesWanted::all());
        };
        let fields = names
            .iter()
            .map(|name| self.schema.field_with_name(name).cloned())
            .collect::<std::result::Result<Vec<Field>, _>>()?;
        let schema = Arc::new(Schema::new(fields));
        let known = DFSchema::try_from(Arc::clone(&schema))?;
        let filters = filters
            .iter()
            .filter(|filter| self.is_about_names(filter))
            .map(|filter| state.create_physical_expr(unnormalize_col(filter.clone()), &known))
            .collect::<EngineResult<Vec<_>>>()?;
        Ok(NamesWanted {
            filters,
            schema: Some(schema),
        })
    }
}

#[async_trait]
impl TableProvider for TableOfTables {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// What is left out is only what a filter leaves out too; whoever asked still evaluates it.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        let answers = filters.iter().map(|filter| {
            if self.is_about_names(filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        });
        Ok(answers.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let batches = (self.rows)(self.wanted(state, filters)?).await?;
        let exec = MemorySourceConfig::try_new_exec(
            &[batches],
            Arc::clone(&self.schema),
            projection.cloned(),
        )?;
        Ok(exec)
    }
}
