//! What a parameter is, by what it stands beside: a column that it is compared with, an operator, a function's argument.
//!
//! Reads a plan whose parameters have no types yet, from the outside in: what an expression is wanted to be is known before
//! what its parts look like. Of several hints the first counts.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as EngineResult};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::expr::{AggregateFunction, Case, Placeholder, WindowFunction};
use datafusion::logical_expr::type_coercion::functions::{UDFCoercionExt, fields_with_udf};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

/// Functions all of whose arguments are of one type.
const ALIKE: [&str; 6] = ["coalesce", "greatest", "ifnull", "least", "nullif", "nvl"];

/// The types of so many parameters, where the plan says.
pub(super) fn infer(plan: &LogicalPlan, count: usize) -> EngineResult<Vec<Option<DataType>>> {
    let mut hints = Hints::default();
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let mut at = At {
            hints: &mut hints,
            schema: &schema,
        };
        match node {
            LogicalPlan::Limit(limit) => {
                for rows in limit.skip.iter().chain(&limit.fetch) {
                    at.expect(rows, &DataType::Int64);
                }
            }
            LogicalPlan::Filter(filter) => at.expect(&filter.predicate, &DataType::Boolean),
            LogicalPlan::Join(join) => {
                for (left, right) in &join.on {
                    at.alike(&[left, right]);
                }
                if let Some(condition) = &join.filter {
                    at.expect(condition, &DataType::Boolean);
                }
            }
            _ => {}
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                at.look_at(expr);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok((1..=count).map(|number| hints.0.remove(&number)).collect())
}

/// What is known, by the parameters' numbers.
#[derive(Debug, Default)]
struct Hints(BTreeMap<usize, DataType>);

/// One node of the plan, whose expressions are looked at.
struct At<'a> {
    hints: &'a mut Hints,
    /// What the node's inputs give.
    schema: &'a DFSchema,
}

