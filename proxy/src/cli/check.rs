//! `landfast check`: the configuration, and a sign of life from everything it names.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use landfast_catalog::{CatalogName, Namespace};
use landfast_sites::{SiteId, Sites};

use super::sql::spinner;
use crate::audit::{AuditTarget, OnFailure};
use crate::config::{self, ClientAuth, Config, Overrides};
use crate::error::ProxyError;
use crate::serve;

/// Longer than any sensible time-out of one request; keeps a check from hanging on many prefixes.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,
    /// As with `landfast serve --insecure`
    #[arg(long)]
    insecure: bool,
    /// Only read the configuration, and ask nobody
    #[arg(long)]
    offline: bool,
}

/// One line of the report.
struct Line {
    what: &'static str,
    name: String,
    /// What was found, or why nothing was.
    outcome: Result<String, String>,
}

pub(super) async fn run(args: &CheckArgs, out: &mut (dyn Write + Send)) -> Result<(), ProxyError> {
    let overrides = Overrides {
        insecure: args.insecure,
    };
    let config = config::load_with(&args.config, overrides)?;
    let sites = Sites::new(config.sites.clone())?;
    let namespace = serve::namespace(&config, &sites)?;
    let mut lines = vec![Line {
        what: "config",
        name: args.config.display().to_string(),
        outcome: Ok(summary(&config)),
    }];
    if let Some(file) = &config.policy {
        lines.push(Line {
            what: "policy",
            name: file.path.display().to_string(),
            outcome: Ok(format!("{} grants", file.policy.len())),
        });
    }
    if let Some(line) = certificate(&config) {
        lines.push(line);
    }
    lines.extend(audit(&config));
    let auth = serve::authenticator(&config)?;
    if !args.offline {
        let bar = spinner();
        bar.set_message("asking sites, catalogs and issuers");
        let (probed, issuers) =
            tokio::join!(join_all(probes(&sites, &namespace)), auth.probe_issuers());
        lines.extend(probed);
        lines.extend(issuers.into_iter().map(|(name, found)| Line {
            what: "issuer",
            name,
            outcome: found.map(|keys| format!("answers, with {}", count(keys, "key"))),
        }));
        bar.finish_and_clear();
    }
    let all = lines.len();
    let mut failed = 0;
    for line in lines {
        let (mark, text) = match line.outcome {
            Ok(text) => ("ok", text),
            Err(text) => {
                failed += 1;
                ("FAILED", text)
            }
        };
        // One line each, whatever an error has in it.
        let text = text.replace(['\r', '\n'], " ");
        writeln!(out, "{mark:<6}  {:<7}  {}: {text}", line.what, line.name)?;
    }
    if failed > 0 {
        return Err(ProxyError::Check { failed, all });
    }
    Ok(())
}

fn summary(config: &Config) -> String {
    let who = if config.insecure {
        "anybody on this machine (insecure)".to_owned()
    } else {
        format!(
            "{}, {}, {} and {}",
            count(config.users.len(), "user"),
            count(config.tokens.len(), "token"),
            count(config.certificates.len(), "certificate"),
            count(config.oidc.len(), "issuer")
        )
    };
    format!(
        "{}, {}, {who}; stands at {} and listens on {}",
        count(config.sites.sites.len(), "site"),
        count(config.members.len(), "catalog"),
        config.sites.reader,
        config.listen
    )
}

fn count(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

/// Whether the audit log can be written. Nothing is created: who checks may not be who serves.
fn audit(config: &Config) -> Option<Line> {
    let spec = config.audit.as_ref()?;
    let (name, outcome) = match &spec.target {
        AuditTarget::Stdout => ("stdout".to_owned(), Ok(())),
        AuditTarget::File(path) => (path.display().to_string(), appendable(path)),
    };
    let redacted = if spec.redact_literals {
        "without literals"
    } else {
        "with literals"
    };
    let failing = match spec.on_failure {
        OnFailure::Refuse => "requests are refused while it can't be written",
        OnFailure::Drop => "lines are dropped while it can't be written",
    };
    Some(Line {
        what: "audit",
        name,
        outcome: outcome.map(|()| format!("statements {redacted}; {failing}")),
    })
}

fn appendable(path: &Path) -> Result<(), String> {
    if path.exists() {
        let opened = std::fs::OpenOptions::new().append(true).open(path);
        return opened.map(drop).map_err(|error| error.to_string());
    }
    match path.parent() {
        Some(parent) if parent.is_dir() => Ok(()),
        _ => Err("its directory does not exist".to_owned()),
    }
}

/// Whether the certificate and its key go together, and whether clients' authorities can be read.
fn certificate(config: &Config) -> Option<Line> {
    let files = config.tls.as_ref()?;
    let outcome = serve::check_tls(files);
    Some(Line {
        what: "tls",
        name: files.cert_file.display().to_string(),
        outcome: outcome
            .map(|()| match &files.clients {
                None => "the certificate and its key go together".to_owned(),
                Some(clients) => format!(
                    "the certificate and its key go together; client certificates of {} are {}",
                    clients.ca_file.display(),
                    match clients.auth {
                        ClientAuth::Required => "required",
                        ClientAuth::Optional => "taken",
                    }
                ),
            })
            .map_err(|e| e.to_string()),
    })
}

fn probes(sites: &Arc<Sites>, namespace: &Arc<Namespace>) -> Vec<BoxFuture<'static, Line>> {
    let sites_lines = sites
        .ids()
        .into_iter()
        .map(|id| probe_site(Arc::clone(sites), id).boxed());
    let catalog_lines = namespace
        .catalogs()
        .into_iter()
        .map(|name| probe_catalog(Arc::clone(namespace), name).boxed());
    sites_lines.chain(catalog_lines).collect()
}

async fn probe_site(sites: Arc<Sites>, id: SiteId) -> Line {
    let outcome = match tokio::time::timeout(PROBE_TIMEOUT, sites.probe(&id)).await {
        Ok(Ok(report)) if report.is_ok() => Ok(report.to_string()),
        Ok(Ok(report)) => Err(report.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(too_slow()),
    };
    Line {
        what: "site",
        name: id.to_string(),
        outcome,
    }
}

async fn probe_catalog(namespace: Arc<Namespace>, name: CatalogName) -> Line {
    let outcome = match tokio::time::timeout(PROBE_TIMEOUT, namespace.probe(&name)).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(too_slow()),
    };
    Line {
        what: "catalog",
        name: name.to_string(),
        outcome,
    }
}

fn too_slow() -> String {
    format!("no answer within {} s", PROBE_TIMEOUT.as_secs())
}
