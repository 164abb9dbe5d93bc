//! DoAction: which request each action carries, and how its result is packed.
//!
//! Flight SQL packs requests and results in an `Any`; Flight's own actions carry them bare.

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest,
    ActionEndTransactionRequest, Any, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, FlightInfo,
    RenewFlightEndpointRequest,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use prost::Message;
use tonic::Response;

use super::messages::{
    CloseSessionRequest, CloseSessionResult, GetSessionOptionsRequest, SetSessionOptionsRequest,
};
use super::{ActionStream, Answer, Backend, Dispatcher, Refusal};

/// The actions that the protocol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "these are the protocol's own names")]
pub enum ActionKind {
    CreatePreparedStatement,
    CreatePreparedSubstraitPlan,
    ClosePreparedStatement,
    BeginTransaction,
    EndTransaction,
    BeginSavepoint,
    EndSavepoint,
    CancelQuery,
    CancelFlightInfo,
    RenewFlightEndpoint,
    SetSessionOptions,
    GetSessionOptions,
    CloseSession,
}

impl ActionKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::CreatePreparedStatement,
        Self::CreatePreparedSubstraitPlan,
        Self::ClosePreparedStatement,
        Self::BeginTransaction,
        Self::EndTransaction,
        Self::BeginSavepoint,
        Self::EndSavepoint,
        Self::CancelQuery,
        Self::CancelFlightInfo,
        Self::RenewFlightEndpoint,
        Self::SetSessionOptions,
        Self::GetSessionOptions,
        Self::CloseSession,
    ];

    /// The action's type, as it goes over the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreatePreparedStatement => "CreatePreparedStatement",
            Self::CreatePreparedSubstraitPlan => "CreatePreparedSubstraitPlan",
            Self::ClosePreparedStatement => "ClosePreparedStatement",
            Self::BeginTransaction => "BeginTransaction",
            Self::EndTransaction => "EndTransaction",
            Self::BeginSavepoint => "BeginSavepoint",
            Self::EndSavepoint => "EndSavepoint",
            Self::CancelQuery => "CancelQuery",
            Self::CancelFlightInfo => "CancelFlightInfo",
            Self::RenewFlightEndpoint => "RenewFlightEndpoint",
            Self::SetSessionOptions => "SetSessionOptions",
            Self::GetSessionOptions => "GetSessionOptions",
            Self::CloseSession => "CloseSession",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What ListActions says of it: what it does, its request and its response.
    fn described(self) -> ActionType {
        let (does, request, response) = match self {
            Self::CreatePreparedStatement => (
                "Prepares a statement.",
                "ActionCreatePreparedStatementRequest",
                "ActionCreatePreparedStatementResult",
            ),
            Self::CreatePreparedSubstraitPlan => (
                "Prepares a Substrait plan.",
                "ActionCreatePreparedSubstraitPlanRequest",
                "ActionCreatePreparedStatementResult",
            ),
            Self::ClosePreparedStatement => (
                "Closes a prepared statement.",
                "ActionClosePreparedStatementRequest",
                "none",
            ),
            Self::BeginTransaction => (
                "Begins a transaction.",
                "ActionBeginTransactionRequest",
                "ActionBeginTransactionResult",
            ),
            Self::EndTransaction => (
                "Commits a transaction or rolls it back.",
                "ActionEndTransactionRequest",
                "none",
            ),
            Self::BeginSavepoint => (
                "Begins a savepoint in a transaction.",
                "ActionBeginSavepointRequest",
                "ActionBeginSavepointResult",
            ),
            Self::EndSavepoint => (
                "Releases a savepoint or rolls back to it.",
                "ActionEndSavepointRequest",
                "none",
            ),
            Self::CancelQuery => (
                "Cancels a query. The older name of CancelFlightInfo.",
                "ActionCancelQueryRequest",
                "ActionCancelQueryResult",
            ),
            Self::CancelFlightInfo => (
                "Cancels a query by its FlightInfo.",
                "CancelFlightInfoRequest",
                "CancelFlightInfoResult",
            ),
            Self::RenewFlightEndpoint => (
                "Puts off the time at which an endpoint expires.",
                "RenewFlightEndpointRequest",
                "FlightEndpoint",
            ),
            Self::SetSessionOptions => (
                "Sets options of the session.",
                "SetSessionOptionsRequest",
                "SetSessionOptionsResult",
            ),
            Self::GetSessionOptions => (
                "Tells the options of the session.",
                "GetSessionOptionsRequest",
                "GetSessionOptionsResult",
            ),
            Self::CloseSession => (
                "Closes the session.",
                "CloseSessionRequest",
                "CloseSessionResult",
            ),
        };
        ActionType {
            r#type: self.name().to_owned(),
            description: format!("{does}\nRequest: {request}\nResponse: {response}"),
        }
    }
}

