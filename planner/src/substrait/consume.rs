//! From an allowed plan to a logical plan of the engine, over tables that are resolved.
//!
//! DataFusion's consumer does most of it. Reads, output mappings and references to columns are ours: they are checked
//! against the columns that the tables really have for who asks, and no column is copied more often than it is named.
//! So are [set operations](super::sets), and the names of computed columns, which must not grow from level to level.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::{
    Column, DFSchema, DataFusionError, Result as EngineResult, TableReference, plan_err,
    substrait_err,
};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableSource};
use datafusion_substrait::extensions::Extensions;
use datafusion_substrait::logical_plan::consumer::{
    DefaultSubstraitConsumer, SubstraitConsumer, from_aggregate_rel, from_field_reference,
    from_project_rel, from_scalar_function, from_substrait_func_args, from_substrait_named_struct,
    from_substrait_plan_with_consumer, substrait_fun_name,
};
use futures::FutureExt;
use parking_lot::Mutex;
use substrait::proto::expression::field_reference::{ReferenceType, RootType};
use substrait::proto::expression::reference_segment::ReferenceType as SegmentType;
use substrait::proto::expression::{FieldReference, ScalarFunction};
use substrait::proto::read_rel::ReadType;
use substrait::proto::rel::RelType;
use substrait::proto::rel_common::EmitKind;
use substrait::proto::{AggregateRel, ProjectRel, ReadRel, Rel, RelCommon, SetRel};

use super::{SubstraitPlan, sets};
use crate::error::nearest;
use crate::{PlannerError, Result};

/// The longest name of a computed column; a longer one is replaced. It is made of the names that are computed with, and
/// so would double at each level that names a column twice.
const NAME_BYTES_MAX: usize = 200;

/// A table of a plan, resolved.
#[derive(Clone)]
pub(crate) struct PlanTable {
    /// What it is called in errors and in EXPLAIN.
    pub(crate) called: TableReference,
    /// Its columns and rows as the asker may read them.
    pub(crate) source: Arc<dyn TableSource>,
}

/// A logical plan over these tables, one for each of [`SubstraitPlan::tables`].
pub(crate) fn consume(
    plan: &SubstraitPlan,
    tables: Vec<PlanTable>,
    state: &SessionState,
) -> Result<LogicalPlan> {
    let extensions = Extensions::try_from(&plan.plan.extensions).map_err(PlannerError::from)?;
    let names = plan.tables.iter().cloned();
    let consumer = Consumer {
        extensions: &extensions,
        state,
        tables: names.zip(tables).collect(),
        reads: Mutex::new(BTreeMap::new()),
        renamed: Mutex::new(0),
        outer: DefaultSubstraitConsumer::new(&extensions, state),
    };
    let consuming = from_substrait_plan_with_consumer(&consumer, &plan.plan);
    // Every table is there already, so that nothing is waited for. What the consumer takes on trust was checked before;
    // should something be left, it ends the statement and not the connection.
    let consumed = AssertUnwindSafe(consuming).catch_unwind().now_or_never();
    let consumed = match consumed {
        Some(Ok(consumed)) => consumed
            .and_then(fields_keep_their_names)
            .map_err(PlannerError::from),
        Some(Err(_)) => Err(PlannerError::invalid("the Substrait plan is malformed")),
        None => Err(PlannerError::internal("reading a Substrait plan waited")),
    };
    consumed.map_err(|error| plan.explain(error))
}

struct Consumer<'a> {
    extensions: &'a Extensions,
    state: &'a SessionState,
    tables: BTreeMap<Vec<String>, PlanTable>,
    /// How often each table was read so far.
    reads: Mutex<BTreeMap<TableReference, usize>>,
    /// How many columns got a short name so far.
    renamed: Mutex<usize>,
    /// Keeps the schemas around sub-queries.
    outer: DefaultSubstraitConsumer<'a>,
}

