//! What a client said with `SET` and the temporary tables it made, kept apart from everybody else's and never lost silently.
//!
//! A session is either the token that one Handshake handed out, or a cookie. A static bearer token alone is no
//! session: several programs may share it. A cookie names a session that is stored only once something was put into it,
//! so cookies cost nothing before; from then on the cookie says so itself, and if the session is gone when such a
//! cookie comes back (idle for too long, a restart), the client is told instead of being given the defaults.

mod cookie;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfast_planner::{SessionSettings, SessionTables, TemporarySpace};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::auth::{Method, Principal};
use crate::limits::share_of_one;
pub use cookie::{COOKIE_NAME, CookieJar};

/// Starts every session token, so that one is told from a static token at a glance.
const TOKEN_PREFIX: &str = "lfs_";

/// How long a closed session is known, so that closing it again is fine.
const CLOSED_FOR: Duration = Duration::from_secs(60);

/// Names a session in tables and logs; tells nothing that would open it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn random() -> Self {
        Self(hex(&rand::random::<[u8; 16]>()).into())
    }
}

/// Where the settings of a request come from, and whether they may be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionRef {
    /// A session that one Handshake opened.
    Token(SessionId),
    /// A session named by a cookie the client sent back.
    Cookie(SessionId),
    /// No session: the settings are the server's, and can't be changed.
    None,
}

impl SessionRef {
    /// The session's name, if there is a session.
    pub fn id(&self) -> Option<&SessionId> {
        match self {
            Self::Token(id) | Self::Cookie(id) => Some(id),
            Self::None => None,
        }
    }
}

/// Limits on sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Sessions kept at once.
    pub sessions_max: usize,
    /// A session that nobody used for this long ends.
    pub idle: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            sessions_max: 10_000,
            idle: Duration::from_secs(12 * 3600),
        }
    }
}

/// What can go wrong with a session; texts are for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A setting was to be changed where there is no session.
    #[error(
        "this connection has no session, so settings and temporary tables would be lost: log in with a user and a password, or let the \
         client keep cookies (ADBC: `adbc.flight.sql.rpc.with_cookie_middleware=true`; JDBC: `retainCookies=true`)"
    )]
    NoSession,
    /// The session held something and is gone.
    #[error(
        "the session has expired, and its settings and temporary tables are gone: connect again, or repeat your SET \
         statements and uploads"
    )]
    Expired,
    /// There are as many sessions as there may be.
    #[error("too many open sessions: close some, or wait until idle ones end")]
    TooMany,
    /// One principal has as many sessions as one may have.
    #[error(
        "too many open sessions of one user (at most {max}): close some, or wait until idle ones end"
    )]
    TooManyOfOne {
        /// The limit.
        max: usize,
    },
}

struct Session {
    principal: Principal,
    /// `None` as long as nothing was set.
    settings: Option<SessionSettings>,
    /// `None` as long as nothing was put into any.
    tables: Option<Held>,
    /// When its client closed it.
    closed: Option<Instant>,
    used: Instant,
}

impl Session {
    /// One in which nothing was set.
    fn new(principal: &Principal) -> Self {
        Self {
            principal: principal.clone(),
            settings: None,
            tables: None,
            closed: None,
            used: Instant::now(),
        }
    }

    /// Whether it can still be used.
    fn lives(&self, idle: Duration) -> bool {
        self.closed.is_none() && self.used.elapsed() <= idle
    }

    /// Whether there is a reason to know it.
    fn counts(&self, idle: Duration) -> bool {
        match self.closed {
            Some(at) => at.elapsed() <= CLOSED_FOR,
            None => self.used.elapsed() <= idle,
        }
    }
}

