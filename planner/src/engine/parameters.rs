//! Parameters: what types they have, and how a bound row becomes literals.
//!
//! A parameter's type follows from what it stands beside: what it is compared with, cast to or limited by. Where nothing
//! says, it is a text, or the first of a few types with which the query makes sense.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ParamValues, Result as EngineResult, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::conform::plain_type;
use crate::{PlannerError, Result};

/// What a parameter is taken for when nothing says: the first with which the query can be planned.
fn guesses() -> [DataType; 5] {
    [
        DataType::Utf8,
        DataType::Float64,
        DataType::Int64,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Boolean,
    ]
}

/// Plans a query, finding out the types of its parameters on the way.
pub(super) fn typed(
    count: usize,
    plan: impl Fn(Vec<Option<FieldRef>>) -> EngineResult<LogicalPlan>,
) -> EngineResult<(LogicalPlan, Vec<DataType>)> {
    if count == 0 {
        return Ok((plan(Vec::new())?, Vec::new()));
    }
    let known = match plan(Vec::new()) {
        Ok(first) => known_types(&first, count)?,
        // A function may not take an argument of no type at all: its guesses come next.
        Err(_) => vec![None; count],
    };
    let mut first_error: Option<DataFusionError> = None;
    for guess in guesses() {
        let types: Vec<DataType> = known
            .iter()
            .map(|known| known.clone().unwrap_or_else(|| guess.clone()))
            .collect();
        let fields = types
            .iter()
            .map(|of| Some(Arc::new(Field::new("", of.clone(), true))))
            .collect();
        match plan(fields).and_then(checked) {
            Ok(plan) => return Ok((plan, types)),
            Err(error) => {
                first_error.get_or_insert(error);
                if known.iter().all(Option::is_some) {
                    break;
                }
            }
        }
    }
    Err(first_error
        .unwrap_or_else(|| DataFusionError::Plan("a parameter's type can't be found".to_string())))
}

/// A plan whose expressions all have types.
fn checked(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    plan.apply_with_subqueries(|node| {
        let schema = datafusion::logical_expr::utils::merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            if has_placeholder(expr)? && !node.inputs().is_empty() {
                datafusion::logical_expr::ExprSchemable::get_type(expr, &schema)?;
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(plan)
}

fn has_placeholder(expr: &Expr) -> EngineResult<bool> {
    expr.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_))))
}

/// The types that the planner inferred, and those of casts.
fn known_types(plan: &LogicalPlan, count: usize) -> EngineResult<Vec<Option<DataType>>> {
    let mut found: HashMap<usize, DataType> = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for count in limit.skip.iter().chain(&limit.fetch) {
                if let Expr::Placeholder(placeholder) = count.as_ref()
                    && let Some(number) = number(placeholder)
                {
                    found.insert(number, DataType::Int64);
                }
            }
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (placeholder, of) = match expr {
                    Expr::Placeholder(placeholder) => (
                        placeholder,
                        placeholder
                            .field
                            .as_ref()
                            .map(|field| field.data_type().clone()),
                    ),
                    Expr::Cast(cast) => match cast.expr.as_ref() {
                        Expr::Placeholder(inner) => (inner, Some(cast.field.data_type().clone())),
                        _ => return Ok(TreeNodeRecursion::Continue),
                    },
                    Expr::TryCast(cast) => match cast.expr.as_ref() {
                        // What may fail to be of the type is given as a text.
                        Expr::Placeholder(inner) => (inner, Some(DataType::Utf8)),
                        _ => return Ok(TreeNodeRecursion::Continue),
                    },
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                if let (Some(number), Some(of)) = (number(placeholder), of)
                    && of != DataType::Null
                {
                    found.entry(number).or_insert(of);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok((1..=count).map(|number| found.remove(&number)).collect())
}

fn number(placeholder: &Placeholder) -> Option<usize> {
    placeholder.id.strip_prefix('$')?.parse().ok()
}

/// The parameters as a client sees them: by number, nullable, of types that every driver knows.
pub(super) fn schema(types: &[DataType]) -> SchemaRef {
    let fields: Vec<Field> = types
        .iter()
        .enumerate()
        .map(|(at, of)| Field::new(format!("${}", at + 1), plain_type(of), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// So many parameters, all texts.
pub(super) fn texts(count: usize) -> SchemaRef {
    schema(&vec![DataType::Utf8; count])
}

/// The texts of a command's parameters.
pub(super) fn texts_of(row: Option<&RecordBatch>, count: usize) -> Result<Vec<String>> {
    values(row, count)?
        .iter()
        .enumerate()
        .map(|(at, value)| {
            let text = cast(value, &DataType::Utf8, at)?;
            match ScalarValue::try_from_array(&text, 0)? {
                ScalarValue::Utf8(Some(text)) => Ok(text),
                _ => Err(PlannerError::invalid(format!(
                    "parameter ${} is null, and a text is wanted",
                    at + 1
                ))),
            }
        })
        .collect()
}

/// The values of a query's parameters as literals.
pub(super) fn bound(row: Option<&RecordBatch>, types: &[DataType]) -> Result<ParamValues> {
    let literals = values(row, types.len())?
        .iter()
        .zip(types)
        .enumerate()
        .map(|(at, (value, of))| literal(value, of, at))
        .collect::<Result<Vec<_>>>()?;
    Ok(ParamValues::from(literals))
}

/// One row of so many values.
fn values(row: Option<&RecordBatch>, count: usize) -> Result<Vec<ArrayRef>> {
    let Some(row) = row else {
        return if count == 0 {
            Ok(Vec::new())
        } else {
            Err(PlannerError::invalid(format!(
                "the statement has {count} parameters, and none is bound"
            )))
        };
    };
    if row.num_columns() != count {
        return Err(PlannerError::invalid(format!(
            "the statement has {count} parameters, and {} are bound",
            row.num_columns()
        )));
    }
    if count > 0 && row.num_rows() != 1 {
        return Err(PlannerError::invalid(format!(
            "one row of parameters is wanted, and {} are bound",
            row.num_rows()
        )));
    }
    Ok(row.columns().to_vec())
}

/// A value as a literal of the parameter's type; a number or time that this type can't hold exactly keeps its own, so
/// that `price > 1.005` is never rounded to the column's scale.
fn literal(value: &ArrayRef, of: &DataType, at: usize) -> Result<ScalarValue> {
    if value.is_null(0) || *value.data_type() == DataType::Null {
        return Ok(ScalarValue::try_new_null(of)?);
    }
    let of_text = matches!(
        value.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let converted = match cast(value, of, at) {
        Ok(converted) => converted,
        Err(error) if of_text => return Err(error),
        Err(_) => return Ok(ScalarValue::try_from_array(value, 0)?),
    };
    if !of_text && value.data_type() != of {
        let back = cast(&converted, value.data_type(), at);
        if !back.is_ok_and(|back| back.as_ref() == value.as_ref()) {
            return Ok(ScalarValue::try_from_array(value, 0)?);
        }
    }
    Ok(ScalarValue::try_from_array(&converted, 0)?)
}

fn cast(value: &ArrayRef, to: &DataType, at: usize) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(value, to, &options).map_err(|_| {
        PlannerError::invalid(format!(
            "parameter ${} is a {}, which can't be read as {}",
            at + 1,
            super::sql_type_name(value.data_type()),
            super::sql_type_name(to)
        ))
    })
}
