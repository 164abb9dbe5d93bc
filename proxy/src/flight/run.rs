//! One execution of a query, fetched in one piece or in shares: at once, in turn, again, or never.
//!
//! However many shares there are, it is one query: it has one place among those that run, one record, and its reads are
//! counted together. It ends when every share was sent, when one failed, when it is cancelled, or when nobody reads any
//! longer: a share that is given up while no other is read gives up the query.

use std::sync::{Arc, Weak};
use std::time::Duration;

use landfast_sites::ReadLog;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use crate::admission::{Admission, Permit, Stage};
use crate::queries::{Query, QueryId};

/// An execution, as long as anybody may still read from it.
pub(super) struct Run {
    id: QueryId,
    stop: CancellationToken,
    /// The place among the running queries; there as long as one share is read.
    place: tokio::sync::Mutex<Weak<Permit>>,
    state: Mutex<State>,
}

struct State {
    /// Until it has ended.
    query: Option<Query>,
    /// Of each share, whether all of it was sent.
    sent: Vec<bool>,
    /// Shares that are read now.
    reading: usize,
    /// Whether rows are made for one of them.
    running: bool,
    given_up: bool,
    /// When something was last taken by a client.
    taken: Instant,
}

impl Run {
    /// An execution whose result is fetched in so many shares.
    pub(super) fn new(query: Query, shares: usize) -> Arc<Self> {
        Arc::new(Self {
            id: query.id(),
            stop: query.stop().clone(),
            place: tokio::sync::Mutex::new(Weak::new()),
            state: Mutex::new(State {
                query: Some(query),
                sent: vec![false; shares.max(1)],
                reading: 0,
                running: false,
                given_up: false,
                taken: Instant::now(),
            }),
        })
    }

    /// Whether it has not ended.
    pub(super) fn is_open(&self) -> bool {
        !self.stop.is_cancelled() && self.state.lock().query.is_some()
    }

    /// Whether a share is read now.
    pub(super) fn is_read(&self) -> bool {
        self.state.lock().reading > 0
    }

    /// Begins to read a share.
    pub(super) fn read(self: &Arc<Self>, share: usize) -> Reading {
        let mut state = self.state.lock();
        state.reading += 1;
        state.taken = Instant::now();
        Reading {
            run: self.clone(),
            share,
            ended: false,
        }
    }
}

/// One reading of a share, until it ends. Dropping it before means that its client gave it up.
pub(super) struct Reading {
    run: Arc<Run>,
    share: usize,
    ended: bool,
}

impl Reading {
    /// The query's name.
    pub(super) fn id(&self) -> QueryId {
        self.run.id
    }

    /// Tells when somebody cancelled the query.
    pub(super) fn stop(&self) -> CancellationToken {
        self.run.stop.clone()
    }

    /// A place among the running queries, which all shares that are read at once have together.
    pub(super) async fn place(
        &self,
        admission: &Admission,
        asker: &Arc<str>,
    ) -> Result<Arc<Permit>, Fault> {
        let mut place = self.run.place.lock().await;
        if let Some(held) = place.upgrade() {
            return Ok(held);
        }
        let permit = Arc::new(admission.admit(asker, Stage::Continued).await?);
        *place = Arc::downgrade(&permit);
        Ok(permit)
    }

    /// Its rows are made.
    pub(super) fn running(&self) {
        let mut state = self.run.state.lock();
        state.taken = Instant::now();
        if !std::mem::replace(&mut state.running, true)
            && let Some(query) = &mut state.query
        {
            query.running();
        }
    }

    /// A further plan belongs to it.
    pub(super) fn further_reads(&self, reads: ReadLog) {
        if let Some(query) = &self.run.state.lock().query {
            query.further_reads(reads);
        }
    }

    /// What the query's reads cost so far, in US dollars.
    pub(super) fn usd(&self) -> f64 {
        let state = self.run.state.lock();
        state.query.as_ref().map_or(0.0, Query::usd)
    }

    /// Some rows were taken by the client.
    pub(super) fn sent(&self, rows: u64, bytes: u64) {
        let mut state = self.run.state.lock();
        state.taken = Instant::now();
        if let Some(query) = &state.query {
            query.sent(rows, bytes);
        }
    }

    /// Until when its client may take nothing: a client that reads shares in turn lets the others wait meanwhile.
    pub(super) fn patience(&self, idle: Duration) -> Instant {
        self.run.state.lock().taken + idle
    }

    /// All of the share was sent.
    pub(super) fn finish(mut self) {
        self.end(|state, share| {
            if let Some(sent) = state.sent.get_mut(share) {
                *sent = true;
            }
            if state.sent.iter().all(|sent| *sent) {
                state.query.take().map(Ended::Finished)
            } else {
                None
            }
        });
    }

    /// The share ended with an error, and so the query did.
    pub(super) fn fail(mut self, fault: &Fault) {
        let (label, text) = (fault.label(), fault.to_string());
        self.end(|state, _| {
            let query = state.query.take();
            query.map(|query| Ended::Failed(query, label, text))
        });
    }

    /// The query was cancelled.
    pub(super) fn cancelled(mut self) {
        self.end(|state, _| state.query.take().map(Ended::GivenUp));
    }

    fn end(&mut self, change: impl FnOnce(&mut State, usize) -> Option<Ended>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let ended = {
            let mut state = self.run.state.lock();
            state.reading = state.reading.saturating_sub(1);
            let ended = change(&mut state, self.share);
            match ended {
                None if state.reading == 0 && state.given_up => {
                    state.query.take().map(Ended::GivenUp)
                }
                None => {
                    if state.reading == 0
                        && std::mem::replace(&mut state.running, false)
                        && let Some(query) = &mut state.query
                    {
                        query.waiting();
                    }
                    None
                }
                ended => ended,
            }
        };
        // Ending a query takes locks of its own.
        match ended {
            None => {}
            Some(Ended::Finished(query)) => query.finish(),
            Some(Ended::Failed(query, label, text)) => query.fail(label, &text),
            Some(Ended::GivenUp(query)) => drop(query),
        }
    }
}

/// How a query ends.
enum Ended {
    Finished(Query),
    Failed(Query, &'static str, String),
    GivenUp(Query),
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.end(|state, _| {
            state.given_up = true;
            None
        });
    }
}
