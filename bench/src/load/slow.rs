//! Clients that stop reading, beside clients that don't.

use std::time::Instant;

use serde_json::{Value, json};

use super::memory::{Watch, resident};
use super::{Client, percentile};

/// Messages that a slow client reads before it stops, and again when it reads on.
const READ: usize = 2;

/// What is asked of the server.
pub(crate) struct Slow {
    pub(crate) url: String,
    pub(crate) pid: u32,
    /// All connections.
    pub(crate) connections: usize,
    /// Those of them that stop reading.
    pub(crate) slow: usize,
    /// A statement whose result is far larger than what any buffer holds.
    pub(crate) large: String,
    /// A statement of the others.
    pub(crate) small: String,
    /// How often each of the others runs it.
    pub(crate) rounds: usize,
}

/// Opens the slow clients' results, runs the others' statements to the end, and then lets the slow ones read on.
pub(crate) async fn slow(asked: Slow) -> anyhow::Result<Value> {
    let mut clients = Client::connect_all(&asked.url, asked.connections).await?;
    let quick = clients.split_off(asked.slow);
    clients[0].clone().drain(&asked.small).await?;
    let before = resident(asked.pid);
    let watch = Watch::start(asked.pid);
    let mut stalled = vec![];
    for mut client in clients {
        for ticket in client.plan(&asked.large).await? {
            let mut stream = client.open(ticket).await?;
            for _ in 0..READ {
                anyhow::ensure!(
                    stream.message().await?.is_some(),
                    "the large result is small"
                );
            }
            stalled.push(stream);
        }
    }
    let start = Instant::now();
    let tasks = quick.into_iter().map(|mut client| {
        let (small, rounds) = (asked.small.clone(), asked.rounds);
        tokio::spawn(async move {
            let (mut took, mut failed) = (vec![], 0);
            for _ in 0..rounds {
                let start = Instant::now();
                match client.drain(&small).await {
                    Ok(_) => took.push(start.elapsed().as_secs_f64() * 1000.0),
                    Err(_) => failed += 1,
                }
            }
            (took, failed, start.elapsed().as_secs_f64() * 1000.0)
        })
    });
    let (mut ms, mut failed, mut done) = (vec![], 0, vec![]);
    for (took, refused, at) in futures::future::try_join_all(tasks).await? {
        ms.extend(took);
        failed += refused;
        done.push(at);
    }
    ms.sort_by(f64::total_cmp);
    done.sort_by(f64::total_cmp);
    let mut resumed = 0;
    for stream in &mut stalled {
        let mut read = 0;
        while read < READ && stream.message().await?.is_some() {
            read += 1;
        }
        resumed += usize::from(read == READ);
    }
    Ok(json!({
        "connections": asked.connections,
        "slow": asked.slow,
        "resumed": resumed,
        "statements": ms.len(),
        "failed": failed,
        "p50_ms": percentile(&ms, 0.5),
        "p99_ms": percentile(&ms, 0.99),
        "max_ms": ms.last(),
        // Equal shares would end together.
        "first_done_ms": done.first(),
        "last_done_ms": done.last(),
        "bytes_before": before,
        "peak_bytes": watch.highest().await?,
    }))
}
