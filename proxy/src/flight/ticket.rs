//! Tickets: sealed, expiring, bound to a principal, and enough to plan the same query again.
//!
//! A ticket is a request, not a permission: whoever redeems it is authenticated and authorised again. And it is nothing to
//! read: it names files, and tables behind views, that its holder may know nothing of.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow_flight::sql::{Any, ProstMessageExt, TicketStatementQuery};
use bytes::Bytes;
use landfast_catalog::{AsOf, CatalogName, Pin, SchemaName, TableName};
use landfast_planner::{Division, QueryStatement, SessionSettings, substrait_text};
use landfast_sites::CanonicalUri;
use prost::Message;
use uuid::Uuid;

use super::sealing::Sealer;

/// Written into each ticket; a ticket of another version is refused.
const VERSION: u32 = 3;

/// Why a ticket is not taken; texts are for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TicketError {
    #[error("the ticket is not one of this server's, or was changed: ask for the flight again")]
    NotOurs,
    #[error("the ticket has expired: ask for the flight again")]
    Expired,
    #[error("the ticket was given to somebody else")]
    OtherPrincipal,
    #[error("the ticket can't be renewed any further: ask for the flight again")]
    Old,
    #[error(
        "the ticket would take {found} bytes, and at most {max} are allowed: send a shorter statement or fewer parameters"
    )]
    TooLarge { found: usize, max: usize },
}

/// What a ticket says.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct TicketClaims {
    /// The execution that it was made for.
    pub(super) query_id: String,
    /// Who may redeem it.
    pub(super) principal: String,
    /// The digest of the schema that was promised.
    pub(super) schema_digest: Bytes,
    pub(super) what: Redeems,
}

/// What a ticket is redeemed for.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Redeems {
    /// The rows of a query.
    Query(Replan),
    /// The result of a command that has run: an IPC stream, maybe without batches.
    Recorded(Bytes),
}

/// A query as it was asked.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Asked {
    /// A statement's text.
    Sql(String),
    /// A plan as it was sent.
    Substrait(Bytes),
}

/// What is needed to plan the same query again.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Replan {
    pub(super) asked: Asked,
    /// The bound parameters as an IPC stream; empty when there are none.
    pub(super) parameters: Bytes,
    pub(super) settings: Vec<(String, String)>,
    pub(super) pins: Vec<Pin>,
    /// What the statement's `now()` gave.
    pub(super) now_unix_ns: Option<i64>,
    /// Which share of the rows, unless all of them.
    pub(super) share: Option<Share>,
}

/// A share of a divided result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share {
    /// From zero.
    pub(super) number: usize,
    pub(super) division: Division,
}