#[async_trait]
impl SubstraitConsumer for Consumer<'_> {
    /// Tables are found in [`Self::consume_read`] alone.
    async fn resolve_table_ref(
        &self,
        table: &TableReference,
    ) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        plan_err!("{table} is no table of the plan")
    }

    fn get_extensions(&self) -> &Extensions {
        self.extensions
    }

    fn get_function_registry(&self) -> &impl FunctionRegistry {
        self.state
    }

    async fn consume_rel(&self, rel: &Rel) -> EngineResult<LogicalPlan> {
        let Some(rel) = &rel.rel_type else {
            return substrait_err!("a relation is of no kind");
        };
        let plan = match rel {
            RelType::Read(rel) => self.consume_read(rel).await,
            RelType::Filter(rel) => self.consume_filter(rel).await,
            RelType::Fetch(rel) => self.consume_fetch(rel).await,
            RelType::Aggregate(rel) => self.consume_aggregate(rel).await,
            RelType::Sort(rel) => self.consume_sort(rel).await,
            RelType::Join(rel) => self.consume_join(rel).await,
            RelType::Project(rel) => self.consume_project(rel).await,
            RelType::Set(rel) => self.consume_set(rel).await,
            RelType::Cross(rel) => self.consume_cross(rel).await,
            _ => substrait_err!("a relation is of a kind that is not allowed"),
        }?;
        match common_of(rel).and_then(|common| common.emit_kind.as_ref()) {
            Some(EmitKind::Emit(emit)) => mapped(plan, &emit.output_mapping),
            Some(EmitKind::Direct(_)) | None => Ok(plan),
        }
    }

    async fn consume_read(&self, read: &ReadRel) -> EngineResult<LogicalPlan> {
        let Some(ReadType::NamedTable(named)) = &read.read_type else {
            return substrait_err!("a ReadRel reads no table");
        };
        let Some(table) = self.tables.get(&named.names) else {
            return substrait_err!("{} is no table of the plan", named.names.join("."));
        };
        let Some(base) = &read.base_schema else {
            return substrait_err!("a ReadRel has no schema");
        };
        let expected = from_substrait_named_struct(self, base)?;
        let scan = LogicalPlanBuilder::scan(self.called(table), Arc::clone(&table.source), None)?;
        let plan = expected_columns(scan, &expected, &table.called)?;
        let plan = match &read.filter {
            Some(filter) => {
                let filter = self.consume_expression(filter, plan.schema()).await?;
                LogicalPlanBuilder::from(plan).filter(filter)?.build()?
            }
            None => plan,
        };
        let mask = read.projection.as_ref();
        match mask.and_then(|mask| mask.select.as_ref()) {
            Some(select) => {
                let fields: Vec<i32> = select.struct_items.iter().map(|item| item.field).collect();
                mapped(plan, &fields)
            }
            None => Ok(plan),
        }
    }

    async fn consume_project(&self, project: &ProjectRel) -> EngineResult<LogicalPlan> {
        self.shortly_named(from_project_rel(self, project).await?)
    }

    async fn consume_aggregate(&self, aggregate: &AggregateRel) -> EngineResult<LogicalPlan> {
        self.shortly_named(from_aggregate_rel(self, aggregate).await?)
    }

    async fn consume_set(&self, set: &SetRel) -> EngineResult<LogicalPlan> {
        let mut inputs = Vec::with_capacity(set.inputs.len());
        for input in &set.inputs {
            inputs.push(self.consume_rel(input).await?);
        }
        sets::combined(set.op(), inputs)
    }

    async fn consume_field_reference(
        &self,
        reference: &FieldReference,
        input: &DFSchema,
    ) -> EngineResult<Expr> {
        if let Some(ReferenceType::DirectReference(direct)) = &reference.reference_type
            && let Some(SegmentType::StructField(field)) = &direct.reference_type
        {
            let outer = match &reference.root_type {
                Some(RootType::OuterReference(outer)) => {
                    let steps = usize::try_from(outer.steps_out).unwrap_or(usize::MAX);
                    let Some(schema) = self.get_outer_schema(steps) else {
                        return substrait_err!(
                            "a reference leads {steps} queries out, and there are fewer"
                        );
                    };
                    Some(schema)
                }
                _ => None,
            };
            let columns = outer.as_deref().unwrap_or(input).fields().len();
            if !usize::try_from(field.field).is_ok_and(|at| at < columns) {
                return substrait_err!(
                    "a reference to column {}, counted from zero, of a relation that has {columns}",
                    field.field
                );
            }
        }
        from_field_reference(self, reference, input).await
    }

    async fn consume_scalar_function(
        &self,
        function: &ScalarFunction,
        input: &DFSchema,
    ) -> EngineResult<Expr> {
        let name = self.extensions.functions.get(&function.function_reference);
        if name.is_some_and(|name| substrait_fun_name(name) == "xor") {
            let args = from_substrait_func_args(self, &function.arguments, input).await?;
            // What the consumer would write names both sides twice, and so nested ones without end.
            return match <[Expr; 2]>::try_from(args) {
                Ok([left, right]) => Ok(datafusion::logical_expr::binary_expr(
                    left,
                    Operator::NotEq,
                    right,
                )),
                Err(_) => plan_err!("xor takes two arguments"),
            };
        }
        from_scalar_function(self, function, input).await
    }

    fn push_outer_schema(&self, schema: Arc<DFSchema>) {
        self.outer.push_outer_schema(schema);
    }

    fn pop_outer_schema(&self) {
        self.outer.pop_outer_schema();
    }

    fn get_outer_schema(&self, steps_out: usize) -> Option<Arc<DFSchema>> {
        self.outer.get_outer_schema(steps_out)
    }
}

