//! The smallest statement: alone, and from many connections at once.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::memory::Watch;
use super::{Client, percentile};

const STATEMENT: &str = "SELECT 1";
/// Statements of one connection that do not count.
const WARM_UP: usize = 20;

/// `count` statements one after the other, and then as many over all connections, `concurrent` of them at a time.
pub(crate) async fn point(
    url: &str,
    pid: u32,
    connections: usize,
    concurrent: usize,
    count: usize,
) -> anyhow::Result<Value> {
    let clients = Client::connect_all(url, connections).await?;
    let mut first = clients[0].clone();
    for _ in 0..WARM_UP {
        first.drain(STATEMENT).await?;
    }
    let mut alone = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        first.drain(STATEMENT).await?;
        alone.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let watch = Watch::start(pid);
    let places = Arc::new(Semaphore::new(concurrent));
    let each = count.div_ceil(connections);
    let start = Instant::now();
    let tasks = clients.into_iter().map(|mut client| {
        let places = places.clone();
        tokio::spawn(async move {
            let mut took = Vec::with_capacity(each);
            for _ in 0..each {
                let _place = places.acquire().await?;
                let start = Instant::now();
                client.drain(STATEMENT).await?;
                took.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            anyhow::Ok(took)
        })
    });
    let mut together = vec![];
    for took in futures::future::try_join_all(tasks).await? {
        together.extend(took?);
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "alone": figures(alone),
        "together": figures(together.clone()),
        "per_s": together.len() as f64 / seconds,
        "connections": connections,
        "concurrent": concurrent,
        "peak_bytes": watch.highest().await?,
    }))
}

fn figures(mut ms: Vec<f64>) -> Value {
    ms.sort_by(f64::total_cmp);
    json!({ "count": ms.len(), "p50_ms": percentile(&ms, 0.5), "p99_ms": percentile(&ms, 0.99), "max_ms": ms.last() })
}