#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, tag = "2")]
    query_id: String,
    #[prost(string, tag = "3")]
    principal: String,
    #[prost(int64, tag = "4")]
    expires_ms: i64,
    #[prost(bytes = "bytes", tag = "5")]
    schema_digest: Bytes,
    #[prost(bytes = "bytes", optional, tag = "6")]
    recorded: Option<Bytes>,
    #[prost(string, tag = "7")]
    statement: String,
    #[prost(bytes = "bytes", tag = "8")]
    parameters: Bytes,
    #[prost(message, repeated, tag = "9")]
    settings: Vec<Setting>,
    #[prost(message, repeated, tag = "10")]
    pins: Vec<PinBody>,
    #[prost(int64, tag = "11")]
    issued_ms: i64,
    #[prost(int64, optional, tag = "12")]
    now_unix_ns: Option<i64>,
    #[prost(message, optional, tag = "13")]
    share: Option<ShareBody>,
    /// In place of a statement. Who does not know it finds a statement that is empty, and refuses that.
    #[prost(bytes = "bytes", optional, tag = "14")]
    substrait: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct ShareBody {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(uint32, tag = "2")]
    shares: u32,
    #[prost(bytes = "bytes", tag = "3")]
    digest: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Setting {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct PinBody {
    #[prost(string, tag = "1")]
    catalog: String,
    #[prost(string, tag = "2")]
    schema: String,
    #[prost(string, tag = "3")]
    table: String,
    #[prost(bytes = "bytes", tag = "4")]
    uuid: Bytes,
    #[prost(string, tag = "5")]
    metadata_location: String,
    #[prost(int64, optional, tag = "6")]
    snapshot_id: Option<i64>,
    #[prost(oneof = "AsOfBody", tags = "7, 8, 9")]
    as_of: Option<AsOfBody>,
    #[prost(int64, optional, tag = "10")]
    view_version: Option<i64>,
}

/// What was asked for; nothing stands for the current snapshot.
#[derive(Clone, PartialEq, prost::Oneof)]
enum AsOfBody {
    #[prost(int64, tag = "7")]
    Snapshot(i64),
    #[prost(int64, tag = "8")]
    TimestampMs(i64),
    #[prost(string, tag = "9")]
    Ref(String),
}

/// Makes and reads tickets.
pub(super) struct Tickets {
    sealer: Sealer,
    ttl: Duration,
    /// How long after it was first given out a ticket can be made to last.
    life: Duration,
    bytes_max: usize,
}

impl Tickets {
    pub(super) fn new(key: &[u8], ttl: Duration, life: Duration, bytes_max: usize) -> Self {
        Self {
            sealer: Sealer::new(key, "landfast ticket"),
            ttl,
            life,
            bytes_max,
        }
    }

    /// The ticket's bytes, and when it expires.
    pub(super) fn issue(&self, claims: &TicketClaims) -> Result<(Bytes, SystemTime), TicketError> {
        let expires = SystemTime::now() + self.ttl;
        let bytes = self.issue_until(claims, millis(expires));
        if bytes.len() > self.bytes_max {
            return Err(TicketError::TooLarge {
                found: bytes.len(),
                max: self.bytes_max,
            });
        }
        Ok((bytes, expires))
    }

    fn issue_until(&self, claims: &TicketClaims, expires_ms: i64) -> Bytes {
        let mut body = Body {
            version: VERSION,
            query_id: claims.query_id.clone(),
            principal: claims.principal.clone(),
            expires_ms,
            issued_ms: millis(SystemTime::now()),
            schema_digest: claims.schema_digest.clone(),
            ..Body::default()
        };
        match &claims.what {
            Redeems::Recorded(result) => body.recorded = Some(result.clone()),
            Redeems::Query(replan) => {
                match &replan.asked {
                    Asked::Sql(statement) => body.statement = statement.clone(),
                    Asked::Substrait(plan) => body.substrait = Some(plan.clone()),
                }
                body.parameters = replan.parameters.clone();
                body.settings = replan
                    .settings
                    .iter()
                    .map(|(key, value)| Setting {
                        key: key.clone(),
                        value: value.clone(),
                    })
                    .collect();
                body.pins = replan.pins.iter().map(PinBody::from).collect();
                body.now_unix_ns = replan.now_unix_ns;
                body.share = replan.share.as_ref().map(ShareBody::from);
            }
        }
        self.seal(&body)
    }

    fn seal(&self, body: &Body) -> Bytes {
        TicketStatementQuery {
            statement_handle: self.sealer.seal(&body.encode_to_vec()),
        }
        .as_any()
        .encode_to_vec()
        .into()
    }

    /// The same ticket with a later end, and when that is: as long from now as a new one, but no longer than a ticket
    /// may live in all.
    pub(super) fn renew(
        &self,
        ticket: &Bytes,
        principal: &str,
    ) -> Result<(Bytes, SystemTime), TicketError> {
        let mut body = self.open(ticket)?;
        check(&body, principal)?;
        let last = body.issued_ms.saturating_add(millis_of(self.life));
        let expires_ms = millis(SystemTime::now() + self.ttl).min(last);
        if expires_ms <= body.expires_ms {
            return Err(TicketError::Old);
        }
        body.expires_ms = expires_ms;
        let since = Duration::from_millis(u64::try_from(expires_ms).unwrap_or_default());
        Ok((self.seal(&body), UNIX_EPOCH + since))
    }

    /// The execution that a ticket of ours was made for, and whose it is, whether or not it can still be redeemed.
    pub(super) fn execution(&self, ticket: &Bytes) -> Result<(String, String), TicketError> {
        let body = self.open(ticket)?;
        Ok((body.query_id, body.principal))
    }

    /// What a ticket says, if we made exactly it, for this principal, and not too long ago.
    pub(super) fn read(
        &self,
        ticket: &Bytes,
        principal: &str,
    ) -> Result<TicketClaims, TicketError> {
        let body = self.open(ticket)?;
        check(&body, principal)?;
        let what = match body.recorded {
            Some(result) => Redeems::Recorded(result),
            None => Redeems::Query(Replan {
                asked: match body.substrait {
                    Some(plan) => Asked::Substrait(plan),
                    None => Asked::Sql(body.statement),
                },
                parameters: body.parameters,
                settings: body
                    .settings
                    .into_iter()
                    .map(|setting| (setting.key, setting.value))
                    .collect(),
                pins: body
                    .pins
                    .into_iter()
                    .map(Pin::try_from)
                    .collect::<Result<_, _>>()?,
                now_unix_ns: body.now_unix_ns,
                share: body.share.map(Share::try_from).transpose()?,
            }),
        };
        Ok(TicketClaims {
            query_id: body.query_id,
            principal: body.principal,
            schema_digest: body.schema_digest,
            what,
        })
    }

    fn open(&self, ticket: &Bytes) -> Result<Body, TicketError> {
        let any = Any::decode(ticket.clone()).map_err(|_| TicketError::NotOurs)?;
        let statement: TicketStatementQuery =
            any.unpack().ok().flatten().ok_or(TicketError::NotOurs)?;
        // Protobuf lets one message be written in many ways; only the one we wrote is ours.
        if statement.as_any().encode_to_vec() != ticket[..] {
            return Err(TicketError::NotOurs);
        }
        let payload = self
            .sealer
            .open(&statement.statement_handle)
            .ok_or(TicketError::NotOurs)?;
        let body = Body::decode(payload).map_err(|_| TicketError::NotOurs)?;
        match body.version {
            VERSION => Ok(body),
            _ => Err(TicketError::NotOurs),
        }
    }
}

fn check(body: &Body, principal: &str) -> Result<(), TicketError> {
    if body.principal != principal {
        return Err(TicketError::OtherPrincipal);
    }
    if body.expires_ms < millis(SystemTime::now()) {
        return Err(TicketError::Expired);
    }
    Ok(())
}

impl From<&Share> for ShareBody {
    fn from(share: &Share) -> Self {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            number: count(share.number),
            shares: count(share.division.shares),
            digest: Bytes::copy_from_slice(&share.division.digest),
        }
    }
}

