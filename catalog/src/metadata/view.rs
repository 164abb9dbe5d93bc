//! A view's metadata (the Iceberg view specification), parsed as far as a reader needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iceberg::spec::Schema;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::metadata::document::{Refusal, inflated};
use crate::metadata::schema_json::make_readable;
use crate::{TableName, View, ViewRepresentation};

/// The version of the view specification that is known.
const FORMAT_VERSION: i64 = 1;

/// Of the versions that aren't the current one, the latest so many are kept, for queries that began before it.
const VERSIONS_KEPT_MAX: usize = 10;

#[derive(Debug, Deserialize)]
struct LoadViewResult {
    metadata: Document,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    view_uuid: Uuid,
    format_version: i64,
    current_version_id: i64,
    versions: Vec<Version>,
    schemas: Vec<Value>,
    #[serde(default)]
    properties: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Version {
    version_id: i64,
    schema_id: i64,
    representations: Vec<Representation>,
    default_catalog: Option<String>,
    #[serde(default)]
    default_namespace: Vec<String>,
}

/// Kinds other than `sql` may come, and are passed over.
#[derive(Debug, Deserialize)]
struct Representation {
    #[serde(rename = "type")]
    kind: String,
    sql: Option<String>,
    dialect: Option<String>,
}

/// Parses a view's metadata file.
pub(crate) fn parse(bytes: &[u8], name: &TableName) -> Result<View, Refusal> {
    let document = serde_json::from_slice(&inflated(bytes)?)
        .map_err(|error| Refusal::Damaged(format!("it is no view's metadata: {error}")))?;
    view(document, name)
}

/// Parses the metadata within a `LoadViewResult`.
pub(crate) fn parse_inline(bytes: &[u8], name: &TableName) -> Result<View, Refusal> {
    let LoadViewResult { metadata } = serde_json::from_slice(bytes)
        .map_err(|error| Refusal::Damaged(format!("it is no view: {error}")))?;
    view(metadata, name)
}

fn view(document: Document, name: &TableName) -> Result<View, Refusal> {
    if document.format_version != FORMAT_VERSION {
        return Err(Refusal::Unsupported(format!(
            "it has version {} of Iceberg's view format; {FORMAT_VERSION} is supported",
            document.format_version
        )));
    }
    let current = document.current_version_id;
    let of = Versions {
        name,
        uuid: document.view_uuid,
        schemas: &document.schemas,
        properties: &document.properties.unwrap_or_default(),
    };
    let (found, others): (Vec<Version>, Vec<Version>) = document
        .versions
        .into_iter()
        .partition(|version| version.version_id == current);
    let version = found.into_iter().next();
    let version = version
        .ok_or_else(|| Refusal::Invalid(format!("its current version {current} is not in it")))?;
    let others = others.into_iter().rev().take(VERSIONS_KEPT_MAX);
    // One that can't be read is no reason to refuse the current one.
    let others = others.filter_map(|version| of.view(version).ok());
    Ok(View {
        others: others.map(Arc::new).collect(),
        ..of.view(version)?
    })
}

/// What all versions of a view have in common.
struct Versions<'a> {
    name: &'a TableName,
    uuid: Uuid,
    schemas: &'a [Value],
    properties: &'a BTreeMap<String, String>,
}

