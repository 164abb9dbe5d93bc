//! From a filter to questions about single columns.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use iceberg::spec::{Datum, PrimitiveLiteral, PrimitiveType, Schema};

use super::question::{Op, Prefix, Question};

/// A filter, as far as it can be decided on what is known of columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// Nothing can be said.
    Unknown,
    /// Passes every row, or none.
    Always(bool),
    /// A question about the column of this field id.
    Column(i32, Question),
    All(Vec<Test>),
    Any(Vec<Test>),
}

impl Test {
    /// Whether a row may pass. `may` answers questions about single columns.
    pub(super) fn may_hold(&self, may: &dyn Fn(i32, &Question) -> bool) -> bool {
        match self {
            Self::Unknown => true,
            Self::Always(passes) => *passes,
            Self::Column(id, question) => may(*id, question),
            Self::All(tests) => tests.iter().all(|test| test.may_hold(may)),
            Self::Any(tests) => tests.iter().any(|test| test.may_hold(may)),
        }
    }

    /// The columns that it asks about.
    pub(super) fn columns(&self, into: &mut BTreeSet<i32>) {
        match self {
            Self::Unknown | Self::Always(_) => {}
            Self::Column(id, _) => {
                into.insert(*id);
            }
            Self::All(tests) | Self::Any(tests) => {
                tests.iter().for_each(|test| test.columns(into));
            }
        }
    }

    /// Whether nothing is left open once the values of the columns that `known` names are known.
    pub(super) fn is_decided_by(&self, known: &dyn Fn(i32) -> bool) -> bool {
        match self {
            Self::Unknown => false,
            Self::Always(_) => true,
            Self::Column(id, _) => known(*id),
            Self::All(tests) | Self::Any(tests) => {
                tests.iter().all(|test| test.is_decided_by(known))
            }
        }
    }
}

/// Compiles a filter over the table's current columns.
pub(super) fn compile(filter: &Expr, schema: &Schema) -> Test {
    Compiler { schema }.test(filter, false)
}

struct Compiler<'a> {
    schema: &'a Schema,
}

/// A column that questions can be asked about.
struct Column<'a> {
    id: i32,
    of: &'a PrimitiveType,
}