impl TryFrom<ShareBody> for Share {
    type Error = TicketError;

    fn try_from(body: ShareBody) -> Result<Self, TicketError> {
        let count = |number: u32| usize::try_from(number).map_err(|_| TicketError::NotOurs);
        Ok(Self {
            number: count(body.number)?,
            division: Division {
                shares: count(body.shares)?,
                digest: <[u8; 16]>::try_from(&body.digest[..]).map_err(|_| TicketError::NotOurs)?,
            },
        })
    }
}

impl Asked {
    /// How a query is asked for again.
    pub(super) fn of(statement: &QueryStatement) -> Self {
        match statement.substrait() {
            Some(plan) => Self::Substrait(plan.clone()),
            None => Self::Sql(statement.text().to_owned()),
        }
    }

    /// What stands for it in records.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Sql(statement) => Cow::Borrowed(statement),
            Self::Substrait(plan) => Cow::Owned(substrait_text(plan)),
        }
    }

    /// What it takes in a ticket.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Sql(statement) => statement.len(),
            Self::Substrait(plan) => plan.len(),
        }
    }
}

impl Replan {
    /// The settings that the query was planned under.
    pub(super) fn session_settings(
        &self,
    ) -> Result<SessionSettings, landfast_planner::PlannerError> {
        SessionSettings::from_pairs(
            self.settings
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        )
    }
}

