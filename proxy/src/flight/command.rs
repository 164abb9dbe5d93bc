//! Statements that change something: each execution runs exactly once, and its result is recorded in its ticket.
//!
//! A command runs on a task of its own, to its end: a client that goes away half-way does not leave half a change.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::{FlightDescriptor, FlightInfo};
use bytes::Bytes;
use landfast_planner::{PlannerError, Statement};
use tonic::{Response, Status};

use super::Core;
use super::caller::Caller;
use super::dispatch::FlightStream;
use super::fault::Fault;
use super::parameters::{Parameters, batches_from_bytes, batches_to_bytes};
use super::statement::Asking;
use super::stream::whole;
use super::ticket::Redeems;
use super::wire::{WireCast, wire_schema};
use crate::admission::{Permit, Stage};
use crate::limits::Deadline;
use crate::queries::{Query, QueryId};

/// What one execution of a command did.
pub(super) struct Ran {
    pub(super) id: QueryId,
    /// Rows or things it changed; nought where that means nothing.
    pub(super) affected: i64,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    set_cookie: Option<String>,
}

impl Core {
    /// Runs a command once for each row of its parameters, or once if it takes none.
    pub(super) async fn run(
        self: &Arc<Self>,
        caller: &mut Caller,
        statement: Arc<Statement>,
        parameters: Option<Parameters>,
        query: Query,
    ) -> Result<(Ran, Query), Status> {
        let id = query.id();
        let deadline = Deadline::after(self.limits.query_timeout, caller.timeout);
        // Waiting for a place may be given up; once it runs, it runs to its end.
        let admitted = match deadline
            .bound(self.admission.admit(&caller.principal.name, Stage::New))
            .await
        {
            Ok(admitted) => admitted,
            Err(late) => Err(late),
        };
        let permit = match admitted {
            Ok(permit) => permit,
            Err(limit) => {
                let fault = Fault::from(limit);
                query.fail(fault.label(), &fault.to_string());
                return Err(caller.refuse(&fault, Some(id)));
            }
        };
        let core = self.clone();
        let who = caller.clone();
        let task = tokio::spawn(async move {
            match core.execute(&who, &statement, parameters, id, permit).await {
                Ok(ran) => Ok((ran, query)),
                Err(fault) => {
                    query.fail(fault.label(), &fault.to_string());
                    Err(fault)
                }
            }
        });
        match task.await {
            Ok(Ok((ran, query))) => {
                if ran.set_cookie.is_some() {
                    caller.set_cookie.clone_from(&ran.set_cookie);
                }
                Ok((ran, query))
            }
            Ok(Err(fault)) => Err(caller.refuse(&fault, Some(id))),
            Err(died) => Err(caller.refuse(
                &Fault::internal(format!("the statement ended unexpectedly: {died}")),
                Some(id),
            )),
        }
    }

    async fn execute(
        &self,
        caller: &Caller,
        statement: &Statement,
        parameters: Option<Parameters>,
        id: QueryId,
        _permit: Permit,
    ) -> Result<Ran, Fault> {
        let Statement::Command(command) = statement else {
            return Err(Fault::malformed(
                "the statement gives rows and changes nothing: run it as a query, not as an update",
            ));
        };
        let sessions = &self.reception.sessions;
        let asker = caller.asker();
        let schema = {
            let settings = self.reception.settings(caller)?;
            wire_schema(
                &self
                    .engine
                    .describe(statement, &settings, &asker)
                    .await?
                    .schema,
            )
        };
        let mut ran = Ran {
            id,
            affected: 0,
            schema,
            batches: Vec::new(),
            set_cookie: None,
        };
        let takes_none = statement.parameter_count() == 0;
        let executions = parameters
            .as_ref()
            .filter(|_| !takes_none)
            .map_or(1, Parameters::len);
        for row in 0..executions {
            let row = parameters
                .as_ref()
                .filter(|_| !takes_none)
                .map(|parameters| parameters.row(row));
            let before = self.reception.settings(caller)?;
            if command.changes_settings() {
                sessions.check_changeable(&caller.session)?;
            }
            let outcome = self
                .engine
                .run(command, row.as_ref(), &before, &asker)
                .await?;
            if let Some(after) = outcome.settings {
                // A RESET takes back what these stand over, and may.
                if !command.resets_settings() {
                    caller.overrides.check_seen(&before, &after)?;
                }
                let cookie =
                    sessions.change(&caller.session, &caller.principal, &before, &after)?;
                ran.set_cookie = cookie.or(ran.set_cookie);
            }
            ran.affected += outcome.affected.unwrap_or(0);
            if let Some(batch) = outcome.batch {
                let cast = WireCast::new(&batch.schema(), ran.schema.clone())
                    .map_err(PlannerError::from)?;
                ran.batches
                    .push(cast.cast(&batch).map_err(PlannerError::from)?);
            }
        }
        Ok(ran)
    }
}

/// GetFlightInfo of a command: it runs here, whether or not a DoGet follows.
pub(super) async fn run_info(
    core: &Arc<Core>,
    caller: &mut Caller,
    asking: Asking,
    descriptor: FlightDescriptor,
    query: Query,
) -> Result<Response<FlightInfo>, Status> {
    let (statement, parameters) = (asking.statement, asking.parameters);
    let (ran, query) = core.run(caller, statement, parameters, query).await?;
    let id = ran.id;
    let info = batches_to_bytes(&ran.schema, &ran.batches).and_then(|result| {
        let recorded = vec![Redeems::Recorded(result)];
        core.info_with_tickets(caller, &query, &ran.schema, recorded, descriptor)
    });
    let rows: usize = ran.batches.iter().map(RecordBatch::num_rows).sum();
    let total = if rows > 0 {
        i64::try_from(rows).unwrap_or(i64::MAX)
    } else {
        ran.affected
    };
    query.finish_command(Some(ran.affected));
    match info {
        Ok(info) => Ok(caller.respond(info.with_total_records(total), Some(id))),
        Err(fault) => {
            let fault = Fault::internal(format!(
                "the statement ran, but its result can't be handed out: {fault}"
            ));
            Err(caller.refuse(&fault, Some(id)))
        }
    }
}

/// The recorded result of a command, as often as it is asked for.
pub(super) fn recorded(result: &Bytes) -> Result<FlightStream, Fault> {
    let (schema, batches) = batches_from_bytes(result)?;
    whole(&schema, &batches)
}
