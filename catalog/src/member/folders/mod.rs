//! Tables that no catalog knows, each followed in its folder: the newest metadata file is where it stands.
//!
//! A folder has one writer. Writers that commit at once need a catalog (or a lock) to agree on who came first, and a
//! folder tells nobody: a table that several engines commit to must not be read this way.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{StreamExt, TryStreamExt};
use landfast_sites::{
    CanonicalUri, FileId, Listed, ReadClass, ReadLog, Route, Sites, SitesError, SitesErrorKind,
};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::member::{Levels, Member, Pointer, PointerAnswer, Source};
use crate::metadata::document::{self, MetadataHead, Refusal};
use crate::{CatalogError, CatalogName, FoldersSpec, Result, SchemaName, TableName};

mod versions;

use versions::{HINT, Version, hinted, name, newest_first};

/// Files of one `metadata/` at most: manifests lie there too.
const LISTED_MAX: usize = 1_000_000;

/// Metadata files that are tried, the newest first, before a table counts as broken.
const TRIED_MAX: usize = 20;

/// A version hint is a few digits.
const HINT_BYTES_MAX: u64 = 4 << 10;

/// Folders that a probe asks for at the same time.
const PROBED_AT_ONCE: usize = 8;

/// A member whose tables are folders.
#[derive(Debug)]
pub(crate) struct FoldersMember {
    name: CatalogName,
    tables: BTreeMap<(Levels, String), Folder>,
    sites: Arc<Sites>,
}

/// One table's folder.
#[derive(Debug)]
struct Folder {
    schema: SchemaName,
    /// `<location>/metadata`.
    metadata: CanonicalUri,
    seen: Mutex<Seen>,
}

/// What was found out about a folder's files. They are written once, so it holds while they are listed alike.
#[derive(Debug, Default)]
struct Seen {
    /// Where the table stood last.
    current: Option<(Listed, Option<Uuid>)>,
    /// Newer files that were not whole, or another table's by the version hint.
    passed_over: Vec<Listed>,
    /// The version hint that went by.
    hint: Option<Listed>,
}

/// What became of one metadata file.
enum Judged {
    /// It is whole; whether it can be read is for the reader to say.
    Whole(Option<Uuid>),
    NotWhole(String),
}

