//! Who asks, as far as planning needs to know.

use std::sync::Arc;

/// What somebody may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Queries.
    #[default]
    Reader,
    /// And DDL, and CALL.
    Engineer,
    /// And other people's queries.
    Operator,
}

impl Role {
    /// The role's name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Engineer => "engineer",
            Self::Operator => "operator",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Reader, Self::Engineer, Self::Operator]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

/// The names of the groups that somebody belongs to: sorted, each once, and cheap to copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Groups(Arc<[Arc<str>]>);

impl Groups {
    /// These groups, in any order; a name that comes twice counts once.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let mut names: Vec<Arc<str>> = names
            .into_iter()
            .map(|name| Arc::from(name.as_ref()))
            .collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into())
    }

    /// Whether a group is among them; names are told apart by case.
    pub fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|held| (**held).cmp(name)).is_ok()
    }

    /// Their names, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The one on whose behalf a statement is planned and run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The principal's name.
    pub principal: String,
    /// The groups they belong to.
    pub groups: Groups,
    /// What they may do.
    pub role: Role,
    /// Their session, if they have one.
    pub session: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_sorted_held_once_and_told_apart_by_case() {
        let groups = Groups::new(["sales", "Sales", "east", "sales"]);
        assert_eq!(
            groups.iter().collect::<Vec<_>>(),
            ["Sales", "east", "sales"]
        );
        assert!(groups.contains("east") && !groups.contains("East") && !groups.contains(""));
        assert!(Groups::default().is_empty());
    }
}