impl At<'_> {
    fn look_at(&mut self, expr: &Expr) {
        match expr {
            Expr::BinaryExpr(binary) => self.binary(binary),
            Expr::Like(like) | Expr::SimilarTo(like) => {
                self.expect(&like.expr, &DataType::Utf8);
                self.expect(&like.pattern, &DataType::Utf8);
            }
            Expr::Not(inner)
            | Expr::IsTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsNotUnknown(inner) => self.expect(inner, &DataType::Boolean),
            Expr::Between(between) => self.alike(&[&between.expr, &between.low, &between.high]),
            Expr::InList(list) => {
                let mut all = vec![list.expr.as_ref()];
                all.extend(&list.list);
                self.alike(&all);
            }
            Expr::InSubquery(within) => {
                self.expect_column(&within.expr, within.subquery.subquery.schema());
            }
            Expr::SetComparison(within) => {
                self.expect_column(&within.expr, within.subquery.subquery.schema());
            }
            Expr::Case(case) => self.case(case),
            Expr::Cast(cast) => self.expect(&cast.expr, cast.field.data_type()),
            // What may fail to be of the type is given as a text.
            Expr::TryCast(cast) => self.expect(&cast.expr, &DataType::Utf8),
            Expr::ScalarFunction(call) => {
                let args: Vec<&Expr> = call.args.iter().collect();
                self.call(call.func.as_ref(), &args);
            }
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                let args: Vec<&Expr> = params.args.iter().collect();
                self.call(func.as_ref(), &args);
                if let Some(filter) = &params.filter {
                    self.expect(filter, &DataType::Boolean);
                }
            }
            Expr::WindowFunction(call) => {
                let WindowFunction { fun, params } = call.as_ref();
                let args: Vec<&Expr> = params.args.iter().collect();
                match fun {
                    WindowFunctionDefinition::AggregateUDF(func) => self.call(func.as_ref(), &args),
                    WindowFunctionDefinition::WindowUDF(func) => self.call(func.as_ref(), &args),
                }
            }
            _ => {}
        }
    }

    fn binary(&mut self, binary: &BinaryExpr) {
        use Operator::{
            And, BitwiseAnd, BitwiseOr, BitwiseShiftLeft, BitwiseShiftRight, BitwiseXor, Divide,
            Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, Minus, Modulo, Multiply,
            NotEq, Or, Plus, StringConcat,
        };
        let (left, right) = (binary.left.as_ref(), binary.right.as_ref());
        match binary.op {
            And | Or => self.both(left, right, &DataType::Boolean),
            Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
            | BitwiseAnd | BitwiseOr | BitwiseXor | BitwiseShiftLeft | BitwiseShiftRight => {
                self.alike(&[left, right]);
            }
            Plus | Minus | Multiply | Divide | Modulo => {
                if let Some(of) = self.known(right).and_then(|of| before(&of, binary.op)) {
                    self.expect(left, &of);
                }
                if let Some(of) = self.known(left).and_then(|of| after(&of, binary.op)) {
                    self.expect(right, &of);
                }
            }
            StringConcat => self.both(left, right, &DataType::Utf8),
            op if op.to_string().contains('~') => self.both(left, right, &DataType::Utf8),
            _ => {}
        }
    }

    fn case(&mut self, case: &Case) {
        let conditions = case.when_then_expr.iter().map(|(when, _)| when.as_ref());
        match &case.expr {
            Some(expr) => {
                let mut all = vec![expr.as_ref()];
                all.extend(conditions);
                self.alike(&all);
            }
            None => conditions.for_each(|when| self.expect(when, &DataType::Boolean)),
        }
        self.alike(&branches(case));
    }

    fn call<F: UDFCoercionExt>(&mut self, func: &F, args: &[&Expr]) {
        if !args.iter().any(|arg| is_parameter(arg)) {
            return;
        }
        if ALIKE.contains(&func.name()) {
            return self.alike(args);
        }
        let fields: Vec<FieldRef> = args
            .iter()
            .map(|arg| {
                let of = self.known(arg).unwrap_or(DataType::Null);
                FieldRef::new(Field::new("", of, true))
            })
            .collect();
        let Ok(coerced) = fields_with_udf(&fields, func) else {
            return;
        };
        for (arg, field) in args.iter().zip(&coerced) {
            if is_parameter(arg) && *field.data_type() != DataType::Null {
                self.expect(arg, &roomy(field.data_type()));
            }
        }
    }

    /// Expressions of one type: a column's counts before a literal's.
    fn alike(&mut self, all: &[&Expr]) {
        let literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
        let columns = all.iter().filter(|expr| !literal(expr));
        let mut known = columns.chain(all.iter().filter(|expr| literal(expr)));
        if let Some(of) = known.find_map(|expr| self.known(expr)) {
            all.iter().for_each(|expr| self.expect(expr, &of));
        }
    }

    fn both(&mut self, left: &Expr, right: &Expr, of: &DataType) {
        self.expect(left, of);
        self.expect(right, of);
    }

    fn expect_column(&mut self, expr: &Expr, schema: &DFSchema) {
        if let Some(field) = schema.fields().first() {
            self.expect(expr, field.data_type());
        }
    }

    /// An expression is wanted to be of a type: what that says about the parameters in it.
    fn expect(&mut self, expr: &Expr, of: &DataType) {
        match expr {
            Expr::Placeholder(placeholder) => {
                if let Some(number) = number(placeholder) {
                    self.hints.0.entry(number).or_insert_with(|| of.clone());
                }
            }
            Expr::Alias(alias) => self.expect(&alias.expr, of),
            Expr::Negative(inner) => self.expect(inner, of),
            Expr::Case(case) => {
                let branches = branches(case);
                if branches.iter().all(|branch| self.known(branch).is_none()) {
                    branches.iter().for_each(|branch| self.expect(branch, of));
                }
            }
            // Only where neither side says: the other side's type says more.
            Expr::BinaryExpr(binary)
                if of.is_numeric()
                    && is_arithmetic(binary.op)
                    && self.known(&binary.left).is_none()
                    && self.known(&binary.right).is_none() =>
            {
                self.both(&binary.left, &binary.right, of);
            }
            Expr::ScalarFunction(call)
                if ALIKE.contains(&call.func.name())
                    && call.args.iter().all(|arg| self.known(arg).is_none()) =>
            {
                call.args.iter().for_each(|arg| self.expect(arg, of));
            }
            _ => {}
        }
    }

    /// An expression's type, as far as it follows from something else than a parameter alone.
    fn known(&self, expr: &Expr) -> Option<DataType> {
        match expr {
            Expr::Placeholder(_) => None,
            Expr::Negative(inner) => self.known(inner),
            Expr::BinaryExpr(binary) if is_arithmetic(binary.op) => {
                self.known(&binary.left)
                    .or_else(|| self.known(&binary.right))?;
                self.typed(expr)
            }
            expr => self.typed(expr),
        }
    }

    fn typed(&self, expr: &Expr) -> Option<DataType> {
        expr.get_type(self.schema)
            .ok()
            .filter(|of| *of != DataType::Null)
    }
}

fn branches(case: &Case) -> Vec<&Expr> {
    let then = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
    then.chain(case.else_expr.as_deref()).collect()
}

/// What stands before an operator that has this after it.
fn before(after: &DataType, op: Operator) -> Option<DataType> {
    match (after, op) {
        (DataType::Interval(_), Operator::Multiply) => Some(DataType::Int64),
        (DataType::Interval(_), _) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        (of, Operator::Plus) if is_time(of) => Some(INTERVAL),
        (of, _) => Some(of.clone()),
    }
}

/// What stands after an operator that has this before it.
fn after(before: &DataType, op: Operator) -> Option<DataType> {
    match (before, op) {
        (DataType::Interval(_), Operator::Multiply | Operator::Divide) => Some(DataType::Int64),
        (DataType::Interval(_), Operator::Plus) => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, None))
        }
        (of, Operator::Plus | Operator::Minus) if is_time(of) => Some(INTERVAL),
        (of, _) => Some(of.clone()),
    }
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

fn is_time(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
    )
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(
        op,
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
    )
}

/// A function that takes any number is given the widest: what a client binds must fit.
fn roomy(of: &DataType) -> DataType {
    match of {
        of if of.is_integer() => DataType::Int64,
        of if of.is_numeric() => DataType::Float64,
        of => of.clone(),
    }
}

fn is_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(_))
}

fn number(placeholder: &Placeholder) -> Option<usize> {
    placeholder.id.strip_prefix('$')?.parse().ok()
}
