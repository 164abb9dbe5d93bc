//! The thread that writes lines, and the file it writes to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use super::{AuditTarget, OnFailure, Shared};

/// How long after a failure writing is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Lines written at once, at most about so many bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A line, without its end.
    Line(String),
    /// Open the file anew.
    Reopen,
    /// Answer when all before is written.
    Flush(Sender<()>),
}

/// Writes lines in the order in which they were made.
#[derive(Debug)]
pub(super) struct Writer {
    target: Target,
    messages: Receiver<Message>,
    shared: Arc<Shared>,
    on_failure: OnFailure,
}

impl Writer {
    pub(super) fn new(
        target: Target,
        messages: Receiver<Message>,
        shared: Arc<Shared>,
        on_failure: OnFailure,
    ) -> Self {
        Self {
            target,
            messages,
            shared,
            on_failure,
        }
    }

    /// Until nobody is left who could make a line.
    pub(super) fn run(mut self) {
        let (mut batch, mut lines) = (Vec::new(), 0);
        while let Ok(first) = self.messages.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => {
                        batch.extend_from_slice(line.as_bytes());
                        batch.push(b'\n');
                        lines += 1;
                    }
                    Message::Reopen => {
                        self.write(&mut batch, &mut lines);
                        self.target.reopen();
                    }
                    Message::Flush(done) => {
                        self.write(&mut batch, &mut lines);
                        // Whoever waited may have given up.
                        let _gone = done.send(());
                    }
                }
                if batch.len() >= BATCH_BYTES {
                    break;
                }
                next = self.messages.try_recv().ok();
            }
            self.write(&mut batch, &mut lines);
        }
    }

    fn write(&mut self, batch: &mut Vec<u8>, lines: &mut usize) {
        if *lines == 0 {
            return;
        }
        loop {
            let written = self.target.write(batch);
            let failed = written.is_err();
            let failed_before = self.shared.failing.swap(failed, Ordering::Relaxed);
            match written {
                Ok(()) => {
                    if failed_before {
                        tracing::info!(target: "landfast::audit", "the audit log is written again");
                    }
                    self.shared
                        .written
                        .fetch_add(*lines as u64, Ordering::Relaxed);
                    break;
                }
                Err(error) => {
                    if !failed_before {
                        let refused = self.on_failure == OnFailure::Refuse;
                        tracing::error!(target: "landfast::audit", %error, requests_refused = refused, "the audit log can't be written");
                    }
                    if self.on_failure == OnFailure::Drop
                        || self.shared.closing.load(Ordering::Relaxed)
                    {
                        self.shared
                            .dropped
                            .fetch_add(*lines as u64, Ordering::Relaxed);
                        break;
                    }
                    std::thread::park_timeout(RETRY);
                }
            }
        }
        self.shared.waiting.fetch_sub(*lines, Ordering::Relaxed);
        batch.clear();
        *lines = 0;
    }
}

/// What is written to.
#[derive(Debug)]
pub(super) enum Target {
    Stdout,
    File { path: PathBuf, open: Option<Open> },
}

/// A file that is open, and what tells whether its path still leads to it.
#[derive(Debug)]
pub(super) struct Open {
    file: File,
    identity: Option<Identity>,
}

type Identity = (u64, u64);

impl Target {
    /// Opens it.
    pub(super) fn open(target: &AuditTarget) -> io::Result<Self> {
        Ok(match target {
            AuditTarget::Stdout => Self::Stdout,
            AuditTarget::File(path) => Self::File {
                path: path.clone(),
                open: Some(open(path)?),
            },
        })
    }

    fn reopen(&mut self) {
        if let Self::File { open, .. } = self {
            *open = None;
        }
    }

    /// Writes all of it or, where the file lets us, nothing.
    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(batch)?;
                out.flush()
            }
            Self::File { path, open: slot } => {
                // Whoever rotates logs moves the file away, and the next line begins a new one.
                let opened = match slot.take() {
                    Some(kept) if kept.identity.is_some() && kept.identity == identity(path) => {
                        kept
                    }
                    Some(_) | None => open(path)?,
                };
                let mut file = &opened.file;
                let before = file.metadata()?;
                let written = file.write_all(batch);
                match &written {
                    Ok(()) => *slot = Some(opened),
                    // What was written of it would be repeated, or be half a line.
                    Err(_) if before.is_file() => drop(file.set_len(before.len())),
                    Err(_) => {}
                }
                written
            }
        }
    }
}

fn open(path: &Path) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    Ok(Open {
        file,
        identity: identity(path),
    })
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Elsewhere an open file can't be moved away.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    path.exists().then_some((0, 0))
}
