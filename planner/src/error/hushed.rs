//! What errors say to who may not read all of a table.
//!
//! An error of reading names files, sites, versions and values: what it takes to mend it. Who may read a part of a table
//! hears that there was one, and of which kind. The log has the rest.

use std::error::Error;
use std::fmt::Display;

use datafusion::common::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use landfast_catalog::CatalogError;
use landfast_sites::SitesError;

use super::from_engine::{LAYERS_MAX, classify};
use super::{ErrorKind, PlannerError, is_over_budget};

/// What the context of every error has that comes from a data file, or from planning to read some.
pub(crate) const OF_DATA_FILES: &str = "data file";

/// An error of reading `what`, by its kind alone.
pub(crate) fn hushed(error: &PlannerError, what: &impl Display) -> PlannerError {
    tracing::warn!(%what, %error, "reading a table failed for who may read a part of it");
    in_general(error.kind(), what)
}

/// An error of running what reads `what`, of which nothing may be told: of its rows neither. Limits that the query ran
/// into stay what they are.
pub(crate) fn silent(error: &DataFusionError, what: &impl Display) -> PlannerError {
    let plain = classify(error, LAYERS_MAX);
    if let Some(limit) = limit_met(error, &plain, what) {
        return limit;
    }
    match plain.kind() {
        // Nothing that the statement got wrong: it did not say this.
        ErrorKind::InvalidArgument => {
            tracing::warn!(%what, error = %plain, "a row filter of the policy fails");
            PlannerError::of_kind(
                ErrorKind::FailedPrecondition,
                format!(
                    "{what} can't be read: a row filter of the policy fails on one of its rows"
                ),
            )
        }
        _ => hushed(&plain, what),
    }
}

/// An error of a statement that reads `what`, among others: what the statement itself got wrong is said, and nothing of
/// files.
pub(crate) fn without_files(error: &DataFusionError, what: &impl Display) -> PlannerError {
    let plain = classify(error, LAYERS_MAX);
    if let Some(limit) = limit_met(error, &plain, what) {
        return limit;
    }
    match plain.kind() {
        ErrorKind::Internal => hushed(&plain, what),
        _ if is_of_files(error) => hushed(&plain, what),
        _ => plain,
    }
}

/// What there is to say of an error of reading `what` by its kind.
pub(crate) fn in_general(kind: ErrorKind, what: &impl Display) -> PlannerError {
    let text = match kind {
        ErrorKind::NotFound => format!("{what} has no such version"),
        ErrorKind::Unavailable => format!("{what} is out of reach"),
        ErrorKind::Unsupported => format!("{what} can't be read: it needs what is not supported"),
        ErrorKind::ResourceExhausted => {
            format!("reading {what} needs more than the query may have")
        }
        _ => format!("{what} can't be read"),
    };
    // No part of the statement was wrong.
    let kind = match kind {
        ErrorKind::InvalidArgument => ErrorKind::FailedPrecondition,
        kind => kind,
    };
    PlannerError::of_kind(kind, text)
}

/// What a limit of the query says, if the error is one: of memory, of money or of time.
fn limit_met(
    error: &DataFusionError,
    plain: &PlannerError,
    what: &impl Display,
) -> Option<PlannerError> {
    if is_over_budget(error) {
        return Some(PlannerError::exhausted(format!(
            "the query was stopped by landfast.max_egress_usd: reading {what} would cost more"
        )));
    }
    let passes = match plain.kind() {
        ErrorKind::Cancelled | ErrorKind::Deadline => true,
        _ => matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)),
    };
    passes.then(|| plain.clone())
}

/// Whether an error comes from files, stores or catalogs, and not from what was done with the rows.
fn is_of_files(error: &(dyn Error + 'static)) -> bool {
    let mut current = Some(error);
    for _ in 0..LAYERS_MAX {
        let Some(cause) = current else { break };
        let in_context = matches!(
            cause.downcast_ref::<DataFusionError>(),
            Some(DataFusionError::Context(of, _)) if of.contains(OF_DATA_FILES)
        );
        if in_context
            || cause.is::<SitesError>()
            || cause.is::<CatalogError>()
            || cause.is::<ParquetError>()
            || cause.is::<object_store::Error>()
            || cause.is::<std::io::Error>()
        {
            return true;
        }
        current = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::error::ArrowError;
    use landfast_sites::{CanonicalUri, SiteId};

    use super::*;

    const FILE: &str = "gs://lake/secret/1.parquet";

    fn sites_error(over_budget: bool) -> SitesError {
        let (uri, site) = (CanonicalUri::new(FILE), SiteId::new("far").unwrap());
        match over_budget {
            true => SitesError::OverBudget {
                uri,
                site,
                usd: 0.5,
                spent_usd: 0.25,
                usd_max: 0.5,
            },
            false => SitesError::NotFound {
                uri,
                origin: site,
                others: String::new(),
            },
        }
    }

    fn in_a_file(error: impl Error + Send + Sync + 'static) -> DataFusionError {
        let error =
            DataFusionError::ParquetError(Box::new(ParquetError::External(Box::new(error))));
        DataFusionError::Shared(Arc::new(
            error.context(format!("footer of data file {FILE}")),
        ))
    }

    #[test]
    fn a_budget_that_is_used_up_is_told_without_the_file_that_was_next() {
        for told in [silent, without_files] {
            let error = told(&in_a_file(sites_error(true)), &"lake.a.t");
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
            assert_eq!(
                error.to_string(),
                "the query was stopped by landfast.max_egress_usd: reading lake.a.t would cost more"
            );
        }
    }

    #[test]
    fn memory_that_is_used_up_is_told_as_it_is() {
        let error = || DataFusionError::ResourcesExhausted("Failed to allocate 9 MB".into());
        for told in [silent, without_files] {
            let wrapped = DataFusionError::Shared(Arc::new(error().context("sorting")));
            let (error, wanted) = (told(&wrapped, &"lake.a.t"), PlannerError::from(error()));
            assert_eq!(error, wanted);
        }
        // A text of ours that only has its kind is of something else.
        let ours = PlannerError::exhausted(format!("{FILE} is too long"));
        for told in [silent, without_files] {
            let error = told(&in_a_file(ours.clone()), &"lake.a.t");
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn an_error_of_a_file_names_none_and_one_of_the_statement_stays() {
        let changed = DataFusionError::Execution(format!("data file {FILE} changed"));
        let corrupt = PlannerError::internal(format!("the delete file {FILE} is corrupt"));
        for error in [
            in_a_file(sites_error(false)),
            DataFusionError::External(Box::new(CatalogError::from(sites_error(false)))),
            changed.context(format!("data file {FILE}")),
            corrupt.into(),
        ] {
            let error = without_files(&error, &"lake.a.t");
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(error.to_string().starts_with("lake.a.t "), "{error}");
            assert_ne!(error.kind(), ErrorKind::InvalidArgument);
        }
        let own = || DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        let error = without_files(&own(), &"lake.a.t");
        assert_eq!(error, PlannerError::invalid("division by zero"));
        // Behind a fence nothing is the statement's.
        let error = silent(&own(), &"lake.a.t");
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    }
}
