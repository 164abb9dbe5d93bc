//! DoGet: a ticket's rows, from the plan that waits for it or from one made again.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use landfast_planner::{Asker, PlanRequest, PlannedQuery, PlannerError, QueryStatement};
use tonic::{Response, Status};

use super::caller::Caller;
use super::dispatch::FlightStream;
use super::encode::Encoder;
use super::fault::Fault;
use super::parameters::Parameters;
use super::planned::Planned;
use super::run::{Reading, Run};
use super::statement::{Planning, digest, note_plan};
use super::stream::{Bounds, Parts, called_off, start};
use super::ticket::{Redeems, Replan, TicketClaims, TicketError};
use super::wire::{WireCast, WireProfile, wire_schema_in};
use super::{Core, command};
use crate::limits::Deadline;
use crate::queries::{QueryId, QueryKind};
use crate::session::SessionId;

impl Core {
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
                let id = claims.query_id.parse::<QueryId>().ok();
                if id.is_some_and(|id| self.queries.is_called_off(id)) {
                    return Err(caller.refuse(&called_off(), id));
                }
                let session = caller.session.id().map(SessionId::as_str);
                let fits = |planned: &Planned| {
                    planned.principal == caller.principal.name
                        && planned.plan.is_for_session(session)
                        && planned.run.is_open()
                        && planned.division == replan.share.map(|share| share.division)
                };
                // A plan made under grants that are no longer what they were is of no use: planning again authorises
                // again.
                let asker = caller.asker();
                let allowed = |planned: &Planned| self.engine.still_allows(&planned.plan, &asker);
                let kept = match replan.share {
                    // A plan runs once; a share of one as often as it is asked for.
                    None => self.planned.take(&claims.query_id, fits),
                    Some(_) => self
                        .planned
                        .look(&claims.query_id, |kept| fits(kept).then(|| kept.clone())),
                };
                match kept.filter(allowed) {
                    Some(planned) => {
                        let reading = planned.run.read(replan.share.map_or(0, |s| s.number));
                        let rows = (planned.plan, planned.parameters);
                        self.fetch(caller, reading, rows, replan).await
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
        let again = claims.query_id.parse().ok();
        let mut query = self.queries.begin_again(
            &caller.principal,
            &caller.origin,
            caller.session.id(),
            &replan.asked.text(),
            QueryKind::Query,
            again,
        );
        let planned = async {
            let statement = self.parse_again(&replan.asked)?;
            let parameters = Parameters::from_bytes(&replan.parameters)?;
            let settings = replan.session_settings()?;
            let under = Planning {
                settings: &settings,
                pins: &replan.pins,
                now_unix_ns: replan.now_unix_ns,
            };
            let plan = self
                .plan(caller, &statement, parameters.as_ref(), under, &query)
                .await?;
            let schema = wire_schema_in(&plan.schema(), settings.wire_types);
            if digest(&schema) != claims.schema_digest {
                return Err(Fault::from(TicketError::Expired));
            }
            Ok((plan, parameters))
        }
        .await;
        match planned {
            Ok((plan, parameters)) => {
                note_plan(&mut query, &plan);
                let reading = Run::new(query, 1).read(0);
                self.fetch(caller, reading, (Arc::new(plan), parameters), replan)
                    .await
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
        reading: Reading,
        (plan, parameters): (Arc<PlannedQuery>, Option<Parameters>),
        replan: &Replan,
    ) -> Result<Response<FlightStream>, Status> {
        let id = reading.id();
        let deadline = Deadline::after(self.limits.query_timeout, caller.timeout);
        let from = plan.schema();
        let ready = async {
            let profile = WireProfile::from(&replan.session_settings()?);
            let wire = wire_schema_in(&from, profile.types);
            let cast = WireCast::new(&from, wire.clone()).map_err(PlannerError::from)?;
            let encoder =
                Encoder::compressed(cast, profile.compression).map_err(PlannerError::from)?;
            let stop = reading.stop();
            let permit = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(called_off()),
                permit = deadline.bound(reading.place(&self.admission, &caller.principal.name)) => permit??,
            };
            Ok((encoder, wire, permit))
        };
        match ready.await {
            Ok((encoder, wire, permit)) => {
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
                    start(&self.cpu, parts, encoder, reading, bounds).boxed(),
                    Some(id),
                ))
            }
            Err(fault) => {
                let fault: Fault = fault;
                reading.fail(&fault);
                Err(caller.refuse(&fault, Some(id)))
            }
        }
    }
}

/// A query's plans, one for each row of bound parameters; the first is there, the others are made as they are needed,
/// on the snapshots of the first.
struct PlanParts {
    core: Arc<Core>,
    first: Option<Arc<PlannedQuery>>,
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
        reading: &'a Reading,
    ) -> BoxFuture<'a, Result<Option<SendableRecordBatchStream>, Fault>> {
        async move {
            let row = self.next_row;
            self.next_row += 1;
            if let Some(plan) = self.first.take() {
                return Ok(Some(match &self.replan.share {
                    None => plan.execute()?,
                    Some(share) => plan.execute_share(share.number, &share.division)?,
                }));
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
                none => none.insert(self.core.parse_again(&self.replan.asked)?),
            };
            let mut settings = self.replan.session_settings()?;
            // What the rows before cost is spent.
            settings.max_egress_usd = settings
                .max_egress_usd
                .map(|usd| (usd - reading.usd()).max(0.0));
            let request = PlanRequest {
                statement,
                parameters: Some(&parameters.row(row)),
                settings: &settings,
                asker: &self.asker,
                pins: &self.replan.pins,
                now_unix_ns: self.replan.now_unix_ns,
                query_id: &self.query_id,
            };
            let plan = self.core.engine.plan(request).await?;
            if wire_schema_in(&plan.schema(), settings.wire_types) != self.wire {
                return Err(Fault::internal(
                    "two rows of parameters give results of different schemas",
                ));
            }
            reading.further_reads(plan.read_log().clone());
            Ok(Some(plan.execute()?))
        }
        .boxed()
    }
}
