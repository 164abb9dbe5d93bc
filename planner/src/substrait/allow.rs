//! What of Substrait is allowed, part by part; everything else is refused by its name.
//!
//! The parts that pass are those whose meaning DataFusion's consumer keeps. It takes some malformed plans on trust and
//! would panic on them, so what it relies on is checked here: inputs that are there, numbers within their ranges, sorts
//! with a direction. What depends on the tables' columns is checked as the plan is [consumed](super::consume).

use substrait::proto::aggregate_function::AggregationInvocation;
use substrait::proto::expression::field_reference::RootType;
use substrait::proto::expression::literal::interval_day_to_second::PrecisionMode;
use substrait::proto::expression::literal::{
    IntervalDayToSecond, IntervalYearToMonth, LiteralType, PrecisionTime,
};
use substrait::proto::expression::nested::NestedType;
use substrait::proto::expression::subquery::SubqueryType;
use substrait::proto::expression::{Literal, RexType};
use substrait::proto::extensions::AdvancedExtension;
use substrait::proto::extensions::simple_extension_declaration::MappingType;
use substrait::proto::fetch_rel::{CountMode, OffsetMode};
use substrait::proto::function_argument::ArgType;
use substrait::proto::join_rel::JoinType;
use substrait::proto::read_rel::ReadType;
use substrait::proto::rel::RelType;
use substrait::proto::rel_common::EmitKind;
use substrait::proto::set_rel::SetOp;
use substrait::proto::sort_field::{SortDirection, SortKind};
use substrait::proto::r#type::Kind;
use substrait::proto::{
    AggregateFunction, AggregateRel, AggregationPhase, Expression, FunctionArgument,
    FunctionOption, Plan, ReadRel, Rel, RelCommon, SortField, Type, plan_rel,
};

use crate::{PlannerError, Result};

/// How many relations one plan may have.
const RELATIONS_MAX: usize = 2000;
/// How many columns an output mapping may give.
const MAPPED_MAX: usize = 10_000;
/// The longest value of a fixed length.
const FIXED_BYTES_MAX: i32 = 1 << 20;
/// The digits that a decimal has.
const DIGITS_MAX: i32 = 38;
/// What says of an integer's type that it has no sign, in the consumer's own words.
const UNSIGNED: u32 = 1;
const NANOS_OF_A_MILLISECOND: i64 = 1_000_000;

/// Allows every part of a plan, and gives the names of the tables that it reads, each way of writing once.
pub(super) fn allow(plan: &Plan) -> Result<Vec<Vec<String>>> {
    let mut allowing = Allowing::default();
    allowing.plan(plan)?;
    Ok(allowing.tables)
}

/// The names of the columns that reads of a table expect.
pub(super) fn columns_of<'p>(plan: &'p Plan, table: &[String]) -> Vec<&'p str> {
    let mut finder = Allowing {
        columns: Some((table.to_vec(), Vec::new())),
        ..Allowing::default()
    };
    // It was allowed before.
    let _ = finder.plan(plan);
    finder.columns.map_or_else(Vec::new, |(_, found)| found)
}

#[derive(Default)]
struct Allowing<'p> {
    tables: Vec<Vec<String>>,
    relations: usize,
    /// A table whose columns are looked for, and those found.
    columns: Option<(Vec<String>, Vec<&'p str>)>,
}

fn no<T>(what: &str) -> Result<T> {
    Err(PlannerError::unsupported(format!(
        "{what} is not supported in a Substrait plan"
    )))
}

fn malformed(what: &str) -> PlannerError {
    PlannerError::invalid(format!("the Substrait plan is malformed: {what}"))
}

/// An input, which can't be left out.
fn there<T>(input: Option<T>, what: &str) -> Result<T> {
    input.ok_or_else(|| malformed(&format!("{what} is missing")))
}

