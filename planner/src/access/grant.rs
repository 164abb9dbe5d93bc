//! Grants: to whom, what, on what.

use std::collections::BTreeSet;

use super::{Glob, NamePattern, RowFilter};
use crate::{Asker, Role};

/// Who gets a grant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grantee {
    /// Whoever may log in.
    Everyone,
    /// The principal of this name.
    User(String),
    /// The members of this group.
    Group(String),
    /// Those who have this role, or one that may do more.
    Role(Role),
}

impl Grantee {
    /// Reads `everyone`, `user:NAME`, `group:NAME` or `role:NAME`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "everyone" {
            return Ok(Self::Everyone);
        }
        match text.split_once(':') {
            Some((_, "")) => Err(format!("{text:?} names nobody")),
            Some(("user", name)) => Ok(Self::User(name.to_string())),
            Some(("group", name)) => Ok(Self::Group(name.to_string())),
            Some(("role", name)) => Role::named(name).map(Self::Role).ok_or_else(|| {
                format!("there is no role {name:?}: write reader, engineer or operator")
            }),
            _ => Err(format!(
                "{text:?} is nobody: write everyone, user:NAME, group:NAME or role:NAME"
            )),
        }
    }

    /// Whether the asker is meant.
    pub fn is(&self, asker: &Asker) -> bool {
        match self {
            Self::Everyone => true,
            Self::User(name) => *name == asker.principal,
            Self::Group(name) => asker.groups.contains(name),
            Self::Role(role) => asker.role >= *role,
        }
    }
}

/// What may be done to tables and schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Reading a table's or a view's rows.
    Select,
    /// Making a schema.
    CreateSchema,
    /// Dropping a schema that is empty.
    DropSchema,
    /// Putting a table into its catalog.
    RegisterTable,
    /// Taking a table's entry out of its catalog.
    DropTable,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Select,
        Self::CreateSchema,
        Self::DropSchema,
        Self::RegisterTable,
        Self::DropTable,
    ];

    /// The action as a policy names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::CreateSchema => "create_schema",
            Self::DropSchema => "drop_schema",
            Self::RegisterTable => "register_table",
            Self::DropTable => "drop_table",
        }
    }

    /// The action of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    /// Whether it is done to a schema, and not to a table.
    pub fn is_of_schemas(self) -> bool {
        matches!(self, Self::CreateSchema | Self::DropSchema)
    }
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grant {
    /// Who gets it; nobody gets a grant to nobody.
    pub to: Vec<Grantee>,
    /// The tables that `actions` are allowed on; actions on schemas, where all their tables are meant.
    pub on: Vec<NamePattern>,
    /// What may be done there.
    pub actions: BTreeSet<Action>,
    /// The columns that may be read; all if there is no list.
    pub columns: Option<BTreeSet<String>>,
    /// The rows that may be read; all if there is no filter.
    pub rows: Option<RowFilter>,
    /// Tables of `landfast.system`.
    pub system_tables: Vec<Glob>,
    /// Procedures, by the name after `landfast.`.
    pub procedures: Vec<Glob>,
    /// Whether other people's queries may be seen.
    pub see_queries: bool,
    /// Whether other people's queries may be cancelled.
    pub cancel_queries: bool,
}

impl Grant {
    /// Whether the asker gets it.
    pub fn is_to(&self, asker: &Asker) -> bool {
        self.to.iter().any(|grantee| grantee.is(asker))
    }

    /// What a role gives by itself, where no policy says otherwise.
    pub fn of_role(role: Role) -> Self {
        let changes = role >= Role::Engineer;
        let others = role >= Role::Operator;
        Self {
            to: vec![Grantee::Role(role)],
            on: vec![NamePattern::any()],
            actions: Action::ALL
                .into_iter()
                .filter(|action| changes || *action == Action::Select)
                .collect(),
            system_tables: vec![Glob::any()],
            procedures: if changes {
                vec![Glob::any()]
            } else {
                Vec::new()
            },
            see_queries: others,
            cancel_queries: others,
            ..Self::default()
        }
    }
}