impl FoldersMember {
    pub(crate) fn new(name: CatalogName, spec: &FoldersSpec, sites: Arc<Sites>) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for folder in &spec.tables {
            let location = folder.location.as_str().trim_end_matches('/');
            let metadata = CanonicalUri::new(format!("{location}/metadata"));
            let (schema, table) = (&folder.schema, &folder.table);
            sites.origin_of(&metadata).map_err(|error| {
                CatalogError::invalid(format!(
                    "the catalog {name}: the folder of the table {schema}.{table} can't be read: {error}"
                ))
            })?;
            let entry = Folder {
                schema: schema.clone(),
                metadata,
                seen: Mutex::default(),
            };
            let key = (Levels::split(schema), table.clone());
            if tables.insert(key, entry).is_some() {
                return Err(CatalogError::invalid(format!(
                    "the catalog {name} has two tables {schema}.{table}"
                )));
            }
        }
        Ok(Self {
            name,
            tables,
            sites,
        })
    }

    fn refuse<T>(&self) -> Result<T> {
        Err(CatalogError::MemberCannot {
            catalog: self.name.clone(),
            reason: "its tables are the folders that the configuration names, and are only read"
                .into(),
        })
    }

    /// What the origin's store says now, as the member's own failure where it doesn't.
    fn failed(&self, error: SitesError) -> CatalogError {
        let catalog = self.name.clone();
        let reason = error.to_string();
        match error.kind() {
            SitesErrorKind::Unavailable => CatalogError::Unavailable { catalog, reason },
            SitesErrorKind::Denied => CatalogError::Denied { catalog, reason },
            _ => error.into(),
        }
    }

    /// Where a table stands by its folder, as the origin lists it now.
    async fn follow(&self, folder: &Folder, table: &TableName) -> Result<Pointer> {
        let failed = |error| self.failed(error);
        let origin = self.sites.origin_of(&folder.metadata).map_err(failed)?;
        let listed = self
            .sites
            .list(&origin, &folder.metadata, LISTED_MAX)
            .await
            .map_err(failed)?;
        if listed.len() == LISTED_MAX {
            return Err(CatalogError::Unsupported {
                table: table.clone(),
                feature: format!("{} has more than {LISTED_MAX} files", folder.metadata),
            });
        }
        let at = folder.metadata.as_str();
        let hint = listed.iter().find(|file| name(at, file) == Some(HINT));
        let hint = hint.cloned();
        let versions = newest_first(at, listed);
        if let Some(known) = folder.seen.lock().still_current(&versions, hint.as_ref()) {
            return Ok(known);
        }
        let route = Route::new(vec![origin]);
        let hinted = match &hint {
            Some(hint) => self.hinted(hint, at, &versions, &route).await?,
            None => None,
        };
        let uuid = hinted.as_ref().and_then(|(_, uuid)| *uuid);
        let mut wrong = format!("{at} has no metadata file");
        let mut passed_over = Vec::new();
        for version in versions.iter().take(TRIED_MAX) {
            let file = &version.file;
            let judged = match &hinted {
                Some((judged, uuid)) if judged == file => Judged::Whole(*uuid),
                _ => self.judge(file, &route).await?,
            };
            let reason = match judged {
                Judged::Whole(found) if differ(found, uuid) => {
                    "it is another table's than the version hint's".to_owned()
                }
                Judged::Whole(found) => {
                    let mut seen = folder.seen.lock();
                    seen.current = Some((file.clone(), found));
                    seen.passed_over = passed_over;
                    seen.hint = hint;
                    return Ok(pointer(file, found));
                }
                Judged::NotWhole(reason) => reason,
            };
            tracing::warn!(table = %table, file = %file.uri, reason, "the newest metadata file of a folder is passed over");
            if passed_over.is_empty() {
                wrong = format!("{}: {reason}", file.uri);
            }
            passed_over.push(file.clone());
        }
        Err(CatalogError::Corrupt {
            table: table.clone(),
            reason: wrong,
        })
    }

    /// The metadata file that the version hint leads to, and whose it is. A hint that leads nowhere says nothing.
    async fn hinted(
        &self,
        hint: &Listed,
        folder: &str,
        versions: &[Version],
        route: &Route,
    ) -> Result<Option<(Listed, Option<Uuid>)>> {
        if hint.size > HINT_BYTES_MAX {
            return Ok(None);
        }
        // Not by its size: a hint is written again and again.
        let id = FileId::new(hint.uri.clone(), None);
        let log = ReadLog::new();
        let read = self
            .sites
            .read_whole(&id, route, ReadClass::Metadata, &log)
            .await;
        let text = match read {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == SitesErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let Some(version) = hinted(&text, folder, versions) else {
            return Ok(None);
        };
        match self.judge(&version.file, route).await? {
            Judged::Whole(uuid) => Ok(Some((version.file.clone(), uuid))),
            Judged::NotWhole(_) => Ok(None),
        }
    }

    /// Whether a metadata file is whole, and whose it is.
    async fn judge(&self, file: &Listed, route: &Route) -> Result<Judged> {
        let id = FileId::new(file.uri.clone(), Some(file.size));
        let log = ReadLog::new();
        let read = self
            .sites
            .read_whole(&id, route, ReadClass::Metadata, &log)
            .await;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(
                    error.kind(),
                    SitesErrorKind::NotFound | SitesErrorKind::Corrupt
                ) =>
            {
                return Ok(Judged::NotWhole(error.to_string()));
            }
            Err(error) => return Err(self.failed(error)),
        };
        let judge = move || match document::parse(&bytes, None) {
            Ok(document) => Judged::Whole(Some(document.metadata.uuid())),
            Err(Refusal::Damaged(reason)) => Judged::NotWhole(reason),
            Err(Refusal::Unsupported(_) | Refusal::Invalid(_)) => {
                Judged::Whole(MetadataHead::read(&bytes).and_then(|head| head.table_uuid))
            }
        };
        let judged = tokio::task::spawn_blocking(judge).await;
        judged.map_err(|error| CatalogError::Invalid {
            reason: format!("reading metadata was stopped: {error}"),
        })
    }
}

