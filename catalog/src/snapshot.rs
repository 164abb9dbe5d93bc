//! A table as one query sees it: its metadata and one snapshot, pinned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iceberg::spec::{
    ListType, Literal, MAIN_BRANCH, MapType, NestedField, NestedFieldRef, Schema, SchemaRef,
    SnapshotRef, SnapshotReference, SnapshotRetention, StructType, TableMetadata, Type,
};
use landfast_sites::CanonicalUri;
use uuid::Uuid;

use crate::metadata::schema_json::LeftOut;
use crate::{AsOf, TableName};

/// Which table, at which metadata and snapshot, or which version of which view: enough to read exactly the same again,
/// and plain data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    /// The table's name when it was pinned.
    pub table: TableName,
    /// The table's identity. The nil UUID stands for a v1 table that has none.
    pub uuid: Uuid,
    /// Where the metadata is.
    pub metadata_location: CanonicalUri,
    /// The snapshot, or none for a table without data.
    pub snapshot_id: Option<i64>,
    /// What was asked for: it says which schema the snapshot is read with.
    pub as_of: AsOf,
    /// The version of a view. A view has neither metadata of its own to read nor snapshots.
    pub view_version: Option<i64>,
}

impl Pin {
    /// Whether it is a table's and not a view's.
    pub fn is_of_table(&self) -> bool {
        self.view_version.is_none()
    }
}

/// A column of a type that can't be read. The table is read as if it weren't there; a query that names it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableColumn {
    /// Its name; for a field within a struct, the names from the outermost, joined by dots.
    pub name: String,
    /// Its field id.
    pub id: i32,
    /// Its type, as the table's metadata writes it.
    pub type_name: String,
}

/// Branches and tags by name.
pub type Refs = BTreeMap<String, SnapshotReference>;

/// A table's metadata, and what its parser leaves out.
#[derive(Debug, Clone)]
pub struct TableDocument {
    /// The metadata. Its schemas lack the columns that can't be read.
    pub metadata: Arc<TableMetadata>,
    /// Branches and tags; `main` is there whenever the table has a current snapshot.
    pub refs: Arc<Refs>,
    /// The id of the partition spec that new files are written with. The metadata's own default stands in for one that is
    /// made of a column that is gone.
    pub default_spec_id: i32,
    /// How schemas are read that aren't as they are written, by their ids.
    read_as: Arc<BTreeMap<i32, ReadAs>>,
}

/// A schema to read with, and what it leaves out.
#[derive(Debug, Clone)]
pub(crate) struct ReadAs {
    pub(crate) schema: SchemaRef,
    unreadable: Arc<[UnreadableColumn]>,
    unknown: Arc<BTreeSet<i32>>,
}

impl TableDocument {
    /// Metadata of a table without branches, tags or columns that can't be read.
    pub fn new(metadata: Arc<TableMetadata>) -> Self {
        let main = metadata.current_snapshot_id().map(|snapshot_id| {
            let retention = SnapshotRetention::branch(None, None, None);
            let main = SnapshotReference::new(snapshot_id, retention);
            (MAIN_BRANCH.to_owned(), main)
        });
        Self {
            refs: Arc::new(main.into_iter().collect()),
            default_spec_id: metadata.default_partition_spec_id(),
            read_as: Arc::default(),
            metadata,
        }
    }

    /// Notes what schemas lost when they were parsed, and gives them the defaults that the parser dropped.
    pub(crate) fn read_with(&mut self, left_out: BTreeMap<i32, LeftOut>) {
        let read_as = left_out.into_iter().filter_map(|(id, left_out)| {
            let schema = self.metadata.schema_by_id(id)?;
            let read = ReadAs {
                schema: with_defaults(schema, &left_out.defaults),
                unreadable: left_out.unreadable.into(),
                unknown: Arc::new(left_out.unknown),
            };
            Some((id, read))
        });
        self.read_as = Arc::new(read_as.collect());
    }

    /// How one of the table's schemas is read.
    pub(crate) fn read_as(&self, schema: &SchemaRef) -> ReadAs {
        let known = self.read_as.get(&schema.schema_id());
        known.cloned().unwrap_or_else(|| ReadAs {
            schema: Arc::clone(schema),
            unreadable: Arc::default(),
            unknown: Arc::default(),
        })
    }
}

/// A schema with initial defaults put in.
fn with_defaults(schema: &SchemaRef, defaults: &[(i32, Literal)]) -> SchemaRef {
    if defaults.is_empty() {
        return Arc::clone(schema);
    }
    let fields = schema.as_struct().fields().iter();
    let built = Schema::builder()
        .with_schema_id(schema.schema_id())
        .with_identifier_field_ids(schema.identifier_field_ids())
        .with_fields(fields.map(|field| with_default(field, defaults)))
        .build();
    // Nothing that building checks is changed.
    built.map_or_else(|_| Arc::clone(schema), Arc::new)
}

