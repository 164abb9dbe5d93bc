//! What the server's process takes.

use std::time::Duration;

use tokio::task::JoinHandle;

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(20);

/// Bytes that a process has resident; nothing where the system does not say.
pub(super) fn resident(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

/// Watches a process for the most that it has resident.
pub(super) struct Watch {
    stop: tokio::sync::oneshot::Sender<()>,
    highest: JoinHandle<Option<u64>>,
}

impl Watch {
    pub(super) fn start(pid: u32) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let highest = tokio::spawn(async move {
            let mut highest = resident(pid);
            while tokio::time::timeout(EVERY, &mut stopped).await.is_err() {
                highest = highest.max(resident(pid));
            }
            highest.max(resident(pid))
        });
        Self { stop, highest }
    }

    /// The most since the start.
    pub(super) async fn highest(self) -> anyhow::Result<Option<u64>> {
        // An error: the watch has ended by itself, and its result says how.
        self.stop.send(()).ok();
        Ok(self.highest.await?)
    }
}
