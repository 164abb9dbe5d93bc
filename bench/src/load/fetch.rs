//! How fast results come: by DoGet alone, planning aside.

use std::time::Instant;

use arrow_flight::Ticket;
use serde_json::{Value, json};

use super::{Client, drain};

/// Fetches a statement's result once over each of `streams` connections at the same time. A server that is no Flight SQL
/// server has the ticket `ticket`, and the statement is not planned there.
pub(crate) async fn fetch(
    url: &str,
    sql: &str,
    ticket: Option<String>,
    streams: usize,
) -> anyhow::Result<Value> {
    let mut planned = vec![];
    for mut client in Client::connect_all(url, streams).await? {
        let tickets = match &ticket {
            Some(ticket) => vec![Ticket::new(ticket.clone())],
            None => client.plan(sql).await?,
        };
        planned.push((client, tickets));
    }
    let start = Instant::now();
    let tasks = planned.into_iter().map(|(mut client, tickets)| {
        tokio::spawn(async move {
            let mut all = (0, 0);
            for ticket in tickets {
                let (bytes, messages) = drain(client.open(ticket).await?).await?;
                all = (all.0 + bytes, all.1 + messages);
            }
            anyhow::Ok(all)
        })
    });
    let (mut bytes, mut messages) = (0, 0);
    for all in futures::future::try_join_all(tasks).await? {
        let all = all?;
        bytes += all.0;
        messages += all.1;
    }
    let ms = start.elapsed().as_secs_f64() * 1000.0;
    Ok(json!({ "ms": ms, "bytes": bytes, "messages": messages }))
}