impl From<&Pin> for PinBody {
    fn from(pin: &Pin) -> Self {
        Self {
            catalog: pin.table.catalog.to_string(),
            schema: pin.table.schema.to_string(),
            table: pin.table.table.clone(),
            uuid: Bytes::copy_from_slice(pin.uuid.as_bytes()),
            metadata_location: pin.metadata_location.as_str().to_owned(),
            snapshot_id: pin.snapshot_id,
            view_version: pin.view_version,
            as_of: match &pin.as_of {
                AsOf::Current => None,
                AsOf::Snapshot(id) => Some(AsOfBody::Snapshot(*id)),
                AsOf::Timestamp(at_ms) => Some(AsOfBody::TimestampMs(*at_ms)),
                AsOf::Ref(name) => Some(AsOfBody::Ref(name.clone())),
            },
        }
    }
}

impl TryFrom<PinBody> for Pin {
    type Error = TicketError;

    fn try_from(body: PinBody) -> Result<Self, TicketError> {
        let ours = |_| TicketError::NotOurs;
        let catalog = CatalogName::new(body.catalog).map_err(ours)?;
        let schema = SchemaName::new(body.schema).map_err(ours)?;
        Ok(Self {
            table: TableName::new(catalog, schema, body.table).map_err(ours)?,
            uuid: Uuid::from_slice(&body.uuid).map_err(|_| TicketError::NotOurs)?,
            metadata_location: CanonicalUri::new(body.metadata_location),
            snapshot_id: body.snapshot_id,
            view_version: body.view_version,
            as_of: match body.as_of {
                None => AsOf::Current,
                Some(AsOfBody::Snapshot(id)) => AsOf::Snapshot(id),
                Some(AsOfBody::TimestampMs(at_ms)) => AsOf::Timestamp(at_ms),
                Some(AsOfBody::Ref(name)) => AsOf::Ref(name),
            },
        })
    }
}