impl Seen {
    /// Where the table stood last, if no newer file is there but those that were passed over.
    fn still_current(&self, versions: &[Version], hint: Option<&Listed>) -> Option<Pointer> {
        let (current, uuid) = self.current.as_ref()?;
        if !self.passed_over.is_empty() && self.hint.as_ref() != hint {
            return None;
        }
        let mut newer = versions.iter().map(|version| &version.file);
        let newest = newer.find(|file| !self.passed_over.contains(file))?;
        (newest == current).then(|| pointer(current, *uuid))
    }
}

fn pointer(file: &Listed, uuid: Option<Uuid>) -> Pointer {
    Pointer {
        metadata_location: file.uri.clone(),
        uuid: uuid.filter(|uuid| !uuid.is_nil()),
        etag: None,
        source: Source::Listed {
            size: file.size,
            modified_ms: file.modified_ms,
        },
    }
}

/// A v1 table may have no identity, and then fits all.
fn differ(found: Option<Uuid>, wanted: Option<Uuid>) -> bool {
    let known = |uuid: Option<Uuid>| uuid.filter(|uuid| !uuid.is_nil());
    matches!((known(found), known(wanted)), (Some(found), Some(wanted)) if found != wanted)
}

#[async_trait]
impl Member for FoldersMember {
    fn kind(&self) -> &'static str {
        "folders"
    }

    async fn namespaces(&self) -> Result<Vec<Levels>> {
        let levels = self.tables.keys().map(|(levels, _)| levels.clone());
        Ok(levels.collect())
    }

    async fn tables(&self, levels: &Levels) -> Result<Vec<String>> {
        let of = self.tables.keys().filter(|(of, _)| of == levels);
        let tables: Vec<String> = of.map(|(_, table)| table.clone()).collect();
        if tables.is_empty() {
            return Err(CatalogError::NoSuchSchema {
                catalog: self.name.clone(),
                schema: SchemaName::new(levels.to_string())?,
                nearest: Vec::new(),
            });
        }
        Ok(tables)
    }

    async fn pointer(
        &self,
        levels: &Levels,
        table: &TableName,
        _etag: Option<&str>,
    ) -> Result<PointerAnswer> {
        let key = (levels.clone(), table.table.clone());
        let Some(folder) = self.tables.get(&key) else {
            return Err(CatalogError::NoSuchTable {
                table: table.clone(),
                nearest: Vec::new(),
            });
        };
        let pointer = self.follow(folder, table).await?;
        Ok(PointerAnswer::At(pointer, None))
    }

    async fn register(&self, _: &Levels, _: &TableName, _: &CanonicalUri) -> Result<()> {
        self.refuse()
    }

    async fn drop_table(&self, _: &Levels, _: &TableName) -> Result<()> {
        self.refuse()
    }

    async fn create_schema(&self, _: &Levels, _: &SchemaName) -> Result<()> {
        self.refuse()
    }

    async fn drop_schema(&self, _: &Levels, _: &SchemaName) -> Result<()> {
        self.refuse()
    }

    async fn probe(&self) -> Result<String> {
        let probes = self.tables.iter().map(|((_, table), folder)| async move {
            let name = TableName::new(self.name.clone(), folder.schema.clone(), table.clone())?;
            self.follow(folder, &name).await.map(drop)
        });
        // Collected first: a stream that holds the closure makes the caller's future one that can't change threads.
        let probes: Vec<_> = probes.collect();
        futures::stream::iter(probes)
            .buffer_unordered(PROBED_AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(format!("{} tables, each in its folder", self.tables.len()))
    }
}