impl Consumer<'_> {
    /// What a read of a table is called: no two of a plan alike, however they are joined.
    fn called(&self, table: &PlanTable) -> TableReference {
        let mut reads = self.reads.lock();
        let count = reads.entry(table.called.clone()).or_default();
        *count += 1;
        if *count == 1 {
            return table.called.clone();
        }
        let own = format!("{}#{count}", table.called.table());
        match &table.called {
            TableReference::Bare { .. } => TableReference::bare(own),
            TableReference::Partial { schema, .. } => {
                TableReference::partial(Arc::clone(schema), own)
            }
            TableReference::Full {
                catalog, schema, ..
            } => TableReference::full(Arc::clone(catalog), Arc::clone(schema), own),
        }
    }
}

impl Consumer<'_> {
    /// The columns, those with a short name whose name would be too long. A table's own keep theirs.
    fn shortly_named(&self, plan: LogicalPlan) -> EngineResult<LogicalPlan> {
        let schema = Arc::clone(plan.schema());
        let long = |at: usize| {
            let (qualifier, field) = schema.qualified_field(at);
            qualifier.is_none() && field.name().len() > NAME_BYTES_MAX
        };
        let columns = 0..schema.fields().len();
        if !columns.clone().any(long) {
            return Ok(plan);
        }
        let mut renamed = self.renamed.lock();
        let mut short = || loop {
            *renamed += 1;
            let name = format!("computed#{renamed}");
            if !schema.fields().iter().any(|field| *field.name() == name) {
                return name;
            }
        };
        let exprs = columns.map(|at| {
            let column = Expr::Column(Column::from(schema.qualified_field(at)));
            match long(at) {
                true => column.alias(short()),
                false => column,
            }
        });
        let exprs: Vec<Expr> = exprs.collect();
        LogicalPlanBuilder::from(plan).project(exprs)?.build()
    }
}

/// Refuses a plan whose result has structs with fields of other names than they had: the engine would take a field of
/// another name for one that is missing, and make it NULL.
fn fields_keep_their_names(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    let renames = |expr: &Expr| {
        let mut expr = expr;
        while let Expr::Alias(alias) = expr {
            expr = &alias.expr;
        }
        // Nobody else casts to structs: such a cast is not allowed.
        matches!(expr, Expr::Cast(cast) if has_fields(cast.field.data_type()))
    };
    if plan.expressions().iter().any(renames) {
        return plan_err!(
            "the Substrait plan gives the fields of a struct other names than they have in its table"
        );
    }
    Ok(plan)
}

fn has_fields(of: &DataType) -> bool {
    use DataType as T;
    match of {
        T::Struct(_) => true,
        T::Dictionary(_, of) => has_fields(of),
        T::List(of) | T::LargeList(of) | T::FixedSizeList(of, _) => has_fields(of.data_type()),
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(entry) => entry.iter().any(|of| has_fields(of.data_type())),
            _ => false,
        },
        _ => false,
    }
}

/// The columns that a plan expects of a table, in its order. A column's name may be in another case, as of producers
/// that know but one.
fn expected_columns(
    scan: LogicalPlanBuilder,
    expected: &DFSchema,
    table: &TableReference,
) -> EngineResult<LogicalPlan> {
    let schema = Arc::clone(scan.schema());
    let mut columns: Vec<usize> = Vec::with_capacity(expected.fields().len());
    for wanted in expected.fields() {
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        let name = wanted.name();
        let exact = names().position(|known| known == name);
        let found = exact.or_else(|| {
            let mut alike =
                (0..schema.fields().len()).filter(|at| fits(name, schema.field(*at).name()));
            alike.next().filter(|_| alike.next().is_none())
        });
        let Some(at) = found else {
            let near: Vec<String> = nearest(name, names());
            return Err(DataFusionError::from(PlannerError::not_found(
                format!("there is no column {name} in {table}"),
                near,
            )));
        };
        let (of, asked) = (schema.field(at).data_type(), wanted.data_type());
        if !alike(of, asked) {
            return plan_err!(
                "column {name} of {table} is of type {}, and the Substrait plan was made for {}",
                crate::engine::sql_type_name(of),
                crate::engine::sql_type_name(asked)
            );
        }
        if columns.contains(&at) {
            return plan_err!("the Substrait plan reads column {name} of {table} twice");
        }
        columns.push(at);
    }
    if columns.iter().copied().eq(0..schema.fields().len()) {
        return scan.build();
    }
    let columns = columns
        .into_iter()
        .map(|at| Expr::Column(Column::from(schema.qualified_field(at))));
    scan.project(columns.collect::<Vec<_>>())?.build()
}

fn fits(written: &str, name: &str) -> bool {
    written.to_lowercase() == name.to_lowercase()
}