/// An extension may be an optimisation, which is not needed, or change what is meant.
fn advanced(extension: Option<&AdvancedExtension>) -> Result<()> {
    match extension.and_then(|extension| extension.enhancement.as_ref()) {
        Some(enhancement) => no(&format!(
            "the enhancement {:?}",
            short(&enhancement.type_url)
        )),
        None => Ok(()),
    }
}

/// As much of a client's text as an error repeats.
fn short(text: &str) -> &str {
    match text.char_indices().nth(100) {
        Some((cut, _)) => &text[..cut],
        None => text,
    }
}

impl<'p> Allowing<'p> {
    fn plan(&mut self, plan: &'p Plan) -> Result<()> {
        advanced(plan.advanced_extensions.as_ref())?;
        if !plan.parameter_bindings.is_empty() {
            return no("a binding of parameters");
        }
        for extension in &plan.extensions {
            match &extension.mapping_type {
                Some(MappingType::ExtensionTypeVariation(variation)) => {
                    return no(&format!("the type variation {:?}", short(&variation.name)));
                }
                Some(_) => {}
                None => return Err(malformed("an extension is empty")),
            }
        }
        match plan.relations.as_slice() {
            [relation] => match there(relation.rel_type.as_ref(), "its relation")? {
                plan_rel::RelType::Rel(rel) => self.rel(Some(rel)),
                plan_rel::RelType::Root(root) => self.rel(root.input.as_ref()),
            },
            [] => Err(malformed("it has no relation")),
            _ => no("more than one relation tree"),
        }
    }

