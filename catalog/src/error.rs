//! What can go wrong when asking what a table is right now.

use std::sync::Arc;

use landfast_sites::SitesError;

use crate::{CatalogName, SchemaName, TableName};

/// The result of asking the catalog.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// Why the catalog couldn't answer. Texts name the member, schema or table, and never hold a credential.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// No catalog is mounted under this name.
    #[error("there is no catalog {name}{}", did_you_mean(nearest))]
    NoSuchCatalog {
        /// The name asked for.
        name: String,
        /// Names that are near it.
        nearest: Vec<String>,
    },
    /// The catalog has no such schema.
    #[error(
        "there is no schema {schema} in the catalog {catalog}{}",
        did_you_mean(nearest)
    )]
    NoSuchSchema {
        /// The catalog asked.
        catalog: CatalogName,
        /// The name asked for.
        schema: SchemaName,
        /// Names that are near it.
        nearest: Vec<String>,
    },
    /// The schema has no such table.
    #[error("there is no table {table}{}", did_you_mean(nearest))]
    NoSuchTable {
        /// The name asked for.
        table: TableName,
        /// Names that are near it.
        nearest: Vec<String>,
    },
    /// A table has no such version.
    #[error("{table} has no {what}")]
    NoSuchVersion {
        /// The table.
        table: TableName,
        /// What was asked for, and what there is.
        what: String,
    },
    /// A pinned snapshot is no longer in the table's metadata.
    #[error("the table {table} no longer has the snapshot {snapshot_id}: it has expired")]
    NoSuchSnapshot {
        /// The table asked for.
        table: TableName,
        /// The snapshot that was pinned.
        snapshot_id: i64,
    },
    /// A member doesn't answer, or answers that it can't right now.
    #[error("the catalog {catalog} is not available: {reason}")]
    Unavailable {
        /// The member.
        catalog: CatalogName,
        /// What happened, safe to show.
        reason: String,
    },
    /// A member is out of reach and the last pointer known is older than the reading allows.
    #[error(
        "the catalog {catalog} is not available ({reason}), and where {table} stands was last confirmed {age_s} s ago, \
         longer than the {allowed_s} s that this session accepts"
    )]
    Stale {
        /// The member.
        catalog: CatalogName,
        /// The table asked for.
        table: TableName,
        /// What happened to the member, safe to show.
        reason: String,
        /// Seconds since the last successful validation began.
        age_s: u64,
        /// Seconds that the reading allows.
        allowed_s: u64,
    },
    /// A member refuses the credentials, or what they may do.
    #[error("the catalog {catalog} denies access: {reason}")]
    Denied {
        /// The member.
        catalog: CatalogName,
        /// What it said, safe to show.
        reason: String,
    },
    /// The table needs a feature that Landfast doesn't have.
    #[error("the table {table} can't be read: {feature}")]
    Unsupported {
        /// The table.
        table: TableName,
        /// What it needs.
        feature: String,
    },
    /// The member can't do what was asked of it.
    #[error("the catalog {catalog} can't do this: {reason}")]
    MemberCannot {
        /// The member.
        catalog: CatalogName,
        /// What it can't do.
        reason: String,
    },
    /// Something with this name is there already.
    #[error("{what} exists already")]
    Exists {
        /// What exists: a schema or a table, by name.
        what: String,
    },
    /// A schema that still has tables can't be dropped.
    #[error("the schema {catalog}.{schema} is not empty")]
    NotEmpty {
        /// The catalog.
        catalog: CatalogName,
        /// The schema.
        schema: SchemaName,
    },
    /// Somebody else changed it at the same time, or two things have the same name.
    #[error("{reason}")]
    Conflict {
        /// What clashed.
        reason: String,
    },
    /// A configuration or an argument that can't be right.
    #[error("{reason}")]
    Invalid {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Metadata that can't be what it says it is.
    #[error("the metadata of {table} can't be read: {reason}")]
    Corrupt {
        /// The table.
        table: TableName,
        /// What is wrong, and in which file.
        reason: String,
    },
    /// The member's outcome is not known: the change may or may not have happened.
    #[error("the catalog {catalog} did not say whether the change was made: {reason}")]
    Unknown {
        /// The member.
        catalog: CatalogName,
        /// What happened.
        reason: String,
    },
    /// No site could serve a metadata file.
    #[error("{0}")]
    Sites(Arc<SitesError>),
}

