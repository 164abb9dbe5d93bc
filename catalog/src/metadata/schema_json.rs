//! Schemas as JSON, made such that the parser takes them: types that it doesn't know are left out, and noted.
//!
//! The parser knows the types of format v2 and the nanosecond timestamps. Format v3 also has `variant`, `geometry(…)`,
//! `geography(…)` and `unknown`.

use std::collections::BTreeSet;

use iceberg::spec::{Literal, Type};
use serde_json::Value;

use crate::UnreadableColumn;
use crate::metadata::default_json;

/// What a schema had to lose so that it could be parsed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LeftOut {
    /// Columns and fields that are gone. A column that went because of what it holds comes before what it holds.
    pub(crate) unreadable: Vec<UnreadableColumn>,
    /// Fields of the type `unknown`, which are optional strings now: no file has them, so they read as null.
    pub(crate) unknown: BTreeSet<i32>,
    /// Initial defaults that the parser would drop without a word, by field id.
    pub(crate) defaults: Vec<(i32, Literal)>,
}

/// Takes out of a schema what can't be read, and says what that was.
///
/// A field of a type that can't be read goes from its struct; where it is a list's element, a map's key or a map's value,
/// the column that holds it goes; so does a struct that has no field left.
pub(crate) fn make_readable(schema: &mut Value) -> LeftOut {
    let mut visit = Visit::default();
    if let Some(Value::Array(fields)) = schema.get_mut("fields") {
        visit.fields(fields);
    }
    let gone = |id: &Value| {
        let id = id.as_i64().and_then(|id| i32::try_from(id).ok());
        id.is_some_and(|id| visit.gone.contains(&id) || visit.left_out.unknown.contains(&id))
    };
    if let Some(Value::Array(ids)) = schema.get_mut("identifier-field-ids") {
        ids.retain(|id| !gone(id));
    }
    visit.left_out
}

#[derive(Debug, Default)]
struct Visit {
    /// The names from the outermost to where the visit is.
    path: Vec<String>,
    left_out: LeftOut,
    /// Ids of all that is gone, what lay within included.
    gone: BTreeSet<i32>,
}

impl Visit {
    fn fields(&mut self, fields: &mut Vec<Value>) {
        fields.retain_mut(|field| self.keeps(field));
    }

    /// Whether a struct's field stays.
    fn keeps(&mut self, field: &mut Value) -> bool {
        let name = field.get("name").and_then(Value::as_str);
        self.path.push(name.unwrap_or_default().to_owned());
        let stays = self.keeps_named(field);
        self.path.pop();
        stays
    }

    fn keeps_named(&mut self, field: &mut Value) -> bool {
        let known = self.left_out.unreadable.len();
        let written = field.get("type").cloned().unwrap_or_default();
        if is_unknown(&written) {
            self.read_as_null(field);
            return true;
        }
        let readable = field.get_mut("type").is_none_or(|of| self.reads(of));
        let default = self.default_of(field);
        if readable && let Ok(default) = default {
            self.left_out.defaults.extend(default);
            return true;
        }
        let mut type_name = type_text(&written);
        if readable && let Some(default) = field.get("initial-default") {
            type_name = format!("{type_name} with the initial default {default}");
        }
        self.forget(&written);
        let column = UnreadableColumn {
            name: self.path.join("."),
            id: id_of(field, "id").unwrap_or_default(),
            type_name,
        };
        self.gone.insert(column.id);
        self.left_out.unreadable.insert(known, column);
        false
    }

    fn read_as_null(&mut self, field: &mut Value) {
        self.left_out.unknown.extend(id_of(field, "id"));
        if let Value::Object(field) = field {
            field.insert("type".into(), "string".into());
            field.insert("required".into(), false.into());
            field.remove("initial-default");
            field.remove("write-default");
        }
    }