/// A session's temporary tables, which end with it.
struct Held(Arc<SessionTables>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Table {
    by_id: HashMap<SessionId, Session>,
    /// SHA-256 of a token → its session, and how whoever opened it proved who they are.
    by_token: HashMap<[u8; 32], (SessionId, Method)>,
    swept: Instant,
}

/// Every open session of this proxy.
pub struct Sessions {
    limits: SessionLimits,
    defaults: SessionSettings,
    jar: CookieJar,
    table: Mutex<Table>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("limits", &self.limits)
            .field("open", &self.open())
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// No sessions yet. `defaults` are the settings of a session in which nothing was set; `key` signs cookies.
    pub fn new(limits: SessionLimits, defaults: SessionSettings, key: &[u8]) -> Self {
        Self {
            limits,
            defaults,
            jar: CookieJar::new(key),
            table: Mutex::new(Table {
                by_id: HashMap::new(),
                by_token: HashMap::new(),
                swept: Instant::now(),
            }),
        }
    }

    /// Sessions that are stored now.
    pub fn open(&self) -> usize {
        self.table.lock().by_id.len()
    }

    /// Makes and reads cookies.
    pub fn jar(&self) -> &CookieJar {
        &self.jar
    }

    /// Opens a session for one Handshake; the token is its only key and is not kept here.
    pub fn open_for_handshake(
        &self,
        principal: &Principal,
        method: Method,
    ) -> Result<String, SessionError> {
        let token = format!("{TOKEN_PREFIX}{}", hex(&rand::random::<[u8; 32]>()));
        let id = SessionId::random();
        let mut table = self.table.lock();
        self.make_room(&mut table, principal)?;
        table.by_token.insert(
            Sha256::digest(token.as_bytes()).into(),
            (id.clone(), method),
        );
        table.by_id.insert(id, Session::new(principal));
        Ok(token)
    }

    /// Whether a bearer token is of the kind that a Handshake hands out.
    pub fn is_session_token(token: &str) -> bool {
        token.starts_with(TOKEN_PREFIX)
    }

    /// The live session a bearer token opens, if it is a session's, with whoever opened it and how.
    pub fn by_token(&self, token: &str) -> Option<(Principal, Method, SessionId)> {
        if !Self::is_session_token(token) {
            return None;
        }
        let mut table = self.table.lock();
        let (id, method) = table
            .by_token
            .get(&<[u8; 32]>::from(Sha256::digest(token.as_bytes())))?
            .clone();
        let session = table.by_id.get_mut(&id)?;
        if !session.lives(self.limits.idle) {
            return None;
        }
        session.used = Instant::now();
        Some((session.principal.clone(), method, id))
    }

    /// The session that a cookie names. A cookie that is not ours, or another principal's, is as good as none.
    pub fn by_cookie(
        &self,
        cookie: &str,
        principal: &Principal,
    ) -> Result<Option<SessionId>, SessionError> {
        let Some(read) = self.jar.read(cookie, principal) else {
            return Ok(None);
        };
        let mut table = self.table.lock();
        match table.by_id.get_mut(&read.session) {
            Some(session) if session.used.elapsed() <= self.limits.idle => {
                session.used = Instant::now();
            }
            _ if read.holds_settings => return Err(SessionError::Expired),
            // The client may have missed the cookie that said that something is kept.
            Some(_) => drop(table.by_id.remove(&read.session)),
            None => {}
        }
        drop(table);
        Ok(Some(read.session))
    }

    /// The settings that hold for a request.
    pub fn settings(&self, session: &SessionRef) -> SessionSettings {
        session
            .id()
            .and_then(|id| self.table.lock().by_id.get(id)?.settings.clone())
            .unwrap_or_else(|| self.defaults.clone())
    }

    /// Refuses what [`Self::change`] would refuse for want of a session, before anything is done.
    pub fn check_changeable(&self, session: &SessionRef) -> Result<(), SessionError> {
        match session {
            SessionRef::None => Err(SessionError::NoSession),
            SessionRef::Token(_) | SessionRef::Cookie(_) => Ok(()),
        }
    }

    /// Keeps what a statement changed between `before` and `after`, and nothing else: of two statements at once, neither
    /// undoes the other's. For a cookie's session the answer is the cookie that says so, to be sent back.
    pub fn change(
        &self,
        session: &SessionRef,
        principal: &Principal,
        before: &SessionSettings,
        after: &SessionSettings,
    ) -> Result<Option<String>, SessionError> {
        let mut table = self.table.lock();
        match session {
            SessionRef::None => Err(SessionError::NoSession),
            SessionRef::Token(id) => {
                let kept = table.by_id.get_mut(id);
                let kept = kept.filter(|kept| kept.closed.is_none());
                let kept = kept.ok_or(SessionError::Expired)?;
                let current = kept.settings.as_ref().unwrap_or(&self.defaults);
                kept.settings = Some(merged(current, before, after));
                kept.used = Instant::now();
                Ok(None)
            }
            SessionRef::Cookie(id) => {
                if !table.by_id.contains_key(id) {
                    self.make_room(&mut table, principal)?;
                }
                let current = table
                    .by_id
                    .get(id)
                    .and_then(|kept| kept.settings.as_ref())
                    .unwrap_or(&self.defaults);
                let settings = Some(merged(current, before, after));
                let kept = table.by_id.entry(id.clone());
                let kept = kept.or_insert_with(|| Session::new(principal));
                kept.settings = settings;
                kept.used = Instant::now();
                Ok(Some(self.jar.cookie(id, principal, true)))
            }
        }
    }

    /// Where a session's temporary tables are; the session is stored from now on. For a cookie's session the answer has the
    /// cookie that says so, to be sent back.
    pub fn tables(
        &self,
        session: &SessionRef,
        principal: &Principal,
        space: &Arc<TemporarySpace>,
    ) -> Result<(Arc<SessionTables>, Option<String>), SessionError> {
        let mut table = self.table.lock();
        let (id, kept, cookie) = match session {
            SessionRef::None => return Err(SessionError::NoSession),
            SessionRef::Token(id) => {
                let kept = table.by_id.get_mut(id).filter(|kept| kept.closed.is_none());
                (id, kept.ok_or(SessionError::Expired)?, None)
            }
            SessionRef::Cookie(id) => {
                if !table.by_id.contains_key(id) {
                    self.make_room(&mut table, principal)?;
                }
                let kept = table.by_id.entry(id.clone());
                let kept = kept.or_insert_with(|| Session::new(principal));
                (id, kept, Some(self.jar.cookie(id, principal, true)))
            }
        };
        kept.used = Instant::now();
        let held = kept
            .tables
            .get_or_insert_with(|| Held(space.open(id.as_str())));
        Ok((Arc::clone(&held.0), cookie))
    }

    /// Ends a session: its settings and temporary tables are gone, and a token that opened it opens nothing any more,
    /// except to be told again, for a while, that the session is closed.
    pub fn close(&self, session: &SessionRef) {
        let mut table = self.table.lock();
        match session {
            SessionRef::None => {}
            SessionRef::Cookie(id) => {
                table.by_id.remove(id);
            }
            SessionRef::Token(id) => {
                if let Some(kept) = table.by_id.get_mut(id) {
                    kept.settings = None;
                    kept.tables = None;
                    kept.closed = kept.closed.or_else(|| Some(Instant::now()));
                }
            }
        }
    }

    /// Ends every session that a token opens and for whose principal, and how they came, `ended` says so.
    pub fn end(&self, ended: impl Fn(&str, Method) -> bool) {
        let mut table = self.table.lock();
        let Table {
            by_id, by_token, ..
        } = &mut *table;
        by_token.retain(|_, (id, method)| {
            let ends = by_id
                .get(id)
                .is_none_or(|session| ended(&session.principal.name, *method));
            if ends {
                by_id.remove(id);
            }
            !ends
        });
    }

    /// Ends the session that a token opens, as if it had never been.
    pub fn revoke(&self, token: &str) {
        let mut table = self.table.lock();
        let digest = <[u8; 32]>::from(Sha256::digest(token.as_bytes()));
        if let Some((id, _)) = table.by_token.remove(&digest) {
            table.by_id.remove(&id);
        }
    }

    /// Whose session a bearer token opened before it was closed.
    pub fn closed_by_token(&self, token: &str) -> Option<(Principal, Method)> {
        let table = self.table.lock();
        let digest = <[u8; 32]>::from(Sha256::digest(token.as_bytes()));
        let (id, method) = table.by_token.get(&digest)?;
        let session = table.by_id.get(id)?;
        let closed = session.closed.is_some() && session.counts(self.limits.idle);
        closed.then(|| (session.principal.clone(), *method))
    }

    /// A new session for a client that has none; it is stored once something is set in it.
    pub fn fresh(&self) -> SessionRef {
        SessionRef::Cookie(SessionId::random())
    }

    /// A cookie for a client that has no session yet; nothing is stored for it.
    pub fn fresh_cookie(&self, principal: &Principal) -> String {
        self.jar.cookie(&SessionId::random(), principal, false)
    }

    /// Ends what nobody used for long: its temporary tables hold memory.
    pub fn sweep(&self) {
        self.end_idle(&mut self.table.lock());
    }

    fn end_idle(&self, table: &mut Table) {
        table.swept = Instant::now();
        table.retain(|session| session.counts(self.limits.idle));
    }

    /// Makes room for one more session of a principal; what is closed goes before anybody is refused.
    fn make_room(&self, table: &mut Table, principal: &Principal) -> Result<(), SessionError> {
        let idle = self.limits.idle;
        let full = table.by_id.len() >= self.limits.sessions_max;
        if full || table.swept.elapsed() > CLOSED_FOR.min(idle / 8) {
            self.end_idle(table);
        }
        if table.by_id.len() >= self.limits.sessions_max {
            table.retain(|session| session.closed.is_none());
        }
        if table.by_id.len() >= self.limits.sessions_max {
            return Err(SessionError::TooMany);
        }
        let max = share_of_one(self.limits.sessions_max);
        let theirs = table
            .by_id
            .values()
            .filter(|session| session.principal.name == principal.name && session.lives(idle));
        if theirs.count() >= max {
            return Err(SessionError::TooManyOfOne { max });
        }
        Ok(())
    }
}

impl Table {
    fn retain(&mut self, keep: impl Fn(&Session) -> bool) {
        let Self {
            by_id, by_token, ..
        } = self;
        by_id.retain(|_, session| keep(session));
        by_token.retain(|_, (id, _)| by_id.contains_key(id));
    }
}

/// `current` with the differences between `before` and `after`.
fn merged(
    current: &SessionSettings,
    before: &SessionSettings,
    after: &SessionSettings,
) -> SessionSettings {
    if current == before {
        return after.clone();
    }
    let pairs = |settings: &SessionSettings| {
        settings
            .to_pairs()
            .into_iter()
            .collect::<BTreeMap<String, String>>()
    };
    let (before, after, mut merged) = (pairs(before), pairs(after), pairs(current));
    for (key, value) in &after {
        if before.get(key) != Some(value) {
            merged.insert(key.clone(), value.clone());
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        merged.remove(key);
    }
    SessionSettings::from_pairs(
        merged
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    )
    .unwrap_or_else(|_| current.clone())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests;
