//! [`Access`]: what one asker may do.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use landfast_catalog::{CatalogName, SchemaName, TableName};

use super::{Action, Grant, NamePattern, Selection};
use crate::{Asker, Groups, Role};

/// Tables of `landfast.system` that everybody may read: of the asker's own queries they tell, and of others' only to who
/// may see those.
const OWN_TABLES: [&str; 3] = ["last_query", "queries", "query_reads"];

/// What an asker may know and do of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum TableAccess {
    /// Not even that it is there.
    Hidden,
    /// It may be named, and nothing of its rows is given.
    Named,
    /// So much of it may be read.
    Read(Selection),
}

/// What one asker may do: their grants of one policy, ready to be asked.
#[derive(Debug, Clone)]
pub struct Access {
    principal: String,
    groups: Groups,
    role: Role,
    grants: Vec<Arc<Grant>>,
    /// Positions of the grants on one table each.
    exact: HashMap<TableName, Vec<usize>>,
    exact_schemas: HashSet<(CatalogName, SchemaName)>,
    exact_catalogs: HashSet<CatalogName>,
    /// Positions of grants, with those of their patterns that many names are of.
    patterns: Vec<(usize, NamePattern)>,
    everything: bool,
}

/// The same asker may do the same.
impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        self.principal == other.principal
            && self.groups == other.groups
            && self.role == other.role
            && self.grants == other.grants
    }
}

impl Access {
    pub(super) fn new(asker: &Asker, grants: Vec<Arc<Grant>>) -> Self {
        let mut access = Self {
            principal: asker.principal.clone(),
            groups: asker.groups.clone(),
            role: asker.role,
            everything: grants.iter().any(|grant| is_everything(grant)),
            exact: HashMap::new(),
            exact_schemas: HashSet::new(),
            exact_catalogs: HashSet::new(),
            patterns: Vec::new(),
            grants,
        };
        for (at, grant) in access.grants.iter().enumerate() {
            for pattern in &grant.on {
                let Some(name) = pattern.exact() else {
                    access.patterns.push((at, pattern.clone()));
                    continue;
                };
                let (catalog, schema) = (name.catalog.clone(), name.schema.clone());
                access.exact_catalogs.insert(catalog.clone());
                access.exact_schemas.insert((catalog, schema));
                access.exact.entry(name).or_default().push(at);
            }
        }
        access
    }

    /// The asker's name.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The asker's role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the asker is in a group.
    pub fn is_member(&self, group: &str) -> bool {
        self.groups.contains(group)
    }

    /// Whether every table may be read whole, whatever it is called.
    pub fn reads_everything(&self) -> bool {
        self.everything
    }

    /// What may be known and done of a table, or of a view.
    pub fn table(&self, name: &TableName) -> TableAccess {
        let mut named = false;
        let mut reading = Vec::new();
        for grant in self.grants_on(name) {
            named |= grant.actions.iter().any(|action| !action.is_of_schemas());
            if grant.actions.contains(&Action::Select) {
                reading.push(grant);
            }
        }
        match Selection::of(reading) {
            Some(selection) => TableAccess::Read(selection),
            None if named => TableAccess::Named,
            None => TableAccess::Hidden,
        }
    }

    /// Whether it may be known that a table is there.
    pub fn sees_table(&self, name: &TableName) -> bool {
        let named = |grant: &Grant| grant.actions.iter().any(|action| !action.is_of_schemas());
        self.everything || self.grants_on(name).any(named)
    }

    /// Whether all of a table may be read, and what its metadata tells of its files.
    pub fn reads_whole(&self, name: &TableName) -> bool {
        self.everything
            || matches!(self.table(name), TableAccess::Read(selection) if selection.is_whole())
    }

    /// Whether it may be known that a schema is there.
    pub fn sees_schema(&self, catalog: &CatalogName, schema: &SchemaName) -> bool {
        self.everything
            || self
                .exact_schemas
                .contains(&(catalog.clone(), schema.clone()))
            || self
                .patterns
                .iter()
                .any(|(_, pattern)| pattern.matches_schema(catalog, schema))
    }

