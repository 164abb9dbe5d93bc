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

#[cfg(test)]
mod tests {
    use iceberg::spec::Schema;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const UNREADABLE: [&str; 5] = [
        "variant",
        "geometry",
        "geometry(srid:3857)",
        "geography(OGC:CRS84, spherical)",
        "colour",
    ];

    fn field(id: i32, of: &Value) -> Value {
        json!({"id": id, "name": format!("f{id}"), "required": true, "type": of})
    }

    fn structure(fields: &[Value]) -> Value {
        json!({"type": "struct", "fields": fields})
    }

    fn list(id: i32, of: &Value) -> Value {
        json!({"type": "list", "element-id": id, "element": of, "element-required": false})
    }

    fn map(id: i32, key: &Value, value: &Value) -> Value {
        json!({"type": "map", "key-id": id, "key": key, "value-id": id + 1, "value": value, "value-required": false})
    }

    fn schema(fields: &[Value]) -> Value {
        json!({"schema-id": 0, "type": "struct", "fields": fields})
    }

    fn parse(schema: &Value) -> Schema {
        serde_json::from_value(schema.clone()).unwrap_or_else(|e| panic!("{e}: {schema}"))
    }

    fn names(left_out: &LeftOut) -> Vec<&str> {
        let unreadable = left_out.unreadable.iter();
        unreadable.map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn a_type_that_cannot_be_read_goes_with_the_least_that_holds_it_wherever_it_stands() {
        let int = json!("int");
        for bad in UNREADABLE {
            let bad = json!(bad);
            let with_int = structure(&[field(10, &int), field(11, &bad)]);
            let alone = structure(&[field(11, &bad)]);
            let deep = structure(&[field(10, &int), field(12, &structure(&[field(11, &bad)]))]);
            let cases: [(Value, Vec<&str>, &[i32]); 15] = [
                (bad.clone(), vec!["f1"], &[]),
                (with_int.clone(), vec!["f1.f11"], &[1, 10]),
                (alone.clone(), vec!["f1", "f1.f11"], &[]),
                (deep.clone(), vec!["f1.f12", "f1.f12.f11"], &[1, 10]),
                (list(2, &bad), vec!["f1"], &[]),
                (list(2, &with_int), vec!["f1.element.f11"], &[1, 2, 10]),
                (list(2, &alone), vec!["f1", "f1.element.f11"], &[]),
                (list(2, &list(3, &bad)), vec!["f1"], &[]),
                (
                    list(2, &deep),
                    vec!["f1.element.f12", "f1.element.f12.f11"],
                    &[1, 2, 10],
                ),
                (map(2, &bad, &int), vec!["f1"], &[]),
                (map(2, &int, &bad), vec!["f1"], &[]),
                (
                    map(2, &int, &with_int),
                    vec!["f1.value.f11"],
                    &[1, 2, 3, 10],
                ),
                (map(2, &with_int, &int), vec!["f1", "f1.key.f11"], &[]),
                (map(2, &int, &map(4, &int, &bad)), vec!["f1"], &[]),
                (
                    structure(&[field(10, &int), field(12, &list(13, &bad))]),
                    vec!["f1.f12"],
                    &[1, 10],
                ),
            ];
            for (of, gone, kept) in cases {
                let mut schema = schema(&[field(1, &of), field(99, &int)]);
                let left_out = make_readable(&mut schema);
                assert_eq!(names(&left_out), gone, "{of}");
                let parsed = parse(&schema);
                let mut ids: Vec<i32> = parsed.field_id_to_fields().keys().copied().collect();
                ids.sort_unstable();
                assert_eq!(ids, [kept, &[99]].concat(), "{of}");
            }
        }
    }

    #[test]
    fn a_column_that_is_left_out_says_its_id_and_its_type_as_it_was_written() {
        let of = map(2, &json!("string"), &list(4, &json!("geometry(srid:3857)")));
        let mut schema = schema(&[
            field(1, &of),
            field(7, &structure(&[field(8, &json!("variant"))])),
        ]);
        let left_out = make_readable(&mut schema).unreadable;
        let said: Vec<_> = left_out
            .iter()
            .map(|column| (column.id, column.type_name.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                (1, "map<string, list<geometry(srid:3857)>>"),
                (7, "struct<f8: variant>"),
                (8, "variant"),
            ]
        );
        assert!(parse(&schema).as_struct().fields().is_empty());
    }

    #[test]
    fn unknown_is_an_optional_string_in_a_struct_and_hides_a_list_map_or_struct_of_nothing_else() {
        let (int, unknown) = (json!("int"), json!("unknown"));
        let mut readable = schema(&[
            field(1, &unknown),
            field(2, &structure(&[field(3, &int), field(4, &unknown)])),
            field(
                5,
                &list(6, &structure(&[field(7, &int), field(8, &unknown)])),
            ),
        ]);
        readable["fields"][0]["initial-default"] = Value::Null;
        let left_out = make_readable(&mut readable);
        assert_eq!(left_out.unknown, BTreeSet::from([1, 4, 8]));
        assert!(left_out.unreadable.is_empty());
        let parsed = parse(&readable);
        for id in [1, 4, 8] {
            let field = parsed.field_by_id(id).unwrap();
            assert!(!field.required && field.field_type.to_string() == "string");
        }
        for of in [
            list(2, &unknown),
            map(2, &int, &unknown),
            structure(&[field(2, &unknown), field(3, &unknown)]),
            map(2, &structure(&[field(4, &int), field(5, &unknown)]), &int),
        ] {
            let mut hidden = schema(&[field(1, &of), field(99, &int)]);
            let left_out = make_readable(&mut hidden);
            assert_eq!(names(&left_out), ["f1"], "{of}");
            assert!(left_out.unknown.is_empty());
            assert_eq!(parse(&hidden).as_struct().fields().len(), 1);
        }
    }

    #[test]
    fn identifier_fields_lose_what_is_gone() {
        let of = structure(&[field(2, &json!("int")), field(3, &json!("variant"))]);
        let mut schema = schema(&[field(1, &of), field(4, &list(5, &json!("variant")))]);
        schema["identifier-field-ids"] = json!([2, 3, 4, 5]);
        make_readable(&mut schema);
        let ids: Vec<i32> = parse(&schema).identifier_field_ids().collect();
        assert_eq!(ids, [2]);
    }

    #[test]
    fn a_default_that_the_parser_drops_is_kept_and_one_that_makes_no_sense_hides_its_column() {
        let mut at = field(1, &json!("timestamp_ns"));
        at["initial-default"] = json!("2024-01-31T13:05:06.123456789");
        let mut number = field(2, &json!("int"));
        number["initial-default"] = json!(5);
        let mut odd = field(3, &json!("int"));
        odd["initial-default"] = json!("five");
        let mut schema = schema(&[at, number, odd]);
        let left_out = make_readable(&mut schema);
        let at = Literal::long(1_706_706_306_123_456_789_i64);
        assert_eq!(left_out.defaults, [(1, at)]);
        assert_eq!(names(&left_out), ["f3"]);
        let said = &left_out.unreadable[0].type_name;
        assert_eq!(said, "int with the initial default \"five\"");
        let parsed = parse(&schema);
        assert!(parsed.field_by_id(2).unwrap().initial_default.is_some());
    }

    fn leaf() -> impl Strategy<Value = Value> {
        let good = [
            "int",
            "string",
            "decimal(38, 2)",
            "fixed[3]",
            "timestamptz_ns",
        ];
        prop_oneof![
            4 => proptest::sample::select(good.to_vec()),
            1 => proptest::sample::select(UNREADABLE.to_vec()),
            1 => Just("unknown"),
        ]
        .prop_map(|name| json!(name))
    }

    fn tree() -> impl Strategy<Value = Value> {
        leaf().prop_recursive(4, 24, 4, |inner| {
            let field = |of: &Value| field(0, of);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..4)
                    .prop_map(move |of| structure(&of.iter().map(field).collect::<Vec<_>>())),
                inner.clone().prop_map(|of| list(0, &of)),
                (inner.clone(), inner).prop_map(|(key, value)| map(0, &key, &value)),
            ]
        })
    }

    /// Gives each part an id of its own, and notes each leaf with its path and type.
    fn number(of: &mut Value, path: &str, next: &mut i32, leaves: &mut Vec<(String, i32, String)>) {
        let mut id = |of: &mut Value, key: &str| {
            *next += 1;
            of[key] = json!(*next);
            *next
        };
        let kind = of.get("type").and_then(Value::as_str).map(str::to_owned);
        let parts: &[(&str, &str)] = match kind.as_deref() {
            Some("list") => &[("element", "element-id")],
            Some("map") => &[("key", "key-id"), ("value", "value-id")],
            _ => &[],
        };
        for (part, key) in parts {
            let own = id(of, key);
            let path = format!("{path}.{part}");
            if let Some(name) = of[*part].as_str() {
                leaves.push((path.clone(), own, name.to_owned()));
            }
        }
        for (part, _) in parts {
            number(&mut of[*part], &format!("{path}.{part}"), next, leaves);
        }
        let Some(fields) = of.get_mut("fields").and_then(Value::as_array_mut) else {
            return;
        };
        for field in fields {
            *next += 1;
            let (own, name) = (*next, format!("f{next}"));
            field["id"] = json!(own);
            field["name"] = json!(name);
            let path = format!("{path}.{name}");
            if let Some(name) = field["type"].as_str() {
                leaves.push((path.clone(), own, name.to_owned()));
            }
            number(&mut field["type"], &path, next, leaves);
        }
    }

    proptest! {
        /// Whatever a schema holds: it parses, what can be read is there unless it lies in what is said to be gone, and
        /// what is said to be gone holds something that can't be read.
        #[test]
        fn any_schema_parses_and_loses_only_what_it_says(types in proptest::collection::vec(tree(), 1..4)) {
            let fields: Vec<Value> = types.iter().map(|of| field(0, of)).collect();
            let mut written = schema(&fields);
            let mut leaves = Vec::new();
            number(&mut written, "", &mut 0, &mut leaves);
            let mut read = written.clone();
            let left_out = make_readable(&mut read);
            let parsed = parse(&read);
            let gone: Vec<String> = names(&left_out).iter().map(|name| format!(".{name}")).collect();
            let within = |path: &str, column: &String| {
                path == column || path.strip_prefix(column.as_str()).is_some_and(|rest| rest.starts_with('.'))
            };
            let good = |name: &str| name != "unknown" && !UNREADABLE.contains(&name);
            for (path, id, name) in &leaves {
                let lost = gone.iter().any(|column| within(path, column));
                let there = parsed.field_by_id(*id);
                prop_assert_eq!(there.is_none(), lost, "{} in {}", path, written);
                prop_assert!(lost || !UNREADABLE.contains(&name.as_str()), "{} in {}", path, written);
                prop_assert_eq!(left_out.unknown.contains(id), name == "unknown" && !lost);
            }
            for column in &gone {
                let mut held = leaves.iter().filter(|(path, ..)| within(path, column));
                prop_assert!(held.any(|(_, _, name)| !good(name)), "{} in {}", column, written);
            }
            if leaves.iter().all(|(_, _, name)| good(name)) {
                prop_assert_eq!(read, written);
            }
        }
    }
}