fn millis(time: SystemTime) -> i64 {
    millis_of(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tickets(key: &[u8]) -> Tickets {
        Tickets::new(
            key,
            Duration::from_secs(60),
            Duration::from_secs(3600),
            1 << 20,
        )
    }

    fn claims() -> TicketClaims {
        TicketClaims {
            query_id: "q".into(),
            principal: "ann".into(),
            schema_digest: Bytes::from_static(b"digest"),
            what: Redeems::Query(Replan {
                asked: Asked::Sql("SELECT * FROM lake.s.t WHERE a = $1".into()),
                parameters: Bytes::from_static(b"parameters"),
                settings: vec![("landfast.freshness".into(), "strong".into())],
                pins: vec![Pin {
                    table: TableName::new(
                        CatalogName::new("lake").unwrap(),
                        SchemaName::new("a.b").unwrap(),
                        "T",
                    )
                    .unwrap(),
                    uuid: Uuid::nil(),
                    metadata_location: CanonicalUri::new("gs://lake/a%3Ab/metadata.json"),
                    snapshot_id: Some(-7),
                    as_of: AsOf::Ref("audit".into()),
                    view_version: Some(3),
                }],
                now_unix_ns: Some(1_700_000_000_000_000_001),
                share: Some(Share {
                    number: 2,
                    division: Division {
                        shares: 3,
                        digest: *b"sixteen letters.",
                    },
                }),
            }),
        }
    }

    #[test]
    fn a_ticket_comes_back_as_it_was_given() {
        let tickets = tickets(b"key");
        let (ticket, _) = tickets.issue(&claims()).unwrap();
        assert_eq!(tickets.read(&ticket, "ann").unwrap(), claims());
        let recorded = TicketClaims {
            what: Redeems::Recorded(Bytes::new()),
            ..claims()
        };
        let (ticket, _) = tickets.issue(&recorded).unwrap();
        assert_eq!(tickets.read(&ticket, "ann").unwrap(), recorded);
    }

    #[test]
    fn a_ticket_holds_a_plan_in_place_of_a_statement() {
        let tickets = tickets(b"key");
        let mut claims = claims();
        let Redeems::Query(replan) = &mut claims.what else {
            panic!("the claims are of a query")
        };
        replan.asked = Asked::Substrait(Bytes::from_static(b"\x12\x00plan"));
        let (ticket, _) = tickets.issue(&claims).unwrap();
        assert_eq!(tickets.read(&ticket, "ann").unwrap(), claims);
    }

    #[test]
    fn another_principal_another_key_and_a_late_one_are_refused() {
        let tickets = tickets(b"key");
        let (ticket, _) = tickets.issue(&claims()).unwrap();
        assert_eq!(
            tickets.read(&ticket, "bob"),
            Err(TicketError::OtherPrincipal)
        );
        assert_eq!(
            self::tickets(b"other").read(&ticket, "ann"),
            Err(TicketError::NotOurs)
        );
        let late = tickets.issue_until(&claims(), 1);
        assert_eq!(tickets.read(&late, "ann"), Err(TicketError::Expired));
    }

    #[test]
    fn a_ticket_is_renewed_for_its_principal_and_not_for_ever() {
        let short = Tickets::new(
            b"key",
            Duration::from_secs(10),
            Duration::from_secs(3600),
            1 << 20,
        );
        let (ticket, first) = short.issue(&claims()).unwrap();
        let tickets = tickets(b"key");
        let (renewed, later) = tickets.renew(&ticket, "ann").unwrap();
        assert!(later > first);
        assert_eq!(tickets.read(&renewed, "ann").unwrap(), claims());
        assert_eq!(
            tickets.renew(&ticket, "bob"),
            Err(TicketError::OtherPrincipal)
        );
        let (ttl, life) = (Duration::from_secs(60), Duration::from_secs(5));
        let limited = Tickets::new(b"key", ttl, life, 1 << 20);
        assert_eq!(limited.renew(&ticket, "ann"), Err(TicketError::Old));
        let late = tickets.issue_until(&claims(), 1);
        assert_eq!(tickets.renew(&late, "ann"), Err(TicketError::Expired));
        assert_eq!(
            tickets.execution(&late).unwrap(),
            ("q".to_owned(), "ann".to_owned()),
            "an expired ticket still names its query"
        );
    }

    #[test]
    fn a_ticket_tells_its_holder_nothing() {
        let (ticket, _) = tickets(b"key").issue(&claims()).unwrap();
        for hidden in ["SELECT", "metadata.json", "lake", "parameters", "strong"] {
            let shown = ticket
                .windows(hidden.len())
                .any(|part| part == hidden.as_bytes());
            assert!(!shown, "{hidden}");
        }
    }

    #[test]
    fn a_ticket_larger_than_allowed_is_not_issued() {
        let (ttl, life) = (Duration::from_secs(60), Duration::from_secs(60));
        let small = Tickets::new(b"key", ttl, life, 64);
        assert!(matches!(
            small.issue(&claims()),
            Err(TicketError::TooLarge { max: 64, .. })
        ));
    }

    #[test]
    fn a_ticket_changed_in_any_byte_is_refused() {
        let tickets = tickets(b"key");
        let (ticket, _) = tickets.issue(&claims()).unwrap();
        for at in 0..ticket.len() {
            for flip in [1, 0x20, 0x80, 0xff] {
                let mut changed = ticket.to_vec();
                changed[at] ^= flip;
                assert_eq!(
                    tickets.read(&changed.into(), "ann"),
                    Err(TicketError::NotOurs),
                    "byte {at}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn cut_extended_or_random_bytes_are_refused_without_a_panic(
            cut in 0usize..200, extra in proptest::collection::vec(any::<u8>(), 1..20), random in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let tickets = tickets(b"key");
            let (ticket, _) = tickets.issue(&claims()).unwrap();
            let shorter = ticket.slice(..cut.min(ticket.len() - 1));
            prop_assert!(tickets.read(&shorter, "ann").is_err());
            let longer: Bytes = ticket.iter().copied().chain(extra).collect();
            prop_assert!(tickets.read(&longer, "ann").is_err());
            prop_assert!(tickets.read(&random.into(), "ann").is_err());
        }
    }
}