    /// Whether it may be known that a catalog is there.
    pub fn sees_catalog(&self, catalog: &CatalogName) -> bool {
        self.everything
            || self.exact_catalogs.contains(catalog)
            || self
                .patterns
                .iter()
                .any(|(_, pattern)| pattern.matches_catalog(catalog))
    }

    /// Whether something may be done to a table.
    pub fn may(&self, action: Action, name: &TableName) -> bool {
        self.grants_on(name)
            .any(|grant| grant.actions.contains(&action))
    }

    /// Whether something may be done to a schema.
    pub fn may_schema(&self, action: Action, catalog: &CatalogName, schema: &SchemaName) -> bool {
        self.patterns.iter().any(|(at, pattern)| {
            pattern.is_of_schemas()
                && pattern.matches_schema(catalog, schema)
                && self.grants[*at].actions.contains(&action)
        })
    }

    /// Whether something may be done anywhere.
    pub fn may_somewhere(&self, action: Action) -> bool {
        self.grants
            .iter()
            .any(|grant| !grant.on.is_empty() && grant.actions.contains(&action))
    }

    /// Whether a table of `landfast.system` may be read.
    pub fn reads_system_table(&self, table: &str) -> bool {
        OWN_TABLES.contains(&table)
            || self
                .grants
                .iter()
                .flat_map(|grant| &grant.system_tables)
                .any(|glob| glob.matches(table))
    }

    /// Whether a procedure may be called, by its name after `landfast.`.
    pub fn may_call(&self, procedure: &str) -> bool {
        self.grants
            .iter()
            .flat_map(|grant| &grant.procedures)
            .any(|glob| glob.matches(procedure))
    }

    /// Whether the queries of this principal may be seen.
    pub fn sees_queries_of(&self, principal: &str) -> bool {
        principal == self.principal || self.grants.iter().any(|grant| grant.see_queries)
    }

    /// Whether everybody's queries may be cancelled.
    pub fn cancels_all_queries(&self) -> bool {
        self.grants.iter().any(|grant| grant.cancel_queries)
    }

    /// Whether the queries of this principal may be cancelled.
    pub fn cancels_queries_of(&self, principal: &str) -> bool {
        principal == self.principal || self.cancels_all_queries()
    }

    fn grants_on<'a>(&'a self, name: &'a TableName) -> impl Iterator<Item = &'a Grant> {
        let exact = self.exact.get(name).into_iter().flatten();
        let patterns = self
            .patterns
            .iter()
            .filter(|(_, pattern)| pattern.matches(name))
            .map(|(at, _)| at);
        exact.chain(patterns).map(|at| &*self.grants[*at])
    }
}

