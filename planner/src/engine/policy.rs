//! The policy that statements are planned under, and its replacement as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{Engine, PlannedQuery};
use crate::access::{Access, AccessPolicy};
use crate::{Asker, Groups, Role};

/// How many askers' grants are kept ready.
const ASKERS_MAX: usize = 1024;

/// Who asks, as far as grants go.
type Known = (String, Groups, Role);

/// A policy, and what askers were found to hold of it.
#[derive(Debug)]
struct Current {
    policy: AccessPolicy,
    known: Mutex<HashMap<Known, Arc<Access>>>,
}

/// The policy of now.
#[derive(Debug)]
pub(super) struct PolicySwitch(RwLock<Arc<Current>>);

impl PolicySwitch {
    pub(super) fn new(policy: AccessPolicy) -> Self {
        Self(RwLock::new(Current::new(policy)))
    }

    fn access(&self, asker: &Asker) -> Arc<Access> {
        let current = Arc::clone(&self.0.read());
        let key = (asker.principal.clone(), asker.groups.clone(), asker.role);
        if let Some(access) = current.known.lock().get(&key) {
            return Arc::clone(access);
        }
        let access = Arc::new(current.policy.access(asker));
        let mut known = current.known.lock();
        if known.len() >= ASKERS_MAX {
            // Who still asks comes back with the next statement.
            known.clear();
        }
        known.insert(key, Arc::clone(&access));
        access
    }
}

impl Current {
    fn new(policy: AccessPolicy) -> Arc<Self> {
        Arc::new(Self {
            policy,
            known: Mutex::default(),
        })
    }
}

impl Engine {
    /// From now on statements are planned under this policy; those that run go on.
    pub fn set_policy(&self, policy: AccessPolicy) {
        *self.policy.0.write() = Current::new(policy);
    }

    /// What an asker may do by the policy of now.
    pub fn access(&self, asker: &Asker) -> Arc<Access> {
        self.policy.access(asker)
    }

    /// Whether planning a query again would give this asker the same plan, as far as the policy and their session go. Where
    /// it would not, the plan is of no use any more.
    pub fn still_allows(&self, planned: &PlannedQuery, asker: &Asker) -> bool {
        planned.is_for_session(asker.session.as_deref()) && *planned.access() == *self.access(asker)
    }
}