impl Compiler<'_> {
    /// `negated` asks for the rows for which the filter is false, not for those for which it is null.
    fn test(&self, filter: &Expr, negated: bool) -> Test {
        match filter {
            Expr::Alias(alias) => self.test(&alias.expr, negated),
            Expr::Not(inner) => self.test(inner, !negated),
            Expr::Literal(ScalarValue::Boolean(value), _) => Test::Always(*value == Some(!negated)),
            Expr::Column(_) => self.compare(
                filter,
                Op::Eq,
                &Expr::Literal(ScalarValue::Boolean(Some(true)), None),
                negated,
            ),
            Expr::IsNull(inner) => self.nullness(inner, !negated),
            Expr::IsNotNull(inner) => self.nullness(inner, negated),
            Expr::IsTrue(inner) if !negated => self.test(inner, false),
            Expr::IsFalse(inner) if !negated => self.test(inner, true),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                self.binary(left, *op, right, negated)
            }
            Expr::Between(between) => self.between(between, negated),
            Expr::InList(list) => self.in_list(list, negated),
            Expr::Like(like) if !negated => self.like(like),
            Expr::ScalarFunction(call) if !negated && call.name() == "starts_with" => {
                match call.args.as_slice() {
                    [value, prefix] => self.starts_with(value, prefix),
                    _ => Test::Unknown,
                }
            }
            _ => Test::Unknown,
        }
    }

    fn binary(&self, left: &Expr, op: Operator, right: &Expr, negated: bool) -> Test {
        let op = match op {
            Operator::And | Operator::Or => {
                let both = vec![self.test(left, negated), self.test(right, negated)];
                return if (op == Operator::And) != negated {
                    Test::All(both)
                } else {
                    Test::Any(both)
                };
            }
            Operator::Eq => Op::Eq,
            Operator::NotEq => Op::NotEq,
            Operator::Lt => Op::Lt,
            Operator::LtEq => Op::LtEq,
            Operator::Gt => Op::Gt,
            Operator::GtEq => Op::GtEq,
            _ => return Test::Unknown,
        };
        match (self.column(left), self.column(right)) {
            (Some(_), None) => self.compare(left, op, right, negated),
            (None, Some(_)) => self.compare(right, op.mirrored(), left, negated),
            _ => Test::Unknown,
        }
    }

    fn compare(&self, column: &Expr, op: Op, value: &Expr, negated: bool) -> Test {
        let (Some(column), Expr::Literal(value, _)) = (self.column(column), value) else {
            return Test::Unknown;
        };
        if value.is_null() {
            return Test::Always(false);
        }
        let Some(value) = literal(value, column.of) else {
            return Test::Unknown;
        };
        let (op, value) = inclusive(if negated { op.negated() } else { op }, value);
        Test::Column(column.id, Question::Compare(op, value))
    }

    fn nullness(&self, inner: &Expr, is_null: bool) -> Test {
        let question = if is_null {
            Question::IsNull
        } else {
            Question::IsNotNull
        };
        match inner {
            Expr::Column(column) => match self.schema.as_struct().field_by_name(&column.name) {
                Some(field) if field.field_type.is_primitive() => Test::Column(field.id, question),
                _ => Test::Unknown,
            },
            _ => Test::Unknown,
        }
    }

    fn between(&self, between: &Between, negated: bool) -> Test {
        let outside = between.negated != negated;
        let low = self.compare(&between.expr, Op::GtEq, &between.low, outside);
        let high = self.compare(&between.expr, Op::LtEq, &between.high, outside);
        if outside {
            Test::Any(vec![low, high])
        } else {
            Test::All(vec![low, high])
        }
    }

    fn in_list(&self, list: &InList, negated: bool) -> Test {
        if list.negated != negated {
            let each = list
                .list
                .iter()
                .map(|value| self.compare(&list.expr, Op::NotEq, value, false));
            return Test::All(each.collect());
        }
        let Some(column) = self.column(&list.expr) else {
            return Test::Unknown;
        };
        let mut values = Vec::with_capacity(list.list.len());
        for value in &list.list {
            let Expr::Literal(value, _) = value else {
                return Test::Unknown;
            };
            if value.is_null() {
                continue;
            }
            let Some(value) = literal(value, column.of) else {
                return Test::Unknown;
            };
            values.push(value);
        }
        if values.is_empty() {
            return Test::Always(false);
        }
        Test::Column(column.id, Question::In(values))
    }

    /// `LIKE` with a plain beginning. Only `text%` says no more than that.
    fn like(&self, like: &Like) -> Test {
        let Expr::Literal(pattern, _) = like.pattern.as_ref() else {
            return Test::Unknown;
        };
        let Some(Some(pattern)) = pattern.try_as_str() else {
            return Test::Unknown;
        };
        if like.negated
            || like.case_insensitive
            || like.escape_char.is_some()
            || pattern.contains('\\')
        {
            return Test::Unknown;
        }
        let Some(column) = self.text_column(&like.expr) else {
            return Test::Unknown;
        };
        let Some(end) = pattern.find(['%', '_']) else {
            return Test::Column(
                column,
                Question::Compare(Op::Eq, PrimitiveLiteral::String(pattern.to_owned())),
            );
        };
        let begins = Test::Column(
            column,
            Question::StartsWith(Prefix(pattern[..end].to_owned())),
        );
        if &pattern[end..] == "%" {
            begins
        } else {
            Test::All(vec![begins, Test::Unknown])
        }
    }

    fn starts_with(&self, value: &Expr, prefix: &Expr) -> Test {
        let (Some(column), Expr::Literal(prefix, _)) = (self.text_column(value), prefix) else {
            return Test::Unknown;
        };
        match prefix.try_as_str() {
            Some(Some(prefix)) => {
                Test::Column(column, Question::StartsWith(Prefix(prefix.to_owned())))
            }
            _ => Test::Unknown,
        }
    }

    fn text_column(&self, value: &Expr) -> Option<i32> {
        self.column(value)
            .filter(|column| column.of == &PrimitiveType::String)
            .map(|column| column.id)
    }

    fn column(&self, expr: &Expr) -> Option<Column<'_>> {
        let Expr::Column(column) = expr else {
            return None;
        };
        let field = self.schema.as_struct().field_by_name(&column.name)?;
        Some(Column {
            id: field.id,
            of: field.field_type.as_primitive_type()?,
        })
    }
}

