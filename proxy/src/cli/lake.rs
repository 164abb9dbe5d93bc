//! `landfast table` and `landfast site`: what data engineers ask most, said in SQL for them.

use std::io::Write;

use clap::{Args, Subcommand};

use super::connection::ConnectionArgs;
use super::sql::{OutputArgs, execute, spinner, write_rows};
use crate::error::ProxyError;

#[derive(Debug, Subcommand)]
pub(super) enum TableCommand {
    /// List tables
    List(ListArgs),
    /// Show a table's columns, its snapshot, how much of it each site holds, and what its metadata says of it
    Show(TableNameArgs),
    /// Register an Iceberg table that exists already, by its metadata file
    Register(RegisterArgs),
    /// Take a table out of its catalog; no file is touched
    Drop(TableNameArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum SiteCommand {
    /// List sites with their state
    List(SharedArgs),
}

#[derive(Debug, Args)]
pub(super) struct SharedArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    shared: SharedArgs,
    /// Only tables of this catalog
    #[arg(long)]
    catalog: Option<String>,
    /// Only tables of schemas like this (SQL LIKE)
    #[arg(long)]
    schema: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct TableNameArgs {
    #[command(flatten)]
    shared: SharedArgs,
    /// catalog.schema.table; parts with dots or upper case in double quotes
    table: String,
}

#[derive(Debug, Args)]
pub(super) struct RegisterArgs {
    #[command(flatten)]
    shared: SharedArgs,
    /// catalog.schema.table
    table: String,
    /// The URI of the table's metadata file (….metadata.json), under a configured prefix
    metadata: String,
}

pub(super) async fn table(
    command: TableCommand,
    out: &mut (dyn Write + Send),
) -> Result<(), ProxyError> {
    match command {
        TableCommand::List(args) => {
            let mut client = args.shared.connection.connect().await?;
            let execution = client.tables(args.catalog, args.schema).await?;
            let bar = spinner();
            let result = write_rows(&mut client, &execution, &args.shared.output, out, &bar).await;
            bar.finish_and_clear();
            result
        }
        TableCommand::Show(args) => {
            let name = TableParts::parse(&args.table)?;
            run(
                &args.shared,
                &[
                    format!("DESCRIBE {}", name.quoted()),
                    name.standing(),
                    name.details(),
                ],
                out,
            )
            .await
        }
        TableCommand::Register(args) => {
            let name = TableParts::parse(&args.table)?;
            let call = format!(
                "CALL landfast.register_table({}, {})",
                literal(&name.quoted()),
                literal(&args.metadata)
            );
            run(&args.shared, &[call], out).await
        }
        TableCommand::Drop(args) => {
            let name = TableParts::parse(&args.table)?;
            run(
                &args.shared,
                &[format!("DROP TABLE {}", name.quoted())],
                out,
            )
            .await
        }
    }
}

pub(super) async fn site(
    command: SiteCommand,
    out: &mut (dyn Write + Send),
) -> Result<(), ProxyError> {
    let SiteCommand::List(args) = command;
    run(
        &args,
        &["SELECT * FROM landfast.system.sites".to_owned()],
        out,
    )
    .await
}

async fn run(
    shared: &SharedArgs,
    statements: &[String],
    out: &mut (dyn Write + Send),
) -> Result<(), ProxyError> {
    let mut client = shared.connection.connect().await?;
    for statement in statements {
        execute(&mut client, statement, &shared.output, out).await?;
    }
    Ok(())
}

/// `catalog.schema.table` as typed.
#[derive(Debug, PartialEq)]
struct TableParts {
    parts: [Part; 3],
}

#[derive(Debug, Default, PartialEq)]
struct Part {
    text: String,
    quoted: bool,
}

impl TableParts {
    /// Cuts at the dots outside double quotes.
    fn parse(text: &str) -> Result<Self, ProxyError> {
        let mut parts = vec![Part::default()];
        let mut inside = false;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let last = parts.len() - 1;
            match letter {
                '"' if inside && letters.peek() == Some(&'"') => {
                    letters.next();
                    parts[last].text.push('"');
                }
                '"' => {
                    inside = !inside;
                    parts[last].quoted = true;
                }
                '.' if !inside => parts.push(Part::default()),
                other => parts[last].text.push(other),
            }
        }
        let parts: Result<[Part; 3], _> = parts.try_into();
        match parts {
            Ok(parts) if !inside && parts.iter().all(|p| !p.text.is_empty()) => Ok(Self { parts }),
            _ => Err(ProxyError::Usage(format!(
                "`{text}` is no table name; write catalog.schema.table, a part with dots in double quotes"
            ))),
        }
    }

    /// As SQL: what was quoted stays quoted, and so does what is no plain word; the rest matches whatever its case.
    fn quoted(&self) -> String {
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|part| {
                let plain = part
                    .text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_')
                    && !part.text.starts_with(|c: char| c.is_ascii_digit());
                if plain && !part.quoted {
                    part.text.clone()
                } else {
                    format!("\"{}\"", part.text.replace('"', "\"\""))
                }
            })
            .collect();
        parts.join(".")
    }

    /// Where the table stands, from Landfast's own tables.
    fn standing(&self) -> String {
        self.own("*", "tables")
    }

    /// What its metadata says of it, likewise.
    fn details(&self) -> String {
        self.own("\"about\", \"name\", \"value\"", "table_details")
    }

    fn own(&self, columns: &str, of: &str) -> String {
        let [catalog, schema, table] = &self.parts;
        let is = |column: &str, part: &Part| {
            if part.quoted {
                format!("\"{column}\" = {}", literal(&part.text))
            } else {
                format!("lower(\"{column}\") = lower({})", literal(&part.text))
            }
        };
        format!(
            "SELECT {columns} FROM landfast.system.{of} WHERE {} AND {} AND {}",
            is("catalog", catalog),
            is("schema", schema),
            is("table", table)
        )
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::{TableParts, literal};

    #[test]
    fn a_table_name_is_cut_at_dots_outside_quotes() {
        let name = TableParts::parse("lake.\"a.b\".T").unwrap();
        assert_eq!(name.quoted(), "lake.\"a.b\".T");
        assert!(name.standing().contains("\"schema\" = 'a.b'"));
        assert!(name.details().contains("\"schema\" = 'a.b'"));
        assert!(name.standing().contains("lower(\"table\") = lower('T')"));
    }

    #[test]
    fn a_part_that_is_no_word_is_quoted() {
        let name = TableParts::parse("lake.x-y.\"say \"\"hi\"\"\"").unwrap();
        assert_eq!(name.quoted(), "lake.\"x-y\".\"say \"\"hi\"\"\"");
    }

    #[test]
    fn too_few_or_empty_parts_are_refused() {
        for text in ["lineitem", "tpch.lineitem", "a..b", "a.b.c.d", "a.b.\"c"] {
            let error = TableParts::parse(text).unwrap_err().to_string();
            assert!(error.contains("catalog.schema.table"), "{error}");
        }
    }

    #[test]
    fn quotes_in_a_literal_are_doubled() {
        assert_eq!(literal("gs://lake/it's"), "'gs://lake/it''s'");
    }
}
