//! One JSON line in, one JSON line out: how `run.py` talks to an engine, whichever language it is in.

use std::fs::File;
use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// An engine that can be asked over and over; a statement starts unplanned each time.
pub(crate) trait Engine {
    /// Plans and starts a statement.
    async fn start(&self, sql: &str) -> anyhow::Result<SendableRecordBatchStream>;
}

/// Answers requests from standard input until it ends.
///
/// A request is `{"sql": …}` with an optional `"save"`, the file that gets the result as Arrow IPC; then nothing is
/// timed. `ms` runs from the statement's text to its last batch.
pub(crate) fn answer(runtime: &Runtime, engine: &impl Engine) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", json!({ "ready": true }))?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        let reply = match runtime.block_on(reply(engine, &line?)) {
            Ok(reply) => reply,
            Err(e) => json!({ "error": format!("{e:#}") }),
        };
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}

/// One line of JSON, from a worker that does one thing and ends.
pub(crate) fn print(line: &Value) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(())
}

async fn reply(engine: &impl Engine, line: &str) -> anyhow::Result<Value> {
    let request: Value = serde_json::from_str(line).context("a request is one line of JSON")?;
    let sql = request["sql"].as_str().context("a request has \"sql\"")?;
    if let Some(path) = request["save"].as_str() {
        let stream = engine.start(sql).await?;
        let schema = stream.schema();
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        let path = PathBuf::from(path);
        let rows = tokio::task::spawn_blocking(move || save(&path, &schema, &batches)).await??;
        return Ok(json!({ "rows": rows }));
    }
    let started = Instant::now();
    let mut stream = engine.start(sql).await?;
    let (mut rows, mut bytes) = (0, 0);
    while let Some(batch) = stream.try_next().await? {
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
    }
    Ok(json!({ "ms": started.elapsed().as_secs_f64() * 1000.0, "rows": rows, "bytes": bytes }))
}

fn save(path: &Path, schema: &SchemaRef, batches: &[RecordBatch]) -> anyhow::Result<usize> {
    let mut writer = FileWriter::try_new(File::create(path)?, schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}
