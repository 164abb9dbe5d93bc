//! The HTTP client below a REST catalog: TLS, trust, connection time-outs.

use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Certificate, redirect};
use secrecy::ExposeSecret;

use crate::RestSpec;
use crate::member::rest::failure::plain;

/// To open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Builds the client, or says what in the configuration can't be right.
pub(super) fn build(spec: &RestSpec, timeout: Duration) -> Result<reqwest::Client, String> {
    for (name, value) in &spec.headers {
        let fits = HeaderName::try_from(name.as_str()).is_ok()
            && HeaderValue::try_from(value.expose_secret()).is_ok();
        if !fits {
            return Err(format!("the header {name:?} can't be sent"));
        }
    }
    let mut http = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        // A redirect would carry the configured headers to wherever it leads.
        .redirect(redirect::Policy::none())
        .user_agent(concat!("landfast/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = &spec.ca_file {
        let file_name = file.display();
        let pem = std::fs::read(file).map_err(|error| format!("reading {file_name}: {error}"))?;
        let certificates = Certificate::from_pem_bundle(&pem)
            .map_err(|error| format!("{file_name} holds no certificates: {error}"))?;
        if certificates.is_empty() {
            return Err(format!("{file_name} holds no certificates"));
        }
        for certificate in certificates {
            http = http.add_root_certificate(certificate);
        }
    }
    http.build().map_err(plain)
}
