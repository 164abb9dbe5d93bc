//! A member: one Iceberg catalog, asked over its own protocol.

use std::fmt;
use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use landfast_sites::CanonicalUri;
use uuid::Uuid;

use crate::{CatalogName, Result, SchemaName, TableName};

pub(crate) mod folders;
pub(crate) mod rest;
pub(crate) mod sql;

/// The levels of an Iceberg namespace, from the outermost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Levels(Vec<String>);

impl Levels {
    pub(crate) fn new(levels: Vec<String>) -> Self {
        Self(levels)
    }

    /// The levels of a schema's name, if none of them holds a dot itself.
    pub(crate) fn split(schema: &SchemaName) -> Self {
        Self(schema.as_str().split('.').map(str::to_owned).collect())
    }

    pub(crate) fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Where a member says a table stands.
#[derive(Debug, Clone)]
pub(crate) struct Pointer {
    pub(crate) metadata_location: CanonicalUri,
    /// The table's identity, where the member says it.
    pub(crate) uuid: Option<Uuid>,
    /// What to ask "has it changed?" with.
    pub(crate) etag: Option<String>,
    /// Which of the documents that the location may stand for.
    pub(crate) source: Source,
}

/// Which document is meant, where the location of a metadata file alone doesn't say it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The file's: it is written once.
    File,
    /// The file's as the origin lists it: who commits to a folder that was restored uses names again.
    Listed { size: u64, modified_ms: i64 },
    /// What this catalog sends along: only its own tables are read by it.
    Sent(CatalogName),
}

impl Pointer {
    /// To a file that is written once.
    pub(crate) fn to_file(metadata_location: CanonicalUri, uuid: Option<Uuid>) -> Self {
        Self {
            metadata_location,
            uuid,
            etag: None,
            source: Source::File,
        }
    }
}

/// What a member answers to "where does this table stand?".
#[derive(Debug)]
pub(crate) enum PointerAnswer {
    /// Here; and where the member sent it along, its whole answer with the metadata in it.
    At(Pointer, Option<InlineMetadata>),
    /// Where it stood when the entity tag was handed out.
    Unchanged,
}

/// A `LoadTableResult` as it came: parsed only when its metadata isn't cached.
#[derive(Debug, Clone)]
pub(crate) struct InlineMetadata(pub(crate) Bytes);

/// What a member answers to "what is this view?".
#[derive(Debug)]
pub(crate) enum ViewAnswer {
    /// A `LoadViewResult` as it came.
    Inline(Bytes),
    /// Its metadata file.
    At(CanonicalUri),
}

/// One Iceberg catalog. Calls are not bounded in time here: whoever calls does that.
#[async_trait]
pub(crate) trait Member: Debug + Send + Sync {
    /// `rest`, `sqlite`, `postgres` or `folders`.
    fn kind(&self) -> &'static str;

    /// All namespaces, nested ones too, sorted.
    async fn namespaces(&self) -> Result<Vec<Levels>>;

    /// The tables of one namespace, sorted.
    async fn tables(&self, levels: &Levels) -> Result<Vec<String>>;

    /// The views of one namespace, sorted; none where the member has no views.
    async fn views(&self, _levels: &Levels) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// A view's definition; none where the member has no such view.
    async fn view(&self, _levels: &Levels, _view: &TableName) -> Result<Option<ViewAnswer>> {
        Ok(None)
    }

    /// Where a table stands now; with an entity tag, whether it still stands there.
    async fn pointer(
        &self,
        levels: &Levels,
        table: &TableName,
        etag: Option<&str>,
    ) -> Result<PointerAnswer>;

    /// Makes a table of metadata that exists.
    async fn register(
        &self,
        levels: &Levels,
        table: &TableName,
        metadata_location: &CanonicalUri,
    ) -> Result<()>;

    /// Removes the catalog's entry, and nothing else.
    async fn drop_table(&self, levels: &Levels, table: &TableName) -> Result<()>;

    async fn create_schema(&self, levels: &Levels, schema: &SchemaName) -> Result<()>;

    /// Removes an empty schema.
    async fn drop_schema(&self, levels: &Levels, schema: &SchemaName) -> Result<()>;

    /// One line about how the member does.
    async fn probe(&self) -> Result<String>;
}
