//! A view: a name for a query, kept in a catalog beside the tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::spec::SchemaRef;
use landfast_sites::CanonicalUri;
use uuid::Uuid;

use crate::{AsOf, Pin, TableName, UnreadableColumn};

/// A view's current version (the Iceberg view specification, version 1), and the others that its metadata keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The view's name.
    pub name: TableName,
    /// Its identity.
    pub uuid: Uuid,
    /// The version's id.
    pub version_id: i64,
    /// The query, in each of the dialects that its writer gave: at most one text per dialect.
    pub representations: Vec<ViewRepresentation>,
    /// The catalog that names of two parts in the query are looked up in; without one, the view's own. It is a name in
    /// the writer's world, which may not be the name that the catalog is mounted under.
    pub default_catalog: Option<String>,
    /// The levels of the namespace that names of one part in the query are looked up in.
    pub default_namespace: Vec<String>,
    /// What the query gives: names and types of its columns, without those that can't be read.
    pub schema: SchemaRef,
    /// Columns that are left out of the schema.
    pub unreadable: Arc<[UnreadableColumn]>,
    /// The view's properties.
    pub properties: BTreeMap<String, String>,
    /// The versions that aren't the current one, as far as they can be read; none in these themselves.
    pub others: Vec<Arc<View>>,
}

impl View {
    /// What is needed to read this version again.
    pub fn pin(&self) -> Pin {
        Pin {
            table: self.name.clone(),
            uuid: self.uuid,
            metadata_location: CanonicalUri::new(""),
            snapshot_id: None,
            as_of: AsOf::Current,
            view_version: Some(self.version_id),
        }
    }

    /// The version that was pinned, if this is the view and its metadata still has it.
    pub fn pinned(self: &Arc<Self>, pin: &Pin) -> Option<Arc<Self>> {
        let mut versions = std::iter::once(self).chain(&self.others);
        let is = |version: &&Arc<Self>| Some(version.version_id) == pin.view_version;
        versions
            .find(is)
            .filter(|_| self.uuid == pin.uuid)
            .map(Arc::clone)
    }
}

/// One SQL text of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewRepresentation {
    /// The dialect that the text is in, as its writer calls it: `spark`, `trino`.
    pub dialect: String,
    /// The text of one SELECT.
    pub sql: String,
}
