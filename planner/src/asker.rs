//! Who asks, as far as planning needs to know.

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
}

/// The one on whose behalf a statement is planned and run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The principal's name.
    pub principal: String,
    /// What they may do.
    pub role: Role,
    /// Their session, if they have one.
    pub session: Option<String>,
}
