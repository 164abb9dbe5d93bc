//! An Iceberg REST catalog (the Iceberg REST catalog specification, `rest-catalog-open-api.yaml`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt};
use landfast_sites::CanonicalUri;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::member::{InlineMetadata, Levels, Member, Pointer, PointerAnswer, Source, ViewAnswer};
use crate::metadata::document::LoadTableHead;
use crate::{CatalogError, CatalogName, Clock, RestSpec, Result, SchemaName, TableName};

mod auth;
mod client;
mod config;
mod failure;
mod transport;

use client::{Answer, Client, Request};
use failure::Subject;

/// Names asked for per page.
const PAGE_SIZE: &str = "1000";

/// Pages of one listing at most.
const PAGES_MAX: usize = 10_000;

/// The questions about views, as `/v1/config` lists them.
const LIST_VIEWS: &str = "GET /v1/{prefix}/namespaces/{namespace}/views";
const LOAD_VIEW: &str = "GET /v1/{prefix}/namespaces/{namespace}/views/{view}";

/// Namespaces of one catalog at most.
const NAMESPACES_MAX: usize = 100_000;

/// Namespaces whose children are asked for at the same time.
const PARENTS_AT_ONCE: usize = 8;

/// A REST catalog as a member.
#[derive(Debug)]
pub(crate) struct RestMember {
    name: CatalogName,
    client: Client,
    /// Whether it was seen to know views, where it doesn't say.
    knows_views: AtomicBool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct NamespacesPage {
    #[serde(default)]
    namespaces: Vec<Vec<String>>,
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct IdentifiersPage {
    #[serde(default)]
    identifiers: Vec<Identifier>,
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Identifier {
    name: String,
}

impl RestMember {
    pub(crate) fn new(
        name: CatalogName,
        spec: &RestSpec,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let client = Client::new(name.clone(), spec, timeout, clock)?;
        Ok(Self {
            name,
            client,
            knows_views: AtomicBool::new(false),
        })
    }

    /// All pages of one listing.
    async fn pages<P, T>(
        &self,
        request: Request<'_>,
        subject: Subject<'_>,
        open: impl Fn(P) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>>
    where
        P: for<'de> Deserialize<'de>,
    {
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let page = request
                .clone()
                .query("pageToken", &token)
                .query("pageSize", PAGE_SIZE);
            let (items, next) = open(self.client.json(page, subject).await?);
            all.extend(items);
            match next.filter(|next| !next.is_empty()) {
                None => return Ok(all),
                Some(next) => {
                    if !seen.insert(next.clone()) {
                        return Err(self
                            .client
                            .broken("its pages never end: a page token came twice"));
                    }
                    token = next;
                }
            }
        }
        Err(self.client.broken("its listing has too many pages"))
    }

    /// The names within one namespace, all pages.
    async fn names(&self, levels: &Levels, of: &str) -> Result<Vec<String>> {
        let joined = self.client.joined(levels).await?;
        let request = Request::new(Method::GET, &["namespaces", &joined, of]);
        let open = |page: IdentifiersPage| (page.identifiers, page.next_page_token);
        let found = self.pages(request, Subject::Schema(levels), open).await?;
        Ok(found
            .into_iter()
            .map(|identifier| identifier.name)
            .collect())
    }

    /// What an answer about views means. Catalogs that know none say so in many ways, unless they list what they know.
    fn about_views<T: Default>(&self, offered: Option<bool>, answer: Result<T>) -> Result<T> {
        match answer {
            Ok(answer) => {
                self.knows_views.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Err(CatalogError::NoSuchTable { .. } | CatalogError::NoSuchSchema { .. }) => {
                Ok(T::default())
            }
            Err(error) if offered.is_none() && !self.knows_views.load(Ordering::Relaxed) => {
                tracing::debug!(catalog = %self.name, %error, "a catalog seems to know no views");
                Ok(T::default())
            }
            Err(error) => Err(error),
        }
    }

    async fn children(&self, parent: Option<&Levels>) -> Result<Vec<Levels>> {
        let mut request = Request::new(Method::GET, &["namespaces"]);
        if let Some(parent) = parent {
            request = request.query("parent", &self.client.joined(parent).await?);
        }
        let open = |page: NamespacesPage| (page.namespaces, page.next_page_token);
        let found = self.pages(request, Subject::Catalog, open).await?;
        Ok(found
            .into_iter()
            .filter(|levels| !levels.is_empty())
            .map(Levels::new)
            .collect())
    }

    fn table_not_sent(&self, table: &TableName, what: &str) -> CatalogError {
        CatalogError::Corrupt {
            table: table.clone(),
            reason: format!("the catalog {} sends {what}", self.name),
        }
    }
}

#[async_trait]
impl Member for RestMember {
    fn kind(&self) -> &'static str {
        "rest"
    }

    async fn namespaces(&self) -> Result<Vec<Levels>> {
        let mut all: HashSet<Levels> = HashSet::new();
        let mut waiting: Vec<Levels> = self.children(None).await?;
        let mut asking = FuturesUnordered::new();
        loop {
            while asking.len() < PARENTS_AT_ONCE
                && let Some(levels) = waiting.pop()
            {
                if all.len() >= NAMESPACES_MAX {
                    return Err(self.client.broken("it has too many namespaces"));
                }
                if all.insert(levels.clone()) {
                    asking.push(async move { (self.children(Some(&levels)).await, levels) });
                }
            }
            let Some((children, parent)) = asking.next().await else {
                break;
            };
            match children {
                // Some servers give all descendants, some the parent as well.
                Ok(children) => waiting.extend(children.into_iter().filter(|child| {
                    child.as_slice().len() > parent.as_slice().len()
                        && child.as_slice().starts_with(parent.as_slice())
                })),
                // A catalog without nested namespaces says so in its own way; one that just went has no children.
                Err(error) if !error.is_outage() => {
                    tracing::debug!(catalog = %self.name, %parent, %error, "a namespace has no children to list");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all.into_iter().collect())
    }

    async fn tables(&self, levels: &Levels) -> Result<Vec<String>> {
        self.names(levels, "tables").await
    }

    async fn views(&self, levels: &Levels) -> Result<Vec<String>> {
        let offered = self.client.offers(LIST_VIEWS).await?;
        if offered == Some(false) {
            return Ok(Vec::new());
        }
        self.about_views(offered, self.names(levels, "views").await)
    }

    async fn view(&self, levels: &Levels, view: &TableName) -> Result<Option<ViewAnswer>> {
        let offered = self.client.offers(LOAD_VIEW).await?;
        if offered == Some(false) {
            return Ok(None);
        }
        let joined = self.client.joined(levels).await?;
        let request = Request::new(Method::GET, &["namespaces", &joined, "views", &view.table]);
        let answer = self.client.send(request, Subject::Table(view)).await;
        let answer = answer.map(|answer| match answer {
            Answer::Body { body, .. } => Some(ViewAnswer::Inline(body)),
            Answer::NotModified => None,
        });
        self.about_views(offered, answer)
    }

    async fn pointer(
        &self,
        levels: &Levels,
        table: &TableName,
        etag: Option<&str>,
    ) -> Result<PointerAnswer> {
        let joined = self.client.joined(levels).await?;
        let request = Request::new(
            Method::GET,
            &["namespaces", &joined, "tables", &table.table],
        )
        .if_none_match(etag);
        let (body, etag) = match self.client.send(request, Subject::Table(table)).await? {
            Answer::NotModified => return Ok(PointerAnswer::Unchanged),
            Answer::Body { body, etag } => (body, etag),
        };
        let head: LoadTableHead = serde_json::from_slice(&body).map_err(|error| {
            self.table_not_sent(table, &format!("an answer that is no table: {error}"))
        })?;
        let location = head.metadata_location.ok_or_else(|| {
            self.table_not_sent(table, "no metadata location, so it can't be pinned")
        })?;
        let pointer = Pointer {
            metadata_location: CanonicalUri::new(location),
            uuid: head.metadata.table_uuid,
            etag,
            source: Source::Sent(self.name.clone()),
        };
        Ok(PointerAnswer::At(pointer, Some(InlineMetadata(body))))
    }

    async fn register(
        &self,
        levels: &Levels,
        table: &TableName,
        metadata_location: &CanonicalUri,
    ) -> Result<()> {
        let joined = self.client.joined(levels).await?;
        // Not every server refuses to register into a namespace that doesn't exist.
        let schema = Request::new(Method::GET, &["namespaces", &joined]);
        self.client.send(schema, Subject::Schema(levels)).await?;
        let body = json!({ "name": table.table, "metadata-location": metadata_location.as_str() });
        let request = Request::new(Method::POST, &["namespaces", &joined, "register"]).body(body);
        self.client
            .send(request, Subject::NewTable(table))
            .await
            .map(drop)
    }

    async fn drop_table(&self, levels: &Levels, table: &TableName) -> Result<()> {
        let joined = self.client.joined(levels).await?;
        let request = Request::new(
            Method::DELETE,
            &["namespaces", &joined, "tables", &table.table],
        )
        .query("purgeRequested", "false");
        self.client
            .send(request, Subject::Table(table))
            .await
            .map(drop)
    }

    async fn create_schema(&self, levels: &Levels, schema: &SchemaName) -> Result<()> {
        let body = json!({ "namespace": levels.as_slice(), "properties": {} });
        let request = Request::new(Method::POST, &["namespaces"]).body(body);
        self.client
            .send(request, Subject::NewSchema(schema))
            .await
            .map(drop)
    }

    async fn drop_schema(&self, levels: &Levels, schema: &SchemaName) -> Result<()> {
        // Not every server refuses to drop a namespace that has something in it.
        let children = match self.children(Some(levels)).await {
            Err(error) if error.is_outage() => return Err(error),
            children => children.unwrap_or_default(),
        };
        let empty = children.is_empty()
            && self.tables(levels).await?.is_empty()
            && self.views(levels).await?.is_empty();
        if !empty {
            return Err(CatalogError::NotEmpty {
                catalog: self.name.clone(),
                schema: schema.clone(),
            });
        }
        let joined = self.client.joined(levels).await?;
        let request = Request::new(Method::DELETE, &["namespaces", &joined]);
        self.client
            .send(request, Subject::Schema(levels))
            .await
            .map(drop)
    }

    async fn probe(&self) -> Result<String> {
        let namespaces = self.children(None).await?.len();
        let prefix = self.client.prefix().await?;
        let prefix = prefix.map_or_else(String::new, |prefix| format!(", prefix {prefix}"));
        Ok(format!(
            "REST catalog at {}{prefix}: {namespaces} top-level namespaces",
            self.client.base()
        ))
    }
}
