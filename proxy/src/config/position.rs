//! From a key's path to its line, and from a place in the text to the key's path.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::{KeyPath, Step};

/// The line (from 1) of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(offset)
        .filter(|&&b| b == b'\n')
        .count()
        + 1
}

/// The path as people read it (`site[gcp].store.endpoint`) and the line of its deepest part that is in the file.
pub(crate) fn describe(text: &str, path: &KeyPath) -> (Option<usize>, String) {
    let Ok(root) = DeTable::parse(text) else {
        return (None, written(path));
    };
    let mut line = None;
    let mut shown = String::new();
    let mut here: Option<&DeValue<'_>> = None;
    let table = root.into_inner();
    let mut lost = false;
    for step in path.steps() {
        match step {
            Step::Key(name) => {
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.push_str(name);
                if lost {
                    continue;
                }
                let parent = match here {
                    None => Some(&table),
                    Some(value) => value.as_table(),
                };
                match parent.and_then(|t| t.get_key_value(*name)) {
                    Some((key, value)) => {
                        line = Some(line_of(text, key.span().start));
                        here = Some(value.get_ref());
                    }
                    None => lost = true,
                }
            }
            Step::Index(index) => {
                let element = here
                    .filter(|_| !lost)
                    .and_then(DeValue::as_array)
                    .and_then(|a| a.get(*index));
                match element {
                    Some(element) => {
                        line = Some(line_of(text, element.span().start));
                        shown.push_str(&format!("[{}]", label(element.get_ref(), *index)));
                        here = Some(element.get_ref());
                    }
                    None => {
                        shown.push_str(&format!("[#{}]", index + 1));
                        lost = true;
                    }
                }
            }
        }
    }
    (line, shown)
}

fn written(path: &KeyPath) -> String {
    let mut shown = String::new();
    for step in path.steps() {
        match step {
            Step::Key(name) if shown.is_empty() => shown.push_str(name),
            Step::Key(name) => {
                shown.push('.');
                shown.push_str(name);
            }
            Step::Index(index) => shown.push_str(&format!("[#{}]", index + 1)),
        }
    }
    shown
}

/// An element's own name where it has one, else its number from 1.
fn label(element: &DeValue<'_>, index: usize) -> String {
    element
        .as_table()
        .and_then(|t| {
            ["name", "principal", "issuer", "subject"]
                .iter()
                .find_map(|k| t.get(*k))
                .and_then(|v| v.get_ref().as_str())
        })
        .map_or_else(|| format!("#{}", index + 1), str::to_owned)
}

/// The path of the innermost key whose own text or value covers `span`.
pub(crate) fn path_at(text: &str, span: &Range<usize>) -> Option<String> {
    let root = DeTable::parse(text).ok()?;
    let mut shown = String::new();
    walk(root.get_ref(), span, &mut shown);
    (!shown.is_empty()).then_some(shown)
}

fn walk(table: &DeTable<'_>, span: &Range<usize>, shown: &mut String) {
    for (key, value) in table {
        let covers = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let on_key = covers(key.span());
        if !on_key && !holds(value.get_ref(), &value.span(), span) {
            continue;
        }
        if !shown.is_empty() {
            shown.push('.');
        }
        shown.push_str(key.get_ref());
        if !on_key {
            descend(value.get_ref(), span, shown);
        }
        return;
    }
}

fn descend(value: &DeValue<'_>, span: &Range<usize>, shown: &mut String) {
    if let Some(table) = value.as_table() {
        walk(table, span, shown);
    } else if let Some(array) = value.as_array() {
        for (index, element) in array.iter().enumerate() {
            if holds(element.get_ref(), &element.span(), span) {
                shown.push_str(&format!("[{}]", label(element.get_ref(), index)));
                descend(element.get_ref(), span, shown);
                return;
            }
        }
    }
}

/// Whether `span` lies in a value. The span of a `[table]` is its header alone, so what stands below is looked at too.
fn holds(value: &DeValue<'_>, own: &Range<usize>, span: &Range<usize>) -> bool {
    if own.start <= span.start && span.end <= own.end {
        return true;
    }
    if let Some(table) = value.as_table() {
        return table.iter().any(|(key, inner)| {
            let key = key.span();
            (key.start <= span.start && span.end <= key.end)
                || holds(inner.get_ref(), &inner.span(), span)
        });
    }
    value.as_array().is_some_and(|array| {
        array
            .iter()
            .any(|inner| holds(inner.get_ref(), &inner.span(), span))
    })
}
