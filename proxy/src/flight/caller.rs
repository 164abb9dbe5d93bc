//! Who sends a request, in which session, and until when they want the answer.

use std::sync::Arc;
use std::time::Duration;

use landfast_planner::{Asker, Engine, SessionSettings};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Extensions, Response, Status};

use super::fault::{Fault, QUERY_ID_HEADER};
use super::overrides::Overrides;
use crate::audit::{Audit, Denied, LogIn};
use crate::auth::{
    Arrival, AuthError, AuthOutcome, Authenticator, Credentials, Method, Origin, Principal,
};
use crate::limits::grpc_timeout;
use crate::queries::QueryId;
use crate::session::{SessionError, SessionId, SessionRef, Sessions};

/// The part of a client's own deadline that we use: tonic cuts a call off at the deadline itself with a status that
/// does not say so.
const OWN_DEADLINE: f64 = 0.98;

/// The longest part of a client's own description that is kept.
const CLIENT_CHARS_MAX: usize = 200;

/// Whoever sent a request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    /// How and from where they came.
    pub(super) origin: Origin,
    pub(super) session: SessionRef,
    /// A cookie to send back, as the value of `set-cookie`.
    pub(super) set_cookie: Option<String>,
    /// How long the client waits, if it says so.
    pub(super) timeout: Option<Duration>,
    /// Settings that hold for this request alone.
    pub(super) overrides: Overrides,
    audit: Option<Arc<Audit>>,
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
        // With a query's id, the query's own record tells.
        if let (Code::PermissionDenied, None, Some(audit)) = (fault.code(), query, &self.audit) {
            audit.denied(&Denied {
                principal: &self.principal,
                origin: &self.origin,
                error: fault.label(),
            });
        }
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

/// What came of looking at a request's headers; the gate leaves it with the request, so that it is looked at once.
#[derive(Clone, Debug)]
pub(super) struct Received(pub(super) Result<Caller, Refused>);

/// A request that is refused.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) status: Status,
    /// Whoever sent it, if all that is wrong is that their session is closed or gone: they may close it again.
    pub(super) closed: Option<Box<Caller>>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self {
            status,
            closed: None,
        }
    }
}

/// Tells callers apart.
#[derive(Debug, Clone)]
pub(super) struct Reception {
    pub(super) auth: Arc<Authenticator>,
    pub(super) sessions: Arc<Sessions>,
    /// Knows which settings there are.
    pub(super) engine: Arc<Engine>,
    pub(super) audit: Option<Arc<Audit>>,
}

/// What a Handshake hands out.
pub(super) struct Welcome {
    /// The bearer token to use from now on.
    pub(super) token: String,
    pub(super) set_cookie: Option<String>,
}

/// Somebody who is known, and the session that their token opened.
struct Known {
    principal: Principal,
    method: Method,
    session: Option<SessionId>,
}

impl Reception {
    /// Who sent a request with these headers over this connection, and the settings that the headers carry.
    pub(super) async fn receive(
        &self,
        headers: &MetadataMap,
        connection: &Extensions,
    ) -> Result<Caller, Refused> {
        if let Some(Received(received)) = connection.get() {
            return received.clone();
        }
        let arrival = arrival(connection);
        let known = match self.recognise(headers, &arrival).await {
            Ok(known) => known,
            Err(status) => {
                let closed = self.closed_session(headers, &arrival).map(Box::new);
                return Err(Refused { status, closed });
            }
        };
        let timeout = headers
            .get("grpc-timeout")
            .and_then(|value| grpc_timeout(value.to_str().ok()?))
            .map(|timeout| timeout.mul_f64(OWN_DEADLINE));
        let mut caller = Caller {
            origin: origin(known.method, &arrival, headers),
            principal: known.principal,
            session: SessionRef::None,
            set_cookie: None,
            timeout,
            overrides: Overrides::default(),
            audit: self.audit.clone(),
        };
        let gone = match known.session {
            Some(session) => {
                caller.session = SessionRef::Token(session);
                None
            }
            None => match self.by_cookie(headers, &caller.principal) {
                Ok((session, set_cookie)) => {
                    (caller.session, caller.set_cookie) = (session, set_cookie);
                    None
                }
                Err(status) => {
                    caller.set_cookie = Some(self.sessions.fresh_cookie(&caller.principal));
                    Some(status)
                }
            },
        };
        caller.overrides = Overrides::read(headers, &self.engine, &caller.asker())
            .map_err(|fault| caller.refuse(&fault, None))?;
        match gone {
            None => Ok(caller),
            Some(status) => Err(Refused {
                status,
                closed: Some(Box::new(caller)),
            }),
        }
    }

    /// The settings that hold for a request: those of its session, and over them those of its headers.
    pub(super) fn settings(&self, caller: &Caller) -> Result<SessionSettings, Fault> {
        caller
            .overrides
            .over(self.sessions.settings(&caller.session))
    }

    /// Whoever sent a request with the token of a session that they have closed.
    fn closed_session(&self, headers: &MetadataMap, arrival: &Arrival) -> Option<Caller> {
        let Ok(Some(Credentials::Bearer(token))) = credentials(headers) else {
            return None;
        };
        let (principal, method) = self.sessions.closed_by_token(&token)?;
        Some(Caller {
            principal,
            origin: origin(method, arrival, headers),
            session: SessionRef::None,
            set_cookie: None,
            timeout: None,
            overrides: Overrides::default(),
            audit: self.audit.clone(),
        })
    }

