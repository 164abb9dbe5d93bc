//! Tables that other engines wrote, and what those engines answer: `tests/fixtures/`, whose README tells the layout.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use serde_json::Value;

use crate::rendering::{expected, rendered_rows};

/// The URI prefixes that `tests/fixtures/lake` stands for.
pub const PREFIXES: [&str; 2] = ["gs://fixtures/", "s3://fixtures/"];

/// One fixture: a table and the answers to queries of it.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The table's name, which is the answer file's as well: `spark_position_deletes`.
    pub table: String,
    /// The URI of its metadata file.
    pub metadata: String,
    /// What has an answer.
    pub queries: Vec<Answered>,
    /// What must be refused.
    pub refused: Vec<Refused>,
}

/// A query and an engine's answer to it.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What it is called in reports.
    pub name: String,
    /// What Landfast runs, with `{table}` and `{table$snapshots}` in the place of names.
    pub sql: String,
    /// Whether the rows may come in any order.
    pub unordered: bool,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, as [`crate::rendering`] writes values.
    pub rows: Vec<Vec<Value>>,
}

/// A statement that must fail.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What Landfast is asked, as in [`Answered::sql`].
    pub sql: String,
    /// Words that the refusal must have.
    pub because: String,
}

impl Fixture {
    /// The fixtures that `engine` wrote, by name; each of its answer files is `<engine>_<table>.json`.
    ///
    /// # Errors
    /// When a file is no answer file, with its name.
    pub fn of(engine: &str) -> Result<Vec<Self>> {
        let answers = home().join("answers");
        let mut fixtures = Vec::new();
        for entry in
            fs::read_dir(&answers).with_context(|| format!("read {}", answers.display()))?
        {
            let path = entry?.path();
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
                && stem.split('_').next() == Some(engine)
            {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("read {}", path.display()))?;
                let fixture = Self::read(stem, &text);
                fixtures.push(fixture.with_context(|| format!("read {}", path.display()))?);
            }
        }
        fixtures.sort_by(|one, other| one.table.cmp(&other.table));
        Ok(fixtures)
    }

    fn read(name: &str, text: &str) -> Result<Self> {
        let answers: Value = serde_json::from_str(text)?;
        let queries = answers["queries"].as_array().into_iter().flatten();
        let refused = answers["refused"].as_array().into_iter().flatten();
        let fixture = Self {
            table: text_of(&answers, "table")?,
            metadata: text_of(&answers, "metadata")?,
            queries: queries.map(Answered::read).collect::<Result<_>>()?,
            refused: refused
                .map(|refused| {
                    Ok(Refused {
                        sql: text_of(refused, "sql")?,
                        because: text_of(refused, "because")?,
                    })
                })
                .collect::<Result<_>>()?,
        };
        ensure!(fixture.table == name, "the table is {}", fixture.table);
        ensure!(
            fixture.queries.len() + fixture.refused.len() > 0,
            "nothing is asked of the table"
        );
        Ok(fixture)
    }

    /// The metadata file on this machine.
    ///
    /// # Errors
    /// When the URI lies elsewhere, or nothing is there.
    pub fn metadata_file(&self) -> Result<PathBuf> {
        let key = PREFIXES
            .iter()
            .find_map(|prefix| self.metadata.strip_prefix(prefix));
        let key = key.ok_or_else(|| anyhow!("{} is under none of {PREFIXES:?}", self.metadata))?;
        let file = lake().join(key);
        ensure!(
            file.is_file(),
            "{} is not in the repository",
            file.display()
        );
        Ok(file)
    }
}

impl Answered {
    fn read(answered: &Value) -> Result<Self> {
        let name = text_of(answered, "name")?;
        let columns = answered["columns"].as_array().into_iter().flatten();
        let columns: Vec<String> = columns
            .filter_map(|column| column.as_str().map(str::to_owned))
            .collect();
        let rows = answered["rows"].as_array();
        let rows = rows.with_context(|| format!("query '{name}' has no rows"))?;
        let rows: Option<Vec<Vec<Value>>> =
            rows.iter().map(|row| row.as_array().cloned()).collect();
        let rows = rows.with_context(|| format!("a row of query '{name}' is no array"))?;
        for row in &rows {
            ensure!(
                row.len() == columns.len(),
                "query '{name}' has a row of {} values",
                row.len()
            );
        }
        Ok(Self {
            sql: text_of(answered, "sql")?,
            unordered: answered["unordered"].as_bool().unwrap_or(false),
            name,
            columns,
            rows,
        })
    }

    /// How Landfast's answer differs from the engine's, if it does: the first row that does.
    pub fn difference(&self, schema: &Schema, batches: &[RecordBatch]) -> Option<String> {
        self.compared(schema, batches)
            .unwrap_or_else(|error| Some(format!("{error:#}")))
    }

    fn compared(&self, schema: &Schema, batches: &[RecordBatch]) -> Result<Option<String>> {
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        if names != self.columns {
            return Ok(Some(format!("columns {names:?}, not {:?}", self.columns)));
        }
        let types: Vec<&DataType> = schema
            .fields()
            .iter()
            .map(|field| field.data_type())
            .collect();
        let mut ours = Vec::new();
        for batch in batches {
            ours.extend(rendered_rows(batch)?);
        }
        let mut theirs = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let values = row
                .iter()
                .zip(&types)
                .map(|(value, data_type)| expected(value, data_type));
            theirs.push(values.collect::<Result<Vec<_>>>()?);
        }
        if self.unordered {
            for rows in [&mut ours, &mut theirs] {
                rows.sort_by_cached_key(|row| Value::from(row.clone()).to_string());
            }
        }
        let counts = format!("({} rows, {} expected)", ours.len(), theirs.len());
        for number in 0..ours.len().max(theirs.len()) {
            let (ours, theirs) = (ours.get(number), theirs.get(number));
            if ours != theirs {
                let (ours, theirs) = (row_text(ours), row_text(theirs));
                return Ok(Some(format!(
                    "row {number} {counts}\n      is        {ours}\n      should be {theirs}"
                )));
            }
        }
        Ok(None)
    }
}

/// Replaces `{table}` and `{table$…}` of a query by the quoted name of a table.
///
/// # Errors
/// When a brace isn't closed or names something else.
pub fn with_table(sql: &str, catalog: &str, schema: &str, table: &str) -> Result<String> {
    let mut text = String::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once("{table") {
        let (suffix, after) = after
            .split_once('}')
            .ok_or_else(|| anyhow!("{sql}: a brace is open"))?;
        if !suffix.is_empty() && !suffix.starts_with('$') {
            bail!("{sql}: {{table{suffix}}} means nothing");
        }
        text.push_str(before);
        text.push_str(&format!("{catalog}.{schema}.\"{table}{suffix}\""));
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// `tests/fixtures`.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// `tests/fixtures/lake`, which has the objects under each of [`PREFIXES`].
pub fn lake() -> PathBuf {
    home().join("lake")
}

fn row_text(row: Option<&Vec<Value>>) -> String {
    row.map_or_else(
        || "missing".to_owned(),
        |row| Value::from(row.clone()).to_string(),
    )
}

fn text_of(value: &Value, key: &str) -> Result<String> {
    let text = value[key].as_str();
    Ok(text
        .with_context(|| format!("no text under '{key}'"))?
        .to_owned())
}
