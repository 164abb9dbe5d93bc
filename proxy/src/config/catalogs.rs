//! `[[catalog]]`: the members of the namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use landfast_catalog::{
    CatalogName, FolderSpec, FoldersSpec, MemberKind, MemberSpec, RestAuth, RestSpec, SchemaName,
    SqlSpec, TableName,
};
use landfast_sites::CanonicalUri;
use secrecy::{ExposeSecret, SecretString};

use super::error::{KeyPath, Problem};
use super::raw_catalog::{RawAuth, RawAuthKind, RawCatalog, RawCatalogKind, RawHeader};
use super::secrets::SecretKeys;
use super::store::google_credential;

pub(super) fn members(
    raw: &[RawCatalog],
    at: &KeyPath,
    base: &Path,
) -> Result<Vec<MemberSpec>, Problem> {
    if raw.is_empty() {
        return Err(KeyPath::root()
            .problem("no [[catalog]]: say at least which catalog the tables are registered in"));
    }
    let mut names = BTreeSet::new();
    raw.iter()
        .enumerate()
        .map(|(index, member)| {
            let at = at.index(index);
            let name = CatalogName::new(&member.name)
                .map_err(|e| at.key("name").problem(e.to_string()))?;
            if member.name == "landfast" {
                return Err(at.key("name").problem(
                    "`landfast` is reserved for Landfast's own tables; take another name",
                ));
            }
            if !names.insert(member.name.clone()) {
                return Err(at
                    .key("name")
                    .problem(format!("two catalogs are named `{}`", member.name)));
            }
            if member.timeout_ms == 0 {
                return Err(at.key("timeout_ms").problem("must be at least 1"));
            }
            refuse_foreign_keys(member, &at)?;
            let kind = match member.kind {
                RawCatalogKind::Rest => MemberKind::Rest(rest(member, &at, base)?),
                RawCatalogKind::Sql => MemberKind::Sql(sql(member, &at, base)?),
                RawCatalogKind::Folders => MemberKind::Folders(folders(&name, member, &at)?),
            };
            Ok(MemberSpec {
                name,
                kind,
                timeout: Duration::from_millis(member.timeout_ms),
            })
        })
        .collect()
}

fn refuse_foreign_keys(raw: &RawCatalog, at: &KeyPath) -> Result<(), Problem> {
    use RawCatalogKind::{Folders, Rest, Sql};
    let kind = match raw.kind {
        Rest => "rest",
        Sql => "sql",
        Folders => "folders",
    };
    let keys = [
        ("uri", raw.uri.is_some(), Rest),
        ("warehouse", raw.warehouse.is_some(), Rest),
        ("prefix", raw.prefix.is_some(), Rest),
        ("ca_file", raw.ca_file.is_some(), Rest),
        ("auth", raw.auth.is_some(), Rest),
        ("header", !raw.header.is_empty(), Rest),
        ("url", raw.url.is_some(), Sql),
        ("url_file", raw.url_file.is_some(), Sql),
        ("url_env", raw.url_env.is_some(), Sql),
        ("password_file", raw.password_file.is_some(), Sql),
        ("password_env", raw.password_env.is_some(), Sql),
        ("catalog_name", raw.catalog_name.is_some(), Sql),
        ("create_tables", raw.create_tables.is_some(), Sql),
        ("table", !raw.table.is_empty(), Folders),
    ];
    let mut foreign = keys
        .iter()
        .filter(|(_, given, of)| *given && *of != raw.kind);
    match foreign.next() {
        None => Ok(()),
        Some((name, ..)) => Err(at
            .key(name)
            .problem(format!("a catalog of kind \"{kind}\" takes no `{name}`"))),
    }
}

fn rest(raw: &RawCatalog, at: &KeyPath, base: &Path) -> Result<RestSpec, Problem> {
    let uri = raw.uri.clone().ok_or_else(|| {
        at.problem("a catalog of kind \"rest\" needs `uri`, the address before /v1")
    })?;
    let url = url::Url::parse(&uri)
        .map_err(|e| at.key("uri").problem(format!("`{uri}` is no URL: {e}")))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(at.key("uri").problem("write https://… (or http://…)"));
    }
    if url.password().is_some() {
        return Err(at
            .key("uri")
            .problem("a password stands in the URL; use [catalog.auth] instead"));
    }
    Ok(RestSpec {
        uri,
        warehouse: raw.warehouse.clone(),
        prefix: raw.prefix.clone(),
        auth: match &raw.auth {
            None => RestAuth::None,
            Some(auth) => rest_auth(auth, &at.key("auth"), base)?,
        },
        headers: headers(&raw.header, &at.key("header"), base)?,
        ca_file: raw.ca_file.as_ref().map(|f| base.join(f)),
    })
}

