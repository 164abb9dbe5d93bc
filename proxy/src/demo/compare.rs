//! Each query with files from their origin and with files from their nearest copy, through the real client.
//!
//! Both placements get the same warm-up: every query runs once in each of them, so that metadata and Parquet footers
//! are in memory for both. Data is never cached. Then each query runs [`RUNS`] times in each placement, in turns.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::SecretString;

use super::queries::{DEMO_QUERIES, DemoQuery};
use crate::client::{Client, Endpoint, Login, TlsFiles};
use crate::error::ProxyError;

/// Measured runs of each query in each placement; the report has their median.
pub(super) const RUNS: usize = 3;

/// The two placements, as `SET landfast.placement` names them.
const PLACEMENTS: [&str; 2] = ["origin", "nearest"];

/// One query in both placements.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Comparison {
    /// Which query.
    pub query: DemoQuery,
    /// With files from their origin.
    pub origin: Measured,
    /// With files from their nearest copy.
    pub nearest: Measured,
}

/// What one query took in one placement. Bytes and USD are the receipt's.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Measured {
    /// From sending the statement to the last row; the median of the measured runs.
    pub time: Duration,
    /// Bytes received from each site, data and metadata, in the last run.
    pub bytes: BTreeMap<String, u64>,
    /// What they cost by the configured prices.
    pub usd: f64,
    /// The rows of the answer.
    pub rows: usize,
}

/// Runs the demo's queries in both placements.
///
/// # Errors
/// When a query fails, or the two placements give different answers.
pub async fn compare(address: SocketAddr) -> Result<Vec<Comparison>, ProxyError> {
    let bar = progress_bar();
    let mut clients = Vec::with_capacity(PLACEMENTS.len());
    for placement in PLACEMENTS {
        clients.push(session(address, placement).await?);
    }
    for query in &DEMO_QUERIES {
        bar.set_message(format!("warming up: {}", query.title));
        for client in &mut clients {
            client.query(query.sql).await?;
            bar.inc(1);
        }
    }
    let mut comparisons = Vec::with_capacity(DEMO_QUERIES.len());
    for query in &DEMO_QUERIES {
        bar.set_message(query.title);
        let mut runs: [Vec<Run>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            for (client, runs) in clients.iter_mut().zip(&mut runs) {
                runs.push(run(client, query).await?);
                bar.inc(1);
            }
        }
        let [origin, nearest] = &runs;
        let answer = origin.first().map(|run| &run.answer);
        if !origin
            .iter()
            .chain(nearest)
            .all(|run| Some(&run.answer) == answer)
        {
            return Err(ProxyError::Demo(format!(
                "\"{}\" has different answers from the origin and from the nearest copies; please report this",
                query.title
            )));
        }
        comparisons.push(Comparison {
            query: *query,
            origin: receipt(&mut clients[0], origin).await?,
            nearest: receipt(&mut clients[1], nearest).await?,
        });
    }
    bar.finish_and_clear();
    Ok(comparisons)
}

/// Any user will do without authentication; logging in makes a session that keeps its SET.
async fn session(address: SocketAddr, placement: &str) -> Result<Client, ProxyError> {
    let endpoint = Endpoint::new(&format!("grpc://{address}"), &TlsFiles::default())
        .map_err(crate::client::ClientError::from)?;
    let login = Login::Password {
        user: "demo".to_owned(),
        password: SecretString::from("demo"),
    };
    let mut client = Client::connect(&endpoint, login).await?;
    client
        .query(&format!("SET landfast.placement = '{placement}'"))
        .await?;
    Ok(client)
}

struct Run {
    id: String,
    time: Duration,
    answer: RecordBatch,
}

async fn run(client: &mut Client, query: &DemoQuery) -> Result<Run, ProxyError> {
    let started = Instant::now();
    let (execution, batches) = client.query(query.sql).await?;
    let time = started.elapsed();
    let answer = concat_batches(&execution.schema, &batches).map_err(unreadable)?;
    Ok(Run {
        id: String::from_utf8_lossy(&execution.app_metadata).into_owned(),
        time,
        answer,
    })
}

/// The median time, and what the last run's receipt says.
async fn receipt(client: &mut Client, runs: &[Run]) -> Result<Measured, ProxyError> {
    let mut times: Vec<Duration> = runs.iter().map(|run| run.time).collect();
    times.sort_unstable();
    let Some(last) = runs.last() else {
        return Ok(Measured::default());
    };
    let sql = format!(
        "SELECT site, bytes, usd FROM landfast.system.query_reads WHERE query_id = '{}'",
        last.id.replace('\'', "''")
    );
    let (_, batches) = client.query(&sql).await?;
    let mut measured = Measured {
        time: times[times.len() / 2],
        rows: last.answer.num_rows(),
        ..Measured::default()
    };
    for batch in &batches {
        let column =
            |index: usize, to: &DataType| cast(batch.column(index), to).map_err(unreadable);
        let sites = column(0, &DataType::Utf8)?;
        let bytes = column(1, &DataType::Int64)?;
        let usd = column(2, &DataType::Float64)?;
        for row in 0..batch.num_rows() {
            let site = sites.as_string::<i32>().value(row).to_owned();
            let bytes = bytes.as_primitive::<Int64Type>().value(row);
            *measured.bytes.entry(site).or_default() += u64::try_from(bytes).unwrap_or_default();
            measured.usd += usd.as_primitive::<Float64Type>().value(row);
        }
    }
    Ok(measured)
}

fn unreadable(error: arrow::error::ArrowError) -> ProxyError {
    ProxyError::Demo(error.to_string())
}

fn progress_bar() -> ProgressBar {
    let steps = DEMO_QUERIES.len() * PLACEMENTS.len() * (1 + RUNS);
    let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