/// A strict comparison of whole numbers as one that isn't, so that a partition that ends at the value is left out.
fn inclusive(op: Op, value: PrimitiveLiteral) -> (Op, PrimitiveLiteral) {
    use PrimitiveLiteral as L;
    let moved = match (op, &value) {
        (Op::Lt, L::Int(v)) => v.checked_sub(1).map(|v| (Op::LtEq, L::Int(v))),
        (Op::Lt, L::Long(v)) => v.checked_sub(1).map(|v| (Op::LtEq, L::Long(v))),
        (Op::Lt, L::Int128(v)) => v.checked_sub(1).map(|v| (Op::LtEq, L::Int128(v))),
        (Op::Gt, L::Int(v)) => v.checked_add(1).map(|v| (Op::GtEq, L::Int(v))),
        (Op::Gt, L::Long(v)) => v.checked_add(1).map(|v| (Op::GtEq, L::Long(v))),
        (Op::Gt, L::Int128(v)) => v.checked_add(1).map(|v| (Op::GtEq, L::Int128(v))),
        _ => None,
    };
    moved.unwrap_or((op, value))
}

/// A literal as a value of the column's type; `None` where it is of any other.
fn literal(value: &ScalarValue, of: &PrimitiveType) -> Option<PrimitiveLiteral> {
    use PrimitiveType as T;
    use ScalarValue as S;
    Some(match (of, value) {
        (of, S::Dictionary(_, value)) => return literal(value, of),
        (T::Boolean, S::Boolean(Some(v))) => PrimitiveLiteral::Boolean(*v),
        (T::Int, S::Int32(Some(v))) | (T::Date, S::Date32(Some(v))) => PrimitiveLiteral::Int(*v),
        (T::Long, S::Int64(Some(v)))
        | (T::Time, S::Time64Microsecond(Some(v)))
        | (T::Timestamp, S::TimestampMicrosecond(Some(v), None))
        | (T::Timestamptz, S::TimestampMicrosecond(Some(v), Some(_)))
        | (T::TimestampNs, S::TimestampNanosecond(Some(v), None))
        | (T::TimestamptzNs, S::TimestampNanosecond(Some(v), Some(_))) => {
            PrimitiveLiteral::Long(*v)
        }
        (T::Float, S::Float32(Some(v))) if !v.is_nan() => Datum::float(*v).literal().clone(),
        (T::Double, S::Float64(Some(v))) if !v.is_nan() => Datum::double(*v).literal().clone(),
        (T::Decimal { scale, .. }, S::Decimal128(Some(v), _, places))
            if i64::from(*scale) == i64::from(*places) =>
        {
            PrimitiveLiteral::Int128(*v)
        }
        (T::String, S::Utf8(Some(v)) | S::LargeUtf8(Some(v)) | S::Utf8View(Some(v))) => {
            PrimitiveLiteral::String(v.clone())
        }
        (T::Binary, S::Binary(Some(v)) | S::LargeBinary(Some(v)) | S::BinaryView(Some(v)))
        | (T::Fixed(_), S::FixedSizeBinary(_, Some(v))) => PrimitiveLiteral::Binary(v.clone()),
        (T::Uuid, S::FixedSizeBinary(16, Some(v))) => {
            PrimitiveLiteral::UInt128(u128::from_be_bytes(v.as_slice().try_into().ok()?))
        }
        _ => return None,
    })
}