impl<B: Backend> Dispatcher<B> {
    pub(super) fn action_types(&self) -> Vec<ActionType> {
        let offered = self.backend.actions().iter();
        offered.map(|kind| kind.described()).collect()
    }

    pub(super) async fn act(&self, caller: B::Caller, action: Action) -> Answer<ActionStream> {
        let Some(kind) = ActionKind::of(&action.r#type) else {
            return self.backend.plain_action(caller, action).await;
        };
        // Before the request is read: what is wrong with it matters only where somebody could take it.
        if !self.backend.actions().contains(&kind) {
            let refusal =
                Refusal::not_offered(format!("the action {} is not offered", kind.name()));
            return Err(self.backend.refuse(&caller, refusal));
        }
        let body = &action.body;
        match kind {
            ActionKind::CreatePreparedStatement
            | ActionKind::CreatePreparedSubstraitPlan
            | ActionKind::ClosePreparedStatement => self.prepared_action(kind, caller, body).await,
            ActionKind::BeginTransaction
            | ActionKind::EndTransaction
            | ActionKind::BeginSavepoint
            | ActionKind::EndSavepoint => self.transaction_action(kind, caller, body).await,
            ActionKind::CancelQuery
            | ActionKind::CancelFlightInfo
            | ActionKind::RenewFlightEndpoint => self.flight_action(kind, caller, body).await,
            ActionKind::SetSessionOptions
            | ActionKind::GetSessionOptions
            | ActionKind::CloseSession => self.session_action(kind, caller, body).await,
        }
    }

    async fn prepared_action(
        &self,
        kind: ActionKind,
        caller: B::Caller,
        body: &Bytes,
    ) -> Answer<ActionStream> {
        let backend = &self.backend;
        let refuse = |refusal| backend.refuse(&caller, refusal);
        Ok(match kind {
            ActionKind::CreatePreparedStatement => {
                let request: ActionCreatePreparedStatementRequest = packed(body).map_err(refuse)?;
                backend.prepare(caller, request).await?.map(in_any)
            }
            ActionKind::CreatePreparedSubstraitPlan => {
                let request: ActionCreatePreparedSubstraitPlanRequest =
                    packed(body).map_err(refuse)?;
                backend
                    .prepare_substrait(caller, request)
                    .await?
                    .map(in_any)
            }
            _ => {
                let request: ActionClosePreparedStatementRequest = packed(body).map_err(refuse)?;
                let closed = backend.close_prepared(caller, request).await?;
                closed.map(|()| nothing())
            }
        })
    }

    async fn transaction_action(
        &self,
        kind: ActionKind,
        caller: B::Caller,
        body: &Bytes,
    ) -> Answer<ActionStream> {
        let backend = &self.backend;
        let refuse = |refusal| backend.refuse(&caller, refusal);
        Ok(match kind {
            ActionKind::BeginTransaction => {
                let _: ActionBeginTransactionRequest = packed(body).map_err(refuse)?;
                let begun = backend.begin_transaction(caller).await?;
                begun.map(|transaction_id| in_any(ActionBeginTransactionResult { transaction_id }))
            }
            ActionKind::BeginSavepoint => {
                let request: ActionBeginSavepointRequest = packed(body).map_err(refuse)?;
                let begun = backend.begin_savepoint(caller, request).await?;
                begun.map(|savepoint_id| in_any(ActionBeginSavepointResult { savepoint_id }))
            }
            ActionKind::EndTransaction => {
                let request: ActionEndTransactionRequest = packed(body).map_err(refuse)?;
                let ended = backend.end_transaction(caller, request).await?;
                ended.map(|()| nothing())
            }
            _ => {
                let request: ActionEndSavepointRequest = packed(body).map_err(refuse)?;
                let ended = backend.end_savepoint(caller, request).await?;
                ended.map(|()| nothing())
            }
        })
    }

