//! Statements: described; planned and pinned once, or run once; handed out as tickets.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket};
use arrow_ipc::writer::IpcWriteOptions;
use bytes::Bytes;
use landfast_catalog::Pin;
use landfast_planner::{
    Described, Division, DivisionLimits, PlanRequest, PlannedQuery, QueryStatement,
    SessionSettings, Statement, WireTypes,
};
use prost_types::Timestamp;
use sha2::{Digest, Sha256};
use tonic::{Response, Status};

use super::caller::Caller;
use super::fault::Fault;
use super::parameters::Parameters;
use super::planned::Planned;
use super::run::Run;
use super::stream::called_off;
use super::ticket::{Asked, Redeems, Replan, Share, TicketClaims};
use super::wire::wire_schema_in;
use super::{Core, command};
use crate::admission::Stage;
use crate::limits::{Deadline, LimitError};
use crate::queries::{Query, QueryKind, QuerySnapshot};

/// About what a plan takes in memory, its files aside.
const PLAN_BYTES: usize = 32 * 1024;
/// About what one file takes in a plan.
const PLAN_FILE_BYTES: usize = 512;

/// About what a ticket takes, what is in it aside.
const TICKET_BYTES: usize = 2 * 1024;
/// What the tickets of one FlightInfo may take together.
const TICKETS_BYTES_MAX: usize = 1 << 20;

/// A statement as somebody asks for it.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) statement: Arc<Statement>,
    pub(super) parameters: Option<Parameters>,
    /// The types that its rows were said to have when it was prepared.
    pub(super) types: Option<WireTypes>,
}

impl Asking {
    /// A statement that was not prepared.
    pub(super) fn of(statement: Statement) -> Self {
        Self {
            statement: Arc::new(statement),
            parameters: None,
            types: None,
        }
    }

    pub(super) fn kind(&self) -> QueryKind {
        match &*self.statement {
            Statement::Query(_) => QueryKind::Query,
            Statement::Command(_) => QueryKind::Command,
        }
    }
}

/// What a query is planned under.
#[derive(Clone, Copy)]
pub(super) struct Planning<'a> {
    pub(super) settings: &'a SessionSettings,
    /// Snapshots to read instead of the newest.
    pub(super) pins: &'a [Pin],
    /// What `now()` gives, unless the present.
    pub(super) now_unix_ns: Option<i64>,
}

impl Core {
    /// Parses one statement, if it is not too long.
    pub(super) fn parse(&self, sql: &str) -> Result<Statement, Fault> {
        if sql.len() > self.limits.statement_bytes {
            return Err(LimitError::TooLarge {
                what: "the statement",
                found: format!("{} bytes", sql.len()),
                max: self.limits.statement_bytes,
            }
            .into());
        }
        Ok(self.engine.parse(sql)?)
    }

    /// Reads one Substrait plan, if it is not too long.
    pub(super) fn parse_substrait(&self, plan: &Bytes) -> Result<Statement, Fault> {
        if plan.len() > self.limits.statement_bytes {
            return Err(LimitError::TooLarge {
                what: "the Substrait plan",
                found: format!("{} bytes", plan.len()),
                max: self.limits.statement_bytes,
            }
            .into());
        }
        Ok(self.engine.parse_substrait(plan.clone())?)
    }

    /// The query that a ticket asks for again.
    pub(super) fn parse_again(&self, asked: &Asked) -> Result<QueryStatement, Fault> {
        let statement = match asked {
            Asked::Sql(statement) => self.parse(statement)?,
            Asked::Substrait(plan) => self.parse_substrait(plan)?,
        };
        match statement {
            Statement::Query(statement) => Ok(statement),
            Statement::Command(_) => Err(Fault::internal(
                "a ticket for rows holds a statement that gives none",
            )),
        }
    }