fn rest_auth(raw: &RawAuth, at: &KeyPath, base: &Path) -> Result<RestAuth, Problem> {
    use RawAuthKind::{Bearer, Google, Oauth2};
    let keys: [(&'static str, bool, RawAuthKind); 10] = [
        ("token_file", raw.token_file.is_some(), Bearer),
        ("token_env", raw.token_env.is_some(), Bearer),
        ("token_uri", raw.token_uri.is_some(), Oauth2),
        ("client_id", raw.client_id.is_some(), Oauth2),
        (
            "client_secret_file",
            raw.client_secret_file.is_some(),
            Oauth2,
        ),
        ("client_secret_env", raw.client_secret_env.is_some(), Oauth2),
        ("scope", raw.scope.is_some(), Oauth2),
        ("credential", raw.credential.is_some(), Google),
        ("credential_file", raw.credential_file.is_some(), Google),
        ("user_project", raw.user_project.is_some(), Google),
    ];
    if let Some((name, ..)) = keys
        .iter()
        .find(|(_, given, kind)| *given && *kind != raw.kind)
    {
        return Err(at
            .key(name)
            .problem(format!("`{name}` does not go with this kind of auth")));
    }
    match raw.kind {
        RawAuthKind::None => Ok(RestAuth::None),
        Bearer => Ok(RestAuth::Bearer(
            SecretKeys {
                file: raw.token_file.as_ref(),
                env: raw.token_env.as_ref(),
                names: ("token_file", "token_env"),
            }
            .require(at, base)?,
        )),
        Oauth2 => Ok(RestAuth::OAuth2 {
            token_uri: raw.token_uri.clone(),
            client_id: raw
                .client_id
                .clone()
                .ok_or_else(|| at.problem("kind \"oauth2\" needs `client_id`"))?,
            client_secret: SecretKeys {
                file: raw.client_secret_file.as_ref(),
                env: raw.client_secret_env.as_ref(),
                names: ("client_secret_file", "client_secret_env"),
            }
            .require(at, base)?,
            scope: raw.scope.clone(),
        }),
        Google => Ok(RestAuth::Google {
            credential: google_credential(
                raw.credential.as_deref(),
                raw.credential_file.as_deref(),
                at,
                base,
            )?,
            user_project: raw.user_project.clone(),
        }),
    }
}

fn headers(
    raw: &[RawHeader],
    at: &KeyPath,
    base: &Path,
) -> Result<BTreeMap<String, SecretString>, Problem> {
    let mut headers = BTreeMap::new();
    for (index, header) in raw.iter().enumerate() {
        let at = at.index(index);
        http::HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|e| at.key("name").problem(format!("`{}`: {e}", header.name)))?;
        let secret = SecretKeys {
            file: header.value_file.as_ref(),
            env: header.value_env.as_ref(),
            names: ("value_file", "value_env"),
        }
        .read(&at, base)?;
        let value = match (&header.value, secret) {
            (Some(value), None) => SecretString::from(value.clone()),
            (None, Some(secret)) => secret,
            _ => {
                return Err(at.problem(
                    "give one of `value` (nothing secret), `value_file` and `value_env`",
                ));
            }
        };
        if headers.insert(header.name.clone(), value).is_some() {
            return Err(at
                .key("name")
                .problem(format!("the header `{}` is given twice", header.name)));
        }
    }
    Ok(headers)
}

