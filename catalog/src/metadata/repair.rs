//! Table metadata as JSON, made such that the parser takes it where readers of other makes do.
//!
//! Nothing here changes what a snapshot holds: what is replaced or left out is what reading can do without (an ordering, a
//! statistics file, a partition transform to prune by), and what would be needed for an exact answer is refused.

use std::collections::{BTreeMap, BTreeSet};

use iceberg::spec::{
    PartitionSpec, PartitionStatisticsFile, Schema, SortOrder, StatisticsFile, Transform,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::metadata::document::Refusal;
use crate::metadata::schema_json::{LeftOut, make_readable};
use crate::snapshot::Refs;

/// The first id of a partition's fields (the specification, "Partition Evolution").
const PARTITION_FIELD_ID_MIN: usize = 1_000;

/// What the parser can't be told.
#[derive(Debug, Default)]
pub(crate) struct Repaired {
    /// Branches and tags, those of snapshots that are gone as well.
    pub(crate) refs: Option<Refs>,
    /// What schemas had to lose, by their ids.
    pub(crate) left_out: BTreeMap<i32, LeftOut>,
    /// The spec that new files are written with, where the parser had to be given another one.
    pub(crate) default_spec_id: Option<i32>,
}

/// Repairs a document that is of a known format version, and says what the parser won't know.
pub(crate) fn repair(document: &mut Map<String, Value>) -> Result<Repaired, Refusal> {
    refuse_encrypted(document)?;
    let refs: Option<Refs> = match document.get("refs").filter(|refs| !refs.is_null()) {
        None => None,
        Some(refs) => Some(
            Deserialize::deserialize(refs)
                .map_err(|error| Refusal::Invalid(format!("its refs do not parse: {error}")))?,
        ),
    };
    let left_out = schemas(document);
    partition_specs(document);
    let default_spec_id = default_spec(document);
    sort_orders(document);
    snapshots(document);
    dangling_refs(document);
    keep_parsing::<StatisticsFile>(document, "statistics");
    keep_parsing::<PartitionStatisticsFile>(document, "partition-statistics");
    Ok(Repaired {
        refs,
        left_out,
        default_spec_id,
    })
}

/// Refuses a table whose files are encrypted, by any sign of it.
pub(crate) fn refuse_encrypted(document: &Map<String, Value>) -> Result<(), Refusal> {
    let keys = document.get("encryption-keys").and_then(Value::as_array);
    let property = document
        .get("properties")
        .is_some_and(|properties| properties.get("encryption.key-id").is_some());
    let mut snapshots = items(document, "snapshots");
    let by_snapshot = snapshots.any(|one| one.get("key-id").is_some_and(|key| !key.is_null()));
    if property || by_snapshot || keys.is_some_and(|keys| !keys.is_empty()) {
        return Err(Refusal::Unsupported("its files are encrypted".into()));
    }
    Ok(())
}

fn items<'a>(document: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    let items = document.get(key).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn items_mut<'a>(
    document: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Value> {
    let items = document.get_mut(key).and_then(Value::as_array_mut);
    items.into_iter().flatten()
}

fn number(of: &Value, key: &str) -> Option<i64> {
    of.get(key)?.as_i64()
}

fn schemas(document: &mut Map<String, Value>) -> BTreeMap<i32, LeftOut> {
    let mut left_out = BTreeMap::new();
    let mut make = |schema: &mut Value| {
        let id = number(schema, "schema-id").unwrap_or(0);
        let out = make_readable(schema);
        if let Ok(id) = i32::try_from(id)
            && out != LeftOut::default()
        {
            left_out.insert(id, out);
        }
    };
    // Format v1's own copy of the current schema first: where both are there, the list counts.
    document.get_mut("schema").into_iter().for_each(&mut make);
    items_mut(document, "schemas").for_each(&mut make);
    left_out
}

/// Gives every partition field an id, a single source and a transform that the parser knows.
fn partition_specs(document: &mut Map<String, Value>) {
    // Format v1's own copy of the default spec counts where there is nothing else.
    if let Some(fields) = document.remove("partition-spec")
        && !document.contains_key("partition-specs")
    {
        let spec = json!({"spec-id": 0, "fields": fields});
        document.insert("partition-specs".into(), json!([spec]));
    }
    for spec in items_mut(document, "partition-specs") {
        let fields = spec.get_mut("fields").and_then(Value::as_array_mut);
        for (at, field) in fields.into_iter().flatten().enumerate() {
            make_transform_known(field);
            if let Value::Object(field) = field {
                let id = json!(PARTITION_FIELD_ID_MIN + at);
                field.entry("field-id").or_insert(id);
            }
        }
    }
}

/// A transform that isn't known, or one of several columns, is the parser's unknown one: nothing is derived from it.
fn make_transform_known(field: &mut Value) {
    let Value::Object(field) = field else {
        return;
    };
    let known = field.get("transform").is_some_and(parses::<Transform>);
    let sources = field.get("source-ids").and_then(Value::as_array);
    let several = sources.is_some_and(|sources| sources.len() != 1);
    if let Some(first) = sources.and_then(|sources| sources.first()).cloned() {
        field.insert("source-id".into(), first);
    }
    if !known || several {
        field.insert("transform".into(), "unknown".into());
    }
}

fn parses<T: DeserializeOwned>(value: &Value) -> bool {
    T::deserialize(value).is_ok()
}

/// The parser binds the default spec to the current schema, and fails where a column that it was made of is gone. Reading
/// has no use for a default, so it is given one without fields.
fn default_spec(document: &mut Map<String, Value>) -> Option<i32> {
    let ids = items(document, "partition-specs").filter_map(|spec| number(spec, "spec-id"));
    let highest = ids.max()?;
    let default = document.get("default-spec-id").and_then(Value::as_i64);
    let default = default.unwrap_or(highest);
    if binds(document, default) {
        return None;
    }
    let stand_in = highest + 1;
    let specs = document.get_mut("partition-specs")?.as_array_mut()?;
    specs.push(json!({"spec-id": stand_in, "fields": []}));
    document.insert("default-spec-id".into(), stand_in.into());
    i32::try_from(default).ok()
}

/// Whether a spec is there and its columns are in the current schema. Not so where the schema itself is wrong, which is
/// for the parser to say.
fn binds(document: &Map<String, Value>, spec_id: i64) -> bool {
    let current = document.get("current-schema-id").and_then(Value::as_i64);
    let schema = items(document, "schemas")
        .find(|schema| number(schema, "schema-id") == current.or(Some(0)))
        .or_else(|| document.get("schema"));
    let schema = schema.and_then(|schema| Schema::deserialize(schema).ok());
    let spec = items(document, "partition-specs")
        .find(|spec| number(spec, "spec-id") == Some(spec_id))
        .and_then(|spec| PartitionSpec::deserialize(spec).ok());
    match (schema, spec) {
        (Some(schema), Some(spec)) => spec.partition_type(&schema).is_ok(),
        _ => false,
    }
}

/// What isn't a sort order to go by is none.
fn sort_orders(document: &mut Map<String, Value>) {
    for order in items_mut(document, "sort-orders") {
        let unsorted = number(order, "order-id") == Some(0);
        let Some(Value::Array(fields)) = order.get_mut("fields") else {
            continue;
        };
        if unsorted {
            fields.clear();
        }
        fields.iter_mut().for_each(make_transform_known);
    }
    keep_parsing::<SortOrder>(document, "sort-orders");
    if let Some(default) = document
        .get("default-sort-order-id")
        .and_then(Value::as_i64)
        && default != 0
        && !items(document, "sort-orders").any(|order| number(order, "order-id") == Some(default))
    {
        document.insert("default-sort-order-id".into(), 0.into());
    }
}

/// Drops the items of a list that the parser doesn't take.
fn keep_parsing<T: DeserializeOwned>(document: &mut Map<String, Value>, key: &str) {
    if let Some(Value::Array(items)) = document.get_mut(key) {
        items.retain(parses::<T>);
    }
}

/// Summaries say nothing that reading depends on: one that isn't there, or names an operation of its own, is no reason to
/// refuse a table. Neither is an old snapshot from before manifest lists, or one of format v1, which has no sequence number,
/// in a table of v3.
fn snapshots(document: &mut Map<String, Value>) {
    for snapshot in items_mut(document, "snapshots") {
        let Value::Object(snapshot) = snapshot else {
            continue;
        };
        let summary = snapshot.entry("summary").or_insert(Value::Null);
        if !summary.is_object() {
            *summary = json!({});
        }
        if let Value::Object(summary) = summary {
            let known = ["append", "replace", "overwrite", "delete"];
            let operation = summary.get("operation").and_then(Value::as_str);
            if !operation.is_some_and(|operation| known.contains(&operation)) {
                // As Iceberg's own library has it.
                summary.insert("operation".into(), "overwrite".into());
            }
            for value in summary.values_mut().filter(|value| !value.is_string()) {
                *value = value.to_string().into();
            }
        }
        let listed = snapshot.get("manifest-list").is_some_and(Value::is_string);
        if !listed && snapshot.contains_key("manifests") {
            snapshot.insert("manifest-list".into(), "".into());
        }
        snapshot.remove("manifests");
        snapshot.entry("sequence-number").or_insert(json!(0));
    }
}

/// The parser refuses a table for a branch or tag whose snapshot is gone.
fn dangling_refs(document: &mut Map<String, Value>) {
    let snapshots = items(document, "snapshots").filter_map(|one| number(one, "snapshot-id"));
    let there: BTreeSet<i64> = snapshots.collect();
    if let Some(Value::Object(refs)) = document.get_mut("refs") {
        refs.retain(|_, to| number(to, "snapshot-id").is_some_and(|id| there.contains(&id)));
    }
}
