//! `[site.store]`: the kinds of store, and which keys each takes.

use std::path::Path;

use landfast_sites::{
    AzureCredential, AzureSpec, FileSpec, GcsSpec, GoogleCredential, S3Credential, S3Spec,
    StoreSpec,
};

use super::error::{KeyPath, Problem};
use super::raw::{RawStore, RawStoreKind};
use super::secrets::SecretKeys;

pub(super) fn store(raw: &RawStore, at: &KeyPath, base: &Path) -> Result<StoreSpec, Problem> {
    refuse_foreign_keys(raw, at)?;
    match raw.kind {
        RawStoreKind::File => {
            let root = raw
                .root
                .as_ref()
                .ok_or_else(|| at.problem("a store of kind \"file\" needs `root`, a directory"))?;
            Ok(StoreSpec::File(FileSpec {
                root: base.join(root),
            }))
        }
        RawStoreKind::Gcs => {
            check_endpoint(raw, at, true)?;
            Ok(StoreSpec::Gcs(GcsSpec {
                endpoint: raw.endpoint.clone(),
                credential: google_credential(
                    raw.credential.as_deref(),
                    raw.credential_file.as_deref(),
                    at,
                    base,
                )?,
                user_project: raw.user_project.clone(),
            }))
        }
        RawStoreKind::S3 => s3(raw, at, base),
        RawStoreKind::Azure => azure(raw, at, base),
    }
}

/// Keys that belong to another kind would do nothing; that is a mistake worth hearing of.
fn refuse_foreign_keys(raw: &RawStore, at: &KeyPath) -> Result<(), Problem> {
    use RawStoreKind::{Azure, File, Gcs, S3};
    let keys: [(&'static str, bool, &[RawStoreKind]); 22] = [
        ("root", raw.root.is_some(), &[File]),
        ("endpoint", raw.endpoint.is_some(), &[Gcs, S3, Azure]),
        ("credential", raw.credential.is_some(), &[Gcs, S3, Azure]),
        ("credential_file", raw.credential_file.is_some(), &[Gcs]),
        ("user_project", raw.user_project.is_some(), &[Gcs]),
        ("region", raw.region.is_some(), &[S3]),
        ("path_style", raw.path_style.is_some(), &[S3]),
        ("allow_http", raw.allow_http.is_some(), &[S3, Azure]),
        ("access_key_id", raw.access_key_id.is_some(), &[S3]),
        (
            "secret_access_key_file",
            raw.secret_access_key_file.is_some(),
            &[S3],
        ),
        (
            "secret_access_key_env",
            raw.secret_access_key_env.is_some(),
            &[S3],
        ),
        (
            "session_token_file",
            raw.session_token_file.is_some(),
            &[S3],
        ),
        ("session_token_env", raw.session_token_env.is_some(), &[S3]),
        ("account", raw.account.is_some(), &[Azure]),
        ("key_file", raw.key_file.is_some(), &[Azure]),
        ("key_env", raw.key_env.is_some(), &[Azure]),
        ("sas_file", raw.sas_file.is_some(), &[Azure]),
        ("sas_env", raw.sas_env.is_some(), &[Azure]),
        ("tenant_id", raw.tenant_id.is_some(), &[Azure]),
        ("client_id", raw.client_id.is_some(), &[Azure]),
        (
            "client_secret_file",
            raw.client_secret_file.is_some(),
            &[Azure],
        ),
        (
            "client_secret_env",
            raw.client_secret_env.is_some(),
            &[Azure],
        ),
    ];
    for (name, given, kinds) in keys {
        if given && !kinds.contains(&raw.kind) {
            return Err(at.key(name).problem(format!(
                "a store of kind \"{}\" takes no `{name}`",
                kind_name(raw.kind)
            )));
        }
    }
    Ok(())
}

fn kind_name(kind: RawStoreKind) -> &'static str {
    match kind {
        RawStoreKind::Gcs => "gcs",
        RawStoreKind::S3 => "s3",
        RawStoreKind::Azure => "azure",
        RawStoreKind::File => "file",
    }
}

fn check_endpoint(raw: &RawStore, at: &KeyPath, allow_http: bool) -> Result<(), Problem> {
    let Some(endpoint) = &raw.endpoint else {
        return Ok(());
    };
    let at = at.key("endpoint");
    let url = url::Url::parse(endpoint)
        .map_err(|e| at.problem(format!("`{endpoint}` is no URL: {e}")))?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if allow_http => Ok(()),
        "http" => Err(at.problem("plain HTTP: set `allow_http = true` if that is meant")),
        other => Err(at.problem(format!(
            "`{other}` is no scheme of an endpoint; write https://…"
        ))),
    }
}

