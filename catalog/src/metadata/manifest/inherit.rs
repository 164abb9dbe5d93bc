//! What entries inherit from their manifest: Iceberg's specification, "Sequence Number Inheritance" and "First Row ID
//! Inheritance".

use iceberg::spec::ManifestStatus;

use super::raw::RawEntry;
use crate::files::ManifestSummary;
use crate::metadata::document::Refusal;

/// Inheritance within one manifest, entry by entry in their order.
#[derive(Debug)]
pub(super) struct Inheritance<'a> {
    manifest: &'a ManifestSummary,
    next_row_id: Option<u64>,
}

impl<'a> Inheritance<'a> {
    pub(super) fn new(manifest: &'a ManifestSummary) -> Self {
        Self {
            manifest,
            next_row_id: manifest.first_row_id,
        }
    }

    /// The entry's own number, or the manifest's where it may be inherited: by added files, and by all from before v2.
    pub(super) fn sequence_number(&self, entry: &RawEntry<'_>, own: Option<i64>) -> Option<i64> {
        let may_inherit =
            entry.status == Some(ManifestStatus::Added) || self.manifest.sequence_number == 0;
        own.or_else(|| may_inherit.then_some(self.manifest.sequence_number))
    }

    /// As [`Inheritance::sequence_number`] of data, which every live entry must have.
    pub(super) fn data_sequence_number(&self, entry: &RawEntry<'_>) -> Result<i64, Refusal> {
        self.sequence_number(entry, entry.sequence_number)
            .ok_or_else(|| {
                Refusal::Invalid(format!(
                    "{} has no sequence number and may not inherit one",
                    entry.path
                ))
            })
    }

    /// The row id of the entry's first row. To be asked of every entry in its turn: each live one without an id of its
    /// own takes as many ids as it has rows.
    pub(super) fn first_row_id(&mut self, entry: &RawEntry<'_>) -> Option<u64> {
        if let Some(own) = entry.first_row_id {
            return u64::try_from(own).ok();
        }
        if !entry.is_live() {
            return None;
        }
        let first = self.next_row_id?;
        self.next_row_id = first.checked_add(entry.rows);
        Some(first)
    }
}
