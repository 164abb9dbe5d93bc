//! From a parsed statement to the one that Landfast runs: the second look at what the allow-list let through.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    DescribeAlias, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    ObjectName, ObjectType, Reset, SchemaName, Set, ShowStatementFilter,
    ShowStatementFilterPosition, ShowStatementOptions, Spanned, Statement as Ast, Use, Value,
};

use super::refuse::{place, refuse};
use super::shape::tame;
use super::statement::{
    Argument, Command, CommandKind, Like, QueryKind, QueryStatement, Show, Statement,
};
use super::travel::Clauses;
use crate::error::Position;
use crate::{PlannerError, Result};

/// The statement that a parsed one is, or why Landfast does not run it.
pub(super) fn statement(
    ast: Ast,
    text: Arc<str>,
    parameters: usize,
    at: Option<Position>,
    mut clauses: Clauses,
) -> Result<Statement> {
    let statement = built(ast, text, parameters, at, &mut clauses)?;
    clauses.finish()?;
    Ok(statement)
}

fn built(
    ast: Ast,
    text: Arc<str>,
    parameters: usize,
    at: Option<Position>,
    clauses: &mut Clauses,
) -> Result<Statement> {
    let deep = Cell::new(false);
    let query = |kind| {
        Ok(Statement::Query(QueryStatement {
            text: text.clone(),
            kind,
            parameters,
            deep: deep.get(),
        }))
    };
    let command = |kind| {
        Ok(Statement::Command(Command {
            text: text.clone(),
            kind,
            parameters,
        }))
    };
    let unsupported =
        |what: &str| Err(PlannerError::unsupported(format!("{what} is not supported")).at(at));
    match ast {
        Ast::Query(mut inner) => {
            clauses.give(&mut inner);
            deep.set(tame(&mut inner)?);
            refuse(&inner)?;
            query(QueryKind::Rows(inner))
        }
        Ast::Explain {
            describe_alias,
            analyze,
            verbose,
            query_plan,
            estimate,
            statement,
            format,
            options,
        } => {
            let Ast::Query(mut inner) = *statement else {
                return unsupported("EXPLAIN of anything but a query");
            };
            clauses.give(&mut inner);
            deep.set(tame(&mut inner)?);
            refuse(&inner)?;
            if describe_alias != DescribeAlias::Explain {
                return query(QueryKind::Show(Show::ColumnsOf(inner)));
            }
            if query_plan || estimate || format.is_some() || options.is_some() {
                return unsupported("EXPLAIN with options (write EXPLAIN [ANALYZE] [VERBOSE])");
            }
            query(QueryKind::Explain {
                analyze,
                verbose,
                query: inner,
            })
        }
        Ast::ExplainTable {
            hive_format,
            table_name,
            ..
        } => {
            if hive_format.is_some() {
                return unsupported("DESCRIBE EXTENDED and FORMATTED");
            }
            query(QueryKind::Show(Show::Columns {
                version: clauses.of_name(&table_name),
                table: table_name,
                like: Like::default(),
            }))
        }
        Ast::ShowCatalogs { show_options, .. } | Ast::ShowDatabases { show_options, .. } => {
            let (within, like) = show_parts(show_options)?;
            if within.is_some() {
                return unsupported("SHOW CATALOGS IN");
            }
            query(QueryKind::Show(Show::Catalogs(like)))
        }
        Ast::ShowSchemas { show_options, .. } => {
            let (within, like) = show_parts(show_options)?;
            let within = within.map(|name| single(&name)).transpose()?;
            query(QueryKind::Show(Show::Schemas { within, like }))
        }
        Ast::ShowTables { show_options, .. } => {
            let (within, like) = show_parts(show_options)?;
            query(QueryKind::Show(Show::Tables { within, like }))
        }
        Ast::ShowColumns { show_options, .. } => {
            let (table, like) = show_parts(show_options)?;
            let table = table.ok_or_else(|| {
                PlannerError::invalid("SHOW COLUMNS of which table? Add FROM").at(at)
            })?;
            let version = clauses.of_name(&table);
            query(QueryKind::Show(Show::Columns {
                table,
                version,
                like,
            }))
        }
        Ast::ShowVariable { variable } => {
            query(QueryKind::Show(Show::Settings(setting_name(&variable))))
        }
        Ast::Set(set) => command(set_command(set)?),
        Ast::Reset(reset) => command(CommandKind::Reset {
            key: match reset.reset {
                Reset::ALL => None,
                Reset::ConfigurationParameter(name) => Some(plain(&name)),
            },
        }),
        Ast::Use(target) => command(use_command(target)?),
        Ast::Call(function) => command(call(function)?),
        Ast::CreateSchema {
            schema_name,
            if_not_exists,
            with,
            options,
            default_collate_spec,
            clone,
        } => {
            let SchemaName::Simple(name) = schema_name else {
                return unsupported("CREATE SCHEMA … AUTHORIZATION");
            };
            if with.is_some()
                || options.is_some()
                || default_collate_spec.is_some()
                || clone.is_some()
            {
                return unsupported("CREATE SCHEMA with options");
            }
            command(CommandKind::CreateSchema {
                name,
                or_keep: if_not_exists,
            })
        }
        Ast::Drop {
            object_type,
            if_exists,
            mut names,
            cascade,
            purge,
            temporary,
            table,
            ..
        } => {
            if cascade || purge || temporary || table.is_some() {
                return unsupported("DROP with CASCADE, PURGE or TEMPORARY");
            }
            let (Some(name), true) = (names.pop(), names.is_empty()) else {
                return unsupported("DROP of several things at once");
            };
            match object_type {
                ObjectType::Schema => command(CommandKind::DropSchema {
                    name,
                    or_ignore: if_exists,
                }),
                ObjectType::Table => command(CommandKind::DropTable {
                    name,
                    or_ignore: if_exists,
                }),
                other => unsupported(&format!("DROP {other}")),
            }
        }
        _ => {
            let name: Vec<&str> = text.split_whitespace().take(2).collect();
            unsupported(&name.join(" ").to_uppercase())
        }
    }
}

