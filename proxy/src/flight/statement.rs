//! Statements that give rows: described, planned and pinned once, then fetched.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket};
use arrow_ipc::writer::IpcWriteOptions;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use landfast_catalog::Pin;
use landfast_planner::{
    Asker, Described, PlanRequest, PlannedQuery, QueryStatement, SessionSettings, Statement,
};
use prost_types::Timestamp;
use sha2::{Digest, Sha256};
use tonic::{Response, Status};

use super::caller::Caller;
use super::dispatch::FlightStream;
use super::encode::Encoder;
use super::fault::Fault;
use super::parameters::Parameters;
use super::planned::Planned;
use super::stream::{Bounds, Parts, start};
use super::ticket::{Redeems, Replan, TicketClaims, TicketError};
use super::wire::{WireCast, wire_schema};
use super::{Core, command};
use crate::limits::{Deadline, LimitError, Stage};
use crate::queries::{Query, QueryKind, QuerySnapshot};

/// About what a plan takes in memory, its files aside.
const PLAN_BYTES: usize = 32 * 1024;
/// About what one file takes in a plan.
const PLAN_FILE_BYTES: usize = 512;

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
                let _permit = self.admission.admit(Stage::New).await?;
                Ok(self
                    .engine
                    .describe(statement, &settings, &caller.asker())
                    .await?)
            })
            .await?
    }

    /// GetFlightInfo of a statement: a query is planned, a command runs.
    pub(super) async fn flight_info(
        self: &Arc<Self>,
        caller: &mut Caller,
        statement: Arc<Statement>,
        parameters: Option<Parameters>,
        descriptor: FlightDescriptor,
    ) -> Result<Response<FlightInfo>, Status> {
        match &*statement {
            Statement::Query(query) => self.plan_info(caller, query, parameters, descriptor).await,
            Statement::Command(_) => {
                command::run_info(self, caller, statement, parameters, descriptor).await
            }
        }
    }

    async fn plan_info(
        &self,
        caller: &Caller,
        statement: &QueryStatement,
        parameters: Option<Parameters>,
        descriptor: FlightDescriptor,
    ) -> Result<Response<FlightInfo>, Status> {
        let query = self.begin(caller, statement.text(), QueryKind::Query);
        let id = query.id();
        match self
            .plan_and_keep(caller, statement, parameters, descriptor, query)
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
        parameters: Option<Parameters>,
        descriptor: FlightDescriptor,
        mut query: Query,
    ) -> Result<FlightInfo, (Query, Fault)> {
        let settings = match self.reception.settings(caller) {
            Ok(settings) => settings,
            Err(fault) => return Err((query, fault)),
        };
        let planned = self
            .plan(
                caller,
                statement,
                parameters.as_ref(),
                &settings,
                &[],
                &query,
            )
            .await;
        let plan = match planned {
            Ok(plan) => plan,
            Err(fault) => return Err((query, fault)),
        };
        note_plan(&mut query, &plan);
        let schema = wire_schema(&plan.schema());
        let issued = parameters
            .as_ref()
            .map_or(Ok(Bytes::new()), Parameters::to_bytes)
            .and_then(|parameters| {
                let replan = Replan {
                    statement: statement.text().to_owned(),
                    parameters,
                    settings: settings.to_pairs(),
                    pins: plan.pins(),
                };
                self.info_with_ticket(caller, &query, &schema, Redeems::Query(replan), descriptor)
            });
        let info = match issued {
            Ok(info) => info.with_ordered(plan.ordered()),
            Err(fault) => return Err((query, fault)),
        };
        let files: u64 = plan.summaries().iter().map(|scan| scan.files_total).sum();
        let bytes = PLAN_BYTES
            + statement.text().len()
            + PLAN_FILE_BYTES * usize::try_from(files).unwrap_or(0);
        let (name, principal) = (query.id().to_string(), caller.principal.name.clone());
        self.planned.keep(
            name,
            Planned {
                principal,
                query,
                plan,
                parameters,
            },
            bytes,
        );
        Ok(info)
    }

    /// Plans a query for its first row of parameters.
    async fn plan(
        &self,
        caller: &Caller,
        statement: &QueryStatement,
        parameters: Option<&Parameters>,
        settings: &SessionSettings,
        pins: &[Pin],
        query: &Query,
    ) -> Result<PlannedQuery, Fault> {
        if parameters.is_some_and(|parameters| parameters.len() == 0) {
            return Err(Fault::malformed(
                "no row of parameters is bound: bind at least one",
            ));
        }
        let deadline = Deadline::after(self.limits.query_timeout, caller.timeout);
        let row = parameters.map(|parameters| parameters.row(0));
        deadline
            .bound(async {
                let _permit = self.admission.admit(Stage::New).await?;
                let (engine, statement) = (Arc::clone(&self.engine), statement.clone());
                let (settings, pins) = (settings.clone(), pins.to_vec());
                let (asker, query_id) = (caller.asker(), query.id().to_string());
                let planned = self.cpu.spawn(async move {
                    let request = PlanRequest {
                        statement: &statement,
                        parameters: row.as_ref(),
                        settings: &settings,
                        asker: &asker,
                        pins: &pins,
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
            })
            .await?
    }

    /// DoGet of a ticket of ours.
    pub(super) async fn redeem(
        self: &Arc<Self>,
        caller: &Caller,
        ticket: &Bytes,
    ) -> Result<Response<FlightStream>, Status> {
        let claims = self
            .tickets
            .read(ticket, &caller.principal.name)
            .map_err(|error| caller.refuse(&error.into(), None))?;
        match claims.what {
            Redeems::Recorded(ref result) => command::recorded(result)
                .map(|result| caller.respond(result, None))
                .map_err(|fault| caller.refuse(&fault, None)),
            Redeems::Query(ref replan) => {
                let kept = self.planned.take(&claims.query_id, |planned| {
                    planned.principal == caller.principal.name
                });
                match kept {
                    Some(planned) => {
                        let Planned {
                            query,
                            plan,
                            parameters,
                            principal: _,
                        } = planned;
                        self.fetch(caller, query, plan, parameters, replan).await
                    }
                    None => self.plan_again(caller, &claims, replan).await,
                }
            }
        }
    }

    /// The plan is gone, or was fetched before: the same query is planned again, on the same snapshots.
    async fn plan_again(
        self: &Arc<Self>,
        caller: &Caller,
        claims: &TicketClaims,
        replan: &Replan,
    ) -> Result<Response<FlightStream>, Status> {
        let mut query = self.begin(caller, &replan.statement, QueryKind::Query);
        let planned = async {
            let Statement::Query(statement) = self.parse(&replan.statement)? else {
                return Err(Fault::internal(
                    "a ticket for rows holds a statement that gives none",
                ));
            };
            let parameters = Parameters::from_bytes(&replan.parameters)?;
            let settings = replan.session_settings()?;
            let plan = self
                .plan(
                    caller,
                    &statement,
                    parameters.as_ref(),
                    &settings,
                    &replan.pins,
                    &query,
                )
                .await?;
            if digest(&wire_schema(&plan.schema())) != claims.schema_digest {
                return Err(TicketError::Expired.into());
            }
            Ok((plan, parameters))
        }
        .await;
        match planned {
            Ok((plan, parameters)) => {
                note_plan(&mut query, &plan);
                self.fetch(caller, query, plan, parameters, replan).await
            }
            Err(fault) => {
                let id = query.id();
                query.fail(fault.label(), &fault.to_string());
                Err(caller.refuse(&fault, Some(id)))
            }
        }
    }

    /// Starts a planned query.
    async fn fetch(
        self: &Arc<Self>,
        caller: &Caller,
        query: Query,
        plan: PlannedQuery,
        parameters: Option<Parameters>,
        replan: &Replan,
    ) -> Result<Response<FlightStream>, Status> {
        let id = query.id();
        let deadline = Deadline::after(self.limits.query_timeout, caller.timeout);
        let from = plan.schema();
        let wire = wire_schema(&from);
        let ready = async {
            let encoder = Encoder::new(
                WireCast::new(&from, wire.clone()).map_err(landfast_planner::PlannerError::from)?,
            );
            let permit = deadline
                .bound(self.admission.admit(Stage::Continued))
                .await??;
            Ok((encoder, permit))
        };
        match ready.await {
            Ok((encoder, permit)) => {
                let parts = PlanParts {
                    core: self.clone(),
                    first: Some(plan),
                    asker: caller.asker(),
                    query_id: id.to_string(),
                    replan: replan.clone(),
                    statement: None,
                    parameters,
                    next_row: 0,
                    wire,
                };
                let bounds = Bounds {
                    deadline,
                    idle: self.limits.stream_idle,
                    permit,
                };
                Ok(caller.respond(
                    start(&self.cpu, parts, encoder, query, bounds).boxed(),
                    Some(id),
                ))
            }
            Err(fault) => {
                let fault: Fault = fault;
                query.fail(fault.label(), &fault.to_string());
                Err(caller.refuse(&fault, Some(id)))
            }
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
        self.queries
            .begin(&caller.principal, caller.session.id(), sql, kind)
    }

    /// A FlightInfo with one endpoint, whose ticket redeems `what`.
    pub(super) fn info_with_ticket(
        &self,
        caller: &Caller,
        query: &Query,
        schema: &SchemaRef,
        what: Redeems,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Fault> {
        let claims = TicketClaims {
            query_id: query.id().to_string(),
            principal: caller.principal.name.to_string(),
            schema_digest: digest(schema),
            what,
        };
        let (ticket, expires) = self.tickets.issue(&claims)?;
        let mut endpoint = self.endpoint(ticket);
        endpoint.expiration_time = Some(timestamp(expires));
        let info = FlightInfo::new()
            .with_descriptor(descriptor)
            .with_endpoint(endpoint)
            .with_app_metadata(query.id().to_string());
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

/// A query's plans, one for each row of bound parameters; the first is there, the others are made as they are needed,
/// on the snapshots of the first.
struct PlanParts {
    core: Arc<Core>,
    first: Option<PlannedQuery>,
    asker: Asker,
    query_id: String,
    replan: Replan,
    /// Parsed when a second row needs it.
    statement: Option<QueryStatement>,
    parameters: Option<Parameters>,
    next_row: usize,
    wire: SchemaRef,
}

impl Parts for PlanParts {
    fn next<'a>(
        &'a mut self,
        query: &'a Query,
    ) -> BoxFuture<'a, Result<Option<SendableRecordBatchStream>, Fault>> {
        async move {
            let row = self.next_row;
            self.next_row += 1;
            if let Some(plan) = self.first.take() {
                return Ok(Some(plan.execute()?));
            }
            let Some(parameters) = self
                .parameters
                .as_ref()
                .filter(|parameters| row < parameters.len())
            else {
                return Ok(None);
            };
            let statement = match &mut self.statement {
                Some(statement) => statement,
                none => {
                    let Statement::Query(parsed) = self.core.parse(&self.replan.statement)? else {
                        return Err(Fault::internal(
                            "a ticket for rows holds a statement that gives none",
                        ));
                    };
                    none.insert(parsed)
                }
            };
            let mut settings = self.replan.session_settings()?;
            // What the rows before cost is spent.
            settings.max_egress_usd = settings
                .max_egress_usd
                .map(|usd| (usd - query.usd()).max(0.0));
            let request = PlanRequest {
                statement,
                parameters: Some(&parameters.row(row)),
                settings: &settings,
                asker: &self.asker,
                pins: &self.replan.pins,
                query_id: &self.query_id,
            };
            let plan = self.core.engine.plan(request).await?;
            if wire_schema(&plan.schema()) != self.wire {
                return Err(Fault::internal(
                    "two rows of parameters give results of different schemas",
                ));
            }
            query.further_reads(plan.read_log().clone());
            Ok(Some(plan.execute()?))
        }
        .boxed()
    }
}

/// Notes in the query's record what it is going to read.
fn note_plan(query: &mut Query, plan: &PlannedQuery) {
    let snapshots = plan
        .receipt()
        .snapshots
        .into_iter()
        .map(QuerySnapshot::from)
        .collect();
    query.planned(snapshots, plan.read_log().clone());
}

fn timestamp(time: SystemTime) -> Timestamp {
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
