//! What is fuzzed: calls of every kind, tickets, and statements, each over a connection to a whole service.

use std::time::Duration;

use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, ProstMessageExt,
    TicketStatementQuery,
};
use arrow_flight::{Action, Criteria, FlightData, FlightDescriptor, HandshakeRequest, Ticket};
use bytes::Bytes;
use futures::StreamExt;
use hmac::{Hmac, Mac};
use prost::Message;
use rand::Rng;
use rand::rngs::StdRng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tonic::{Code, Status, Streaming};

use super::watch::Target;
use super::{mutate, seeds};
use crate::house::{Client, House, KEY, Service, hex, query, tickets};

/// Messages that are read of one answer: what is wrong with an answer shows at its beginning.
const MESSAGES_MAX: usize = 64;
/// An answer that is not there by then never comes.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// Little of everything, so that what takes too much is refused soon.
const LIMITS: &str = "query_timeout_ms = 3000\nmemory_bytes = 268435456\nspill_bytes = 268435456\n\
                      planned_queries = 8\nqueued_queries = 8\nconcurrent_queries = 4\ntarget_partitions = 2\n";

/// A service on threads of its own, and a client of it on this one: what blocks there doesn't block here.
struct Asked {
    here: Runtime,
    client: Client,
    _there: Runtime,
    _service: Service,
    _house: House,
}

impl Asked {
    fn new() -> Self {
        let house = House::new();
        let there = Runtime::new().unwrap();
        let service = there.block_on(house.serve(KEY, LIMITS));
        let here = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = here.block_on(service.client("ann"));
        Self {
            here,
            client,
            _there: there,
            _service: service,
            _house: house,
        }
    }

    /// How a call is answered, or that it isn't.
    fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<Result<T, Status>, String> {
        let answer = async { tokio::time::timeout(ANSWER_TIME_MAX, call).await };
        match self.here.block_on(answer) {
            Err(_) => Err(format!("no answer in {ANSWER_TIME_MAX:?}")),
            // A call that the service dropped without a status of its own.
            Ok(Err(status)) if status.code() == Code::Unknown => Err(format!("{status:?}")),
            Ok(answer) => Ok(answer),
        }
    }
}

fn told<T>(answer: &Result<T, Status>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(status) => format!("{:?} {}", status.code(), status.message()),
    }
}

async fn drained<T>(mut stream: Streaming<T>) -> Result<(), Status> {
    for _ in 0..MESSAGES_MAX {
        match stream.next().await {
            Some(message) => drop(message?),
            None => break,
        }
    }
    Ok(())
}

/// One call of the service.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Call {
    /// Which, by its number in [`Calls::call`].
    #[prost(uint32, tag = "1")]
    pub(super) rpc: u32,
    /// The action's type.
    #[prost(string, tag = "2")]
    pub(super) action: String,
    /// The descriptor's command, the ticket, the action's body.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) body: Vec<u8>,
    /// What is put.
    #[prost(message, repeated, tag = "4")]
    pub(super) data: Vec<FlightData>,
}

impl Call {
    /// Bytes that are no call are the body of one.
    fn read(input: &[u8]) -> Self {
        Self::decode(input).unwrap_or_else(|_| Self {
            rpc: input.first().copied().unwrap_or(0).into(),
            body: input.to_vec(),
            ..Self::default()
        })
    }
}

/// Descriptors, tickets, actions and puts of any bytes.
pub(super) struct Calls(Asked);

impl Calls {
    pub(super) fn new() -> Self {
        Self(Asked::new())
    }

    async fn call(&self, call: Call) -> Result<(), Status> {
        let client = &self.0.client;
        let mut flight = client.flight.clone();
        let descriptor = FlightDescriptor::new_cmd(call.body.clone());
        match call.rpc % 9 {
            0 => drop(flight.get_flight_info(client.request(descriptor)).await?),
            1 => drop(flight.get_schema(client.request(descriptor)).await?),
            2 => {
                let ticket = client.request(Ticket::new(call.body));
                drained(flight.do_get(ticket).await?.into_inner()).await?;
            }
            3 => {
                let action = client.request(Action::new(call.action, call.body));
                let mut results = flight.do_action(action).await?.into_inner();
                while let Some(result) = results.message().await? {
                    self.close(&result.body).await?;
                }
            }
            4 => {
                let data = client.request(futures::stream::iter(call.data));
                drained(flight.do_put(data).await?.into_inner()).await?;
            }
            5 => drop(flight.poll_flight_info(client.request(descriptor)).await?),
            6 => {
                let criteria = Criteria {
                    expression: call.body.into(),
                };
                drained(
                    flight
                        .list_flights(client.request(criteria))
                        .await?
                        .into_inner(),
                )
                .await?;
            }
            7 => {
                let data = client.request(futures::stream::iter(call.data));
                drained(flight.do_exchange(data).await?.into_inner()).await?;
            }
            _ => {
                let shake = HandshakeRequest {
                    protocol_version: 0,
                    payload: call.body.into(),
                };
                let shake = client.request(futures::stream::iter([shake]));
                drained(flight.handshake(shake).await?.into_inner()).await?;
            }
        }
        Ok(())
    }

