//! PollFlightInfo: a statement begins with the first poll, and the polls that follow wait for it by a descriptor of ours.
//!
//! The first poll is one execution, as GetFlightInfo is; however often its descriptor is polled, nothing runs again. A
//! statement that is polled no longer is given up when its descriptor has expired; one that changes something runs to
//! its end. All endpoints come at once, when the statement is planned.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow_flight::sql::Any;
use arrow_flight::{FlightDescriptor, FlightInfo, PollInfo};
use bytes::Bytes;
use prost::Message;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Response, Status};

use super::Core;
use super::caller::Caller;
use super::dispatch::Answer;
use super::fault::Fault;
use super::planned::{Need, Waiting};
use super::sealing::Sealer;
use super::statement::{Asking, timestamp};
use super::ticket::TicketError;
use crate::queries::QueryId;

/// What the descriptors of ours are named.
const TYPE_URL: &str = "type.googleapis.com/landfast.PollDescriptor";
/// About what a poll takes in memory, what the client sent aside.
const POLL_BYTES: usize = 16 * 1024;

/// A statement that is polled.
#[derive(Debug)]
pub(super) struct Poll {
    principal: Arc<str>,
    outcome: watch::Receiver<Option<Outcome>>,
    /// Dropping it gives the statement up, unless it changes something.
    _task: AbortOnDropHandle<()>,
}

type Outcome = Result<Polled, Status>;

/// What came of a statement that was polled.
#[derive(Clone, Debug)]
struct Polled {
    info: FlightInfo,
    set_cookie: Option<String>,
}

/// The statements that are polled, and the descriptors they are polled by.
pub(super) struct Polls {
    under_way: Waiting<Arc<Poll>>,
    sealer: Sealer,
    ttl: Duration,
}

/// What a descriptor of ours says.
#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(string, tag = "1")]
    query_id: String,
    #[prost(string, tag = "2")]
    principal: String,
    #[prost(int64, tag = "3")]
    expires_ms: i64,
}

impl Polls {
    pub(super) fn new(key: &[u8], count_max: usize, bytes_max: usize, ttl: Duration) -> Self {
        Self {
            under_way: Waiting::new(count_max, bytes_max, ttl),
            sealer: Sealer::new(key, "landfast poll"),
            ttl,
        }
    }

    /// What those take that are polled.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.under_way.bytes()
    }

    /// Gives up what is no longer polled.
    pub(super) fn sweep(&self) {
        self.under_way.sweep(|_| Need::Maybe);
    }

    /// Forgets a statement that was cancelled.
    pub(super) fn forget(&self, query: QueryId) {
        self.under_way.take(&query.to_string(), |_| true);
    }

    /// The execution that a descriptor of ours polls, and whose it is; nothing if it is none of ours.
    pub(super) fn execution(&self, descriptor: &Bytes) -> Option<(String, String)> {
        let body = self.open(descriptor)?;
        Some((body.query_id, body.principal))
    }

    fn descriptor(&self, query: QueryId, principal: &str) -> (FlightDescriptor, SystemTime) {
        let expires = SystemTime::now() + self.ttl;
        let body = Body {
            query_id: query.to_string(),
            principal: principal.to_owned(),
            expires_ms: millis(expires),
        };
        let any = Any {
            type_url: TYPE_URL.to_owned(),
            value: self.sealer.seal(&body.encode_to_vec()),
        };
        (FlightDescriptor::new_cmd(any.encode_to_vec()), expires)
    }

    fn open(&self, descriptor: &Bytes) -> Option<Body> {
        let any = Any::decode(descriptor.clone()).ok()?;
        // Protobuf lets one message be written in many ways; only the one we wrote is ours.
        if any.type_url != TYPE_URL || any.encode_to_vec() != descriptor[..] {
            return None;
        }
        Body::decode(self.sealer.open(&any.value)?).ok()
    }

    /// What a descriptor polls, if this principal may.
    fn find(&self, descriptor: &Bytes, principal: &str) -> Result<(QueryId, Arc<Poll>), Fault> {
        let body = self.open(descriptor).ok_or(TicketError::NotOurs)?;
        if body.principal != principal {
            return Err(TicketError::OtherPrincipal.into());
        }
        if body.expires_ms < millis(SystemTime::now()) {
            return Err(TicketError::Expired.into());
        }
        let id: QueryId = body.query_id.parse().map_err(|_| TicketError::NotOurs)?;
        let poll = self.under_way.look(&body.query_id, |poll| {
            (*poll.principal == *principal).then(|| poll.clone())
        });
        Ok((id, poll.ok_or(Fault::NoSuchQuery)?))
    }
}

