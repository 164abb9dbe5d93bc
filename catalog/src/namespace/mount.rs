//! A member under its catalog name: its calls bounded in time, its state, what it last said.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt, Shared};
use moka::future::Cache;
use parking_lot::Mutex;

use crate::member::{Levels, Member, Pointer};
use crate::namespace::slot::{Known, Slot};
use crate::namespace::view::KnownView;
use crate::namespace::{MemberState, MemberStatus};
use crate::{CatalogError, CatalogName, Clock, Result, SchemaName};

/// How many tables' pointers are remembered per member.
const POINTERS_MAX: u64 = 100_000;

/// How long a member that failed is left out of what can do without it.
const HOLD_OFF: Duration = Duration::from_secs(10);

/// How many views are remembered per member.
const VIEWS_MAX: u64 = 10_000;

/// The tables and views of one namespace, as last listed.
type RelationsSlot = Arc<Slot<Arc<Relations>>>;

/// What a namespace holds: names, sorted. None is in both lists.
#[derive(Debug)]
pub(crate) struct Relations {
    pub(crate) tables: Arc<[String]>,
    pub(crate) views: Vec<String>,
    /// Why the views are not known, if so.
    pub(crate) views_failed: Option<CatalogError>,
}

type TreeFlight = Shared<BoxFuture<'static, Result<()>>>;

/// One member of the namespace.
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) name: CatalogName,
    pub(crate) member: Box<dyn Member>,
    pub(crate) timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) namespaces: Slot<Arc<[Levels]>>,
    pub(crate) relations: Mutex<HashMap<Levels, RelationsSlot>>,
    pub(crate) pointers: Cache<(SchemaName, String), Arc<Slot<Pointer>>>,
    views: Cache<(SchemaName, String), Arc<Slot<Option<KnownView>>>>,
    /// The listing of everything that is under way, if one is.
    pub(crate) tree_flight: Mutex<Option<TreeFlight>>,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    answered: bool,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    at: Instant,
    reason: String,
    /// Whether it was out of reach, rather than refusing.
    outage: bool,
}

impl Mount {
    pub(crate) fn new(
        name: CatalogName,
        member: Box<dyn Member>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name,
            member,
            timeout,
            clock,
            namespaces: Slot::default(),
            relations: Mutex::new(HashMap::new()),
            pointers: Cache::new(POINTERS_MAX),
            views: Cache::new(VIEWS_MAX),
            tree_flight: Mutex::new(None),
            last: Mutex::new(Last::default()),
        }
    }

    /// Waits for a call to the member for as long as the configuration says, and notes how the member does.
    pub(crate) async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let answer = match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(CatalogError::Unavailable {
                catalog: self.name.clone(),
                reason: self.overdue(),
            }),
        };
        self.note(&answer);
        answer
    }

    /// As [`Mount::call`], for a change: when time runs out, whether it was made is not known.
    pub(crate) async fn change<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let answer = match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(CatalogError::Unknown {
                catalog: self.name.clone(),
                reason: self.overdue(),
            }),
        };
        self.note(&answer);
        answer
    }

    pub(crate) fn overdue(&self) -> String {
        format!("no answer within {} ms", self.timeout.as_millis())
    }

    fn note<T>(&self, answer: &Result<T>) {
        let mut last = self.last.lock();
        let (reason, outage) = match answer {
            Err(
                CatalogError::Unavailable { reason, .. } | CatalogError::Unknown { reason, .. },
            ) => (reason, true),
            // It answers, so nobody need keep away from it: one schema may be forbidden, and the rest not.
            Err(CatalogError::Denied { reason, .. }) => (reason, false),
            _ => {
                if last.failed.take().is_some() {
                    tracing::info!(catalog = %self.name, "a catalog answers again");
                }
                last.answered = true;
                return;
            }
        };
        if last.failed.is_none() {
            tracing::warn!(catalog = %self.name, reason, "a catalog does not answer as it should");
        }
        last.failed = Some(Failed {
            at: self.clock.now(),
            reason: reason.clone(),
            outage,
        });
    }

    /// Whether the member was out of reach a moment ago, so that what can do without it shouldn't wait for it.
    pub(crate) fn is_held_off(&self) -> bool {
        let last = self.last.lock();
        let now = self.clock.now();
        last.failed.as_ref().is_some_and(|failed| {
            failed.outage && now.saturating_duration_since(failed.at) < HOLD_OFF
        })
    }

    /// That the member is held off, as an error. What it said was about something else, perhaps somebody else's.
    pub(crate) fn held_off(&self) -> CatalogError {
        CatalogError::Unavailable {
            catalog: self.name.clone(),
            reason: "it did not answer a moment ago".to_owned(),
        }
    }

    pub(crate) fn state(&self) -> MemberState {
        let last = self.last.lock();
        let (status, last_error) = match &last.failed {
            Some(failed) => (MemberStatus::Down, Some(failed.reason.clone())),
            None if last.answered => (MemberStatus::Up, None),
            None => (MemberStatus::Untried, None),
        };
        MemberState {
            name: self.name.clone(),
            kind: self.member.kind(),
            status,
            last_error,
        }
    }

    /// The slot for one table's pointer.
    pub(crate) async fn pointer_slot(
        &self,
        schema: &SchemaName,
        table: &str,
    ) -> Arc<Slot<Pointer>> {
        self.pointers
            .get_with((schema.clone(), table.to_owned()), async { Arc::default() })
            .await
    }

    /// The slot for one view.
    pub(crate) async fn view_slot(
        &self,
        schema: &SchemaName,
        view: &str,
    ) -> Arc<Slot<Option<KnownView>>> {
        self.views
            .get_with((schema.clone(), view.to_owned()), async { Arc::default() })
            .await
    }

    /// What a view was when it was last asked for, if it was.
    pub(crate) fn known_view(
        &self,
        schema: &SchemaName,
        view: &str,
    ) -> Option<Known<Option<KnownView>>> {
        let key = (schema.clone(), view.to_owned());
        let slot = self.views.get(&key).now_or_never()??;
        slot.known()
    }

    /// The slot for one namespace's tables and views.
    pub(crate) fn relations_slot(&self, levels: &Levels) -> RelationsSlot {
        self.relations
            .lock()
            .entry(levels.clone())
            .or_default()
            .clone()
    }

    /// Runs `load` unless it runs already, apart from whoever waits for it.
    pub(crate) fn shared_tree_flight<F>(&self, load: F) -> TreeFlight
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let mut flight = self.tree_flight.lock();
        if let Some(running) = flight.as_ref().filter(|running| running.peek().is_none()) {
            return running.clone();
        }
        let task = tokio::spawn(load);
        let catalog = self.name.clone();
        let shared = async move {
            task.await.unwrap_or_else(|error| {
                Err(CatalogError::Unavailable {
                    catalog,
                    reason: format!("listing it ended early: {error}"),
                })
            })
        }
        .boxed()
        .shared();
        *flight = Some(shared.clone());
        shared
    }
}