/// Whether values are the same in both types, however they are kept. Fields of structs have the same names, too: they are
/// found by them.
fn alike(of: &DataType, asked: &DataType) -> bool {
    use DataType as T;
    let text = |of: &T| matches!(of, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    let bytes = |of: &T| {
        matches!(
            of,
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_)
        )
    };
    match (of, asked) {
        (T::Dictionary(_, of), asked) => alike(of, asked),
        (T::Timestamp(_, of), T::Timestamp(_, asked)) => of.is_some() == asked.is_some(),
        (T::Time32(_) | T::Time64(_), T::Time32(_) | T::Time64(_)) => true,
        (
            T::List(of) | T::LargeList(of) | T::FixedSizeList(of, _),
            T::List(asked) | T::LargeList(asked) | T::FixedSizeList(asked, _),
        ) => alike(of.data_type(), asked.data_type()),
        (T::Map(of, _), T::Map(asked, _)) => alike(of.data_type(), asked.data_type()),
        (T::Struct(of), T::Struct(asked)) => {
            of.len() == asked.len()
                && of.iter().zip(asked).all(|(of, asked)| {
                    of.name() == asked.name() && alike(of.data_type(), asked.data_type())
                })
        }
        (of, asked) => {
            (text(of) && text(asked)) || (bytes(of) && bytes(asked)) || of.equals_datatype(asked)
        }
    }
}

/// These columns of a plan, in this order; a column that comes again gets a name of its own.
fn mapped(plan: LogicalPlan, fields: &[i32]) -> EngineResult<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let columns = schema.fields().len();
    if fields.len() == columns && (0..).zip(fields).all(|(at, field)| *field == at) {
        return Ok(plan);
    }
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    let mut exprs = Vec::with_capacity(fields.len());
    for field in fields {
        let Some(at) = usize::try_from(*field).ok().filter(|at| *at < columns) else {
            return substrait_err!(
                "a relation gives column {field}, counted from zero, of {columns}"
            );
        };
        let (qualifier, of) = schema.qualified_field(at);
        let column = Expr::Column(Column::from((qualifier, of)));
        let again = seen.entry(at).or_default();
        *again += 1;
        exprs.push(match *again {
            1 => column,
            again => column.alias(format!("{}#{again}", of.name())),
        });
    }
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// Where a relation says which columns it gives.
fn common_of(rel: &RelType) -> Option<&RelCommon> {
    match rel {
        RelType::Read(rel) => rel.common.as_ref(),
        RelType::Filter(rel) => rel.common.as_ref(),
        RelType::Fetch(rel) => rel.common.as_ref(),
        RelType::Aggregate(rel) => rel.common.as_ref(),
        RelType::Sort(rel) => rel.common.as_ref(),
        RelType::Join(rel) => rel.common.as_ref(),
        RelType::Project(rel) => rel.common.as_ref(),
        RelType::Set(rel) => rel.common.as_ref(),
        RelType::Cross(rel) => rel.common.as_ref(),
        // These are not allowed.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Fields};
    use datafusion::logical_expr::{cast, col, lit};

    use super::*;

    fn of_fields(names: [&str; 2]) -> DataType {
        let fields = names.map(|name| Field::new(name, DataType::Int64, true));
        DataType::Struct(Fields::from(fields.to_vec()))
    }

    #[test]
    fn structs_are_alike_if_their_fields_have_the_same_names_in_the_same_order() {
        let table = of_fields(["a", "b"]);
        assert!(alike(&table, &of_fields(["a", "b"])));
        for other in [["b", "a"], ["a", "c"], ["A", "b"]] {
            let other = of_fields(other);
            assert!(!alike(&table, &other), "{other}");
            let list = |of: &DataType| DataType::new_list(of.clone(), true);
            assert!(!alike(&list(&table), &list(&other)), "{other}");
        }
    }

    #[test]
    fn a_result_whose_fields_would_get_other_names_is_refused() {
        let one = LogicalPlanBuilder::empty(true)
            .project([lit(1i64).alias("a"), lit(2i64).alias("b")])
            .unwrap();
        let of = |expr: Expr| one.clone().project([expr]).unwrap().build().unwrap();
        fields_keep_their_names(of(col("a"))).unwrap();
        fields_keep_their_names(of(cast(col("a"), DataType::Int32))).unwrap();
        let renamed = DataType::new_list(of_fields(["A", "b"]), true);
        let null = Expr::Literal(
            datafusion::common::ScalarValue::try_from(DataType::new_list(
                of_fields(["a", "b"]),
                true,
            ))
            .unwrap(),
            None,
        );
        let error = fields_keep_their_names(of(cast(null, renamed).alias("s"))).unwrap_err();
        assert!(error.to_string().contains("other names"), "{error}");
    }
}
