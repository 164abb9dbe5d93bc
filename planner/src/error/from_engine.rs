//! Errors of the engine, of Arrow and of the crates below, classified.
//!
//! An error of ours often travels inside one of DataFusion's (as `External`, in layers of context, shared by several
//! consumers): it is found again by its type, so that a missing site stays "unavailable" whatever wrapped it.

use std::error::Error;

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::parquet::errors::ParquetError;

use landfast_catalog::{CatalogError, CatalogErrorKind};
use landfast_sites::{SitesError, SitesErrorKind};

use super::{ErrorKind, PlannerError, nearest};

/// How many layers of wrapping are looked through before giving up.
pub(super) const LAYERS_MAX: usize = 16;

impl From<DataFusionError> for PlannerError {
    fn from(error: DataFusionError) -> Self {
        classify(&error, LAYERS_MAX)
    }
}

impl From<ArrowError> for PlannerError {
    fn from(error: ArrowError) -> Self {
        classify_arrow(&error, LAYERS_MAX)
    }
}

impl From<CatalogError> for PlannerError {
    fn from(error: CatalogError) -> Self {
        classify_catalog(&error)
    }
}

impl From<SitesError> for PlannerError {
    fn from(error: SitesError) -> Self {
        classify_sites(&error)
    }
}

/// A planner error as DataFusion carries it through its own streams.
impl From<PlannerError> for DataFusionError {
    fn from(error: PlannerError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

pub(super) fn classify(error: &DataFusionError, layers: usize) -> PlannerError {
    if layers == 0 {
        return PlannerError::internal(error.to_string());
    }
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            classify(inner, layers - 1)
        }
        DataFusionError::Shared(inner) => classify(inner, layers - 1),
        DataFusionError::Collection(all) => match all.first() {
            Some(first) => classify(first, layers - 1),
            None => PlannerError::internal("the engine failed and gave no reason"),
        },
        DataFusionError::External(inner) => classify_foreign(inner.as_ref(), layers - 1),
        DataFusionError::ArrowError(inner, _) => classify_arrow(inner, layers - 1),
        DataFusionError::ParquetError(inner) => classify_parquet(inner, layers - 1),
        DataFusionError::ObjectStore(inner) => classify_store(inner),
        DataFusionError::SchemaError(inner, _) => schema_error(inner),
        DataFusionError::SQL(inner, _) => PlannerError::invalid(inner.to_string()),
        DataFusionError::NotImplemented(text) => PlannerError::unsupported(first_line(text)),
        DataFusionError::Plan(text) | DataFusionError::Configuration(text) => {
            PlannerError::invalid(first_line(text))
        }
        DataFusionError::Execution(text) | DataFusionError::Substrait(text) => {
            PlannerError::invalid(first_line(text))
        }
        DataFusionError::ResourcesExhausted(text) => PlannerError::exhausted(format!(
            "the query needs more memory or spill space than it may have: {}",
            first_line(text)
        )),
        DataFusionError::IoError(inner) => PlannerError::internal(format!(
            "reading or writing a spill file failed: {}",
            inner.kind()
        )),
        DataFusionError::ExecutionJoin(inner) if inner.is_cancelled() => {
            PlannerError::of_kind(ErrorKind::Cancelled, "the query was cancelled")
        }
        DataFusionError::ExecutionJoin(_) => {
            PlannerError::internal("a task of the query ended unexpectedly")
        }
        DataFusionError::Internal(text) => PlannerError::internal(format!(
            "the engine found a fault of its own: {}",
            first_line(text)
        )),
        other => PlannerError::internal(first_line(&other.to_string())),
    }
}

fn classify_arrow(error: &ArrowError, layers: usize) -> PlannerError {
    match error {
        ArrowError::ExternalError(inner) => classify_foreign(inner.as_ref(), layers),
        ArrowError::DivideByZero => PlannerError::invalid("division by zero"),
        ArrowError::ArithmeticOverflow(text)
        | ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text) => PlannerError::invalid(first_line(text)),
        ArrowError::NotYetImplemented(text) => PlannerError::unsupported(first_line(text)),
        ArrowError::MemoryError(text) => PlannerError::exhausted(first_line(text)),
        other => PlannerError::internal(first_line(&other.to_string())),
    }
}

fn classify_parquet(error: &ParquetError, layers: usize) -> PlannerError {
    match error {
        ParquetError::External(inner) => classify_foreign(inner.as_ref(), layers),
        other => PlannerError::internal(format!(
            "a data file can't be read: {}",
            first_line(&other.to_string())
        )),
    }
}

/// Store errors reach here only when something reads past `sites`; their texts may hold signed URLs, so none is shown.
fn classify_store(error: &object_store::Error) -> PlannerError {
    match error {
        object_store::Error::NotFound { path, .. } => {
            PlannerError::unavailable(format!("file {path} is missing at its store"))
        }
        _ => PlannerError::unavailable("a store can't be read"),
    }
}

fn classify_catalog(error: &CatalogError) -> PlannerError {
    // The nearest names are a part of the catalog's own text.
    let text = error.to_string();
    let kind = match error.kind() {
        CatalogErrorKind::NotFound => ErrorKind::NotFound,
        CatalogErrorKind::Unavailable | CatalogErrorKind::Stale | CatalogErrorKind::Unknown => {
            ErrorKind::Unavailable
        }
        CatalogErrorKind::Denied | CatalogErrorKind::Conflict | CatalogErrorKind::NotEmpty => {
            ErrorKind::FailedPrecondition
        }
        CatalogErrorKind::Unsupported => ErrorKind::Unsupported,
        CatalogErrorKind::Exists => ErrorKind::AlreadyExists,
        CatalogErrorKind::Invalid => ErrorKind::InvalidArgument,
        CatalogErrorKind::OverBudget => return over_budget(&text),
        _ => ErrorKind::Internal,
    };
    PlannerError::of_kind(kind, text)
}