fn show_parts(options: ShowStatementOptions) -> Result<(Option<ObjectName>, Like)> {
    let ShowStatementOptions {
        show_in,
        starts_with,
        limit,
        limit_from,
        filter_position,
    } = options;
    if starts_with.is_some() || limit.is_some() || limit_from.is_some() {
        return Err(PlannerError::unsupported(
            "SHOW with STARTS WITH or LIMIT is not supported (use LIKE)",
        ));
    }
    let filter = filter_position.map(|position| match position {
        ShowStatementFilterPosition::Infix(filter)
        | ShowStatementFilterPosition::Suffix(filter) => filter,
    });
    let like = match filter {
        None => Like::default(),
        Some(ShowStatementFilter::Like(pattern) | ShowStatementFilter::NoKeyword(pattern)) => {
            Like {
                pattern: Some(pattern),
                any_case: false,
            }
        }
        Some(ShowStatementFilter::ILike(pattern)) => Like {
            pattern: Some(pattern),
            any_case: true,
        },
        Some(ShowStatementFilter::Where(_)) => {
            return Err(PlannerError::unsupported(
                "SHOW … WHERE is not supported (use LIKE, or information_schema)",
            ));
        }
    };
    Ok((show_in.and_then(|within| within.parent_name), like))
}

fn set_command(set: Set) -> Result<CommandKind> {
    let (key, value) = match set {
        Set::SingleAssignment {
            scope: _,
            hivevar: false,
            variable,
            values,
        } => {
            let [value] = <[Expr; 1]>::try_from(values)
                .map_err(|_| PlannerError::invalid("SET takes one value: SET key = 'value'"))?;
            (plain(&variable), value)
        }
        Set::SetTimeZone {
            local: false,
            value,
        } => ("landfast.time_zone".to_string(), value),
        other => {
            return Err(PlannerError::unsupported(format!(
                "{other} is not supported: write SET key = 'value'"
            )));
        }
    };
    match value {
        Expr::Identifier(ident)
            if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") =>
        {
            Ok(CommandKind::Reset { key: Some(key) })
        }
        Expr::Identifier(ident) => Ok(CommandKind::Set {
            key,
            value: ident.value,
        }),
        Expr::Value(value) => match value.value {
            Value::SingleQuotedString(text)
            | Value::DoubleQuotedString(text)
            | Value::Number(text, _) => Ok(CommandKind::Set { key, value: text }),
            Value::Boolean(yes) => Ok(CommandKind::Set {
                key,
                value: yes.to_string(),
            }),
            other => Err(PlannerError::invalid(format!(
                "{key} can't be set to {other}: write a text in quotes"
            ))),
        },
        other => Err(PlannerError::invalid(format!(
            "{key} can't be set to {other}: write a text in quotes"
        ))),
    }
}