fn folders(catalog: &CatalogName, raw: &RawCatalog, at: &KeyPath) -> Result<FoldersSpec, Problem> {
    if raw.table.is_empty() {
        return Err(at.problem(
            "a catalog of kind \"folders\" needs its tables: [[catalog.table]] with `schema`, `name` and `location`",
        ));
    }
    let mut names = BTreeSet::new();
    let tables = raw.table.iter().enumerate().map(|(index, table)| {
        let at = at.key("table").index(index);
        let schema =
            SchemaName::new(&table.schema).map_err(|e| at.key("schema").problem(e.to_string()))?;
        TableName::new(catalog.clone(), schema.clone(), &table.name)
            .map_err(|e| at.key("name").problem(e.to_string()))?;
        if !names.insert((&table.schema, &table.name)) {
            return Err(at.key("name").problem(format!(
                "two tables are named `{}.{}`",
                table.schema, table.name
            )));
        }
        let at = at.key("location");
        let location = CanonicalUri::new(table.location.trim_end_matches('/'));
        let parts = location.location().map_err(|e| at.problem(e.to_string()))?;
        if parts.key.is_empty() {
            return Err(at.problem("a whole bucket is no table's folder; write gs://bucket/path"));
        }
        Ok(FolderSpec {
            schema,
            table: table.name.clone(),
            location,
        })
    });
    let tables = tables.collect::<Result<_, _>>()?;
    Ok(FoldersSpec { tables })
}

fn sql(raw: &RawCatalog, at: &KeyPath, base: &Path) -> Result<SqlSpec, Problem> {
    let from_secret = SecretKeys {
        file: raw.url_file.as_ref(),
        env: raw.url_env.as_ref(),
        names: ("url_file", "url_env"),
    }
    .read(at, base)?;
    let password = SecretKeys {
        file: raw.password_file.as_ref(),
        env: raw.password_env.as_ref(),
        names: ("password_file", "password_env"),
    }
    .read(at, base)?;
    let (url, key) = match (&raw.url, from_secret) {
        (Some(url), None) => {
            if url::Url::parse(url).is_ok_and(|u| u.password().is_some()) {
                return Err(at.key("url").problem(
                    "a password stands in the URL; use `password_file` or `password_env`, or give the whole URL as `url_file` or `url_env`",
                ));
            }
            (SecretString::from(url.clone()), "url")
        }
        (None, Some(secret)) => (secret, "url_file"),
        (Some(_), Some(_)) => {
            return Err(at
                .key("url")
                .problem("`url_file` or `url_env` is given too; keep one"));
        }
        (None, None) => {
            return Err(
                at.problem("a catalog of kind \"sql\" needs `url`: sqlite://… or postgres://…")
            );
        }
    };
    Ok(SqlSpec {
        url: finish_url(url.expose_secret(), password.as_ref(), &at.key(key), base)?,
        catalog_name: raw.catalog_name.clone().unwrap_or_else(|| raw.name.clone()),
        create_tables: raw.create_tables.unwrap_or(false),
    })
}

/// A relative SQLite path becomes relative to the configuration's directory; a password joins a PostgreSQL URL.
/// Errors never show the URL: it may hold a password.
fn finish_url(
    url: &str,
    password: Option<&SecretString>,
    at: &KeyPath,
    base: &Path,
) -> Result<SecretString, Problem> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        if password.is_some() {
            return Err(at.problem("SQLite takes no password"));
        }
        let path = path.strip_prefix("//").unwrap_or(path);
        let (file, options) = path
            .split_once('?')
            .map_or((path, None), |(f, o)| (f, Some(o)));
        if file.is_empty() || file == ":memory:" {
            return Err(at.problem(
                "a catalog in memory would be lost with the process; name a file as in sqlite://catalog.db",
            ));
        }
        // What stands in the configuration is a URL already; the directory before it is not.
        let file = if Path::new(file).is_absolute() || base.as_os_str().is_empty() {
            file.to_owned()
        } else {
            let base = base.display().to_string();
            let base = base.replace('%', "%25").replace('?', "%3F");
            format!("{}/{file}", base.trim_end_matches('/'))
        };
        let options = options.map(|o| format!("?{o}")).unwrap_or_default();
        return Ok(SecretString::from(format!("sqlite://{file}{options}")));
    }
    let mut parsed =
        url::Url::parse(url).map_err(|e| at.problem(format!("is no database URL: {e}")))?;
    if !["postgres", "postgresql"].contains(&parsed.scheme()) {
        return Err(at.problem(format!(
            "`{}:` is no known database; write sqlite://… or postgres://…",
            parsed.scheme()
        )));
    }
    if let Some(password) = password {
        parsed
            .set_password(Some(password.expose_secret()))
            .map_err(|()| at.problem("can't take a password: it names no host"))?;
    }
    Ok(SecretString::from(parsed.to_string()))
}
