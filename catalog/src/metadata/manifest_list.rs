//! A snapshot's manifest list: parsed, checked against the snapshot, kept as summaries.

use iceberg::spec::{FormatVersion, ManifestContentType, ManifestFile, ManifestList, Snapshot};
use landfast_sites::{CanonicalUri, FileId};

use crate::files::{ManifestCounts, ManifestListing, ManifestSummary};
use crate::metadata::avro_header;
use crate::metadata::document::Refusal;

/// How closely a list must fit its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It has as many files as the snapshot's summary says, so that a copy cut off between two blocks is noticed.
    Counted,
    /// It says that it is this snapshot's. Summaries have been written wrong: a list of record is believed.
    Named,
}

/// Why a copy of a list isn't taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// It isn't whole, or is another snapshot's.
    Damaged(String),
    /// Its files are not as many as the summary says.
    Count(String),
}

/// Parses a manifest list and checks that it is the snapshot's.
pub(crate) fn parse(
    bytes: &[u8],
    snapshot: &Snapshot,
    fit: Fit,
) -> Result<Vec<ManifestFile>, Mismatch> {
    let header = avro_header::read(bytes).map_err(Mismatch::Damaged)?;
    let text = |key: &str| {
        header
            .get(key)
            .and_then(|value| std::str::from_utf8(value).ok())
    };
    if let Some(named) = text("snapshot-id").and_then(|text| text.parse::<i64>().ok())
        && named != snapshot.snapshot_id()
    {
        return Err(Mismatch::Damaged(format!(
            "it is the manifest list of snapshot {named}, not of {}",
            snapshot.snapshot_id()
        )));
    }
    // A table's version says nothing here: a v2 table keeps the lists that it had as a v1 table.
    let version = match text("format-version") {
        Some("1") => FormatVersion::V1,
        Some(_) => FormatVersion::V2,
        None if text("avro.schema")
            .is_some_and(|schema| schema.contains("\"min_sequence_number\"")) =>
        {
            FormatVersion::V2
        }
        None => FormatVersion::V1,
    };
    let list = ManifestList::parse_with_version(bytes, version)
        .map_err(|error| Mismatch::Damaged(format!("it does not parse: {error}")))?;
    let manifests: Vec<ManifestFile> = list.consume_entries().into_iter().collect();
    if fit == Fit::Counted {
        check_count(&manifests, snapshot)?;
    }
    Ok(manifests)
}

fn check_count(manifests: &[ManifestFile], snapshot: &Snapshot) -> Result<(), Mismatch> {
    let summary = &snapshot.summary().additional_properties;
    let Some(total) = summary
        .get("total-data-files")
        .and_then(|text| text.parse::<u64>().ok())
    else {
        return Ok(());
    };
    let data = manifests
        .iter()
        .filter(|manifest| manifest.content == ManifestContentType::Data);
    let Some(live) = data.map(live_files).sum::<Option<u64>>() else {
        return Ok(());
    };
    if live == total {
        return Ok(());
    }
    Err(Mismatch::Count(format!(
        "it has {live} data files, and the snapshot's summary says {total}"
    )))
}

/// Keeps what planning needs of the manifests that have live files.
pub(crate) fn convert(manifests: Vec<ManifestFile>) -> Result<ManifestListing, Refusal> {
    let mut listing = ManifestListing::default();
    for manifest in manifests {
        if live_files(&manifest) == Some(0) {
            continue;
        }
        if manifest.key_metadata.is_some() {
            return Err(Refusal::Unsupported("its files are encrypted".into()));
        }
        let length = u64::try_from(manifest.manifest_length).map_err(|_| {
            Refusal::Invalid(format!(
                "the manifest {} has a negative length",
                manifest.manifest_path
            ))
        })?;
        let of = match manifest.content {
            ManifestContentType::Data => &mut listing.manifests,
            ManifestContentType::Deletes => &mut listing.deletes,
        };
        of.push(ManifestSummary {
            content: manifest.content,
            spec_id: manifest.partition_spec_id,
            sequence_number: manifest.sequence_number,
            min_sequence_number: manifest.min_sequence_number,
            first_row_id: manifest.first_row_id,
            counts: ManifestCounts {
                added_files: manifest.added_files_count,
                existing_files: manifest.existing_files_count,
                deleted_files: manifest.deleted_files_count,
                added_rows: manifest.added_rows_count,
                existing_rows: manifest.existing_rows_count,
                deleted_rows: manifest.deleted_rows_count,
            },
            added_snapshot_id: manifest.added_snapshot_id,
            files: live_files(&manifest),
            rows: add(manifest.added_rows_count, manifest.existing_rows_count),
            id: FileId::new(CanonicalUri::new(manifest.manifest_path), Some(length)),
            partitions: manifest.partitions.map(Vec::into_boxed_slice),
        });
    }
    Ok(listing)
}

fn live_files(manifest: &ManifestFile) -> Option<u64> {
    add(
        manifest.added_files_count.map(u64::from),
        manifest.existing_files_count.map(u64::from),
    )
}

fn add(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    left?.checked_add(right?)
}
