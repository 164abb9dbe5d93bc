//! CancelFlightInfo and CancelQuery end an execution, RenewFlightEndpoint makes a ticket last longer, and CloseSession
//! ends a session.

use arrow_flight::{CancelStatus, FlightEndpoint, FlightInfo, Ticket};

use super::Core;
use super::caller::Caller;
use super::dispatch::Answer;
use super::fault::Fault;
use super::statement::timestamp;
use super::ticket::TicketError;
use crate::queries::{Canceller, Cancelling, QueryId};
use crate::session::SessionRef;

impl Core {
    /// Cancels the execution that a FlightInfo of ours was handed out for, whoever reads it here. Only who asked for it,
    /// and those whom it is granted to, may.
    pub(super) async fn cancel_info(
        &self,
        caller: Caller,
        info: &FlightInfo,
    ) -> Answer<CancelStatus> {
        let access = self.engine.access(&caller.asker());
        let by = Canceller {
            principal: &caller.principal.name,
            access: &access,
        };
        let found = self.execution_of(info).and_then(|(id, principal)| {
            if !by.may(&principal) {
                return Err(TicketError::OtherPrincipal.into());
            }
            id.parse::<QueryId>().map_err(|_| Fault::NoSuchQuery)
        });
        let id = found.map_err(|fault| caller.refuse(&fault, None))?;
        let status = match self.queries.cancel(id, by).await {
            Cancelling::Cancelled | Cancelling::Before => CancelStatus::Cancelled,
            Cancelling::UnderWay => CancelStatus::Cancelling,
            Cancelling::NotCancellable => CancelStatus::NotCancellable,
            Cancelling::Unknown => return Err(caller.refuse(&Fault::NoSuchQuery, Some(id))),
        };
        if status != CancelStatus::NotCancellable {
            drop(self.planned.take(&id.to_string(), |_| true));
            self.polls.forget(id);
        }
        Ok(caller.respond(status, Some(id)))
    }

    /// The name of the execution that a FlightInfo is about, and whose it is: what is signed says so.
    fn execution_of(&self, info: &FlightInfo) -> Result<(String, String), Fault> {
        let mut tickets = info.endpoint.iter().filter_map(|end| end.ticket.as_ref());
        if let Some(ticket) = tickets.next() {
            return Ok(self.tickets.execution(&ticket.ticket)?);
        }
        let polled = info.flight_descriptor.as_ref();
        polled
            .and_then(|descriptor| self.polls.execution(&descriptor.cmd))
            .ok_or_else(|| TicketError::NotOurs.into())
    }

    /// Ends the caller's session: its settings and the statements prepared in it are gone.
    pub(super) fn end_session(&self, caller: &mut Caller) {
        let sessions = &self.reception.sessions;
        sessions.close(&caller.session);
        if let Some(id) = caller.session.id() {
            self.prepared.close_session(id);
        }
        if let SessionRef::Cookie(_) = caller.session {
            caller.set_cookie = Some(sessions.fresh_cookie(&caller.principal));
        }
    }

    /// The same endpoint with a ticket that lasts longer.
    pub(super) fn renew_endpoint(
        &self,
        caller: &Caller,
        mut endpoint: FlightEndpoint,
    ) -> Answer<FlightEndpoint> {
        let ticket = endpoint.ticket.take().unwrap_or_default();
        let renewed = self.tickets.renew(&ticket.ticket, &caller.principal.name);
        let (ticket, expires) = renewed.map_err(|error| caller.refuse(&error.into(), None))?;
        endpoint.ticket = Some(Ticket::new(ticket));
        endpoint.expiration_time = Some(timestamp(expires));
        Ok(caller.respond(endpoint, None))
    }
}
