//! `landfast sql`: statements from the command line, a file or a prompt, and their rows.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::connection::ConnectionArgs;
use super::render::{OutputFormat, Renderer};
use super::{prompt, statements};
use crate::client::{Client, Execution};
use crate::error::ProxyError;

#[derive(Debug, Args)]
pub(super) struct SqlArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// Run these statements, separated by `;`, and end
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    commands: Vec<String>,
    /// Run the statements of this file (`-` is standard input), and end
    #[arg(short, long, conflicts_with = "commands")]
    file: Option<PathBuf>,
}

/// How results are written.
#[derive(Debug, Clone, Args)]
pub(super) struct OutputArgs {
    /// How rows are written
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
    /// The most rows that a table shows
    #[arg(long, default_value_t = 1000)]
    rows: usize,
}

impl OutputArgs {
    pub(super) fn renderer<'a>(
        &self,
        execution: &Execution,
        out: &'a mut dyn Write,
    ) -> Renderer<'a> {
        Renderer::new(self.format, execution.schema.clone(), self.rows, out)
    }

    /// Whether people read the output, so that words around the rows help.
    pub(super) fn is_for_people(&self) -> bool {
        self.format == OutputFormat::Table
    }
}

pub(super) async fn run(args: SqlArgs, out: &mut (dyn Write + Send)) -> Result<(), ProxyError> {
    // Read first: a wrong file name needs no connection.
    let text = match (&args.file, args.commands.is_empty()) {
        (Some(file), _) => Some(read_file(file)?),
        (None, false) => Some(args.commands.join("\n;\n")),
        (None, true) if !std::io::stdin().is_terminal() => Some(read_stdin()?),
        (None, true) => None,
    };
    let mut client = args.connection.connect().await?;
    match text {
        Some(text) => {
            for statement in statements::split(&text) {
                execute(&mut client, statement, &args.output, out).await?;
            }
            Ok(())
        }
        None => prompt::run(&mut client, &args.output, out).await,
    }
}

/// Runs one statement and writes its rows.
pub(super) async fn execute(
    client: &mut Client,
    statement: &str,
    output: &OutputArgs,
    out: &mut (dyn Write + Send),
) -> Result<(), ProxyError> {
    let spinner = spinner();
    let started = Instant::now();
    let result = receive(client, statement, output, out, &spinner).await;
    spinner.finish_and_clear();
    result?;
    if output.is_for_people() && std::io::stderr().is_terminal() {
        eprintln!("{:.3} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

async fn receive(
    client: &mut Client,
    statement: &str,
    output: &OutputArgs,
    out: &mut (dyn Write + Send),
    spinner: &ProgressBar,
) -> Result<(), ProxyError> {
    let execution = client.execute(statement).await?;
    write_rows(client, &execution, output, out, spinner).await
}

/// Fetches and writes the rows of an execution.
pub(super) async fn write_rows(
    client: &mut Client,
    execution: &Execution,
    output: &OutputArgs,
    out: &mut (dyn Write + Send),
    spinner: &ProgressBar,
) -> Result<(), ProxyError> {
    let mut rows = client.rows(execution).await?;
    let mut renderer = output.renderer(execution, out);
    while let Some(batch) = rows.next().await {
        renderer.batch(&batch?)?;
        spinner.set_message(format!("{} rows", renderer.rows()));
    }
    if execution.schema.fields().is_empty() {
        if output.is_for_people() {
            writeln!(out, "OK")?;
        }
        return Ok(());
    }
    renderer.finish().map(drop)
}

/// A sign of life on standard error, drawn on a terminal only.
pub(super) fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn read_file(file: &PathBuf) -> Result<String, ProxyError> {
    if file.as_os_str() == "-" {
        return read_stdin();
    }
    std::fs::read_to_string(file).map_err(|e| ProxyError::File {
        path: file.clone(),
        reason: format!("can't be read: {e}"),
    })
}

fn read_stdin() -> Result<String, ProxyError> {
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text)?;
    Ok(text)
}