fn with_default(field: &NestedFieldRef, defaults: &[(i32, Literal)]) -> NestedFieldRef {
    let mut field = NestedField::clone(field);
    let within = |of: &NestedFieldRef| with_default(of, defaults);
    *field.field_type = match *field.field_type {
        Type::Primitive(primitive) => Type::Primitive(primitive),
        Type::Struct(inner) => {
            Type::Struct(StructType::new(inner.fields().iter().map(within).collect()))
        }
        Type::List(list) => Type::List(ListType {
            element_field: within(&list.element_field),
        }),
        Type::Map(map) => Type::Map(MapType {
            key_field: within(&map.key_field),
            value_field: within(&map.value_field),
        }),
    };
    if let Some((_, default)) = defaults.iter().find(|(id, _)| *id == field.id) {
        field.initial_default = Some(default.clone());
    }
    Arc::new(field)
}

/// A table at one snapshot. What it holds never changes; only its age does.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The table's name.
    pub name: TableName,
    /// The table's identity.
    pub uuid: Uuid,
    /// The table's base location.
    pub location: CanonicalUri,
    /// Where the metadata is.
    pub metadata_location: CanonicalUri,
    /// The metadata as it was read.
    pub metadata: Arc<TableMetadata>,
    /// The pinned snapshot; none for a table without data.
    pub snapshot: Option<SnapshotRef>,
    /// What was asked for.
    pub as_of: AsOf,
    /// Its branches and tags.
    pub refs: Arc<Refs>,
    /// Columns that are left out of the schema.
    pub unreadable: Arc<[UnreadableColumn]>,
    /// The ids of columns of the type `unknown`. In the schema they are optional strings; no file has them, so they read
    /// as null.
    pub unknown: Arc<BTreeSet<i32>>,
    /// The id of the partition spec that new files are written with.
    pub default_spec_id: i32,
    /// The schema that the snapshot is read with.
    pub(crate) schema: SchemaRef,
    /// When the last validation of the pointer that succeeded began. For a table resolved from a [`Pin`] that is no
    /// longer the current one, this is when it was resolved.
    pub pointer_validated: Instant,
    /// Whether the pointer is older than the query asked for, because the member is out of reach.
    pub stale: bool,
    /// Now, when this was resolved: ages are as of then.
    pub(crate) resolved: Instant,
}

impl TableSnapshot {
    /// The current snapshot of a table whose pointer is confirmed at this moment.
    pub fn new(
        name: TableName,
        metadata_location: CanonicalUri,
        metadata: Arc<TableMetadata>,
    ) -> Self {
        Self::of(name, metadata_location, TableDocument::new(metadata))
    }

    /// As [`TableSnapshot::new`], of a whole document.
    pub fn of(name: TableName, metadata_location: CanonicalUri, document: TableDocument) -> Self {
        let now = Instant::now();
        let metadata = document.metadata.clone();
        let ReadAs {
            schema,
            unreadable,
            unknown,
        } = document.read_as(metadata.current_schema());
        Self {
            name,
            uuid: metadata.uuid(),
            location: CanonicalUri::new(metadata.location()),
            metadata_location,
            snapshot: metadata.current_snapshot().cloned(),
            as_of: AsOf::Current,
            refs: document.refs,
            unreadable,
            unknown,
            default_spec_id: document.default_spec_id,
            schema,
            metadata,
            pointer_validated: now,
            stale: false,
            resolved: now,
        }
    }

    /// The same table at another snapshot, read with another of its schemas.
    pub(crate) fn at(mut self, as_of: AsOf, snapshot: Option<SnapshotRef>, read: ReadAs) -> Self {
        self.as_of = as_of;
        self.snapshot = snapshot;
        self.schema = read.schema;
        self.unreadable = read.unreadable;
        self.unknown = read.unknown;
        self
    }

    /// What is needed to resolve exactly this again.
    pub fn pin(&self) -> Pin {
        Pin {
            table: self.name.clone(),
            uuid: self.uuid,
            metadata_location: self.metadata_location.clone(),
            snapshot_id: self.snapshot_id(),
            as_of: self.as_of.clone(),
            view_version: None,
        }
    }

    /// The schema that the snapshot is read with. For the table as it is, and for a branch, that is the table's current
    /// one: a column added since the snapshot was written is there, and reads as null. Time travel by snapshot, time or
    /// tag reads with the schema of that snapshot.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The id of the pinned snapshot.
    pub fn snapshot_id(&self) -> Option<i64> {
        self.snapshot
            .as_ref()
            .map(|snapshot| snapshot.snapshot_id())
    }

    /// When the pinned snapshot was committed, in milliseconds since 1970 by its writer's clock.
    pub fn committed_at_ms(&self) -> Option<i64> {
        self.snapshot
            .as_ref()
            .map(|snapshot| snapshot.timestamp_ms())
    }

    /// How long before this was resolved the last successful validation of the pointer began.
    pub fn pointer_age(&self) -> Duration {
        self.resolved
            .saturating_duration_since(self.pointer_validated)
    }
}