fn classify_sites(error: &SitesError) -> PlannerError {
    let kind = match error.kind() {
        // A file that its origin lacks is damage to the table, not a name the user got wrong.
        SitesErrorKind::NotFound | SitesErrorKind::Corrupt => ErrorKind::Internal,
        SitesErrorKind::Unavailable => ErrorKind::Unavailable,
        SitesErrorKind::Denied => ErrorKind::FailedPrecondition,
        SitesErrorKind::Invalid => ErrorKind::InvalidArgument,
        SitesErrorKind::OverBudget => return over_budget(&error.to_string()),
        _ => ErrorKind::Internal,
    };
    PlannerError::of_kind(kind, error.to_string())
}

fn over_budget(text: &str) -> PlannerError {
    PlannerError::exhausted(format!(
        "the query was stopped by landfast.max_egress_usd: {text}"
    ))
}

/// Whether a read was refused for what it would cost, whatever wraps that.
pub(crate) fn is_over_budget(error: &(dyn Error + 'static)) -> bool {
    let mut current = Some(error);
    for _ in 0..LAYERS_MAX {
        let Some(cause) = current else { break };
        if let Some(sites) = cause.downcast_ref::<SitesError>() {
            return sites.kind() == SitesErrorKind::OverBudget;
        }
        if let Some(catalog) = cause.downcast_ref::<CatalogError>() {
            return catalog.kind() == CatalogErrorKind::OverBudget;
        }
        current = cause.source();
    }
    false
}

/// Looks for one of our own errors, or one that we know, in an error of unknown type and what caused it.
fn classify_foreign(error: &(dyn Error + Send + Sync + 'static), layers: usize) -> PlannerError {
    let mut current: Option<&(dyn Error + 'static)> = Some(error);
    for _ in 0..layers {
        let Some(cause) = current else { break };
        if let Some(known) = known(cause, layers) {
            return known;
        }
        current = cause.source();
    }
    PlannerError::internal(first_line(&error.to_string()))
}

fn known(error: &(dyn Error + 'static), layers: usize) -> Option<PlannerError> {
    if let Some(ours) = error.downcast_ref::<PlannerError>() {
        return Some(ours.clone());
    }
    if let Some(catalog) = error.downcast_ref::<CatalogError>() {
        return Some(classify_catalog(catalog));
    }
    if let Some(sites) = error.downcast_ref::<SitesError>() {
        return Some(classify_sites(sites));
    }
    if layers == 0 {
        return None;
    }
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        return Some(classify(inner, layers - 1));
    }
    if let Some(inner) = error.downcast_ref::<ArrowError>() {
        return Some(classify_arrow(inner, layers - 1));
    }
    if let Some(inner) = error.downcast_ref::<ParquetError>() {
        return Some(classify_parquet(inner, layers - 1));
    }
    error
        .downcast_ref::<object_store::Error>()
        .map(classify_store)
}

fn schema_error(error: &SchemaError) -> PlannerError {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let names: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
            let wanted = match &field.relation {
                Some(relation) => format!("{relation}.{}", field.name),
                None => field.name.clone(),
            };
            PlannerError::not_found(
                format!("there is no column {wanted}"),
                nearest(&field.name, names),
            )
        }
        SchemaError::AmbiguousReference { field } => PlannerError::invalid(format!(
            "column {} is in more than one relation: qualify it",
            field.flat_name()
        )),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => PlannerError::invalid(format!(
            "column {name} comes twice where names must differ: give one an alias"
        )),
    }
}

/// The first paragraph of an engine text: what follows is a backtrace or a plea to file a bug elsewhere.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_error_of_ours_keeps_its_kind_through_every_wrapping() {
        let ours = PlannerError::unavailable("site gcp is out of reach");
        let wrapped = DataFusionError::Shared(Arc::new(
            DataFusionError::ArrowError(
                Box::new(ArrowError::ExternalError(Box::new(
                    DataFusionError::External(Box::new(ours.clone())),
                ))),
                None,
            )
            .context("while joining"),
        ));
        assert_eq!(PlannerError::from(wrapped), ours);
    }

    #[test]
    fn exhausted_memory_is_resource_exhausted() {
        let error = DataFusionError::ResourcesExhausted("Failed to allocate 9 MB".into());
        assert_eq!(
            PlannerError::from(error).kind(),
            ErrorKind::ResourceExhausted
        );
    }

    #[test]
    fn an_unknown_column_comes_with_the_nearest_names() {
        let error = datafusion::common::DataFusionError::SchemaError(
            Box::new(SchemaError::FieldNotFound {
                field: Box::new(datafusion::common::Column::from_name("ordrekey")),
                valid_fields: vec![
                    datafusion::common::Column::from_name("orderkey"),
                    datafusion::common::Column::from_name("comment"),
                ],
            }),
            Box::new(None),
        );
        let error = PlannerError::from(error);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.nearest(), ["orderkey"]);
    }

    #[test]
    fn a_stores_own_words_are_not_shown() {
        let error = DataFusionError::ObjectStore(Box::new(object_store::Error::Generic {
            store: "S3",
            source: "https://host/bucket?X-Amz-Signature=secret".into(),
        }));
        assert!(!PlannerError::from(error).to_string().contains("secret"));
    }
}