/// What kind of failure a [`CatalogError`] is: a status, a metric's label and a retry decision follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CatalogErrorKind {
    /// Nothing has this name.
    NotFound,
    /// A member or a site is out of reach: asking again later may help.
    Unavailable,
    /// The last known pointer is older than allowed, and the member is out of reach.
    Stale,
    /// Credentials are missing, wrong or not enough.
    Denied,
    /// The table or the member needs or lacks a feature.
    Unsupported,
    /// The name is taken.
    Exists,
    /// A schema has tables.
    NotEmpty,
    /// A concurrent change or colliding names.
    Conflict,
    /// A configuration or an argument is wrong.
    Invalid,
    /// Metadata is broken.
    Corrupt,
    /// A change may or may not have been made.
    Unknown,
    /// Reading it would cost more than the query may.
    OverBudget,
}

impl CatalogErrorKind {
    /// The kind as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Stale => "stale",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Exists => "exists",
            Self::NotEmpty => "not_empty",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Corrupt => "corrupt",
            Self::Unknown => "unknown",
            Self::OverBudget => "over_budget",
        }
    }
}

impl CatalogError {
    /// The kind of this failure.
    pub fn kind(&self) -> CatalogErrorKind {
        match self {
            Self::NoSuchCatalog { .. }
            | Self::NoSuchSchema { .. }
            | Self::NoSuchTable { .. }
            | Self::NoSuchVersion { .. }
            | Self::NoSuchSnapshot { .. } => CatalogErrorKind::NotFound,
            Self::Unavailable { .. } => CatalogErrorKind::Unavailable,
            Self::Stale { .. } => CatalogErrorKind::Stale,
            Self::Denied { .. } => CatalogErrorKind::Denied,
            Self::Unsupported { .. } | Self::MemberCannot { .. } => CatalogErrorKind::Unsupported,
            Self::Exists { .. } => CatalogErrorKind::Exists,
            Self::NotEmpty { .. } => CatalogErrorKind::NotEmpty,
            Self::Conflict { .. } => CatalogErrorKind::Conflict,
            Self::Invalid { .. } => CatalogErrorKind::Invalid,
            Self::Corrupt { .. } => CatalogErrorKind::Corrupt,
            Self::Unknown { .. } => CatalogErrorKind::Unknown,
            Self::Sites(error) => sites_kind(error),
        }
    }

    /// Names near the one that was not found, best first; empty for other failures.
    pub fn nearest(&self) -> &[String] {
        match self {
            Self::NoSuchCatalog { nearest, .. }
            | Self::NoSuchSchema { nearest, .. }
            | Self::NoSuchTable { nearest, .. } => nearest,
            _ => &[],
        }
    }

    /// The same failure without what the member said, whose words may name schemas, tables and files of anybody: for who
    /// may not read everything.
    #[must_use]
    pub fn without_members_words(mut self) -> Self {
        if let Self::Unavailable { reason, .. }
        | Self::Stale { reason, .. }
        | Self::Denied { reason, .. }
        | Self::Unknown { reason, .. } = &mut self
        {
            *reason = "its own words are for who may read everything".to_owned();
        }
        self
    }

    /// Whether the member was out of reach, so that what is cached may serve instead.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid {
            reason: reason.into(),
        }
    }
}

impl From<SitesError> for CatalogError {
    fn from(error: SitesError) -> Self {
        Self::Sites(Arc::new(error))
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; near it are: {}", names.join(", ")),
    }
}

fn sites_kind(error: &SitesError) -> CatalogErrorKind {
    use landfast_sites::SitesErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => CatalogErrorKind::Corrupt,
        Kind::Denied => CatalogErrorKind::Denied,
        Kind::Invalid => CatalogErrorKind::Invalid,
        Kind::Corrupt => CatalogErrorKind::Corrupt,
        Kind::OverBudget => CatalogErrorKind::OverBudget,
        _ => CatalogErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_said_can_be_left_out() {
        let catalog = CatalogName::new("lake").unwrap();
        let said = || "GET /namespaces/secret: refused".to_owned();
        let table = TableName::new(
            catalog.clone(),
            SchemaName::new("shop").unwrap(),
            "orders".to_owned(),
        );
        for error in [
            CatalogError::Unavailable {
                catalog: catalog.clone(),
                reason: said(),
            },
            CatalogError::Stale {
                catalog: catalog.clone(),
                table: table.unwrap(),
                reason: said(),
                age_s: 90,
                allowed_s: 60,
            },
            CatalogError::Denied {
                catalog: catalog.clone(),
                reason: said(),
            },
            CatalogError::Unknown {
                catalog: catalog.clone(),
                reason: said(),
            },
        ] {
            let (kind, told) = (error.kind(), error.without_members_words());
            assert!(!told.to_string().contains("secret"), "{told}");
            assert!(told.to_string().contains("lake"), "{told}");
            assert_eq!(told.kind(), kind);
        }
    }
}