    /// Closes the prepared statement that an action opened, so that there is always room for one more.
    async fn close(&self, body: &Bytes) -> Result<(), Status> {
        let opened = Any::decode(body.clone())
            .ok()
            .and_then(|any| any.unpack::<ActionCreatePreparedStatementResult>().ok()?);
        match opened {
            Some(opened) => close(&self.0.client, opened.prepared_statement_handle).await,
            None => Ok(()),
        }
    }
}

async fn close(client: &Client, prepared_statement_handle: Bytes) -> Result<(), Status> {
    let request = ActionClosePreparedStatementRequest {
        prepared_statement_handle,
    };
    let action = Action::new("ClosePreparedStatement", request.as_any().encode_to_vec());
    let mut flight = client.flight.clone();
    let answer = flight.do_action(client.request(action)).await?;
    drained(answer.into_inner()).await
}

impl Target for Calls {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut client = self.0.client.clone();
        let handle = self.0.here.block_on(client.prepare(seeds::WITH_PARAMETERS));
        seeds::calls(&handle.unwrap().prepared_statement_handle)
    }

    fn change(&self, rng: &mut StdRng, kept: &[Vec<u8>]) -> Vec<u8> {
        let at = rng.random_range(0..kept.len());
        let bodies: Vec<Vec<u8>> = (0..3)
            .map(|_| Call::read(&kept[rng.random_range(0..kept.len())]).body)
            .collect();
        // The body is what is decoded: it changes most often, the call itself at times.
        match Call::decode(kept[at].as_slice()) {
            Ok(mut call) if call.data.is_empty() && rng.random_range(0..8) > 0 => {
                call.body = mutate::message(rng, &call.body, &bodies);
                call.rpc = match rng.random_range(0..4) {
                    0 => rng.random_range(0..9),
                    _ => call.rpc,
                };
                call.encode_to_vec()
            }
            _ => mutate::message(rng, &kept[at], &bodies),
        }
    }

    fn answer(&mut self, input: &[u8]) -> Result<String, String> {
        let call = Call::read(input);
        let rpc = call.rpc % 9;
        let answer = self.0.answer(self.call(call))?;
        Ok(format!(
            "{}: {}",
            char::from(b'a' + rpc as u8),
            told(&answer)
        ))
    }

    fn shown(&self, input: &[u8]) -> String {
        format!("{:?}", Call::read(input))
    }
}

/// A ticket: its bytes, or what is inside the seal.
#[derive(Clone, PartialEq, Message)]
struct Offer {
    /// What is inside of a seal of ours.
    #[prost(bytes = "vec", optional, tag = "1")]
    inside: Option<Vec<u8>>,
    /// The ticket itself.
    #[prost(bytes = "vec", tag = "2")]
    ticket: Vec<u8>,
}

/// Tickets: of any bytes, which must be refused, and sealed as ours are, as an older or newer proxy of the same
/// federation would.
pub(super) struct Sealed {
    asked: Asked,
    ours: Vec<Bytes>,
}

/// The version of the seal.
const VERSION: u8 = 1;
/// It, and a nonce.
const HEAD_BYTES: usize = 1 + NONCE_LEN;

impl Sealed {
    pub(super) fn new() -> Self {
        let asked = Asked::new();
        let mut client = asked.client.clone();
        let ours = seeds::STATEMENTS.iter().filter_map(|sql| {
            let info = asked.here.block_on(client.info(&query(sql))).ok()?;
            Some(tickets(&info).remove(0))
        });
        let ours: Vec<Bytes> = ours.take(24).collect();
        for ticket in &ours {
            let inside = inside(ticket);
            assert_eq!(self::inside(&seal(&inside).into()), inside);
        }
        Self { asked, ours }
    }
}

/// What is inside a ticket's seal.
fn inside(ticket: &Bytes) -> Vec<u8> {
    let any = Any::decode(ticket.clone()).unwrap();
    let sealed: TicketStatementQuery = any.unpack().unwrap().unwrap();
    let (head, hidden) = sealed.statement_handle.split_at(HEAD_BYTES);
    let nonce = Nonce::try_assume_unique_for_key(&head[1..]).unwrap();
    let mut hidden = hidden.to_vec();
    let inside = key().open_in_place(nonce, Aad::from([head[0]]), &mut hidden);
    inside.expect("the seal is the service's").to_vec()
}

