//! Planning alone: how `run.py` asks a planner which files a range of a column needs.

use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// The column that is asked about, and another that is read.
pub(crate) const COLUMN: &str = "c03";
pub(crate) const ALSO_READ: &str = "c00";

/// Something that finds the files that may have rows with `low <= c03 < high`.
pub(crate) trait Planner {
    /// How many files are left; the first call opens the table.
    async fn plan(&mut self, low: i64, high: i64) -> anyhow::Result<u64>;

    /// What the planner itself counts as kept in memory, where it counts.
    fn cache_bytes(&self) -> Option<u64>;
}

/// Answers requests from standard input until it ends. A request is `{"low": …, "high": …}`; the reply has the time from
/// the question to the plan, the files that are left, and the memory of this process.
pub(crate) fn answer(runtime: &Runtime, planner: &mut impl Planner) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", json!({ "ready": true, "memory": memory()? }))?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        let reply = match runtime.block_on(reply(planner, &line?)) {
            Ok(reply) => reply,
            Err(e) => json!({ "error": format!("{e:#}") }),
        };
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}

async fn reply(planner: &mut impl Planner, line: &str) -> anyhow::Result<Value> {
    let request: Value = serde_json::from_str(line).context("a request is one line of JSON")?;
    let bound = |name: &str| {
        request[name]
            .as_i64()
            .with_context(|| format!("no \"{name}\""))
    };
    let (low, high) = (bound("low")?, bound("high")?);
    let started = Instant::now();
    let files = planner.plan(low, high).await?;
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    Ok(json!({
        "ms": ms,
        "files": files,
        "memory": memory()?,
        "cache_bytes": planner.cache_bytes(),
    }))
}

/// This process's resident memory now and at most, in bytes; null where the system has no `/proc`.
fn memory() -> anyhow::Result<Value> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return Ok(Value::Null);
    };
    let field = |name: &str| -> anyhow::Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kib.context("a line of /proc/self/status")?.parse::<u64>()? * 1024)
    };
    Ok(json!({ "rss": field("VmRSS:")?, "peak": field("VmHWM:")? }))
}