impl Core {
    /// The first poll of a statement: it begins.
    pub(super) async fn poll_first(
        self: &Arc<Self>,
        caller: Caller,
        asking: Asking,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        let query = self.begin(&caller, asking.statement.text(), asking.kind());
        let id = query.id();
        // What is kept at the end: the descriptor comes back as it is, and each endpoint's ticket has the statement in it.
        let bytes = POLL_BYTES + descriptor.encoded_len() + self.tickets_bytes(&asking);
        let (tell, outcome) = watch::channel(None);
        let task = tokio::spawn({
            let core = self.clone();
            let mut caller = caller.clone();
            // The client's own deadline is the poll's, not the statement's.
            caller.timeout = None;
            async move {
                let answer = core
                    .flight_info_of(&mut caller, asking, descriptor, query)
                    .await;
                let outcome = answer.map(|info| Polled {
                    info: info.into_inner(),
                    set_cookie: caller.set_cookie,
                });
                tell.send_replace(Some(outcome));
            }
        });
        let poll = Arc::new(Poll {
            principal: caller.principal.name.clone(),
            outcome,
            _task: AbortOnDropHandle::new(task),
        });
        self.polls
            .under_way
            .keep(id.to_string(), poll.clone(), bytes);
        self.poll_news(caller, id, &poll).await
    }

    /// A poll by a descriptor of ours.
    pub(super) async fn poll_next(
        &self,
        caller: Caller,
        descriptor: &FlightDescriptor,
    ) -> Answer<PollInfo> {
        let found = self.polls.find(&descriptor.cmd, &caller.principal.name);
        let (id, poll) = found.map_err(|fault| caller.refuse(&fault, None))?;
        self.poll_news(caller, id, &poll).await
    }

    /// What a listing's poll answers: it is there at once.
    pub(super) fn poll_done(&self, caller: &Caller, info: FlightInfo) -> Response<PollInfo> {
        caller.respond(done(info), None)
    }

    /// Waits for the outcome for a while.
    async fn poll_news(&self, mut caller: Caller, id: QueryId, poll: &Poll) -> Answer<PollInfo> {
        let mut outcome = poll.outcome.clone();
        // Half of the client's own patience: the answer has to reach it.
        let patience = caller.timeout.map_or(self.limits.poll_wait, |timeout| {
            self.limits.poll_wait.min(timeout / 2)
        });
        let known = tokio::time::timeout(patience, outcome.wait_for(Option::is_some)).await;
        match known {
            Err(_) => {
                let (descriptor, expires) = self.polls.descriptor(id, &caller.principal.name);
                let info = FlightInfo::new()
                    .with_descriptor(descriptor.clone())
                    .with_app_metadata(id.to_string());
                let news = PollInfo {
                    info: Some(info),
                    flight_descriptor: Some(descriptor),
                    progress: Some(0.0),
                    expiration_time: Some(timestamp(expires)),
                };
                Ok(caller.respond(news, Some(id)))
            }
            Ok(Err(_)) => {
                let fault = Fault::internal("the statement ended unexpectedly");
                Err(caller.refuse(&fault, Some(id)))
            }
            Ok(Ok(outcome)) => match outcome.clone() {
                Some(Ok(polled)) => {
                    caller.set_cookie = polled.set_cookie.or(caller.set_cookie);
                    Ok(caller.respond(done(polled.info), Some(id)))
                }
                Some(Err(status)) => Err(status),
                None => Err(caller.refuse(&Fault::internal("no outcome"), Some(id))),
            },
        }
    }
}

fn done(info: FlightInfo) -> PollInfo {
    PollInfo {
        info: Some(info),
        flight_descriptor: None,
        progress: Some(1.0),
        expiration_time: None,
    }
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polls(ttl: Duration) -> Polls {
        Polls::new(b"key", 4, 1 << 20, ttl)
    }

    #[test]
    fn a_descriptor_names_its_query_and_changed_in_any_byte_is_none_of_ours() {
        let polls = polls(Duration::from_secs(60));
        let id = QueryId::new();
        let (descriptor, _) = polls.descriptor(id, "ann");
        assert_eq!(
            polls.execution(&descriptor.cmd),
            Some((id.to_string(), "ann".to_owned()))
        );
        for at in 0..descriptor.cmd.len() {
            let mut changed = descriptor.cmd.to_vec();
            changed[at] ^= 1;
            assert_eq!(polls.execution(&changed.into()), None, "byte {at}");
        }
    }

    #[test]
    fn a_descriptor_is_no_other_principals_and_expires() {
        let (descriptor, _) = polls(Duration::from_secs(60)).descriptor(QueryId::new(), "ann");
        let polls = polls(Duration::from_secs(60));
        let refused = |who: &str| polls.find(&descriptor.cmd, who).unwrap_err();
        assert!(matches!(
            refused("bob"),
            Fault::Ticket(TicketError::OtherPrincipal)
        ));
        assert!(matches!(refused("ann"), Fault::NoSuchQuery));
        let body = Body {
            query_id: QueryId::new().to_string(),
            principal: "ann".into(),
            expires_ms: 1,
        };
        let late = Any {
            type_url: TYPE_URL.to_owned(),
            value: polls.sealer.seal(&body.encode_to_vec()),
        };
        let refused = polls.find(&late.encode_to_vec().into(), "ann").unwrap_err();
        assert!(matches!(refused, Fault::Ticket(TicketError::Expired)));
    }
}