/// Google credentials, for stores and for catalogs alike.
pub(super) fn google_credential(
    kind: Option<&str>,
    file: Option<&Path>,
    at: &KeyPath,
    base: &Path,
) -> Result<GoogleCredential, Problem> {
    let path = || {
        file.map(|f| base.join(f)).ok_or_else(|| {
            at.key("credential").problem(format!(
                "\"{}\" needs `credential_file`",
                kind.unwrap_or_default()
            ))
        })
    };
    let without_file = |credential| match file {
        None => Ok(credential),
        Some(_) => Err(at.key("credential_file").problem(format!(
            "is not used with credential = \"{}\"",
            kind.unwrap_or("application-default")
        ))),
    };
    match kind {
        None | Some("application-default") => without_file(GoogleCredential::ApplicationDefault),
        Some("anonymous") => without_file(GoogleCredential::Anonymous),
        Some("service-account-key") => Ok(GoogleCredential::ServiceAccountKey { path: path()? }),
        Some("workload-identity") => Ok(GoogleCredential::WorkloadIdentity { path: path()? }),
        Some("token-file") => Ok(GoogleCredential::TokenFile { path: path()? }),
        Some(other) => Err(unknown_credential(
            other,
            at,
            "application-default, service-account-key, workload-identity, token-file, anonymous",
        )),
    }
}

fn unknown_credential(found: &str, at: &KeyPath, known: &str) -> Problem {
    let near = super::nearest(found, known.split(", "));
    let hint = near.map_or_else(
        || format!("there are: {known}"),
        |near| format!("did you mean \"{near}\"?"),
    );
    at.key("credential")
        .problem(format!("unknown credential \"{found}\"; {hint}"))
}

fn s3(raw: &RawStore, at: &KeyPath, base: &Path) -> Result<StoreSpec, Problem> {
    let allow_http = raw.allow_http.unwrap_or(false);
    check_endpoint(raw, at, allow_http)?;
    let secret = SecretKeys {
        file: raw.secret_access_key_file.as_ref(),
        env: raw.secret_access_key_env.as_ref(),
        names: ("secret_access_key_file", "secret_access_key_env"),
    };
    let session_token = SecretKeys {
        file: raw.session_token_file.as_ref(),
        env: raw.session_token_env.as_ref(),
        names: ("session_token_file", "session_token_env"),
    };
    let has_static = raw.access_key_id.is_some()
        || secret.file.is_some()
        || secret.env.is_some()
        || session_token.file.is_some()
        || session_token.env.is_some();
    let credential = match raw.credential.as_deref() {
        Some("static") => S3Credential::Static {
            access_key_id: raw.access_key_id.clone().ok_or_else(|| {
                at.key("credential")
                    .problem("\"static\" needs `access_key_id`")
            })?,
            secret: secret.require(at, base)?,
            session_token: session_token.read(at, base)?,
        },
        None | Some("default-chain" | "anonymous") if has_static => {
            return Err(at.problem(
                "keys are given, and `credential` does not use them; set credential = \"static\"",
            ));
        }
        None | Some("default-chain") => S3Credential::DefaultChain,
        Some("anonymous") => S3Credential::Anonymous,
        Some(other) => {
            return Err(unknown_credential(
                other,
                at,
                "static, default-chain, anonymous",
            ));
        }
    };
    Ok(StoreSpec::S3(S3Spec {
        endpoint: raw.endpoint.clone(),
        region: raw.region.clone(),
        path_style: raw.path_style.unwrap_or(raw.endpoint.is_some()),
        credential,
        allow_http,
    }))
}

fn azure(raw: &RawStore, at: &KeyPath, base: &Path) -> Result<StoreSpec, Problem> {
    let allow_http = raw.allow_http.unwrap_or(false);
    check_endpoint(raw, at, allow_http)?;
    let account = raw
        .account
        .clone()
        .ok_or_else(|| at.problem("a store of kind \"azure\" needs `account`"))?;
    let secret = |file, env, names| SecretKeys { file, env, names }.require(at, base);
    let needed = |value: &Option<String>, name: &str| {
        value.clone().ok_or_else(|| {
            at.key("credential")
                .problem(format!("\"client-secret\" needs `{name}`"))
        })
    };
    let credential = match raw.credential.as_deref() {
        Some("key") => AzureCredential::Key(secret(
            raw.key_file.as_ref(),
            raw.key_env.as_ref(),
            ("key_file", "key_env"),
        )?),
        Some("sas") => AzureCredential::Sas(secret(
            raw.sas_file.as_ref(),
            raw.sas_env.as_ref(),
            ("sas_file", "sas_env"),
        )?),
        Some("client-secret") => AzureCredential::ClientSecret {
            tenant: needed(&raw.tenant_id, "tenant_id")?,
            client_id: needed(&raw.client_id, "client_id")?,
            secret: secret(
                raw.client_secret_file.as_ref(),
                raw.client_secret_env.as_ref(),
                ("client_secret_file", "client_secret_env"),
            )?,
        },
        None | Some("managed-identity") => AzureCredential::ManagedIdentity {
            client_id: raw.client_id.clone(),
        },
        Some("anonymous") => AzureCredential::Anonymous,
        Some(other) => {
            return Err(unknown_credential(
                other,
                at,
                "key, sas, client-secret, managed-identity, anonymous",
            ));
        }
    };
    Ok(StoreSpec::Azure(AzureSpec {
        account,
        endpoint: raw.endpoint.clone(),
        credential,
        allow_http,
    }))
}