    /// What a statement takes and gives. Runs nothing.
    pub(super) async fn describe(
        &self,
        statement: &Statement,
        caller: &Caller,
    ) -> Result<Described, Fault> {
        let deadline = Deadline::after(self.limits.query_timeout, caller.timeout);
        let settings = self.reception.settings(caller)?;
        deadline
            .bound(async {
                let _permit = self
                    .admission
                    .admit(&caller.principal.name, Stage::New)
                    .await?;
                Ok(self
                    .engine
                    .describe(statement, &settings, &caller.asker())
                    .await?)
            })
            .await?
    }

    /// The schema that a described statement's rows have for this caller.
    pub(super) fn described_schema(
        &self,
        caller: &Caller,
        described: &Described,
    ) -> Result<SchemaRef, Fault> {
        let types = self.described_types(caller, described)?;
        Ok(wire_schema_in(&described.schema, types))
    }

    /// The types that they have: what changes something gives rows as every driver reads them.
    pub(super) fn described_types(
        &self,
        caller: &Caller,
        described: &Described,
    ) -> Result<WireTypes, Fault> {
        match described.is_update {
            true => Ok(WireTypes::Compatible),
            false => Ok(self.reception.settings(caller)?.wire_types),
        }
    }

    /// GetFlightInfo of a statement: a query is planned, a command runs.
    pub(super) async fn flight_info(
        self: &Arc<Self>,
        caller: &mut Caller,
        asking: Asking,
        descriptor: FlightDescriptor,
    ) -> Result<Response<FlightInfo>, Status> {
        let query = self.begin(caller, asking.statement.text(), asking.kind());
        self.flight_info_of(caller, asking, descriptor, query).await
    }

    /// The same, of an execution that has begun.
    pub(super) async fn flight_info_of(
        self: &Arc<Self>,
        caller: &mut Caller,
        asking: Asking,
        descriptor: FlightDescriptor,
        query: Query,
    ) -> Result<Response<FlightInfo>, Status> {
        match &*asking.statement.clone() {
            Statement::Query(statement) => {
                self.plan_info(caller, statement, asking, descriptor, query)
                    .await
            }
            Statement::Command(_) => {
                command::run_info(self, caller, asking, descriptor, query).await
            }
        }
    }

    async fn plan_info(
        &self,
        caller: &Caller,
        statement: &QueryStatement,
        asking: Asking,
        descriptor: FlightDescriptor,
        query: Query,
    ) -> Result<Response<FlightInfo>, Status> {
        let id = query.id();
        match self
            .plan_and_keep(caller, statement, asking, descriptor, query)
            .await
        {
            Ok(info) => Ok(caller.respond(info, Some(id))),
            Err((query, fault)) => {
                query.fail(fault.label(), &fault.to_string());
                Err(caller.refuse(&fault, Some(id)))
            }
        }
    }

