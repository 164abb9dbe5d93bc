//! What a REST catalog's failures mean.

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::member::Levels;
use crate::{CatalogError, CatalogName, SchemaName, TableName};

/// A text from a server is cut off here.
const TEXT_CHARS_MAX: usize = 300;

/// What a request was about, so that a 404 or a 409 can say it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    Catalog,
    Schema(&'a Levels),
    NewSchema(&'a SchemaName),
    Table(&'a TableName),
    NewTable(&'a TableName),
}

/// The specification's `ErrorModel`, in its wrapper.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorAnswer {
    #[serde(default)]
    error: ErrorModel,
}

#[derive(Debug, Default, Deserialize)]
struct ErrorModel {
    #[serde(default)]
    message: String,
    #[serde(default, rename = "type")]
    kind: String,
}

impl ErrorAnswer {
    /// Reads an error's body; one that is no error model says nothing.
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// What happened, as a typed error.
    pub(super) fn classify(
        self,
        catalog: &CatalogName,
        method: &Method,
        status: StatusCode,
        subject: Subject<'_>,
        secrets: &[String],
    ) -> CatalogError {
        let text = safe(&self.error.message, secrets);
        let catalog = catalog.clone();
        let said = match (text.is_empty(), self.error.kind.is_empty()) {
            (true, _) => format!("it answers {status}"),
            (false, true) => format!("it answers {status}: {text}"),
            (false, false) => format!(
                "it answers {status}: {}: {text}",
                safe(&self.error.kind, secrets)
            ),
        };
        let changes = *method != Method::GET;
        match status.as_u16() {
            401 | 403 | 419 => CatalogError::Denied {
                catalog,
                reason: said,
            },
            404 => self.not_found(catalog, subject, said),
            409 => conflict(catalog, subject, said),
            400 if self.error.kind.contains("NotEmpty") => conflict(catalog, subject, said),
            405 | 406 | 501 => CatalogError::MemberCannot {
                catalog,
                reason: said,
            },
            429 | 503 => CatalogError::Unavailable {
                catalog,
                reason: said,
            },
            500..=599 if changes => CatalogError::Unknown {
                catalog,
                reason: said,
            },
            500..=599 => CatalogError::Unavailable {
                catalog,
                reason: said,
            },
            300..=399 => CatalogError::Invalid {
                reason: format!(
                    "the catalog {catalog} redirects ({status}): configure the address that it leads to"
                ),
            },
            _ => CatalogError::Invalid {
                reason: format!("the catalog {catalog} refuses the request: {said}"),
            },
        }
    }

    fn not_found(&self, catalog: CatalogName, subject: Subject<'_>, said: String) -> CatalogError {
        let of_schema = self.error.kind.contains("Namespace");
        match subject {
            Subject::Table(table) if !of_schema => CatalogError::NoSuchTable {
                table: table.clone(),
                nearest: Vec::new(),
            },
            Subject::Table(table) | Subject::NewTable(table)
                if of_schema || self.error.kind.is_empty() =>
            {
                CatalogError::NoSuchSchema {
                    catalog,
                    schema: table.schema.clone(),
                    nearest: Vec::new(),
                }
            }
            Subject::Schema(levels) => match SchemaName::new(levels.to_string()) {
                Ok(schema) => CatalogError::NoSuchSchema {
                    catalog,
                    schema,
                    nearest: Vec::new(),
                },
                Err(error) => error,
            },
            _ => CatalogError::Invalid {
                reason: format!(
                    "the catalog {catalog} knows no such address ({said}): check its uri and prefix"
                ),
            },
        }
    }
}

fn conflict(catalog: CatalogName, subject: Subject<'_>, said: String) -> CatalogError {
    match subject {
        Subject::NewTable(table) => CatalogError::Exists {
            what: format!("the table {table}"),
        },
        Subject::NewSchema(schema) => CatalogError::Exists {
            what: format!("the schema {catalog}.{schema}"),
        },
        Subject::Schema(levels) => match SchemaName::new(levels.to_string()) {
            Ok(schema) => CatalogError::NotEmpty { catalog, schema },
            Err(error) => error,
        },
        Subject::Table(_) | Subject::Catalog => CatalogError::Conflict {
            reason: format!("the catalog {catalog}: {said}"),
        },
    }
}

/// A server's text in one line, of bounded length, without anything that is ours to keep.
pub(super) fn safe(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        text = text.replace(secret.as_str(), "***");
    }
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_CHARS_MAX)
        .collect();
    line.trim().to_owned()
}

/// A failed request without its address, which may hold what a log shouldn't.
pub(super) fn plain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_never_shows_a_secret_or_a_line_break() {
        let text = safe("bad token s3cr3t\nSee logs", &["s3cr3t".to_owned()]);
        assert_eq!(text, "bad token *** See logs");
    }

    #[test]
    fn a_500_on_a_change_leaves_its_outcome_unknown_and_on_a_read_it_is_an_outage() {
        let lake = CatalogName::new("lake").unwrap();
        let of = |method: Method, status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            ErrorAnswer::default().classify(&lake, &method, status, Subject::Catalog, &[])
        };
        assert!(matches!(
            of(Method::POST, 504),
            CatalogError::Unknown { .. }
        ));
        assert!(matches!(
            of(Method::GET, 504),
            CatalogError::Unavailable { .. }
        ));
        assert!(matches!(
            of(Method::POST, 503),
            CatalogError::Unavailable { .. }
        ));
        assert!(matches!(of(Method::GET, 403), CatalogError::Denied { .. }));
    }
}
