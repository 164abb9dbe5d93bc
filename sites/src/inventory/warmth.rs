//! Finding out what a site that lists more than it has really has.
//!
//! Such a site holds a file once a read of it came back at local speed. But while it doesn't count as holding it,
//! nobody would read it there; so the end of a listed file is read in the background when it is asked about, a few
//! files at a time and each at most once in a while.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::id::{CanonicalUri, FileId};
use crate::misses::Remembered;
use crate::sites::Shared;

/// Reads under way at once.
const READS_AT_ONCE: usize = 4;

/// Files that wait to be read; more are forgotten, and come again with the next query.
const WAITING_MAX: usize = 1024;

/// A file is read again no sooner than after this.
const AGAIN_AFTER: Duration = Duration::from_secs(600);
const ASKED_MAX: usize = 200_000;

/// The last part of a file, which any query of it needs first.
const END_BYTES: u64 = 64 << 10;

#[derive(Debug)]
struct Question {
    site: usize,
    uri: CanonicalUri,
    size: u64,
}

/// Reads ends of files in the background.
#[derive(Debug)]
pub(super) struct Warmth {
    shared: Weak<Shared>,
    asked: Remembered,
    worker: Mutex<Option<(mpsc::Sender<Question>, AbortHandle)>>,
}

impl Warmth {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            asked: Remembered::new(AGAIN_AFTER, ASKED_MAX),
            worker: Mutex::new(None),
        }
    }

    /// Has a listed file looked at soon, unless it was lately.
    pub(super) fn find_out(&self, site: usize, uri: &CanonicalUri, size: u64) {
        if self.asked.has(site, uri) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut worker = self.worker.lock();
        if worker
            .as_ref()
            .is_none_or(|(questions, _)| questions.is_closed())
        {
            let (questions, waiting) = mpsc::channel(WAITING_MAX);
            let task = runtime.spawn(answer(self.shared.clone(), waiting));
            *worker = Some((questions, task.abort_handle()));
        }
        let question = Question {
            site,
            uri: uri.clone(),
            size,
        };
        if let Some((questions, _)) = worker.as_ref()
            && questions.try_send(question).is_ok()
        {
            self.asked.note(site, uri);
        }
    }

    pub(super) fn end(&self) {
        if let Some((_, task)) = self.worker.lock().take() {
            task.abort();
        }
    }
}

async fn answer(shared: Weak<Shared>, waiting: mpsc::Receiver<Question>) {
    let questions = futures::stream::unfold(waiting, async |mut waiting| {
        let question = waiting.recv().await?;
        Some((question, waiting))
    });
    questions
        .for_each_concurrent(READS_AT_ONCE, |question| {
            let shared = shared.upgrade();
            async move {
                if let Some(shared) = shared {
                    let file = FileId::new(question.uri, Some(question.size));
                    let end = question.size.saturating_sub(END_BYTES)..question.size;
                    shared.look_at(question.site, &file, end).await;
                }
            }
        })
        .await;
}
