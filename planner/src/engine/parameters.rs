//! Parameters: what types they have, and how a bound row becomes literals.
//!
//! A parameter's type follows from [what it stands beside](super::inference). Where nothing says, it is a text, or the first
//! of a few types with which the query makes sense.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use chrono::{NaiveTime, Utc};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ParamValues, Result as EngineResult, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::conform::plain_type;
use super::inference::infer;
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
    let fields = |types: &[DataType]| -> Vec<Option<FieldRef>> {
        let field = |of: &DataType| Some(Arc::new(Field::new("", of.clone(), true)));
        types.iter().map(field).collect()
    };
    // A function may not take an argument of no type at all: what its parameter stands beside shows with a guess, too.
    let mut first = plan(Vec::new());
    for guess in guesses() {
        if first.is_ok() {
            break;
        }
        first = plan(fields(&vec![guess; count]));
    }
    let known = infer(&first?, count)?;
    let unknown = vec![None; count];
    let mut first_error: Option<DataFusionError> = None;
    for known in [&known, &unknown] {
        for guess in guesses() {
            let types: Vec<DataType> = known
                .iter()
                .map(|known| known.clone().unwrap_or_else(|| guess.clone()))
                .collect();
            match plan(fields(&types)).and_then(checked) {
                Ok(plan) => return Ok((plan, types)),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
            if known.iter().all(Option::is_some) {
                break;
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
/// that `price > 1.005` is never rounded to the column's scale. A text has no type of its own to keep, and is refused.
fn literal(value: &ArrayRef, of: &DataType, at: usize) -> Result<ScalarValue> {
    if value.is_null(0) || *value.data_type() == DataType::Null {
        return Ok(ScalarValue::try_new_null(of)?);
    }
    let of_text = plain_type(value.data_type()) == DataType::Utf8;
    let converted = match cast(value, of, at) {
        Ok(converted) => converted,
        Err(error) if of_text || !comparable(value.data_type(), of) => return Err(error),
        Err(_) => return Ok(ScalarValue::try_from_array(value, 0)?),
    };
    if of_text {
        let text = cast(value, &DataType::Utf8, at)?;
        if !holds_all_of(of, text.as_string::<i32>().value(0)) {
            return Err(PlannerError::invalid(format!(
                "parameter ${} is a text of which a {} can't hold all, and texts are not rounded: bind a number or a time, \
                 or cast the parameter to a finer type where it is compared",
                at + 1,
                super::sql_type_name(of)
            )));
        }
    } else if value.data_type() != of {
        let back = cast(&converted, value.data_type(), at);
        if !back.is_ok_and(|back| back.as_ref() == value.as_ref()) {
            return Ok(ScalarValue::try_from_array(value, 0)?);
        }
    }
    Ok(ScalarValue::try_from_array(&converted, 0)?)
}

/// Whether nothing is lost of a text that can be read as this type. Of doubles nobody expects that.
fn holds_all_of(of: &DataType, text: &str) -> bool {
    match of {
        DataType::Decimal32(_, places)
        | DataType::Decimal64(_, places)
        | DataType::Decimal128(_, places)
        | DataType::Decimal256(_, places) => {
            has_places(text, usize::try_from(*places).unwrap_or(0))
        }
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) => {
            has_places(text, places_of(*unit))
        }
        // What has a time is read as one; else it is a date alone, however it is written.
        DataType::Date32 => string_to_datetime(&Utc, text)
            .ok()
            .is_none_or(|time| time.time() == NaiveTime::MIN && has_places(text, 0)),
        _ => true,
    }
}

/// Whether a number, or a time, has nothing but noughts after so many places behind the point.
fn has_places(text: &str, places: usize) -> bool {
    let behind = text.split_once('.').map_or("", |(_, behind)| behind);
    let digits = behind.bytes().take_while(u8::is_ascii_digit);
    digits.skip(places).all(|digit| digit == b'0')
}

fn places_of(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Whether a value of one type means something beside the other, though that can't hold it.
fn comparable(value: &DataType, of: &DataType) -> bool {
    let (numbers, times) = (
        |of: &DataType| of.is_numeric(),
        |of: &DataType| {
            matches!(
                of,
                DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
            )
        },
    );
    (numbers(value) && numbers(of)) || (times(value) && times(of))
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
