//! The policy file: who may do what, as grants. What none of them gives is denied.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landfast_planner::Role;
use landfast_planner::access::{
    AccessPolicy, Action, Glob, Grant, Grantee, NamePattern, RowFilter,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::{KeyPath, Problem};
use super::{ConfigError, invalid, nearest, position, with_suggestion};
use crate::system;

/// How large a policy file may be.
const BYTES_MAX: u64 = 16 << 20;

/// A policy file and what it says.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// Where it is.
    pub path: PathBuf,
    /// Tells its contents from other ones.
    pub digest: [u8; 32],
    /// What it says.
    pub policy: AccessPolicy,
}

/// Reads and checks a policy file.
///
/// # Errors
/// When the file can't be read, isn't TOML, has unknown keys, or says something that can't be; with the place.
pub fn load_policy(path: &Path) -> Result<PolicyFile, ConfigError> {
    let bytes = read(path).map_err(|source| ConfigError::Unreadable {
        file: path.to_owned(),
        source,
    })?;
    policy_of(path, bytes)
}

/// The bytes of a policy file, if it is not too large.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "it is larger than {BYTES_MAX} bytes"
        )));
    }
    std::fs::read(path)
}

/// Tells the contents of policy files apart.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// What a policy file of these bytes says.
pub(crate) fn policy_of(path: &Path, bytes: Vec<u8>) -> Result<PolicyFile, ConfigError> {
    let digest = digest(&bytes);
    let text = String::from_utf8(bytes).map_err(|_| ConfigError::Invalid {
        file: Some(path.to_owned()),
        line: None,
        key: None,
        what: "is not UTF-8".to_owned(),
    })?;
    Ok(PolicyFile {
        path: path.to_owned(),
        digest,
        policy: parse_policy(&text, Some(path))?,
    })
}

/// Checks a policy that is already in memory.
///
/// # Errors
/// As [`load_policy`].
pub fn parse_policy(text: &str, file: Option<&Path>) -> Result<AccessPolicy, ConfigError> {
    let raw: RawPolicy = toml::from_str(text).map_err(|e| {
        let span = e.span();
        ConfigError::Invalid {
            file: file.map(PathBuf::from),
            line: span.as_ref().map(|s| position::line_of(text, s.start)),
            key: span.as_ref().and_then(|s| position::path_at(text, s)),
            what: with_suggestion(e.message()),
        }
    })?;
    typed(&raw).map_err(|problem| invalid(text, file, problem))
}

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPolicy {
    built_in_roles: Vec<String>,
    grant: Vec<RawGrant>,
}

/// `[[grant]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGrant {
    to: Vec<String>,
    #[serde(default)]
    on: Vec<String>,
    actions: Option<Vec<String>>,
    columns: Option<Vec<String>>,
    rows: Option<String>,
    #[serde(default)]
    system_tables: Vec<String>,
    #[serde(default)]
    procedures: Vec<String>,
    #[serde(default)]
    queries: Vec<String>,
}

fn typed(raw: &RawPolicy) -> Result<AccessPolicy, Problem> {
    let root = KeyPath::root();
    let roles = each(&raw.built_in_roles, &root.key("built_in_roles"), |name| {
        Role::named(name)
            .ok_or_else(|| format!("there is no role {name:?}: write reader, engineer or operator"))
    })?;
    let at = root.key("grant");
    let grants = raw.grant.iter().enumerate();
    let grants = grants.map(|(index, grant)| typed_grant(grant, &at.index(index)));
    Ok(AccessPolicy::new(grants.collect::<Result<_, _>>()?, &roles))
}

fn typed_grant(raw: &RawGrant, at: &KeyPath) -> Result<Grant, Problem> {
    if raw.to.is_empty() {
        return Err(at.key("to").problem("is empty: a grant is to somebody"));
    }
    let gives = [&raw.on, &raw.system_tables, &raw.procedures, &raw.queries];
    if gives.iter().all(|given| given.is_empty()) {
        return Err(at.problem(
            "gives nothing: write `on` (tables), `system_tables`, `procedures` or `queries`",
        ));
    }
    let on = each(&raw.on, &at.key("on"), NamePattern::parse)?;
    let actions = actions(raw, &on, at)?;
    let rows = raw.rows.as_deref().map(|text| {
        RowFilter::parse(text).map_err(|what| at.key("rows").problem(format!("{text:?} {what}")))
    });
    let queries = each(&raw.queries, &at.key("queries"), |text| match text {
        "see" | "cancel" => Ok(text.to_owned()),
        _ => Err(format!(
            "{text:?} is no right: write see or cancel, of other people's queries"
        )),
    })?;
    Ok(Grant {
        to: each(&raw.to, &at.key("to"), Grantee::parse)?,
        on,
        actions,
        columns: columns(raw, at)?,
        rows: rows.transpose()?,
        system_tables: each(&raw.system_tables, &at.key("system_tables"), system_table)?,
        procedures: each(&raw.procedures, &at.key("procedures"), procedure)?,
        see_queries: queries.iter().any(|right| right == "see"),
        cancel_queries: queries.iter().any(|right| right == "cancel"),
    })
}