    async fn flight_action(
        &self,
        kind: ActionKind,
        caller: B::Caller,
        body: &Bytes,
    ) -> Answer<ActionStream> {
        let backend = &self.backend;
        let refuse = |refusal| backend.refuse(&caller, refusal);
        Ok(match kind {
            ActionKind::CancelQuery => {
                let request: ActionCancelQueryRequest = packed(body).map_err(refuse)?;
                let info: FlightInfo = bare(&request.info).map_err(refuse)?;
                // The two enumerations have the same numbers.
                let cancelled = backend.cancel(caller, info).await?;
                cancelled.map(|status| {
                    in_any(ActionCancelQueryResult {
                        result: status as i32,
                    })
                })
            }
            ActionKind::CancelFlightInfo => {
                let request: CancelFlightInfoRequest = bare(body).map_err(refuse)?;
                let info = request.info.ok_or_else(|| refuse(lacks("FlightInfo")))?;
                let cancelled = backend.cancel(caller, info).await?;
                cancelled.map(|status| as_is(&CancelFlightInfoResult::new(status)))
            }
            _ => {
                let request: RenewFlightEndpointRequest = bare(body).map_err(refuse)?;
                let endpoint = request.endpoint.ok_or_else(|| refuse(lacks("endpoint")))?;
                let renewed = backend.renew(caller, endpoint).await?;
                renewed.map(|endpoint| as_is(&endpoint))
            }
        })
    }

    async fn session_action(
        &self,
        kind: ActionKind,
        caller: B::Caller,
        body: &Bytes,
    ) -> Answer<ActionStream> {
        let backend = &self.backend;
        let refuse = |refusal| backend.refuse(&caller, refusal);
        Ok(match kind {
            ActionKind::SetSessionOptions => {
                let request: SetSessionOptionsRequest = bare(body).map_err(refuse)?;
                let set = backend.set_session_options(caller, request).await?;
                set.map(|result| as_is(&result))
            }
            ActionKind::GetSessionOptions => {
                let _: GetSessionOptionsRequest = bare(body).map_err(refuse)?;
                let options = backend.session_options(caller).await?;
                options.map(|result| as_is(&result))
            }
            _ => {
                let _: CloseSessionRequest = bare(body).map_err(refuse)?;
                let closed: Response<_> = backend.close_session(caller).await?;
                closed.map(|status| {
                    as_is(&CloseSessionResult {
                        status: status as i32,
                    })
                })
            }
        })
    }
}

/// A request in an `Any`, as Flight SQL's actions carry it.
fn packed<M: ProstMessageExt>(body: &Bytes) -> Result<M, Refusal> {
    let any = Any::decode(body.clone()).map_err(|error| unreadable(&error))?;
    any.unpack()
        .map_err(|error| unreadable(&error))?
        .ok_or_else(|| {
            Refusal::malformed(format!(
                "the action's request is a {}, not a {}",
                any.type_url,
                M::type_url()
            ))
        })
}

/// A request as it is, as Flight's actions carry it.
fn bare<M: Message + Default>(body: &Bytes) -> Result<M, Refusal> {
    M::decode(body.clone()).map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::malformed(format!("the action's request can't be read: {error}"))
}

fn lacks(what: &str) -> Refusal {
    Refusal::malformed(format!("the action's request has no {what}"))
}

fn in_any(result: impl ProstMessageExt) -> ActionStream {
    one(result.as_any().encode_to_vec())
}

fn as_is(result: &impl Message) -> ActionStream {
    one(result.encode_to_vec())
}

fn one(body: Vec<u8>) -> ActionStream {
    stream::iter([Ok(arrow_flight::Result::new(body))]).boxed()
}

fn nothing() -> ActionStream {
    stream::empty().boxed()
}
