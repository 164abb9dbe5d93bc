//! Keeps the engine's policy what the policy file says.
//!
//! The file is looked at every second, by its contents and not by its times. A policy takes effect as a whole; one that
//! can't be read or understood is logged, and the one before it stays.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use landfast_planner::{AccessPolicy, Engine};
use tokio_util::sync::CancellationToken;

use crate::config::{PolicyFile, policy_digest, policy_of, read_policy};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A file that changes is taken once it has been the same for so long: it may be being written.
const SETTLED_AFTER: Duration = Duration::from_millis(200);

/// Follows the file until it is told to stop.
pub(crate) async fn follow(file: PolicyFile, engine: Arc<Engine>, stop: CancellationToken) {
    let mut follower = Follower {
        put_in_force: |policy| engine.set_policy(policy),
        last: Seen::Contents(file.digest),
    };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => follower.look(&file.path).await,
        }
    }
}

/// What was last found where the file should be.
#[derive(Debug, PartialEq)]
enum Seen {
    Contents([u8; 32]),
    Nothing(std::io::ErrorKind),
}

struct Follower<F> {
    put_in_force: F,
    last: Seen,
}

impl<F: Fn(AccessPolicy)> Follower<F> {
    async fn look(&mut self, path: &Path) {
        let (mut seen, mut bytes) = contents(path).await;
        if seen == self.last {
            return;
        }
        loop {
            tokio::time::sleep(SETTLED_AFTER).await;
            let (again, newer) = contents(path).await;
            let settled = again == seen;
            (seen, bytes) = (again, newer.or(bytes.filter(|_| settled)));
            if settled {
                break;
            }
        }
        let shown = path.display();
        match bytes.map(|bytes| policy_of(path, bytes)) {
            Some(Ok(file)) => {
                let grants = file.policy.len();
                (self.put_in_force)(file.policy);
                tracing::info!(file = %shown, grants, "a new policy is in force");
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the policy file changed and can't be used: the policy before it stays in force");
            }
            None => {
                tracing::error!(file = %shown, found = ?seen, "the policy file can't be read: the policy before stays in force");
            }
        }
        self.last = seen;
    }
}

async fn contents(path: &Path) -> (Seen, Option<Vec<u8>>) {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_policy(&path)).await;
    match read {
        Ok(Ok(bytes)) => (Seen::Contents(policy_digest(&bytes)), Some(bytes)),
        Ok(Err(error)) => (Seen::Nothing(error.kind()), None),
        Err(_) => (Seen::Nothing(std::io::ErrorKind::Other), None),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::config::load_policy;

    const GRANT: &str = "[[grant]]\nto = [\"everyone\"]\non = [\"lake\"]\n";

    #[tokio::test]
    async fn a_changed_file_is_in_force_and_a_broken_one_leaves_what_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        std::fs::write(&path, "").unwrap();
        let file = load_policy(&path).unwrap();
        assert_eq!(file.policy.len(), 0);
        let sizes = RefCell::new(Vec::new());
        let mut follower = Follower {
            put_in_force: |policy: AccessPolicy| sizes.borrow_mut().push(policy.len()),
            last: Seen::Contents(file.digest),
        };
        follower.look(&path).await;
        assert!(sizes.borrow().is_empty(), "nothing has changed");
        for (contents, wanted) in [
            (Some(GRANT.to_owned()), 1),
            (Some(GRANT.replace("on", "ohn")), 1),
            (None, 1),
            (Some(GRANT.repeat(3)), 3),
        ] {
            match contents {
                Some(contents) => std::fs::write(&path, contents).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            follower.look(&path).await;
            assert_eq!(sizes.borrow().last(), Some(&wanted));
        }
        assert_eq!(*sizes.borrow(), [1, 3]);
    }
}