    /// Checks the credentials of a Handshake, and settings in its headers: what is wrong with them is said when a client
    /// connects. A password, or a certificate, gets a session of its own; a bearer token is only confirmed.
    pub(super) async fn welcome(
        &self,
        headers: &MetadataMap,
        connection: &Extensions,
    ) -> Result<Welcome, Status> {
        let arrival = arrival(connection);
        let generation = self.auth.generation();
        let known = self.recognise(headers, &arrival).await?;
        let asker = Asker {
            principal: known.principal.name.to_string(),
            groups: known.principal.groups.clone(),
            role: known.principal.role,
            session: None,
        };
        Overrides::read(headers, &self.engine, &asker).map_err(|fault| fault.status(None))?;
        let welcome = match credentials(headers) {
            Ok(Some(Credentials::Bearer(token))) => {
                let set_cookie = match known.session {
                    Some(_) => None,
                    None => self.by_cookie(headers, &known.principal)?.1,
                };
                Welcome { token, set_cookie }
            }
            _ => Welcome {
                token: self
                    .open_session(&known, generation)
                    .map_err(|fault| fault.status(None))?,
                set_cookie: None,
            },
        };
        if let Some(audit) = &self.audit {
            audit.log_in(&LogIn {
                name: None,
                principal: Some(&known.principal),
                origin: &origin(known.method, &arrival, headers),
                method: Some(known.method),
                outcome: AuthOutcome::Ok,
            });
        }
        Ok(welcome)
    }

    /// Opens a session for somebody who proved who they are since that generation of users.
    fn open_session(&self, known: &Known, generation: u64) -> Result<String, Fault> {
        let token = self
            .sessions
            .open_for_handshake(&known.principal, known.method)?;
        // Sessions whose password has changed are ended once, maybe before this one was there.
        if self.auth.generation() != generation {
            self.sessions.revoke(&token);
            return Err(AuthError::Changed.into());
        }
        Ok(token)
    }

    /// Who sends these headers, or the refusal that they get; it is on record.
    async fn recognise(&self, headers: &MetadataMap, arrival: &Arrival) -> Result<Known, Status> {
        if let Some(audit) = &self.audit {
            audit
                .check()
                .map_err(|down| Fault::from(down).status(None))?;
        }
        let credentials = credentials(headers);
        let result = match &credentials {
            Ok(credentials) => self.identify(credentials.as_ref(), arrival).await,
            Err(error) => Err(error.clone()),
        };
        result.map_err(|error| {
            if let Some(audit) = &self.audit {
                let (method, name) = match &credentials {
                    Ok(Some(Credentials::Basic { user, .. })) => {
                        // A name that is no user's may be a password that slipped into the wrong field.
                        let known = self.auth.is_user(user);
                        (Some(Method::Password), known.then_some(user.as_str()))
                    }
                    Ok(Some(Credentials::Bearer(_))) => (Some(Method::Token), None),
                    Ok(None) | Err(_) => (None, None),
                };
                audit.log_in(&LogIn {
                    name,
                    principal: None,
                    origin: &origin(Method::Insecure, arrival, headers),
                    method,
                    outcome: AuthOutcome::of(Some(&error)),
                });
            }
            Fault::from(error).status(None)
        })
    }

    /// Whose credentials these are. Credentials decide; a certificate speaks for whoever sends none.
    async fn identify(
        &self,
        credentials: Option<&Credentials>,
        arrival: &Arrival,
    ) -> Result<Known, AuthError> {
        let (principal, method) = match credentials {
            Some(Credentials::Bearer(token)) => {
                if let Some((principal, method, session)) = self.sessions.by_token(token) {
                    return self.renewed(principal, method, session, arrival);
                }
                // A session's token that is no longer known is never taken for another kind, not even where anybody may
                // come in: its settings would be lost without a word.
                if Sessions::is_session_token(token) {
                    return Err(AuthError::BadToken);
                }
                self.auth.bearer(token).await?
            }
            Some(Credentials::Basic { user, password }) => {
                self.auth.password(user, password, arrival.ip()).await?
            }
            None => self.auth.without_credentials(arrival)?,
        };
        Ok(Known {
            principal,
            method,
            session: None,
        })
    }

    /// Whoever opened a session, as they are known by now. One that a certificate opened is that certificate's.
    fn renewed(
        &self,
        principal: Principal,
        method: Method,
        session: SessionId,
        arrival: &Arrival,
    ) -> Result<Known, AuthError> {
        let principal = if method == Method::Certificate {
            let named = arrival.certificate.as_ref().ok_or(AuthError::BadToken)?;
            self.auth
                .certificate(named)
                .filter(|now| now.name == principal.name)
                .ok_or(AuthError::BadToken)?
        } else {
            self.auth.renew(principal, method)?
        };
        Ok(Known {
            principal,
            method,
            session: Some(session),
        })
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

/// What is known of the connection; nothing of one that is not from outside, as in tests.
fn arrival(connection: &Extensions) -> Arrival {
    connection.get::<Arrival>().cloned().unwrap_or_default()
}

fn origin(method: Method, arrival: &Arrival, headers: &MetadataMap) -> Origin {
    let client = headers
        .get("user-agent")
        .and_then(|value| value.to_str().ok());
    Origin {
        method,
        address: arrival.address,
        client: client.map(|text| {
            let text: String = text.chars().take(CLIENT_CHARS_MAX).collect();
            text.into()
        }),
    }
}