impl Versions<'_> {
    fn view(&self, version: Version) -> Result<View, Refusal> {
        let id = version.schema_id;
        let mut schemas = self.schemas.iter();
        let schema = schemas
            .find(|schema| schema.get("schema-id").and_then(Value::as_i64).unwrap_or(0) == id);
        let mut schema = schema.cloned().ok_or_else(|| {
            Refusal::Invalid(format!("the schema {id} of its version is not in it"))
        })?;
        let left_out = make_readable(&mut schema);
        let schema: Schema = serde_json::from_value(schema).map_err(|error| {
            Refusal::Invalid(format!("its schema {id} does not parse: {error}"))
        })?;
        let mut dialects = BTreeSet::new();
        let sql = version.representations.into_iter().filter_map(|given| {
            let (dialect, sql) = (given.dialect?, given.sql?);
            let wanted = given.kind == "sql" && dialects.insert(dialect.to_lowercase());
            wanted.then_some(ViewRepresentation { dialect, sql })
        });
        Ok(View {
            name: self.name.clone(),
            uuid: self.uuid,
            version_id: version.version_id,
            representations: sql.collect(),
            default_catalog: version.default_catalog,
            default_namespace: version.default_namespace,
            schema: Arc::new(schema),
            unreadable: left_out.unreadable.into(),
            properties: self.properties.clone(),
            others: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;
    use crate::{CatalogName, SchemaName};

    fn name() -> TableName {
        let catalog = CatalogName::new("lake").unwrap();
        TableName::new(catalog, SchemaName::new("shop").unwrap(), "v").unwrap()
    }

    fn document() -> Value {
        json!({
            "view-uuid": "fa6506c3-7681-40c8-86dc-e36561f83385",
            "format-version": 1,
            "location": "s3://bucket/warehouse/default.db/event_agg",
            "current-version-id": 2,
            "properties": {"comment": "Daily event counts"},
            "versions": [
                {"version-id": 1, "schema-id": 1, "timestamp-ms": 1, "summary": {}, "default-namespace": [],
                 "representations": [{"type": "sql", "sql": "SELECT 1", "dialect": "spark"}]},
                {"version-id": 2, "schema-id": 2, "timestamp-ms": 2, "summary": {"engine-name": "Spark"},
                 "default-catalog": "prod", "default-namespace": ["default", "inner"],
                 "representations": [
                    {"type": "sql", "sql": "SELECT a FROM t", "dialect": "spark"},
                    {"type": "sql", "sql": "SELECT \"a\" FROM t", "dialect": "trino"},
                    {"type": "sql", "sql": "SELECT twice", "dialect": "SPARK"},
                    {"type": "substrait", "plan": "…"}
                 ]}
            ],
            "schemas": [
                {"schema-id": 1, "type": "struct", "fields": []},
                {"schema-id": 2, "type": "struct", "fields": [
                    {"id": 1, "name": "a", "required": false, "type": "int"},
                    {"id": 2, "name": "v", "required": false, "type": "variant"}
                ]}
            ],
            "version-log": [{"timestamp-ms": 1, "version-id": 1}]
        })
    }

    fn read(document: &Value) -> Result<View, Refusal> {
        parse(document.to_string().as_bytes(), &name())
    }

    #[test]
    fn a_views_current_version_is_read_with_its_dialects_and_schema() {
        let view = read(&document()).unwrap();
        let dialects: Vec<_> = view
            .representations
            .iter()
            .map(|r| r.dialect.as_str())
            .collect();
        assert_eq!(dialects, ["spark", "trino"]);
        assert_eq!(view.representations[0].sql, "SELECT a FROM t");
        assert_eq!(
            (view.version_id, view.default_catalog.as_deref()),
            (2, Some("prod"))
        );
        assert_eq!(view.default_namespace, ["default", "inner"]);
        assert_eq!(view.schema.as_struct().fields().len(), 1);
        assert_eq!(
            (view.unreadable[0].name.as_str(), view.unreadable[0].id),
            ("v", 2)
        );
        assert_eq!(view.properties["comment"], "Daily event counts");
        assert_eq!(view.others.len(), 1);
        let other = Arc::clone(&view.others[0]);
        assert_eq!(other.representations[0].sql, "SELECT 1");
        let view = Arc::new(view);
        let pinned = |pin: &crate::Pin| view.pinned(pin).map(|view| view.version_id);
        assert_eq!(pinned(&other.pin()), Some(1));
        assert_eq!(pinned(&view.pin()), Some(2));
        let of = |version| crate::Pin {
            view_version: version,
            ..view.pin()
        };
        assert_eq!((pinned(&of(Some(3))), pinned(&of(None))), (None, None));
        let another = crate::Pin {
            uuid: Uuid::nil(),
            ..view.pin()
        };
        assert_eq!(pinned(&another), None);
        let view = Arc::unwrap_or_clone(view);
        let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        file.write_all(document().to_string().as_bytes()).unwrap();
        assert_eq!(parse(&file.finish().unwrap(), &name()).unwrap(), view);
        let inline = json!({"metadata-location": "s3://…", "metadata": document(), "config": {}});
        assert_eq!(
            parse_inline(inline.to_string().as_bytes(), &name()).unwrap(),
            view
        );
    }

    #[test]
    fn a_view_that_contradicts_itself_or_is_of_a_later_format_is_refused() {
        let edits: [(&str, Value); 3] = [
            ("format-version", json!(2)),
            ("current-version-id", json!(9)),
            ("schemas", json!([])),
        ];
        for (key, value) in edits {
            let mut edited = document();
            edited[key] = value;
            assert!(
                !matches!(read(&edited), Ok(_) | Err(Refusal::Damaged(_))),
                "{key}"
            );
        }
        assert!(matches!(
            read(&json!({"format-version": 1})),
            Err(Refusal::Damaged(_))
        ));
    }
}