    fn rel(&mut self, rel: Option<&'p Rel>) -> Result<()> {
        self.relations += 1;
        if self.relations > RELATIONS_MAX {
            return Err(PlannerError::exhausted(format!(
                "a Substrait plan may have {RELATIONS_MAX} relations"
            )));
        }
        let rel = there(rel, "a relation's input")?;
        match there(
            rel.rel_type.as_ref(),
            "a relation's kind, or it is a newer one,",
        )? {
            RelType::Read(read) => self.read(read),
            RelType::Filter(filter) => {
                common(filter.common.as_ref(), filter.advanced_extension.as_ref())?;
                self.rel(filter.input.as_deref())?;
                self.expr(there(filter.condition.as_deref(), "a filter's condition")?)
            }
            RelType::Fetch(fetch) => {
                common(fetch.common.as_ref(), fetch.advanced_extension.as_ref())?;
                if let Some(OffsetMode::OffsetExpr(offset)) = &fetch.offset_mode {
                    self.expr(offset)?;
                }
                if let Some(CountMode::CountExpr(count)) = &fetch.count_mode {
                    self.expr(count)?;
                }
                self.rel(fetch.input.as_deref())
            }
            RelType::Aggregate(aggregate) => self.aggregate(aggregate),
            RelType::Sort(sort) => {
                common(sort.common.as_ref(), sort.advanced_extension.as_ref())?;
                self.sorts(&sort.sorts)?;
                self.rel(sort.input.as_deref())
            }
            RelType::Join(join) => {
                common(join.common.as_ref(), join.advanced_extension.as_ref())?;
                if join.post_join_filter.is_some() {
                    return no("a filter after a join");
                }
                joins(join.r#type)?;
                self.maybe(join.expression.as_deref())?;
                self.rel(join.left.as_deref())?;
                self.rel(join.right.as_deref())
            }
            RelType::Project(project) => {
                common(project.common.as_ref(), project.advanced_extension.as_ref())?;
                self.exprs(&project.expressions)?;
                self.rel(project.input.as_deref())
            }
            RelType::Set(set) => {
                common(set.common.as_ref(), set.advanced_extension.as_ref())?;
                sets(set.op)?;
                set.inputs.iter().try_for_each(|rel| self.rel(Some(rel)))
            }
            RelType::Cross(cross) => {
                common(cross.common.as_ref(), cross.advanced_extension.as_ref())?;
                self.rel(cross.left.as_deref())?;
                self.rel(cross.right.as_deref())
            }
            RelType::ExtensionSingle(rel) => no(&extension(
                rel.detail.as_ref().map(|of| of.type_url.as_str()),
            )),
            RelType::ExtensionMulti(rel) => no(&extension(
                rel.detail.as_ref().map(|of| of.type_url.as_str()),
            )),
            RelType::ExtensionLeaf(rel) => no(&extension(
                rel.detail.as_ref().map(|of| of.type_url.as_str()),
            )),
            RelType::Write(_) => {
                no("WriteRel: Landfast reads tables and does not write them yet; it")
            }
            RelType::Ddl(_) => no("DdlRel"),
            RelType::Update(_) => {
                no("UpdateRel: Landfast reads tables and does not write them yet; it")
            }
            RelType::Reference(_) => no("ReferenceRel"),
            RelType::HashJoin(_) => no("HashJoinRel, a physical relation,"),
            RelType::MergeJoin(_) => no("MergeJoinRel, a physical relation,"),
            RelType::NestedLoopJoin(_) => no("NestedLoopJoinRel, a physical relation,"),
            RelType::Window(_) => no("ConsistentPartitionWindowRel, a physical relation,"),
            RelType::Exchange(_) => no("ExchangeRel, a physical relation,"),
            RelType::Expand(_) => no("ExpandRel, a physical relation,"),
        }
    }

    /// A read of a table by its name: nothing else is a table here.
    fn read(&mut self, read: &'p ReadRel) -> Result<()> {
        common(read.common.as_ref(), read.advanced_extension.as_ref())?;
        let named = match there(read.read_type.as_ref(), "what a ReadRel reads")? {
            ReadType::NamedTable(named) => named,
            ReadType::LocalFiles(_) => {
                return no("a ReadRel of local files: tables are read by their names, and it");
            }
            ReadType::VirtualTable(_) => {
                return no("a ReadRel of a virtual table (rows in the plan)");
            }
            ReadType::ExtensionTable(table) => {
                return no(&extension(
                    table.detail.as_ref().map(|of| of.type_url.as_str()),
                ));
            }
            ReadType::IcebergTable(_) => {
                return no(
                    "a ReadRel of an Iceberg metadata file: tables are read by their names, and it",
                );
            }
        };
        advanced(named.advanced_extension.as_ref())?;
        let base = there(read.base_schema.as_ref(), "the schema of a ReadRel")?;
        let types = &there(base.r#struct.as_ref(), "the schema of a ReadRel")?.types;
        // How precise a time is, the table says.
        let times = |of: &&Type| matches!(of.kind, Some(Kind::PrecisionTime(_)));
        types.iter().filter(|of| !times(of)).try_for_each(kind)?;
        if let Some(select) = read
            .projection
            .as_ref()
            .and_then(|mask| mask.select.as_ref())
        {
            for item in &select.struct_items {
                if item.child.is_some() {
                    return no("a selection within a column");
                }
                let within = usize::try_from(item.field).is_ok_and(|at| at < types.len());
                if !within {
                    return Err(malformed(
                        "a ReadRel selects a column that it does not have",
                    ));
                }
            }
        }
        if !self.tables.contains(&named.names) {
            self.tables.push(named.names.clone());
        }
        if let Some((wanted, found)) = &mut self.columns
            && *wanted == named.names
        {
            found.extend(base.names.iter().map(String::as_str));
        }
        // A best-effort filter may be left out.
        self.maybe(read.filter.as_deref())
    }

    fn aggregate(&mut self, aggregate: &'p AggregateRel) -> Result<()> {
        common(
            aggregate.common.as_ref(),
            aggregate.advanced_extension.as_ref(),
        )?;
        self.exprs(&aggregate.grouping_expressions)?;
        if aggregate.groupings.len() > 1 {
            return no("an AggregateRel of more than one grouping");
        }
        for grouping in &aggregate.groupings {
            #[expect(deprecated, reason = "older producers write it")]
            self.exprs(&grouping.grouping_expressions)?;
            let mut seen = vec![false; aggregate.grouping_expressions.len()];
            for at in &grouping.expression_references {
                let seen = usize::try_from(*at).ok().and_then(|at| seen.get_mut(at));
                let seen = there(seen, "what an AggregateRel groups by")?;
                if std::mem::replace(seen, true) {
                    return Err(malformed("an AggregateRel groups by one expression twice"));
                }
            }
        }
        for measure in &aggregate.measures {
            self.maybe(measure.filter.as_ref())?;
            self.aggregate_function(there(measure.measure.as_ref(), "a measure's function")?)?;
        }
        self.rel(aggregate.input.as_deref())
    }

    fn aggregate_function(&mut self, function: &'p AggregateFunction) -> Result<()> {
        whole(function.phase)?;
        options(&function.options)?;
        #[expect(deprecated, reason = "refused where it is used")]
        if !function.args.is_empty() {
            return no("a function's `args`, which became `arguments`,");
        }
        self.sorts(&function.sorts)?;
        self.arguments(&function.arguments)
    }

    fn sorts(&mut self, sorts: &'p [SortField]) -> Result<()> {
        for sort in sorts {
            match there(sort.sort_kind.as_ref(), "the direction of a sort")? {
                SortKind::Direction(direction) => match SortDirection::try_from(*direction) {
                    Ok(
                        SortDirection::AscNullsFirst
                        | SortDirection::AscNullsLast
                        | SortDirection::DescNullsFirst
                        | SortDirection::DescNullsLast,
                    ) => {}
                    Ok(other) => return no(other.as_str_name()),
                    Err(_) => return Err(malformed("a sort has an unknown direction")),
                },
                SortKind::ComparisonFunctionReference(_) => return no("a sort by a function"),
            }
            self.expr(there(sort.expr.as_ref(), "what a sort sorts by")?)?;
        }
        Ok(())
    }

    fn exprs(&mut self, exprs: &'p [Expression]) -> Result<()> {
        exprs.iter().try_for_each(|expr| self.expr(expr))
    }

    fn maybe(&mut self, expr: Option<&'p Expression>) -> Result<()> {
        expr.map_or(Ok(()), |expr| self.expr(expr))
    }

    fn arguments(&mut self, arguments: &'p [FunctionArgument]) -> Result<()> {
        for argument in arguments {
            match there(argument.arg_type.as_ref(), "a function's argument")? {
                ArgType::Value(value) => self.expr(value)?,
                ArgType::Enum(value) => {
                    return no(&format!("the enumeration argument {:?}", short(value)));
                }
                ArgType::Type(_) => return no("a type as a function's argument"),
            }
        }
        Ok(())
    }

    fn expr(&mut self, expr: &'p Expression) -> Result<()> {
        match there(
            expr.rex_type.as_ref(),
            "an expression, or it is of a newer kind,",
        )? {
            RexType::Literal(value) => literal(value),
            RexType::Selection(reference) => match &reference.root_type {
                None | Some(RootType::RootReference(_) | RootType::OuterReference(_)) => Ok(()),
                Some(RootType::Expression(_)) => no("a field of an expression"),
                Some(RootType::LambdaParameterReference(_)) => no("a lambda"),
            },
            RexType::ScalarFunction(function) => {
                options(&function.options)?;
                #[expect(deprecated, reason = "refused where it is used")]
                if !function.args.is_empty() {
                    return no("a function's `args`, which became `arguments`,");
                }
                self.arguments(&function.arguments)
            }
            RexType::WindowFunction(function) => {
                whole(function.phase)?;
                options(&function.options)?;
                #[expect(deprecated, reason = "refused where it is used")]
                if !function.args.is_empty() {
                    return no("a function's `args`, which became `arguments`,");
                }
                if function.invocation == AggregationInvocation::Distinct as i32 {
                    return no("a window function of distinct values");
                }
                self.sorts(&function.sorts)?;
                self.exprs(&function.partitions)?;
                self.arguments(&function.arguments)
            }
            RexType::IfThen(choice) => {
                for clause in &choice.ifs {
                    self.maybe(clause.r#if.as_ref())?;
                    self.maybe(clause.then.as_ref())?;
                }
                self.maybe(choice.r#else.as_deref())
            }
            RexType::SingularOrList(list) => {
                self.expr(there(
                    list.value.as_deref(),
                    "what is looked for in a list",
                )?)?;
                self.exprs(&list.options)
            }
            RexType::Cast(cast) => {
                let asked = there(cast.r#type.as_ref(), "the type of a cast")?;
                kind(asked)?;
                if has_fields(asked) {
                    return no("a cast to a struct");
                }
                self.expr(there(cast.input.as_deref(), "what is cast")?)
            }
            RexType::Subquery(query) => {
                match there(query.subquery_type.as_ref(), "a sub-query's kind")? {
                    SubqueryType::Scalar(scalar) => self.rel(scalar.input.as_deref()),
                    SubqueryType::InPredicate(within) => {
                        self.exprs(&within.needles)?;
                        self.rel(within.haystack.as_deref())
                    }
                    SubqueryType::SetPredicate(predicate) => self.rel(predicate.tuples.as_deref()),
                    SubqueryType::SetComparison(comparison) => {
                        self.maybe(comparison.left.as_deref())?;
                        self.rel(comparison.right.as_deref())
                    }
                }
            }
            RexType::Nested(nested) => match &nested.nested_type {
                Some(NestedType::List(list)) => self.exprs(&list.values),
                _ => no("a struct or a map made of expressions"),
            },
            RexType::SwitchExpression(_) => no("a switch expression"),
            RexType::MultiOrList(_) => no("a list of records to look in"),
            RexType::DynamicParameter(_) => no("a parameter"),
            RexType::Lambda(_) | RexType::LambdaInvocation(_) => no("a lambda"),
            #[expect(deprecated, reason = "refused by name")]
            RexType::Enum(_) => no("an enumeration as an expression"),
        }
    }
}

/// What all relations have.
fn common(common: Option<&RelCommon>, extension: Option<&AdvancedExtension>) -> Result<()> {
    advanced(extension)?;
    let Some(common) = common else {
        return Ok(());
    };
    advanced(common.advanced_extension.as_ref())?;
    match &common.emit_kind {
        Some(EmitKind::Emit(emit)) if emit.output_mapping.len() > MAPPED_MAX => {
            Err(PlannerError::exhausted(format!(
                "a relation of a Substrait plan may give {MAPPED_MAX} columns"
            )))
        }
        _ => Ok(()),
    }
}

fn extension(type_url: Option<&str>) -> String {
    let name = type_url.map_or("without a name", short);
    format!("the extension {name:?}")
}

/// Joins that keep rows, or find those that have a match or none. One that marks them would mark false what is unknown.
fn joins(of: i32) -> Result<()> {
    match JoinType::try_from(of) {
        Ok(
            JoinType::Inner
            | JoinType::Left
            | JoinType::Right
            | JoinType::Outer
            | JoinType::LeftSemi
            | JoinType::RightSemi
            | JoinType::LeftAnti
            | JoinType::RightAnti,
        ) => Ok(()),
        Ok(JoinType::Unspecified) => Err(malformed("the type of a join is missing")),
        Ok(other) => no(other.as_str_name()),
        Err(_) => Err(malformed("a join is of an unknown type")),
    }
}

/// Set operations that do not count how often a row comes, but for UNION ALL, which needs no counting.
fn sets(of: i32) -> Result<()> {
    match SetOp::try_from(of) {
        Ok(
            SetOp::UnionAll
            | SetOp::UnionDistinct
            | SetOp::IntersectionPrimary
            | SetOp::IntersectionMultiset
            | SetOp::MinusPrimary,
        ) => Ok(()),
        Ok(SetOp::Unspecified) => Err(malformed("the kind of a set operation is missing")),
        Ok(other) => no(other.as_str_name()),
        Err(_) => Err(malformed("a set operation is of an unknown kind")),
    }
}

/// A function computes its whole result: parts of one are for those who made them.
fn whole(phase: i32) -> Result<()> {
    match AggregationPhase::try_from(phase) {
        Ok(AggregationPhase::Unspecified | AggregationPhase::InitialToResult) => Ok(()),
        Ok(other) => no(other.as_str_name()),
        Err(_) => Err(malformed("a function has an unknown phase")),
    }
}

/// An option asks for one behaviour among several, and to be refused by who has another.
fn options(options: &[FunctionOption]) -> Result<()> {
    match options.first() {
        Some(option) => no(&format!(
            "the option {:?} of a function",
            short(&option.name)
        )),
        None => Ok(()),
    }
}

fn literal(literal: &Literal) -> Result<()> {
    match there(
        literal.literal_type.as_ref(),
        "a literal, or it is of a newer type,",
    )? {
        LiteralType::Boolean(_)
        | LiteralType::I32(_)
        | LiteralType::I64(_)
        | LiteralType::Fp32(_)
        | LiteralType::Fp64(_)
        | LiteralType::String(_)
        | LiteralType::Binary(_)
        | LiteralType::Date(_)
        | LiteralType::FixedChar(_)
        | LiteralType::VarChar(_)
        | LiteralType::FixedBinary(_)
        | LiteralType::PrecisionTimestamp(_)
        | LiteralType::PrecisionTimestampTz(_) => Ok(()),
        #[expect(deprecated, reason = "older producers write it")]
        LiteralType::Timestamp(_) => Ok(()),
        LiteralType::I8(value) => integer(*value, 8, literal.type_variation_reference),
        LiteralType::I16(value) => integer(*value, 16, literal.type_variation_reference),
        LiteralType::PrecisionTime(time) => time_of_day(time),
        LiteralType::Decimal(value) => decimal(value.precision, value.scale),
        LiteralType::Null(of) => kind(of),
        LiteralType::IntervalYearToMonth(interval) => months(interval),
        LiteralType::IntervalDayToSecond(interval) => seconds(interval, NANOS_OF_A_MILLISECOND),
        LiteralType::IntervalCompound(interval) => {
            interval
                .interval_year_to_month
                .as_ref()
                .map_or(Ok(()), months)?;
            interval
                .interval_day_to_second
                .as_ref()
                .map_or(Ok(()), |interval| seconds(interval, 1))
        }
        LiteralType::List(_) | LiteralType::EmptyList(_) => no("a literal that is a list"),
        LiteralType::Map(_) | LiteralType::EmptyMap(_) => no("a literal that is a map"),
        LiteralType::Struct(_) => no("a literal that is a struct"),
        LiteralType::Uuid(_) => no("a literal that is a UUID"),
        LiteralType::UserDefined(_) => no("a literal of a type of the user's own"),
        #[expect(deprecated, reason = "refused by name")]
        LiteralType::Time(_) => no("`time`, which became `precision_time`,"),
        #[expect(deprecated, reason = "refused by name")]
        LiteralType::TimestampTz(_) => no("`timestamp_tz`, which became `precision_timestamp_tz`,"),
    }
}

/// An integer of so many bits, which comes in one of 32.
fn integer(value: i32, bits: u32, variation: u32) -> Result<()> {
    let range = match variation {
        UNSIGNED => 0..1 << bits,
        _ => -(1 << (bits - 1))..1 << (bits - 1),
    };
    match range.contains(&value) {
        true => Ok(()),
        false => Err(malformed(&format!("{value} is no integer of {bits} bits"))),
    }
}

/// How many parts a second has whose fraction is written with so many digits.
fn parts_of_a_second(digits: i32) -> Option<i64> {
    match digits {
        0 => Some(1),
        3 => Some(1_000),
        6 => Some(1_000_000),
        9 => Some(1_000_000_000),
        _ => None,
    }
}

fn time_of_day(time: &PrecisionTime) -> Result<()> {
    let Some(parts) = parts_of_a_second(time.precision) else {
        return no("a time of such a precision");
    };
    match (0..24 * 60 * 60 * parts).contains(&time.value) {
        true => Ok(()),
        false => Err(malformed("a time is not within a day")),
    }
}

fn decimal(precision: i32, scale: i32) -> Result<()> {
    if (1..=DIGITS_MAX).contains(&precision) && (0..=precision).contains(&scale) {
        return Ok(());
    }
    Err(malformed(&format!(
        "there is no decimal of {precision} digits, {scale} of them behind the point"
    )))
}

fn months(interval: &IntervalYearToMonth) -> Result<()> {
    let months = interval.years.checked_mul(12);
    match months.and_then(|months| months.checked_add(interval.months)) {
        Some(_) => Ok(()),
        None => Err(malformed("an interval is too long")),
    }
}

/// An interval whose smallest part that is kept has so many nanoseconds.
fn seconds(interval: &IntervalDayToSecond, kept_nanos: i64) -> Result<()> {
    let (digits, subseconds) = match interval.precision_mode {
        None => (0, interval.subseconds),
        #[expect(deprecated, reason = "older producers write it")]
        Some(PrecisionMode::Microseconds(micros)) => (6, i64::from(micros)),
        Some(PrecisionMode::Precision(digits)) => (digits, interval.subseconds),
    };
    let Some(parts) = parts_of_a_second(digits) else {
        return no("an interval of such a precision");
    };
    // Milliseconds of these and of a second more fit.
    let fits = interval.seconds.unsigned_abs() <= 2_147_000
        && subseconds.unsigned_abs() <= parts.unsigned_abs();
    if !fits {
        return Err(malformed("an interval is too long: give its days as days"));
    }
    match subseconds * (1_000_000_000 / parts) % kept_nanos {
        0 => Ok(()),
        _ => no("an interval of days and seconds with parts of a millisecond"),
    }
}

/// Whether values of a type have fields, whose names a type in a plan does not say.
fn has_fields(of: &Type) -> bool {
    let within = |of: &Option<Box<Type>>| of.as_deref().is_some_and(has_fields);
    match &of.kind {
        Some(Kind::Struct(_)) => true,
        Some(Kind::List(list)) => within(&list.r#type),
        Some(Kind::Map(map)) => within(&map.key) || within(&map.value),
        _ => false,
    }
}

/// A type that values can have here; of a column that is read, the table says which.
fn kind(of: &Type) -> Result<()> {
    match there(of.kind.as_ref(), "a type, or it is a newer one,")? {
        Kind::Decimal(decimal_type) => decimal(decimal_type.precision, decimal_type.scale),
        Kind::FixedBinary(fixed) if !(0..=FIXED_BYTES_MAX).contains(&fixed.length) => {
            Err(malformed("a type of a fixed length is too long"))
        }
        Kind::PrecisionTime(time) => match (time.precision, time.type_variation_reference) {
            (0 | 3, 0) | (6 | 9, 1) => Ok(()),
            _ => no("a time of such a precision"),
        },
        Kind::List(list) => kind(there(
            list.r#type.as_deref(),
            "the type of a list's values",
        )?),
        Kind::Map(map) => {
            kind(there(map.key.as_deref(), "the type of a map's keys")?)?;
            kind(there(map.value.as_deref(), "the type of a map's values")?)
        }
        Kind::Struct(fields) => fields.types.iter().try_for_each(kind),
        Kind::Func(_) => no("the type of a function"),
        Kind::Alias(_) => no("a type alias"),
        _ => Ok(()),
    }
}
