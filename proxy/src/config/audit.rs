//! `[audit]`: where the audit log goes, and what happens when it can't.

use std::path::Path;

use crate::audit::{AuditSpec, AuditTarget, OnFailure};

use super::error::{KeyPath, Problem};
use super::raw_access::{RawAudit, RawOnFailure};

/// The name that means standard output.
const STDOUT: &str = "stdout";

pub(super) fn audit(
    raw: Option<&RawAudit>,
    at: &KeyPath,
    base: &Path,
) -> Result<Option<AuditSpec>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    if raw.file.as_os_str().is_empty() {
        return Err(at.key("file").problem("is empty; name a file, or `stdout`"));
    }
    if raw.queue_lines == 0 {
        return Err(at.key("queue_lines").problem("must be at least 1"));
    }
    Ok(Some(AuditSpec {
        target: if raw.file == Path::new(STDOUT) {
            AuditTarget::Stdout
        } else {
            AuditTarget::File(base.join(&raw.file))
        },
        redact_literals: raw.redact_literals,
        on_failure: match raw.on_failure {
            RawOnFailure::Refuse => OnFailure::Refuse,
            RawOnFailure::Drop => OnFailure::Drop,
        },
        queue_lines: raw.queue_lines,
    }))
}
