//! What can go wrong with bytes, classified once.

use crate::id::{CanonicalUri, SiteId};

/// Why a request about bytes failed. The texts name the site and the URI, and never a credential.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SitesError {
    /// The configuration contradicts itself or leaves something out.
    #[error("{text}")]
    Config {
        /// What is wrong, where, and what to do.
        text: String,
    },
    /// A URI that no store could serve.
    #[error("`{uri}`: {reason}")]
    Uri {
        /// The URI as it was written.
        uri: CanonicalUri,
        /// What is wrong with it.
        reason: String,
    },
    /// A URI under none of the configured prefixes.
    #[error(
        "`{uri}` lies under no configured prefix; add a [[site.prefix]] with `origin = true` that covers it"
    )]
    NotMapped {
        /// The URI as it was written.
        uri: CanonicalUri,
    },
    /// A site name that the configuration doesn't have.
    #[error("there is no site `{site}`; the configuration has {known}")]
    UnknownSite {
        /// The name that was asked for.
        site: String,
        /// The names that exist.
        known: String,
    },
    /// The origin says that the file does not exist, and no other site has it.
    #[error("`{uri}` does not exist: its origin `{origin}` has no such object{others}")]
    NotFound {
        /// The file.
        uri: CanonicalUri,
        /// The site of record that was asked.
        origin: SiteId,
        /// What the other candidates answered, empty when there were none.
        others: String,
    },
    /// No site that could give the file answered.
    #[error(
        "`{uri}` cannot be read now, missing site {}: {detail}",
        names(missing)
    )]
    Unavailable {
        /// The file or prefix.
        uri: CanonicalUri,
        /// The sites that should have given it and did not answer.
        missing: Vec<SiteId>,
        /// What each candidate answered.
        detail: String,
    },
    /// A site refused the credentials it was given.
    #[error("`{uri}`: site `{site}` refused access: {detail}")]
    Denied {
        /// The file or prefix.
        uri: CanonicalUri,
        /// The site that refused.
        site: SiteId,
        /// What it and the other candidates answered.
        detail: String,
    },
    /// The object of record is not the file that the metadata describes.
    #[error("`{uri}` at its origin `{site}` is damaged: {detail}")]
    Corrupt {
        /// The file.
        uri: CanonicalUri,
        /// The origin.
        site: SiteId,
        /// How it differs.
        detail: String,
    },
    /// A credential could not be loaded or exchanged for a token.
    #[error("credential {what}: {detail}")]
    Credential {
        /// Which credential, by kind and file, never its content.
        what: String,
        /// What went wrong.
        detail: String,
        /// Whether the token endpoint is merely out of reach, and trying again may help.
        transient: bool,
    },
    /// No site gave the file that may be paid for.
    #[error(
        "reading `{uri}` at site `{site}` would cost {usd:.6} USD more, the reads have cost {spent_usd:.6} USD, and may cost {usd_max} USD"
    )]
    OverBudget {
        /// The file.
        uri: CanonicalUri,
        /// The first site that costs too much.
        site: SiteId,
        /// What reading there would cost; nought where nobody knows the size.
        usd: f64,
        /// What this and other reads of the query have cost, those under way included.
        spent_usd: f64,
        /// What they may cost together.
        usd_max: f64,
    },
    /// A request that asks for more than this crate reads at once, or beyond a file's end.
    #[error("`{uri}`: {reason}")]
    Request {
        /// The file.
        uri: CanonicalUri,
        /// What is wrong with the request.
        reason: String,
    },
}

/// The classes of [`SitesError`]: what a caller does about it follows from the class alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SitesErrorKind {
    /// The file does not exist, on its origin's word.
    NotFound,
    /// Try again later: a site is out of reach.
    Unavailable,
    /// A site or token endpoint refused the credentials.
    Denied,
    /// The configuration or the request is wrong; trying again cannot help.
    Invalid,
    /// The object of record contradicts the metadata.
    Corrupt,
    /// It would cost more than the query may.
    OverBudget,
}

impl SitesError {
    /// The class of this error.
    pub fn kind(&self) -> SitesErrorKind {
        match self {
            Self::Config { .. }
            | Self::Uri { .. }
            | Self::NotMapped { .. }
            | Self::UnknownSite { .. }
            | Self::Request { .. } => SitesErrorKind::Invalid,
            Self::NotFound { .. } => SitesErrorKind::NotFound,
            Self::Unavailable { .. } => SitesErrorKind::Unavailable,
            Self::Credential {
                transient: true, ..
            } => SitesErrorKind::Unavailable,
            Self::Denied { .. } | Self::Credential { .. } => SitesErrorKind::Denied,
            Self::Corrupt { .. } => SitesErrorKind::Corrupt,
            Self::OverBudget { .. } => SitesErrorKind::OverBudget,
        }
    }

    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self::Config { text: text.into() }
    }
}

fn names(sites: &[SiteId]) -> String {
    let quoted: Vec<String> = sites.iter().map(|s| format!("`{s}`")).collect();
    quoted.join(", ")
}