    /// Whether a type can be read, once what can be taken out of it is out.
    fn reads(&mut self, of: &mut Value) -> bool {
        let Value::Object(nested) = of else {
            return of.as_str().is_some_and(is_known);
        };
        match nested.get("type").and_then(Value::as_str) {
            Some("struct") => {
                let Some(Value::Array(fields)) = nested.get_mut("fields") else {
                    return true;
                };
                let was_empty = fields.is_empty();
                self.fields(fields);
                // A struct of nothing but nulls is not in the files, so nobody knows where it is null itself.
                was_empty || fields.iter().any(|field| !self.is_null(field))
            }
            Some("list") => self.part_reads(nested, "element"),
            Some("map") => {
                let key = nested.get("key").cloned();
                let reads = self.part_reads(nested, "key");
                // Keys that lose a field may no longer differ.
                let same = key.as_ref() == nested.get("key");
                reads && same && self.part_reads(nested, "value")
            }
            _ => false,
        }
    }

    fn is_null(&self, field: &Value) -> bool {
        id_of(field, "id").is_some_and(|id| self.left_out.unknown.contains(&id))
    }

    /// As [`Visit::reads`], of a list's element or a map's key or value. One of the type `unknown` can't be read: it is
    /// in no file, so nobody knows how many there are.
    fn part_reads(&mut self, nested: &mut serde_json::Map<String, Value>, part: &str) -> bool {
        self.path.push(part.to_owned());
        let reads = nested.get_mut(part).is_some_and(|of| self.reads(of));
        self.path.pop();
        reads
    }

    /// Notes the ids within a type that goes, and that what was noted of it no longer counts.
    fn forget(&mut self, written: &Value) {
        let mut ids = BTreeSet::new();
        ids_within(written, &mut ids);
        let left_out = &mut self.left_out;
        left_out.unknown.retain(|id| !ids.contains(id));
        left_out.defaults.retain(|(id, _)| !ids.contains(id));
        self.gone.extend(ids);
    }

    /// A default that the parser drops. An error is a default that nobody can make sense of.
    fn default_of(&self, field: &Value) -> Result<Option<(i32, Literal)>, ()> {
        let Some(default) = field
            .get("initial-default")
            .filter(|value| !value.is_null())
        else {
            return Ok(None);
        };
        let written = field.get("type").cloned().unwrap_or_default();
        let of: Type = serde_json::from_value(written).map_err(|_| ())?;
        let literal = default_json::literal(default, &of).ok_or(())?;
        let parsed = Literal::try_from_json(default.clone(), &of).ok().flatten();
        if parsed.as_ref() == Some(&literal) {
            return Ok(None);
        }
        Ok(Some((id_of(field, "id").ok_or(())?, literal)))
    }
}

fn id_of(field: &Value, key: &str) -> Option<i32> {
    field.get(key)?.as_i64()?.try_into().ok()
}

fn ids_within(of: &Value, ids: &mut BTreeSet<i32>) {
    let parts = ["element-id", "key-id", "value-id"];
    ids.extend(parts.iter().filter_map(|key| id_of(of, key)));
    for part in ["element", "key", "value"] {
        if let Some(part) = of.get(part) {
            ids_within(part, ids);
        }
    }
    for field in of
        .get("fields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        ids.extend(id_of(field, "id"));
        if let Some(of) = field.get("type") {
            ids_within(of, ids);
        }
    }
}

fn is_unknown(of: &Value) -> bool {
    of.as_str()
        .is_some_and(|name| name.trim().eq_ignore_ascii_case("unknown"))
}

/// Whether the parser knows a primitive type.
fn is_known(name: &str) -> bool {
    let quoted = Value::String(name.to_owned());
    serde_json::from_value::<Type>(quoted).is_ok()
}

/// A type as people write it.
pub(crate) fn type_text(of: &Value) -> String {
    let part = |key: &str| of.get(key).map(type_text).unwrap_or_default();
    match of {
        Value::String(name) => name.clone(),
        _ => match of.get("type").and_then(Value::as_str) {
            Some("list") => format!("list<{}>", part("element")),
            Some("map") => format!("map<{}, {}>", part("key"), part("value")),
            Some("struct") => {
                let fields = of.get("fields").and_then(Value::as_array);
                let fields = fields.into_iter().flatten().map(|field| {
                    let name = field.get("name").and_then(Value::as_str);
                    let of = field.get("type").map(type_text).unwrap_or_default();
                    format!("{}: {of}", name.unwrap_or_default())
                });
                format!("struct<{}>", fields.collect::<Vec<_>>().join(", "))
            }
            other => other.unwrap_or("no type").to_owned(),
        },
    }
}