    async fn plan_and_keep(
        &self,
        caller: &Caller,
        statement: &QueryStatement,
        asking: Asking,
        descriptor: FlightDescriptor,
        mut query: Query,
    ) -> Result<FlightInfo, (Query, Fault)> {
        let mut settings = match self.reception.settings(caller) {
            Ok(settings) => settings,
            Err(fault) => return Err((query, fault)),
        };
        if let Some(types) = asking.types {
            settings.wire_types = types;
        }
        let parameters = asking.parameters;
        let anew = Planning {
            settings: &settings,
            pins: &[],
            now_unix_ns: None,
        };
        let planned = self
            .plan(caller, statement, parameters.as_ref(), anew, &query)
            .await;
        let plan = match planned {
            Ok(plan) => plan,
            Err(fault) => return Err((query, fault)),
        };
        note_plan(&mut query, &plan);
        let schema = wire_schema_in(&plan.schema(), settings.wire_types);
        let mut division = None;
        let issued = parameters
            .as_ref()
            .map_or(Ok(Bytes::new()), Parameters::to_bytes)
            .and_then(|bytes| {
                let replan = Replan {
                    asked: Asked::of(statement),
                    parameters: bytes,
                    settings: settings.to_pairs(),
                    pins: plan.pins(),
                    now_unix_ns: plan.now_unix_ns(),
                    share: None,
                };
                division = self.division(&plan, parameters.as_ref(), &replan);
                let redeemed = redeemed(replan, division);
                self.info_with_tickets(caller, &query, &schema, redeemed, descriptor)
            });
        let info = match issued {
            Ok(info) => {
                let one_row = parameters.as_ref().is_none_or(|rows| rows.len() == 1);
                let total = plan.rows_exact().filter(|_| one_row);
                let total = total.and_then(|rows| i64::try_from(rows).ok());
                info.with_ordered(plan.ordered() && division.is_none())
                    .with_total_records(total.unwrap_or(-1))
            }
            Err(fault) => return Err((query, fault)),
        };
        let files: u64 = plan.summaries().iter().map(|scan| scan.files_total).sum();
        let bytes = PLAN_BYTES
            + Asked::of(statement).len()
            + parameters.as_ref().map_or(0, Parameters::bytes)
            + PLAN_FILE_BYTES * usize::try_from(files).unwrap_or(0);
        let (name, principal) = (query.id().to_string(), caller.principal.name.clone());
        let planned = Planned {
            principal,
            run: Run::new(query, division.map_or(1, |division| division.shares)),
            plan: Arc::new(plan),
            parameters,
            division,
        };
        self.planned.keep(name, planned, bytes);
        Ok(info)
    }

    /// How a planned result is divided among endpoints: by its size, and so that their tickets fit into one message.
    fn division(
        &self,
        plan: &PlannedQuery,
        parameters: Option<&Parameters>,
        replan: &Replan,
    ) -> Option<Division> {
        if parameters.is_some_and(|rows| rows.len() > 1) {
            return None;
        }
        let each = TICKET_BYTES + replan.asked.len() + replan.parameters.len();
        let limits = DivisionLimits {
            shares_max: self.limits.endpoints_max.min(TICKETS_BYTES_MAX / each),
            share_bytes: self.limits.endpoint_bytes,
            share_rows: self.limits.endpoint_rows,
        };
        plan.division(&limits)
    }

    /// About what the tickets of a statement take together at most.
    pub(super) fn tickets_bytes(&self, asking: &Asking) -> usize {
        let bound = asking.parameters.as_ref().map_or(0, Parameters::bytes);
        let each = TICKET_BYTES + asking.statement.written_bytes() + bound;
        let several = self.limits.endpoints_max.min(TICKETS_BYTES_MAX / each);
        each * several.max(1)
    }

    /// Plans a query for its first row of parameters.
    pub(super) async fn plan(
        &self,
        caller: &Caller,
        statement: &QueryStatement,
        parameters: Option<&Parameters>,
        under: Planning<'_>,
        query: &Query,
    ) -> Result<PlannedQuery, Fault> {
        if parameters.is_some_and(|parameters| parameters.len() == 0) {
            return Err(Fault::malformed(
                "no row of parameters is bound: bind at least one",
            ));
        }
        let deadline = Deadline::after(self.limits.query_timeout, caller.timeout);
        let row = parameters.map(|parameters| parameters.row(0));
        let planned = deadline.bound(async {
            let _permit = self
                .admission
                .admit(&caller.principal.name, Stage::New)
                .await?;
            let (engine, statement) = (Arc::clone(&self.engine), statement.clone());
            let (settings, pins) = (under.settings.clone(), under.pins.to_vec());
            let now_unix_ns = under.now_unix_ns;
            let (asker, query_id) = (caller.asker(), query.id().to_string());
            let planned = self.cpu.spawn(async move {
                let request = PlanRequest {
                    statement: &statement,
                    parameters: row.as_ref(),
                    settings: &settings,
                    asker: &asker,
                    pins: &pins,
                    now_unix_ns,
                    query_id: &query_id,
                };
                engine.plan(request).await
            });
            match planned.await {
                Ok(planned) => Ok(planned?),
                Err(died) => Err(Fault::internal(format!(
                    "planning ended unexpectedly: {died}"
                ))),
            }
        });
        tokio::select! {
            biased;
            () = query.stop().cancelled() => Err(called_off()),
            planned = planned => planned?,
        }
    }