/// A ticket with this inside, sealed with the service's own key. The same inside is always the same ticket, so that a run
/// can be repeated.
fn seal(inside: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = Sha256::digest(inside)[..NONCE_LEN].try_into().unwrap();
    let mut hidden = inside.to_vec();
    let unique = Nonce::assume_unique_for_key(nonce);
    key()
        .seal_in_place_append_tag(unique, Aad::from([VERSION]), &mut hidden)
        .unwrap();
    let ticket = TicketStatementQuery {
        statement_handle: [&[VERSION], &nonce[..], &hidden].concat().into(),
    };
    ticket.as_any().encode_to_vec()
}

/// The service's own key for tickets.
fn key() -> LessSafeKey {
    let signed = |key: &[u8], text: &[u8]| {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap();
        mac.update(text);
        mac.finalize().into_bytes()
    };
    let derived = signed(KEY.as_bytes(), b"landfast ticket");
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &derived).unwrap())
}

impl Target for Sealed {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let offers = self.ours.iter().flat_map(|ticket| {
            let (inside, ticket) = (inside(ticket), ticket.to_vec());
            [
                Offer {
                    inside: None,
                    ticket,
                },
                Offer {
                    inside: Some(inside),
                    ticket: vec![],
                },
            ]
        });
        offers.map(|offer| offer.encode_to_vec()).collect()
    }

    fn change(&self, rng: &mut StdRng, kept: &[Vec<u8>]) -> Vec<u8> {
        let Ok(mut offer) = Offer::decode(kept[rng.random_range(0..kept.len())].as_slice()) else {
            return kept[0].clone();
        };
        match &mut offer.inside {
            Some(inside) => *inside = mutate::message(rng, inside, &[]),
            None if rng.random() => offer.ticket = mutate::bytes(rng, &offer.ticket),
            None => offer.ticket = mutate::message(rng, &offer.ticket, &[]),
        }
        offer.encode_to_vec()
    }

    fn answer(&mut self, input: &[u8]) -> Result<String, String> {
        let offer = Offer::decode(input).map_err(|error| error.to_string())?;
        let ticket = match &offer.inside {
            Some(inside) => seal(inside),
            None => offer.ticket.clone(),
        };
        let ours = offer.inside.is_some() || self.ours.iter().any(|ours| *ours == ticket);
        let mut flight = self.asked.client.flight.clone();
        let request = self.asked.client.request(Ticket::new(ticket));
        let redeemed = async { drained(flight.do_get(request).await?.into_inner()).await };
        let answer = self.asked.answer(redeemed)?;
        match (ours, answer) {
            // A catalog command is its own ticket, and needs no seal.
            (false, Ok(())) if is_sealed(&offer.ticket) => {
                Err("a ticket that is not ours was redeemed".to_owned())
            }
            (_, answer) => Ok(told(&answer)),
        }
    }

    fn shown(&self, input: &[u8]) -> String {
        let offer = Offer::decode(input).unwrap_or_default();
        match &offer.inside {
            Some(inside) => format!("inside the seal: {:?}", String::from_utf8_lossy(inside)),
            None => hex(&offer.ticket),
        }
    }
}

fn is_sealed(ticket: &[u8]) -> bool {
    Any::decode(ticket)
        .ok()
        .and_then(|any| any.unpack::<TicketStatementQuery>().ok()?)
        .is_some()
}

/// Statements: prepared, and planned where that went well.
pub(super) struct Statements(Asked);

impl Statements {
    pub(super) fn new() -> Self {
        Self(Asked::new())
    }

    async fn plan(&self, sql: &str) -> Result<(), Status> {
        let mut client = self.0.client.clone();
        let opened = client.prepare(sql).await?;
        close(&client, opened.prepared_statement_handle).await?;
        client.info(&query(sql)).await.map(drop)
    }
}

impl Target for Statements {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let bytes = |sql: &&str| sql.as_bytes().to_vec();
        seeds::STATEMENTS.iter().map(bytes).collect()
    }

    fn change(&self, rng: &mut StdRng, kept: &[Vec<u8>]) -> Vec<u8> {
        let one = String::from_utf8_lossy(&kept[rng.random_range(0..kept.len())]);
        mutate::statement(rng, &one, kept).into_bytes()
    }

    fn answer(&mut self, input: &[u8]) -> Result<String, String> {
        let sql = String::from_utf8_lossy(input);
        Ok(told(&self.0.answer(self.plan(&sql))?))
    }

    fn shown(&self, input: &[u8]) -> String {
        format!("{:?}", String::from_utf8_lossy(input))
    }
}
