//! One HTTP conversation with a REST catalog: configuration first, then authorised, bounded requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

use crate::member::Levels;
use crate::member::rest::auth::Authority;
use crate::member::rest::config::{ConfigAnswer, Effective};
use crate::member::rest::failure::{ErrorAnswer, Subject, plain};
use crate::member::rest::transport;
use crate::{CatalogError, CatalogName, Clock, RestSpec, Result};

/// An answer's length at most: a table's metadata with all its snapshots is the longest.
const BODY_BYTES_MAX: usize = 512 << 20;

/// An error's text is in its first bytes.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// How long to wait before the one more try that a read gets.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What is sent, before it is authorised.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'a str, String)>,
    if_none_match: Option<&'a str>,
    body: Option<serde_json::Value>,
}

impl<'a> Request<'a> {
    /// A request for a path below the prefix, in segments that are not encoded yet.
    pub(super) fn new(method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        Self {
            method,
            path,
            query: Vec::new(),
            if_none_match: None,
            body: None,
        }
    }

    pub(super) fn query(mut self, key: &'a str, value: &str) -> Self {
        self.query.push((key, value.to_owned()));
        self
    }

    pub(super) fn if_none_match(mut self, etag: Option<&'a str>) -> Self {
        self.if_none_match = etag;
        self
    }

    pub(super) fn body(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }
}

/// What came back.
#[derive(Debug)]
pub(super) enum Answer {
    NotModified,
    Body { body: Bytes, etag: Option<String> },
}

/// A connection pool, who we are, and what the catalog said about itself.
#[derive(Debug)]
pub(super) struct Client {
    catalog: CatalogName,
    spec: RestSpec,
    base: String,
    http: reqwest::Client,
    authority: Authority,
    effective: OnceCell<Effective>,
}

