//! Where queries are planned and run: a runtime of its own, with a thread per core.
//!
//! The main runtime has the sockets: clients' requests, health, metrics, and the stores' connections. A task that
//! computes for long between two awaits holds up whatever shares its runtime, and a health check that comes too late
//! takes the whole service out of a load balancer. So nothing that computes much runs there.

use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// The runtime of planning, execution and encoding.
#[derive(Debug)]
pub struct CpuRuntime {
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl CpuRuntime {
    /// A runtime with a thread for each core.
    ///
    /// # Errors
    /// When the threads can't be started.
    pub fn new() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::with_threads(cores)
    }

    fn with_threads(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("landfast-cpu")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Runs a task here. Dropping what is returned ends the task at its next await.
    pub(crate) fn spawn<F>(&self, task: F) -> AbortOnDropHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let handle = match &self.runtime {
            Some(runtime) => runtime.spawn(task),
            // Only a runtime that is being dropped has none, and nobody can hold it then.
            None => tokio::spawn(task),
        };
        AbortOnDropHandle::new(handle)
    }
}

impl Drop for CpuRuntime {
    /// Ends its tasks without waiting for them: this may happen on a thread that must not block.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
