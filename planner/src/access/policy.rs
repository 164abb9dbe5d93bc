//! [`AccessPolicy`]: all grants there are.

use std::sync::Arc;

use super::{Access, Grant};
use crate::{Asker, Role};

/// All grants, in no order: what none of them gives is denied.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccessPolicy {
    grants: Vec<Arc<Grant>>,
}

impl AccessPolicy {
    /// The policy without a policy: each role has its built-in grants.
    pub fn of_roles() -> Self {
        Self::new(Vec::new(), &[Role::Reader, Role::Engineer, Role::Operator])
    }

    /// These grants, and the built-in ones of these roles.
    pub fn new(grants: Vec<Grant>, built_in: &[Role]) -> Self {
        let roles = built_in.iter().map(|role| Grant::of_role(*role));
        Self {
            grants: grants.into_iter().chain(roles).map(Arc::new).collect(),
        }
    }

    /// What an asker may do.
    pub fn access(&self, asker: &Asker) -> Access {
        let held = self.grants.iter().filter(|grant| grant.is_to(asker));
        Access::new(asker, held.cloned().collect())
    }

    /// How many grants there are, the built-in ones included.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether nobody may do anything.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }
}
