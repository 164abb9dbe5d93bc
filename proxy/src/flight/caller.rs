//! Who sends a request, in which session, and until when they want the answer.

use std::sync::Arc;
use std::time::Duration;

use landfast_planner::{Asker, Engine, SessionSettings};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Response, Status};

use super::fault::{Fault, QUERY_ID_HEADER};
use super::overrides::Overrides;
use crate::auth::{AuthError, Authenticator, Credentials, Principal};
use crate::limits::grpc_timeout;
use crate::queries::QueryId;
use crate::session::{SessionError, SessionRef, Sessions};

/// The part of a client's own deadline that we use: tonic cuts a call off at the deadline itself with a status that
/// does not say so.
const OWN_DEADLINE: f64 = 0.98;

/// Whoever sent a request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) session: SessionRef,
    /// A cookie to send back, as the value of `set-cookie`.
    pub(super) set_cookie: Option<String>,
    /// How long the client waits, if it says so.
    pub(super) timeout: Option<Duration>,
    /// Settings that hold for this request alone.
    pub(super) overrides: Overrides,
}

impl Caller {
    /// The same, as the planner knows it.
    pub(super) fn asker(&self) -> Asker {
        Asker {
            principal: self.principal.name.to_string(),
            groups: self.principal.groups.clone(),
            role: self.principal.role,
            session: self.session.id().map(|id| id.as_str().to_owned()),
        }
    }

    /// An answer with the headers that belong to this caller and to the query.
    pub(super) fn respond<T>(&self, body: T, query: Option<QueryId>) -> Response<T> {
        let mut response = Response::new(body);
        self.write_headers(response.metadata_mut(), query);
        response
    }

    /// An error with the headers that belong to this caller and to the query.
    pub(super) fn refuse(&self, fault: &Fault, query: Option<QueryId>) -> Status {
        let mut status = fault.status(query);
        self.write_headers(status.metadata_mut(), query);
        status
    }

    fn write_headers(&self, headers: &mut MetadataMap, query: Option<QueryId>) {
        if let Some(cookie) = &self.set_cookie {
            write_header(headers, "set-cookie", cookie);
        }
        if let Some(query) = query {
            write_header(headers, QUERY_ID_HEADER, &query.to_string());
        }
    }
}