    /// Refuses a statement that did not get as far as being planned or run: it goes on record, so that its error has a
    /// query's id as every other has.
    pub(super) fn refuse_statement(&self, caller: &Caller, sql: &str, fault: &Fault) -> Status {
        let query = self.begin(caller, sql, QueryKind::Query);
        let id = query.id();
        query.fail(fault.label(), &fault.to_string());
        caller.refuse(fault, Some(id))
    }

    pub(super) fn begin(&self, caller: &Caller, sql: &str, kind: QueryKind) -> Query {
        self.queries.begin(
            &caller.principal,
            &caller.origin,
            caller.session.id(),
            sql,
            kind,
        )
    }

    /// A FlightInfo with one endpoint for each thing that its tickets redeem.
    pub(super) fn info_with_tickets(
        &self,
        caller: &Caller,
        query: &Query,
        schema: &SchemaRef,
        redeemed: Vec<Redeems>,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Fault> {
        let mut info = FlightInfo::new()
            .with_descriptor(descriptor)
            .with_app_metadata(query.id().to_string());
        let schema_digest = digest(schema);
        for what in redeemed {
            let claims = TicketClaims {
                query_id: query.id().to_string(),
                principal: caller.principal.name.to_string(),
                schema_digest: schema_digest.clone(),
                what,
            };
            let (ticket, expires) = self.tickets.issue(&claims)?;
            let mut endpoint = self.endpoint(ticket);
            endpoint.expiration_time = Some(timestamp(expires));
            info = info.with_endpoint(endpoint);
        }
        info.try_with_schema(schema).map_err(Fault::internal)
    }

    /// An endpoint here: no location means "where you are connected", and an advertised one is offered with leave to
    /// stay on the connection there is.
    pub(super) fn endpoint(&self, ticket: Bytes) -> FlightEndpoint {
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
        match &self.advertise {
            Some(uri) => endpoint
                .with_location(uri.clone())
                .with_location("arrow-flight-reuse-connection://?"),
            None => endpoint,
        }
    }
}

/// What the tickets of a query redeem: its rows, or each a share of them.
fn redeemed(replan: Replan, division: Option<Division>) -> Vec<Redeems> {
    let Some(division) = division else {
        return vec![Redeems::Query(replan)];
    };
    let of = |number| {
        let mut replan = replan.clone();
        replan.share = Some(Share { number, division });
        Redeems::Query(replan)
    };
    (0..division.shares).map(of).collect()
}

/// Notes in the query's record what it is going to read.
pub(super) fn note_plan(query: &mut Query, plan: &PlannedQuery) {
    let snapshots = plan
        .receipt()
        .snapshots
        .into_iter()
        .map(QuerySnapshot::from)
        .collect();
    query.planned(snapshots, plan.read_log().clone());
}

pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}

/// Tells schemas apart.
pub(super) fn digest(schema: &Schema) -> Bytes {
    let IpcMessage(bytes) = ipc_schema(schema);
    Bytes::copy_from_slice(&Sha256::digest(&bytes)[..16])
}

/// A schema as an encapsulated IPC message; the empty schema too.
pub(super) fn ipc_schema(schema: &Schema) -> IpcMessage {
    let options = IpcWriteOptions::default();
    // Encapsulating writes to memory and can't fail; nothing is what a schema that fails would be read as.
    SchemaAsIpc::new(schema, &options)
        .try_into()
        .unwrap_or(IpcMessage(Bytes::new()))
}