fn use_command(target: Use) -> Result<CommandKind> {
    match target {
        Use::Object(name) => Ok(CommandKind::Use { name }),
        other => Err(PlannerError::unsupported(format!(
            "{other} is not supported: write USE catalog.schema"
        ))),
    }
}

fn call(function: Function) -> Result<CommandKind> {
    let name = plain(&function.name).to_ascii_lowercase();
    let at = place(function.name.span());
    let plain_call = function.over.is_none()
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.within_group.is_empty()
        && function.parameters == FunctionArguments::None;
    let mut arguments = match function.args {
        FunctionArguments::List(list)
            if plain_call && list.clauses.is_empty() && list.duplicate_treatment.is_none() =>
        {
            list.args
                .into_iter()
                .map(argument)
                .collect::<Result<Vec<_>>>()?
        }
        FunctionArguments::None if plain_call => Vec::new(),
        _ => {
            return Err(
                PlannerError::invalid("CALL takes texts: CALL procedure('text', …)").at(at),
            );
        }
    }
    .into_iter();
    let kind = match (name.as_str(), arguments.len()) {
        ("landfast.register_table", 2) => arguments
            .next()
            .zip(arguments.next())
            .map(|(table, metadata)| CommandKind::RegisterTable { table, metadata }),
        ("landfast.unregister_table", 1) => arguments
            .next()
            .map(|table| CommandKind::UnregisterTable { table }),
        ("landfast.cancel", 1) => arguments
            .next()
            .map(|query| CommandKind::CancelQuery { query }),
        ("landfast.register_table" | "landfast.unregister_table" | "landfast.cancel", _) => None,
        _ => {
            return Err(PlannerError::not_found(
                format!("there is no procedure {name}"),
                vec![
                    "landfast.cancel".to_string(),
                    "landfast.register_table".to_string(),
                    "landfast.unregister_table".to_string(),
                ],
            )
            .at(at));
        }
    };
    kind.ok_or_else(|| {
        PlannerError::invalid(
            "write CALL landfast.register_table('catalog.schema.table', 'metadata.json URI'), \
             CALL landfast.unregister_table('catalog.schema.table') or CALL landfast.cancel('query id')",
        )
        .at(at)
    })
}

fn argument(argument: FunctionArg) -> Result<Argument> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) = &argument else {
        return Err(PlannerError::invalid(format!(
            "CALL takes texts in quotes, not {argument}"
        )));
    };
    match &value.value {
        Value::SingleQuotedString(text) => Ok(Argument::Text(text.clone())),
        Value::Placeholder(name) => name
            .trim_start_matches('$')
            .parse()
            .map(Argument::Parameter)
            .map_err(|_| PlannerError::invalid(format!("parameter {name} has no number"))),
        other => Err(PlannerError::invalid(format!(
            "CALL takes texts in quotes, not {other}"
        ))),
    }
}

/// `SHOW a.b`, `SHOW TIME ZONE` and `SHOW ALL`.
fn setting_name(words: &[Ident]) -> Option<String> {
    let words: Vec<&str> = words.iter().map(|ident| ident.value.as_str()).collect();
    match words.as_slice() {
        [] => None,
        [all] if all.eq_ignore_ascii_case("all") => None,
        [time, zone] if time.eq_ignore_ascii_case("time") && zone.eq_ignore_ascii_case("zone") => {
            Some("landfast.time_zone".to_string())
        }
        words => Some(words.join(".")),
    }
}

/// A name as its parts, joined by dots, without quotes.
fn plain(name: &ObjectName) -> String {
    let parts: Vec<&str> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.as_str())
        .collect();
    parts.join(".")
}

fn single(name: &ObjectName) -> Result<Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident().cloned(),
        _ => None,
    }
    .ok_or_else(|| {
        PlannerError::invalid(format!("{name} should be one name")).at(place(name.span()))
    })
}