/// Writes a header; a value that no header can hold is left out, which none of ours is.
pub(super) fn write_header(headers: &mut MetadataMap, name: &'static str, value: &str) {
    if let Ok(value) = MetadataValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// Tells callers apart.
#[derive(Debug, Clone)]
pub(super) struct Reception {
    pub(super) auth: Arc<Authenticator>,
    pub(super) sessions: Arc<Sessions>,
    /// Knows which settings there are.
    pub(super) engine: Arc<Engine>,
}

/// What a Handshake hands out.
pub(super) struct Welcome {
    /// The bearer token to use from now on.
    pub(super) token: String,
    pub(super) set_cookie: Option<String>,
}

impl Reception {
    /// Who sent a request with these headers, and the settings that the headers carry.
    pub(super) async fn receive(&self, headers: &MetadataMap) -> Result<Caller, Status> {
        let mut caller = self.identify(headers).await?;
        caller.overrides =
            Overrides::read(headers, &self.engine).map_err(|fault| caller.refuse(&fault, None))?;
        Ok(caller)
    }

    /// The settings that hold for a request: those of its session, and over them those of its headers.
    pub(super) fn settings(&self, caller: &Caller) -> Result<SessionSettings, Fault> {
        caller
            .overrides
            .over(self.sessions.settings(&caller.session))
    }

    async fn identify(&self, headers: &MetadataMap) -> Result<Caller, Status> {
        let timeout = headers
            .get("grpc-timeout")
            .and_then(|value| grpc_timeout(value.to_str().ok()?))
            .map(|timeout| timeout.mul_f64(OWN_DEADLINE));
        let refuse = |error: AuthError| Fault::from(error).status(None);
        let principal = match credentials(headers).map_err(refuse)? {
            Some(Credentials::Bearer(token)) => {
                if let Some((principal, session)) = self.sessions.by_token(&token) {
                    let session = SessionRef::Token(session);
                    return Ok(Caller {
                        principal,
                        session,
                        set_cookie: None,
                        timeout,
                        overrides: Overrides::default(),
                    });
                }
                self.static_token(&token).map_err(refuse)?
            }
            Some(Credentials::Basic { user, password }) => {
                self.auth.password(&user, &password).await.map_err(refuse)?
            }
            None => self.auth.without_credentials().map_err(refuse)?,
        };
        let (session, set_cookie) = self.by_cookie(headers, &principal)?;
        Ok(Caller {
            principal,
            session,
            set_cookie,
            timeout,
            overrides: Overrides::default(),
        })
    }

    /// Whoever sent a request in a session that they have closed.
    pub(super) async fn receive_closed(&self, headers: &MetadataMap) -> Option<Caller> {
        if let Ok(Some(Credentials::Bearer(token))) = credentials(headers)
            && let Some(principal) = self.sessions.closed_by_token(&token)
        {
            return Some(Caller {
                principal,
                session: SessionRef::None,
                set_cookie: None,
                timeout: None,
                overrides: Overrides::default(),
            });
        }
        let mut without_cookie = headers.clone();
        without_cookie.remove("cookie")?;
        self.receive(&without_cookie).await.ok()
    }

    /// Checks the credentials of a Handshake, and settings in its headers: what is wrong with them is said when a client
    /// connects. A password gets a session of its own; a bearer token is only confirmed.
    pub(super) async fn welcome(&self, headers: &MetadataMap) -> Result<Welcome, Status> {
        let welcome = self.admit(headers).await?;
        Overrides::read(headers, &self.engine).map_err(|fault| fault.status(None))?;
        Ok(welcome)
    }

    async fn admit(&self, headers: &MetadataMap) -> Result<Welcome, Status> {
        let refuse = |error: AuthError| Fault::from(error).status(None);
        let principal = match credentials(headers).map_err(refuse)? {
            Some(Credentials::Bearer(token)) => {
                let set_cookie = match self.sessions.by_token(&token) {
                    Some(_) => None,
                    None => {
                        let principal = self.static_token(&token).map_err(refuse)?;
                        self.by_cookie(headers, &principal)?.1
                    }
                };
                return Ok(Welcome { token, set_cookie });
            }
            Some(Credentials::Basic { user, password }) => {
                self.auth.password(&user, &password).await.map_err(refuse)?
            }
            None => self.auth.without_credentials().map_err(refuse)?,
        };
        let token = self
            .sessions
            .open_for_handshake(&principal)
            .map_err(|error| Fault::from(error).status(None))?;
        Ok(Welcome {
            token,
            set_cookie: None,
        })
    }

    fn static_token(&self, token: &str) -> Result<Principal, AuthError> {
        // A session's token that is no longer known is never taken for another kind, not even where anybody may come
        // in: its settings would be lost without a word.
        if Sessions::is_session_token(token) {
            return Err(AuthError::BadToken);
        }
        self.auth.static_token(token)
    }

    fn by_cookie(
        &self,
        headers: &MetadataMap,
        principal: &Principal,
    ) -> Result<(SessionRef, Option<String>), Status> {
        for header in headers
            .get_all("cookie")
            .iter()
            .filter_map(|header| header.to_str().ok())
        {
            match self.sessions.by_cookie(header, principal) {
                Ok(Some(session)) => return Ok((SessionRef::Cookie(session), None)),
                Ok(None) => {}
                Err(error) => return Err(self.start_over(error, principal)),
            }
        }
        Ok((
            SessionRef::None,
            Some(self.sessions.fresh_cookie(principal)),
        ))
    }

    /// The error for a lost session, with the cookie of a new one: the client hears of it once, and can go on.
    fn start_over(&self, error: SessionError, principal: &Principal) -> Status {
        let mut status = Fault::from(error).status(None);
        write_header(
            status.metadata_mut(),
            "set-cookie",
            &self.sessions.fresh_cookie(principal),
        );
        status
    }
}

fn credentials(headers: &MetadataMap) -> Result<Option<Credentials>, AuthError> {
    let Some(header) = headers.get("authorization") else {
        return Ok(None);
    };
    let text = header
        .to_str()
        .map_err(|_| crate::auth::CredentialError::NotText)?;
    Ok(Some(Credentials::parse(text)?))
}
