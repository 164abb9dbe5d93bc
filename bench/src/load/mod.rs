//! Many clients at once: what `SELECT 1` takes among others, how fast results come, and what clients that stop reading
//! cost everybody else.

mod bare;
mod fetch;
mod memory;
mod point;
mod slow;

use anyhow::Context as _;
use arrow_flight::FlightDescriptor;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt as _};
use arrow_flight::{FlightData, Ticket};
use prost::Message as _;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

pub(crate) use bare::serve;
pub(crate) use fetch::fetch;
pub(crate) use point::point;
pub(crate) use slow::{Slow, slow};

/// HTTP/2 windows of both ends, those of `landfast serve`.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// What every driver takes by default.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One connection.
#[derive(Clone)]
struct Client(FlightServiceClient<Channel>);

impl Client {
    async fn connect(url: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .tcp_nodelay(true);
        let channel = endpoint.connect().await.context(url.to_owned())?;
        let client = FlightServiceClient::new(channel);
        Ok(Self(client.max_decoding_message_size(MESSAGE_BYTES_MAX)))
    }

    /// So many connections.
    async fn connect_all(url: &str, count: usize) -> anyhow::Result<Vec<Self>> {
        futures::future::try_join_all((0..count).map(|_| Self::connect(url))).await
    }

    /// The tickets of a statement.
    async fn plan(&mut self, sql: &str) -> anyhow::Result<Vec<Ticket>> {
        let command = CommandStatementQuery {
            query: sql.to_owned(),
            transaction_id: None,
        };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let info = self.0.get_flight_info(descriptor).await?.into_inner();
        let tickets = info.endpoint.into_iter();
        Ok(tickets.filter_map(|endpoint| endpoint.ticket).collect())
    }

    async fn open(&mut self, ticket: Ticket) -> anyhow::Result<Streaming<FlightData>> {
        Ok(self.0.do_get(ticket).await?.into_inner())
    }

    /// Runs a statement to its end: bytes and messages.
    async fn drain(&mut self, sql: &str) -> anyhow::Result<(u64, u64)> {
        let mut all = (0, 0);
        for ticket in self.plan(sql).await? {
            let (bytes, messages) = drain(self.open(ticket).await?).await?;
            all = (all.0 + bytes, all.1 + messages);
        }
        Ok(all)
    }
}

/// Reads a stream to its end: bytes of data and messages.
async fn drain(mut stream: Streaming<FlightData>) -> anyhow::Result<(u64, u64)> {
    let (mut bytes, mut messages) = (0, 0);
    while let Some(message) = stream.message().await? {
        bytes += (message.data_header.len() + message.data_body.len()) as u64;
        messages += 1;
    }
    Ok((bytes, messages))
}

/// The value below which a share of the sorted values lies.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    sorted.get(at.min(last)).copied().unwrap_or(f64::NAN)
}
