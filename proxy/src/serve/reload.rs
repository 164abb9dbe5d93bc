//! What changes without a restart: certificates, and who is known.
//!
//! Files are looked at every so often, and at once on SIGHUP. They are compared by what is in them: it does not matter
//! whether they were written to, replaced, or are reached through links that changed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::tls::CurrentTls;
use crate::audit::Audit;
use crate::auth::{Access, Authenticator, Method};
use crate::config::AccessSource;
use crate::session::Sessions;

/// Looks at the files of a running service.
#[derive(Debug)]
pub(super) struct Reload {
    tls: Option<Arc<CurrentTls>>,
    auth: Arc<Authenticator>,
    sessions: Arc<Sessions>,
    access: AccessSource,
    audit: Option<Arc<Audit>>,
    /// Who is known now.
    known: Mutex<Access>,
    /// The last thing that was wrong, which is told of once.
    fault: Mutex<Option<String>>,
    every: Duration,
    now: Notify,
}

impl Reload {
    pub(super) fn new(
        tls: Option<Arc<CurrentTls>>,
        auth: Arc<Authenticator>,
        sessions: Arc<Sessions>,
        access: AccessSource,
        known: Access,
        audit: Option<Arc<Audit>>,
        every: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            tls,
            auth,
            sessions,
            access,
            audit,
            known: Mutex::new(known),
            fault: Mutex::default(),
            every,
            now: Notify::new(),
        })
    }

    /// Looks at the files now, and opens the audit log anew.
    pub(super) fn at_once(&self) {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        self.now.notify_one();
    }

    /// Looks at the files again and again.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = self.now.notified() => {}
            }
            self.look_now().await;
        }
    }

    /// Looks at the files once, on a thread that may block: they may be on a slow disk.
    pub(super) async fn look_now(self: &Arc<Self>) {
        let this = Arc::clone(self);
        // It fails only when the service ends meanwhile.
        drop(tokio::task::spawn_blocking(move || this.look()).await);
    }

    fn look(&self) {
        if let Some(tls) = &self.tls {
            tls.reload();
        }
        if let Err(fault) = self.look_at_access() {
            let mut told = self.fault.lock();
            if told.as_ref() != Some(&fault) {
                tracing::error!(target: "landfast::serve", error = %fault, "the new users and tokens can't be used: the old ones stay");
                *told = Some(fault);
            }
        } else {
            *self.fault.lock() = None;
        }
    }

    fn look_at_access(&self) -> Result<(), String> {
        // Held while the files are read: of two looks at once, the one that read last is the one that counts.
        let mut known = self.known.lock();
        let access = self.access.read().map_err(|error| error.to_string())?;
        if *known != access {
            self.auth
                .replace(access.clone())
                .map_err(|error| error.to_string())?;
            let ended = known.passwords_ended(&access);
            self.sessions
                .end(|name, method| method == Method::Password && ended.contains(name));
            tracing::info!(
                target: "landfast::serve",
                users = access.users.len(),
                tokens = access.tokens.len(),
                certificates = access.certificates.len(),
                issuers = access.issuers.len(),
                "users and tokens have changed"
            );
            *known = access;
        }
        Ok(())
    }
}