impl Client {
    pub(super) fn new(
        catalog: CatalogName,
        spec: &RestSpec,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let wrong =
            |reason: String| CatalogError::invalid(format!("the catalog {catalog}: {reason}"));
        let base = spec.uri.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base).to_owned();
        let url =
            Url::parse(&base).map_err(|error| wrong(format!("its uri can't be right: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(wrong("its uri must begin with http:// or https://".into()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "its uri must not hold a user or password: use [catalog.auth]".into(),
            ));
        }
        let http = transport::build(spec, timeout).map_err(wrong)?;
        let authority = Authority::new(&spec.auth, &base, clock)?;
        Ok(Self {
            spec: spec.clone(),
            base,
            http,
            authority,
            effective: OnceCell::new(),
            catalog,
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The prefix of all paths, as the catalog said it.
    pub(super) async fn prefix(&self) -> Result<Option<&str>> {
        Ok(self.effective().await?.prefix.as_deref())
    }

    /// Whether the catalog says that it can be asked this; none where it doesn't say.
    pub(super) async fn offers(&self, endpoint: &str) -> Result<Option<bool>> {
        Ok(self.effective().await?.offers(endpoint))
    }

    /// The levels of a namespace as one path segment.
    pub(super) async fn joined(&self, levels: &Levels) -> Result<String> {
        Ok(levels.as_slice().join(&self.effective().await?.separator))
    }

    pub(super) fn broken(&self, what: &str) -> CatalogError {
        CatalogError::Unavailable {
            catalog: self.catalog.clone(),
            reason: what.to_owned(),
        }
    }

    /// Sends and parses.
    pub(super) async fn json<T: for<'de> Deserialize<'de>>(
        &self,
        request: Request<'_>,
        subject: Subject<'_>,
    ) -> Result<T> {
        match self.send(request, subject).await? {
            Answer::Body { body, .. } => serde_json::from_slice(&body).map_err(|error| {
                self.broken(&format!(
                    "it sends an answer that can't be understood: {error}"
                ))
            }),
            Answer::NotModified => {
                Err(self.broken("it says 304 to a question without a condition"))
            }
        }
    }

    /// Sends one request to a path below the prefix.
    pub(super) async fn send(&self, request: Request<'_>, subject: Subject<'_>) -> Result<Answer> {
        let effective = self.effective().await?;
        let url = self.url(&effective.uri, effective.prefix.as_deref(), &request)?;
        let headers = self.headers(&effective.headers)?;
        self.authorised(&request, &url, &headers, subject).await
    }

    async fn effective(&self) -> Result<&Effective> {
        self.effective
            .get_or_try_init(|| async {
                let mut request = Request::new(Method::GET, &["config"]);
                if let Some(warehouse) = &self.spec.warehouse {
                    request = request.query("warehouse", warehouse);
                }
                let url = self.url(&self.base, None, &request)?;
                let headers = self.headers(&self.spec.headers)?;
                let answer = self
                    .authorised(&request, &url, &headers, Subject::Catalog)
                    .await?;
                let Answer::Body { body, .. } = answer else {
                    return Err(self.broken("it says 304 to a question without a condition"));
                };
                let answer: ConfigAnswer = serde_json::from_slice(&body).map_err(|error| {
                    self.broken(&format!("its /v1/config can't be understood: {error}"))
                })?;
                Effective::merge(&self.spec, &self.base, answer).map_err(|reason| {
                    CatalogError::invalid(format!("the catalog {}: {reason}", self.catalog))
                })
            })
            .await
    }

    fn url(&self, base: &str, prefix: Option<&str>, request: &Request<'_>) -> Result<Url> {
        let wrong = |reason: String| {
            CatalogError::invalid(format!("the catalog {}: {reason}", self.catalog))
        };
        // A prefix stands in a path as the catalog wrote it: it may have slashes and be encoded already.
        let root = match prefix {
            Some(prefix) => format!("{base}/v1/{prefix}"),
            None => format!("{base}/v1"),
        };
        let mut url =
            Url::parse(&root).map_err(|error| wrong(format!("{root} is no address: {error}")))?;
        url.path_segments_mut()
            .map_err(|()| wrong(format!("{root} has no path")))?
            .extend(&request.path);
        // `.` and `..` would climb, and an empty segment would name something else.
        if request
            .path
            .iter()
            .any(|segment| matches!(segment.as_str(), "" | "." | ".."))
        {
            return Err(wrong(
                "a name of no characters, '.' or '..' can't be asked for".into(),
            ));
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }

    fn headers(
        &self,
        extra: &std::collections::BTreeMap<String, SecretString>,
    ) -> Result<HeaderMap> {
        let wrong = |name: &str| {
            CatalogError::invalid(format!(
                "the header {name:?} can't be sent to {}",
                self.catalog
            ))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in extra {
            let key = HeaderName::try_from(name.as_str()).map_err(|_| wrong(name))?;
            let mut value =
                HeaderValue::try_from(value.expose_secret()).map_err(|_| wrong(name))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        if let Some(project) = self.authority.user_project() {
            let name = "x-goog-user-project";
            headers.insert(
                name,
                HeaderValue::try_from(project).map_err(|_| wrong(name))?,
            );
        }
        Ok(headers)
    }

    /// Sends with a token; renews it once if it is refused, and tries a read once more if the server is in trouble.
    async fn authorised(
        &self,
        request: &Request<'_>,
        url: &Url,
        headers: &HeaderMap,
        subject: Subject<'_>,
    ) -> Result<Answer> {
        let reads = request.method == Method::GET;
        let (mut renewed, mut retried) = (false, false);
        loop {
            let token = self.authority.token(&self.http).await;
            let token = token.map_err(|failure| failure.into_error(&self.catalog))?;
            let response = match self.once(request, url, headers, token.as_ref()).await {
                Ok(response) => response,
                Err(_) if reads && !retried => {
                    retried = true;
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                }
                Err(error) => return Err(self.unsent(error, reads)),
            };
            let status = response.status();
            // A refused request was not carried out, so any may be sent again.
            if matches!(status.as_u16(), 401 | 419)
                && !renewed
                && let Some(token) = &token
                && self.authority.refused(token).await
            {
                renewed = true;
                continue;
            }
            if reads && !retried && matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504) {
                retried = true;
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            return self.read(response, request, subject, token).await;
        }
    }

    async fn once(
        &self,
        request: &Request<'_>,
        url: &Url,
        headers: &HeaderMap,
        token: Option<&SecretString>,
    ) -> Result<Response, reqwest::Error> {
        let mut builder = self
            .http
            .request(request.method.clone(), url.clone())
            .headers(headers.clone());
        if let Some(token) = token {
            builder = builder.bearer_auth(token.expose_secret());
        }
        if let Some(etag) = request.if_none_match {
            builder = builder.header(IF_NONE_MATCH, etag);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        builder.send().await
    }

    fn unsent(&self, error: reqwest::Error, reads: bool) -> CatalogError {
        let catalog = self.catalog.clone();
        let sent = !error.is_connect() && !error.is_builder();
        let reason = plain(error);
        if reads || !sent {
            CatalogError::Unavailable { catalog, reason }
        } else {
            CatalogError::Unknown { catalog, reason }
        }
    }

    async fn read(
        &self,
        response: Response,
        request: &Request<'_>,
        subject: Subject<'_>,
        token: Option<SecretString>,
    ) -> Result<Answer> {
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && request.if_none_match.is_some() {
            return Ok(Answer::NotModified);
        }
        if status.is_success() {
            let etag = response
                .headers()
                .get(ETAG)
                .and_then(|etag| etag.to_str().ok())
                .map(str::to_owned);
            let body = match body(response, BODY_BYTES_MAX).await {
                Ok(body) => body,
                // The change is made; only its echo is lost.
                Err(_) if request.method != Method::GET => Bytes::new(),
                Err(reason) => return Err(self.broken(&reason)),
            };
            return Ok(Answer::Body { body, etag });
        }
        let body = body(response, ERROR_BYTES_MAX).await.unwrap_or_default();
        let mut secrets: Vec<String> = token
            .iter()
            .map(|token| token.expose_secret().to_owned())
            .collect();
        secrets.extend(
            self.authority
                .secret()
                .map(|secret| secret.expose_secret().to_owned()),
        );
        secrets.extend(
            self.spec
                .headers
                .values()
                .map(|value| value.expose_secret().to_owned()),
        );
        Err(ErrorAnswer::read(&body).classify(
            &self.catalog,
            &request.method,
            status,
            subject,
            &secrets,
        ))
    }
}

/// A whole body of bounded length.
async fn body(mut response: Response, bytes_max: usize) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(plain)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(format!("its answer is longer than {bytes_max} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
