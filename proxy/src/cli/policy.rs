//! `landfast policy`: what a policy file gives to whom, without asking anybody.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use landfast_catalog::TableName;
use landfast_planner::access::{Action, NamePattern, RowFilter, Selection, TableAccess};
use landfast_planner::{Access, AccessPolicy, Asker, Groups, Role};

use crate::config::{self, load_policy};
use crate::error::ProxyError;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Say what somebody may do with a table, and how much of it they see
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The configuration file; its `[authorization] policy_file` is read, or the roles hold
    #[arg(long, required_unless_present = "policy")]
    config: Option<PathBuf>,
    /// The policy file itself
    #[arg(long, conflicts_with = "config")]
    policy: Option<PathBuf>,
    /// Who asks
    #[arg(long)]
    user: String,
    /// A group that they are in; may be given more than once
    #[arg(long = "group")]
    groups: Vec<String>,
    /// Their role
    #[arg(long, value_enum, default_value_t = AskedRole::Reader)]
    role: AskedRole,
    /// The table: catalog.schema.table
    table: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AskedRole {
    Reader,
    Engineer,
    Operator,
}

pub(super) fn run(command: &PolicyCommand, out: &mut (dyn Write + Send)) -> Result<(), ProxyError> {
    let PolicyCommand::Explain(args) = command;
    let policy = match (&args.policy, &args.config) {
        (Some(file), _) => load_policy(file)?.policy,
        (None, Some(file)) => {
            let file = config::load(file)?.policy;
            file.map_or_else(AccessPolicy::of_roles, |file| file.policy)
        }
        (None, None) => AccessPolicy::of_roles(),
    };
    let pattern = NamePattern::parse(&args.table).map_err(ProxyError::Usage)?;
    let table = pattern.exact().ok_or_else(|| {
        ProxyError::Usage(format!(
            "{:?} is no table: write catalog.schema.table",
            args.table
        ))
    })?;
    let asker = Asker {
        principal: args.user.clone(),
        role: match args.role {
            AskedRole::Reader => Role::Reader,
            AskedRole::Engineer => Role::Engineer,
            AskedRole::Operator => Role::Operator,
        },
        groups: Groups::new(&args.groups),
        session: None,
    };
    let access = policy.access(&asker);
    for line in explained(&access, &table) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn explained(access: &Access, table: &TableName) -> Vec<String> {
    let who = access.principal();
    let may: Vec<&str> = Action::ALL
        .into_iter()
        .filter(|action| match action.is_of_schemas() {
            true => access.may_schema(*action, &table.catalog, &table.schema),
            false => access.may(*action, table),
        })
        .map(Action::as_str)
        .collect();
    let mut lines = match access.table(table) {
        TableAccess::Hidden => vec![format!("{table} is not there for {who}")],
        TableAccess::Named => vec![format!("{who} knows of {table} and reads nothing of it")],
        TableAccess::Read(selection) if selection.is_whole() => {
            vec![format!("{who} reads all of {table}")]
        }
        TableAccess::Read(selection) => {
            let mut lines = vec![format!("{who} reads a part of {table}")];
            lines.extend(limits(&selection));
            lines
        }
    };
    if !may.is_empty() {
        lines.push(format!("may: {}", may.join(", ")));
    }
    lines
}

fn limits(selection: &Selection) -> Vec<String> {
    let any = |filters: Vec<&RowFilter>| {
        let texts: Vec<String> = filters.iter().map(|f| format!("({})", f.text())).collect();
        (!texts.is_empty()).then(|| texts.join(" OR "))
    };
    let rows = any(selection.rows()).unwrap_or_else(|| "all".to_owned());
    let mut named: Vec<&String> = selection
        .parts()
        .iter()
        .flat_map(|part| part.columns.iter().flatten())
        .collect();
    named.sort();
    named.dedup();
    let all = selection.parts().iter().any(|part| part.columns.is_none());
    let names: Vec<&str> = named.iter().map(|name| name.as_str()).collect();
    let mut lines = vec![
        format!("rows: {rows}"),
        match all {
            true => "columns: all".to_owned(),
            false => format!("columns: {}", names.join(", ")),
        },
    ];
    let masked = named.iter().filter_map(|name| {
        let mask = any(selection.mask(name))?;
        Some(format!("  {name}: null but where {mask}"))
    });
    lines.extend(masked);
    // A column that no part lists has the mask of those parts that list none.
    let others = selection
        .parts()
        .iter()
        .filter(|part| part.columns.is_none());
    let others: Vec<&RowFilter> = others.flat_map(|part| &part.rows).collect();
    if all && !named.is_empty() && others.len() < selection.rows().len() {
        lines.extend(any(others).map(|mask| format!("  others: null but where {mask}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_policy;

    const POLICY: &str = r#"
        [[grant]]
        to = ["group:eu"]
        on = ["lake.crm.orders"]
        columns = ["id", "total"]
        rows = "region = 'EU'"
        [[grant]]
        to = ["user:ada"]
        on = ["lake.crm.orders"]
        columns = ["id"]
        rows = "owner = current_user"
        [[grant]]
        to = ["role:engineer"]
        on = ["lake.crm"]
        actions = ["drop_table", "create_schema"]
    "#;

    fn explain(user: &str, groups: &[&str], role: Role, table: &str) -> Vec<String> {
        let asker = Asker {
            principal: user.to_owned(),
            role,
            groups: Groups::new(groups),
            session: None,
        };
        let access = parse_policy(POLICY, None).unwrap().access(&asker);
        explained(
            &access,
            &NamePattern::parse(table).unwrap().exact().unwrap(),
        )
    }

    #[test]
    fn what_somebody_sees_of_a_table_is_said_in_full() {
        assert_eq!(
            explain("ada", &["eu"], Role::Reader, "lake.crm.orders"),
            [
                "ada reads a part of lake.crm.orders",
                "rows: (region = 'EU') OR (owner = current_user)",
                "columns: id, total",
                "  total: null but where (region = 'EU')",
                "may: select",
            ]
        );
        assert_eq!(
            explain("bob", &[], Role::Reader, "lake.crm.orders"),
            ["lake.crm.orders is not there for bob"]
        );
        assert_eq!(
            explain("bob", &[], Role::Operator, "lake.crm.orders"),
            [
                "bob knows of lake.crm.orders and reads nothing of it",
                "may: create_schema, drop_table"
            ]
        );
    }
}