/// The actions of a grant: select, where nothing else is said.
fn actions(raw: &RawGrant, on: &[NamePattern], at: &KeyPath) -> Result<BTreeSet<Action>, Problem> {
    let limits = [
        ("columns", raw.columns.is_some()),
        ("rows", raw.rows.is_some()),
    ];
    let limit = limits
        .into_iter()
        .find(|(_, given)| *given)
        .map(|(key, _)| key);
    if on.is_empty() {
        let key = limit.or(raw.actions.is_some().then_some("actions"));
        return match key {
            Some(key) => Err(at
                .key(key)
                .problem("is of tables, and the grant names none: write `on`")),
            None => Ok(BTreeSet::new()),
        };
    }
    let Some(written) = &raw.actions else {
        return Ok(BTreeSet::from([Action::Select]));
    };
    let at = at.key("actions");
    if written.is_empty() {
        return Err(at.problem("is empty: leave it out for select"));
    }
    let actions = each(written, &at, |text| {
        Action::named(text).ok_or_else(|| {
            let known = Action::ALL.map(Action::as_str);
            match nearest(text, known.into_iter()) {
                Some(near) => format!("{text:?} is no action; did you mean `{near}`?"),
                None => format!("{text:?} is no action; known here: {}", known.join(", ")),
            }
        })
    })?;
    let actions: BTreeSet<Action> = actions.into_iter().collect();
    if let Some(limit) = limit.filter(|_| actions != BTreeSet::from([Action::Select])) {
        return Err(at.problem(format!(
            "`{limit}` limits what is read, and the grant gives more than `select`: write two grants"
        )));
    }
    let of_schemas = actions.iter().find(|action| action.is_of_schemas());
    if let Some(action) = of_schemas
        && let Some(index) = on.iter().position(|pattern| !pattern.is_of_schemas())
    {
        return Err(at.problem(format!(
            "`{}` is done to schemas, and `on` number {} names tables: write catalog.schema",
            action.as_str(),
            index + 1
        )));
    }
    Ok(actions)
}

fn columns(raw: &RawGrant, at: &KeyPath) -> Result<Option<BTreeSet<String>>, Problem> {
    let Some(columns) = &raw.columns else {
        return Ok(None);
    };
    let at = at.key("columns");
    if columns.is_empty() {
        return Err(at.problem("is empty: leave it out for all columns"));
    }
    let mut seen = BTreeSet::new();
    for (index, column) in columns.iter().enumerate() {
        if column.is_empty() || !seen.insert(column.clone()) {
            return Err(at
                .index(index)
                .problem("is empty, or a column that stands here twice"));
        }
    }
    Ok(Some(seen))
}

/// A pattern of tables of `landfast.system`, of which there is at least one.
fn system_table(text: &str) -> Result<Glob, String> {
    let glob = Glob::parse(text.strip_prefix("landfast.system.").unwrap_or(text))?;
    let known: Vec<&str> = system::tables().into_iter().map(|(name, _)| name).collect();
    if known.iter().any(|name| glob.matches(name)) {
        return Ok(glob);
    }
    Err(match nearest(text, known.iter().copied()) {
        Some(near) => format!("landfast.system has no table {text:?}; did you mean `{near}`?"),
        None => format!(
            "landfast.system has no table {text:?}; there are: {}",
            known.join(", ")
        ),
    })
}

