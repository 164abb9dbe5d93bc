//! Clauses that parse but would not do what they say.
//!
//! The engine's planner drops what it doesn't know without a word: a version, a sample, a lock, a hint. A query that
//! holds such a clause is refused by name, at any depth, since its answer would not be the one asked for.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, GroupByExpr, NamedWindowDefinition, NamedWindowExpr, ObjectName,
    OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned,
    Statement, TableAlias, TableFactor, Visit, Visitor, WildcardAdditionalOptions, WindowSpec,
    WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::error::Position;
use crate::{PlannerError, Result};

/// The table functions there are; none reads a disk, a network or a setting.
pub(crate) const TABLE_FUNCTIONS: [&str; 3] = ["generate_series", "range", "unnest"];

/// Refuses a query that holds anything that would be ignored or that is not a query.
pub(super) fn refuse(query: &Query) -> Result<()> {
    match query.visit(&mut Refuser) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Where a span starts, unless it is empty.
pub(crate) fn place(span: Span) -> Option<Position> {
    (span.start.line > 0).then_some(Position {
        line: span.start.line,
        column: span.start.column,
    })
}

struct Refuser;

type Flow = ControlFlow<PlannerError>;

fn no(what: impl Into<String>, span: Span) -> Flow {
    ControlFlow::Break(
        PlannerError::unsupported(format!("{} is not supported", what.into())).at(place(span)),
    )
}

impl Visitor for Refuser {
    type Break = PlannerError;

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        query_clauses(query)?;
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                alias_clauses(&cte.alias)?;
                if cte.from.is_some() {
                    return no("FROM after a WITH query", cte.alias.name.span);
                }
                if cte.alias.name.value.contains('.') {
                    return no("a dot in the name of a WITH query", cte.alias.name.span);
                }
            }
        }
        set_expr(&query.body, query)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        select_clauses(select)?;
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                    wildcard_clauses(options, item.span())?;
                }
                SelectItem::ExprWithAliases { .. } => {
                    return no("an alias of several names", item.span());
                }
                SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => {}
            }
        }
        for NamedWindowDefinition(_, expr) in &select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = expr {
                window(spec)?;
            }
        }
        for join in select.from.iter().flat_map(|table| &table.joins) {
            if join.global {
                return no("GLOBAL JOIN", join.span());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        table_factor(factor)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        match expr {
            Expr::Function(function) if function.parameters != FunctionArguments::None => no(
                "a function with a second list of arguments",
                function.name.span(),
            ),
            Expr::Function(function) => match &function.over {
                Some(WindowType::WindowSpec(spec)) => window(spec),
                Some(WindowType::NamedWindow(_)) | None => ControlFlow::Continue(()),
            },
            Expr::Identifier(ident)
                if ident.quote_style.is_none() && ident.value.starts_with('@') =>
            {
                no(format!("variable {}", ident.value), ident.span)
            }
            Expr::CompoundIdentifier(idents)
                if idents
                    .first()
                    .is_some_and(|i| i.quote_style.is_none() && i.value.starts_with('@')) =>
            {
                no(format!("variable {}", expr), expr.span())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> Flow {
        no("a statement inside a query", statement.span())
    }
}

fn query_clauses(query: &Query) -> Flow {
    let span = query.body.span();
    if !query.locks.is_empty() {
        return no(
            "FOR UPDATE and FOR SHARE: Landfast reads snapshots, which nothing can change; it",
            span,
        );
    }
    if query.for_clause.is_some() {
        return no("FOR XML, FOR JSON and FOR BROWSE", span);
    }
    if query.settings.is_some() {
        return no("SETTINGS in a query (use SET before it)", span);
    }
    if query.format_clause.is_some() {
        return no("FORMAT", span);
    }
    if !query.pipe_operators.is_empty() {
        return no("the pipe operator |>", span);
    }
    if query.fetch.is_some() {
        return no("FETCH with TIES, PERCENT or beside LIMIT", span);
    }
    let all = query
        .order_by
        .as_ref()
        .is_some_and(|order| matches!(order.kind, OrderByKind::All(_)));
    if all && !matches!(*query.body, SetExpr::Select(_)) {
        return no("ORDER BY ALL of anything but one SELECT", span);
    }
    ControlFlow::Continue(())
}

fn set_expr(body: &SetExpr, query: &Query) -> Flow {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        // The engine's joins for these don't count how often a row is there.
        SetExpr::SetOperation {
            op: op @ (SetOperator::Except | SetOperator::Minus | SetOperator::Intersect),
            set_quantifier: SetQuantifier::All | SetQuantifier::AllByName,
            ..
        } => no(format!("{op} ALL"), query.span()),
        SetExpr::SetOperation { left, right, .. } => {
            set_expr(left, query)?;
            set_expr(right, query)
        }
        SetExpr::Insert(_) => no("INSERT", query.span()),
        SetExpr::Update(_) => no("UPDATE", query.span()),
        SetExpr::Delete(_) => no("DELETE", query.span()),
        SetExpr::Merge(_) => no("MERGE", query.span()),
        SetExpr::Table(_) => no("TABLE t (write SELECT * FROM t)", query.span()),
    }
}

fn select_clauses(select: &Select) -> Flow {
    let span = select.select_token.0.span;
    let found = [
        (select.into.is_some(), "SELECT INTO"),
        (select.top.is_some(), "TOP (write LIMIT)"),
        (!select.optimizer_hints.is_empty(), "an optimizer hint"),
        (
            select.select_modifiers.is_some(),
            "a MySQL modifier of SELECT",
        ),
        (
            select.exclude.is_some(),
            "EXCLUDE after the whole select list (write * EXCLUDE (…))",
        ),
        (
            !select.lateral_views.is_empty(),
            "LATERAL VIEW (write CROSS JOIN UNNEST)",
        ),
        (select.prewhere.is_some(), "PREWHERE (write WHERE)"),
        (
            !select.connect_by.is_empty(),
            "CONNECT BY (write WITH RECURSIVE)",
        ),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY (write ORDER BY)"),
        (
            select.value_table_mode.is_some(),
            "SELECT AS VALUE and AS STRUCT",
        ),
    ];
    if let Some((_, what)) = found.into_iter().find(|(there, _)| *there) {
        return no(what, span);
    }
    match &select.group_by {
        GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)
            if !modifiers.is_empty() =>
        {
            no(
                "GROUP BY … WITH (write ROLLUP(…), CUBE(…) or GROUPING SETS)",
                span,
            )
        }
        _ => ControlFlow::Continue(()),
    }
}

fn window(spec: &WindowSpec) -> Flow {
    match &spec.window_name {
        Some(name) => no(
            format!("a window that builds on {name} (write OVER {name}, or its clauses out)"),
            name.span,
        ),
        None => ControlFlow::Continue(()),
    }
}

fn wildcard_clauses(options: &WildcardAdditionalOptions, span: Span) -> Flow {
    if options.opt_ilike.is_some() {
        return no("* ILIKE", span);
    }
    if options.opt_rename.is_some() {
        return no("* RENAME", span);
    }
    if options.opt_alias.is_some() {
        return no("an alias of *", span);
    }
    ControlFlow::Continue(())
}

fn alias_clauses(alias: &TableAlias) -> Flow {
    if alias.at.is_some() {
        return no("AT after a table's alias", alias.name.span);
    }
    if alias
        .columns
        .iter()
        .any(|column| column.data_type.is_some())
    {
        return no("a type in a list of column aliases", alias.name.span);
    }
    ControlFlow::Continue(())
}

fn table_factor(factor: &TableFactor) -> Flow {
    let span = factor.span();
    match factor {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            let found = [
                (
                    version.is_some() && args.is_some(),
                    "AS OF after a table function",
                ),
                (sample.is_some(), "TABLESAMPLE"),
                (
                    !with_hints.is_empty() || !index_hints.is_empty(),
                    "a table hint",
                ),
                (*with_ordinality, "WITH ORDINALITY"),
                (
                    !partitions.is_empty(),
                    "PARTITION after a table's name (write WHERE)",
                ),
                (json_path.is_some(), "a JSON path after a table's name"),
            ];
            if let Some((_, what)) = found.into_iter().find(|(there, _)| *there) {
                return no(what, span);
            }
            if let Some(args) = args {
                if args.settings.is_some() {
                    return no("SETTINGS of a table function", span);
                }
                table_function(name)?;
            }
            alias
                .as_ref()
                .map_or(ControlFlow::Continue(()), alias_clauses)
        }
        TableFactor::Derived { alias, sample, .. } => {
            if sample.is_some() {
                return no("TABLESAMPLE", span);
            }
            alias
                .as_ref()
                .map_or(ControlFlow::Continue(()), alias_clauses)
        }
        TableFactor::Function {
            name,
            with_ordinality,
            alias,
            ..
        } => {
            if *with_ordinality {
                return no("WITH ORDINALITY", span);
            }
            table_function(name)?;
            alias
                .as_ref()
                .map_or(ControlFlow::Continue(()), alias_clauses)
        }
        TableFactor::UNNEST {
            alias,
            with_offset,
            with_offset_alias,
            with_ordinality,
            ..
        } => {
            if *with_offset || with_offset_alias.is_some() || *with_ordinality {
                return no("UNNEST with an offset or an ordinality", span);
            }
            alias
                .as_ref()
                .map_or(ControlFlow::Continue(()), alias_clauses)
        }
        TableFactor::NestedJoin {
            alias,
            table_with_joins,
        } => {
            if table_with_joins.joins.iter().any(|join| join.global) {
                return no("GLOBAL JOIN", span);
            }
            alias
                .as_ref()
                .map_or(ControlFlow::Continue(()), alias_clauses)
        }
        TableFactor::TableFunction { .. } => no("TABLE(…)", span),
        TableFactor::Pivot { .. } => no("PIVOT", span),
        TableFactor::Unpivot { .. } => no("UNPIVOT", span),
        TableFactor::MatchRecognize { .. } => no("MATCH_RECOGNIZE", span),
        TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => {
            no("a table made of JSON", span)
        }
        TableFactor::XmlTable { .. } => no("XMLTABLE", span),
        TableFactor::SemanticView { .. } => no("SEMANTIC_VIEW", span),
    }
}

fn table_function(name: &ObjectName) -> Flow {
    let written = name.to_string();
    if TABLE_FUNCTIONS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(&written))
    {
        return ControlFlow::Continue(());
    }
    ControlFlow::Break(
        PlannerError::unsupported(format!(
            "table function {written} is not supported; there are {}",
            TABLE_FUNCTIONS.join(", ")
        ))
        .at(place(name.span())),
    )
}