fn is_everything(grant: &Grant) -> bool {
    grant.columns.is_none()
        && grant.rows.is_none()
        && grant.actions.contains(&Action::Select)
        && grant.on.iter().any(NamePattern::is_any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{AccessPolicy, Glob, Grantee, RowFilter};

    fn name(text: &str) -> TableName {
        NamePattern::parse(text).unwrap().exact().unwrap()
    }

    fn asker(principal: &str, groups: &[&str], role: Role) -> Asker {
        Asker {
            principal: principal.to_string(),
            groups: Groups::new(groups),
            role,
            session: None,
        }
    }

    fn grant(to: &str, on: &str, actions: &[Action]) -> Grant {
        Grant {
            to: vec![Grantee::parse(to).unwrap()],
            on: vec![NamePattern::parse(on).unwrap()],
            actions: actions.iter().copied().collect(),
            ..Grant::default()
        }
    }

    #[test]
    fn what_no_grant_gives_is_hidden_and_what_one_gives_is_seen_with_what_it_is_in() {
        let policy = AccessPolicy::new(
            vec![
                grant("group:sales", "lake.shop.orders", &[Action::Select]),
                grant("user:ada", "lake.raw.*", &[Action::DropTable]),
                grant("everyone", "open", &[Action::Select]),
            ],
            &[],
        );
        let ada = policy.access(&asker("ada", &["sales"], Role::Operator));
        assert!(ada.reads_whole(&name("lake.shop.orders")));
        assert_eq!(ada.table(&name("lake.shop.items")), TableAccess::Hidden);
        assert_eq!(ada.table(&name("lake.raw.t")), TableAccess::Named);
        assert!(ada.may(Action::DropTable, &name("lake.raw.t")));
        assert!(!ada.may(Action::DropTable, &name("lake.shop.orders")));
        let (lake, open) = (
            CatalogName::new("lake").unwrap(),
            CatalogName::new("open").unwrap(),
        );
        let schema = |name: &str| SchemaName::new(name).unwrap();
        assert!(ada.sees_schema(&lake, &schema("shop")) && ada.sees_schema(&lake, &schema("raw")));
        assert!(!ada.sees_schema(&lake, &schema("secret")) && ada.sees_catalog(&lake));
        let bob = policy.access(&asker("bob", &[], Role::Reader));
        assert!(!bob.sees_catalog(&lake) && bob.sees_catalog(&open));
        assert_eq!(bob.table(&name("lake.shop.orders")), TableAccess::Hidden);
        assert!(bob.reads_whole(&name("open.any.t")) && !bob.reads_everything());
        assert!(bob.reads_system_table("queries") && !bob.reads_system_table("sites"));
        assert!(bob.sees_queries_of("bob") && !bob.sees_queries_of("ada"));
    }

    #[test]
    fn roles_without_a_policy_may_what_they_always_might() {
        let policy = AccessPolicy::of_roles();
        let access = |role| policy.access(&asker("ada", &[], role));
        let (reader, engineer) = (access(Role::Reader), access(Role::Engineer));
        let operator = access(Role::Operator);
        let table = name("lake.a.t");
        assert!(reader.reads_everything() && reader.reads_whole(&table));
        assert!(reader.reads_system_table("sites") && !reader.may_call("register_table"));
        assert!(!reader.may(Action::DropTable, &table) && engineer.may(Action::DropTable, &table));
        assert!(engineer.may_call("register_table") && !engineer.sees_queries_of("bob"));
        assert!(operator.sees_queries_of("bob") && operator.cancels_queries_of("bob"));
        assert!(operator.may_call("register_table") && operator.cancels_all_queries());
        assert!(!engineer.cancels_all_queries());
    }

    #[test]
    fn the_same_asker_with_other_grants_has_another_access() {
        let mut limited = grant("user:ada", "lake.*.*", &[Action::Select]);
        let before = AccessPolicy::new(vec![limited.clone()], &[]);
        limited.rows = Some(RowFilter::parse("a = 1").unwrap());
        let other = grant("user:bob", "lake.*.*", &[Action::Select]);
        let after = AccessPolicy::new(vec![limited], &[]);
        let unchanged = AccessPolicy::new(
            vec![other, grant("user:ada", "lake.*.*", &[Action::Select])],
            &[],
        );
        let ada = asker("ada", &[], Role::Reader);
        assert_ne!(before.access(&ada), after.access(&ada));
        assert_eq!(before.access(&ada), unchanged.access(&ada));
    }

    #[test]
    fn schemas_are_made_and_dropped_where_all_their_tables_are_granted() {
        let actions = [Action::CreateSchema, Action::DropSchema];
        let mut staging = grant("everyone", "lake.staging*", &actions);
        staging.procedures = vec![Glob::parse("register_*").unwrap()];
        let access = AccessPolicy::new(vec![staging], &[]).access(&asker("ada", &[], Role::Reader));
        let lake = CatalogName::new("lake").unwrap();
        let may = |schema: &str| {
            access.may_schema(Action::DropSchema, &lake, &SchemaName::new(schema).unwrap())
        };
        assert!(may("staging_1") && !may("prod"));
        assert_eq!(access.table(&name("lake.staging_1.t")), TableAccess::Hidden);
        assert!(access.may_call("register_table") && !access.may_call("unregister_table"));
    }
}