/// A pattern of procedures, of which there is at least one that is granted so.
fn procedure(text: &str) -> Result<Glob, String> {
    const GRANTED: [&str; 2] = ["register_table", "unregister_table"];
    let name = text.strip_prefix("landfast.").unwrap_or(text);
    let glob = Glob::parse(name)?;
    if GRANTED.iter().any(|known| glob.matches(known)) {
        return Ok(glob);
    }
    Err(match name {
        "cancel" => "everybody may call landfast.cancel for queries of their own; for those of others, write \
                     `queries = [\"cancel\"]`"
            .to_owned(),
        _ => format!(
            "no procedure is called {text:?}; there are: landfast.{}",
            GRANTED.join(", landfast.")
        ),
    })
}

/// Reads each text of a list; an error is of the place that the text has in it.
fn each<T>(
    texts: &[String],
    at: &KeyPath,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Problem> {
    let read =
        |(index, text): (usize, &String)| read(text).map_err(|what| at.index(index).problem(what));
    texts.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match parse_policy(text, Some(Path::new("policy.toml"))) {
            Ok(_) => panic!("{text} is taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_procedure_that_is_not_there_or_not_granted_so_is_refused() {
        let granted =
            |name: &str| format!("[[grant]]\nto = [\"everyone\"]\nprocedures = [\"{name}\"]\n");
        for name in ["landfast.register_table", "*_table", "unregister_table"] {
            assert!(parse_policy(&granted(name), None).is_ok(), "{name}");
        }
        let typo = refused(&granted("landfast.registr_table"));
        assert!(
            typo.contains("procedures[#1]") && typo.contains("landfast.register_table"),
            "{typo}"
        );
        let cancel = refused(&granted("landfast.cancel"));
        assert!(cancel.contains("queries = [\"cancel\"]"), "{cancel}");
    }

    #[test]
    fn the_commented_example_is_a_policy() {
        let example = include_str!("../../../config/policy.toml");
        let policy = parse_policy(example, None).unwrap();
        assert!(policy.len() >= 5);
        // What stands there as a comment is one too.
        let shown = example
            .lines()
            .map(|line| line.strip_prefix("#   ").unwrap_or(line));
        parse_policy(&shown.collect::<Vec<_>>().join("\n"), None).unwrap();
    }

    #[test]
    fn an_error_names_the_place_and_what_may_stand_there() {
        let grant = |lines: &str| format!("[[grant]]\nto = [\"everyone\"]\n{lines}\n");
        for (text, wanted) in [
            (
                "[[grnt]]\n".to_owned(),
                "policy.toml:1: grnt: unknown key `grnt`; did you mean `grant`?",
            ),
            (grant("tables = []"), "unknown key `tables`"),
            (grant(""), "policy.toml:1: grant[#1]: gives nothing"),
            (
                "[[grant]]\nto = []\non = [\"lake\"]\n".to_owned(),
                "policy.toml:2: grant[#1].to: is empty",
            ),
            (
                grant("on = [\"lake..t\"]"),
                "policy.toml:3: grant[#1].on[#1]: \"lake..t\" has an empty part",
            ),
            (
                grant("on = [\"lake\"]\nactions = [\"selct\"]"),
                "policy.toml:4: grant[#1].actions[#1]: \"selct\" is no action; did you mean `select`?",
            ),
            (
                grant("on = [\"lake.a.t\"]\nactions = [\"drop_schema\"]"),
                "write catalog.schema",
            ),
            (
                grant("on = [\"lake\"]\nactions = [\"select\", \"drop_table\"]\nrows = \"a = 1\""),
                "write two grants",
            ),
            (
                grant("on = [\"lake\"]\nrows = \"a =\""),
                "policy.toml:4: grant[#1].rows: \"a =\"",
            ),
            (
                grant("on = [\"lake\"]\nrows = \"a IN (SELECT 1)\""),
                "holds a query",
            ),
            (grant("on = [\"lake\"]\ncolumns = [\"a\", \"a\"]"), "twice"),
            (
                grant("queries = [\"see\"]\nrows = \"a = 1\""),
                "the grant names none",
            ),
            (grant("queries = [\"kill\"]"), "write see or cancel"),
            (grant("system_tables = [\"site\"]"), "did you mean `sites`?"),
            (
                "built_in_roles = [\"root\"]\n".to_owned(),
                "policy.toml:1: built_in_roles[#1]: there is no role",
            ),
            (
                "[[grant]]\nto = [\"ada\"]\non = [\"lake\"]\n".to_owned(),
                "policy.toml:2: grant[#1].to[#1]: \"ada\" is nobody",
            ),
        ] {
            let error = refused(&text);
            assert!(error.contains(wanted), "{error}\n  for {wanted}");
        }
    }
}
