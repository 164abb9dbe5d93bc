//! A snapshot's manifest list: parsed, checked against the snapshot, kept as summaries.

use iceberg::spec::{FieldSummary, ManifestContentType, Snapshot};
use landfast_sites::{CanonicalUri, FileId};

use crate::avro::{Container, Cursor, Kind, Malformed, RecordPlan, Schema};
use crate::files::{ManifestListing, ManifestSummary};
use crate::metadata::document::Refusal;

/// Iceberg's field ids of a list's entries, for files that don't say them; the last three as v1 called them.
const MANIFEST: [(&str, i32); 19] = [
    ("manifest_path", 500),
    ("manifest_length", 501),
    ("partition_spec_id", 502),
    ("content", 517),
    ("sequence_number", 515),
    ("min_sequence_number", 516),
    ("added_snapshot_id", 503),
    ("added_files_count", 504),
    ("existing_files_count", 505),
    ("deleted_files_count", 506),
    ("added_rows_count", 512),
    ("existing_rows_count", 513),
    ("deleted_rows_count", 514),
    ("partitions", 507),
    ("key_metadata", 519),
    ("first_row_id", 520),
    ("added_data_files_count", 504),
    ("existing_data_files_count", 505),
    ("deleted_data_files_count", 506),
];

/// Iceberg's field ids of a partition field's summary.
const SUMMARY: [(&str, i32); 4] = [
    ("contains_null", 509),
    ("contains_nan", 518),
    ("lower_bound", 510),
    ("upper_bound", 511),
];

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
    /// It is whole, and can't be used: no other copy would be better.
    Refused(Refusal),
}

impl From<Malformed> for Mismatch {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(format!("it does not parse: {malformed}"))
    }
}

/// Parses a manifest list and checks that it is the snapshot's. A table's format version says nothing here: a v2 table
/// keeps the lists that it had as a v1 table.
pub(crate) fn parse(
    bytes: &[u8],
    snapshot: &Snapshot,
    fit: Fit,
) -> Result<ManifestListing, Mismatch> {
    let container = Container::open(bytes)?;
    let named = container.text("snapshot-id");
    if let Some(named) = named.and_then(|text| text.parse::<i64>().ok())
        && named != snapshot.snapshot_id()
    {
        return Err(Mismatch::Damaged(format!(
            "it is the manifest list of snapshot {named}, not of {}",
            snapshot.snapshot_id()
        )));
    }
    let reader = ListReader::new(&container)?;
    let mut listing = ManifestListing::default();
    container.blocks(|count, cursor| {
        for _ in 0..count {
            let manifest = reader.manifest(cursor)?;
            let of = match manifest.content {
                _ if manifest.files == Some(0) => &mut listing.emptied,
                ManifestContentType::Data => &mut listing.manifests,
                ManifestContentType::Deletes => &mut listing.deletes,
            };
            of.push(manifest);
        }
        Ok::<_, Mismatch>(())
    })?;
    if fit == Fit::Counted {
        check_count(&listing, snapshot)?;
    }
    listing.manifests.shrink_to_fit();
    Ok(listing)
}

fn check_count(listing: &ManifestListing, snapshot: &Snapshot) -> Result<(), Mismatch> {
    let summary = &snapshot.summary().additional_properties;
    let Some(total) = summary
        .get("total-data-files")
        .and_then(|text| text.parse::<u64>().ok())
    else {
        return Ok(());
    };
    let data = listing.manifests.iter().map(|manifest| manifest.files);
    let Some(live) = data.sum::<Option<u64>>() else {
        return Ok(());
    };
    if live == total {
        return Ok(());
    }
    Err(Mismatch::Count(format!(
        "it has {live} data files, and the snapshot's summary says {total}"
    )))
}

/// Reads the entries of one list.
#[derive(Debug)]
struct ListReader {
    manifest: RecordPlan,
    summary: RecordPlan,
}

impl ListReader {
    fn new(container: &Container<'_>) -> Result<Self, Malformed> {
        let record = container.schema.record();
        let record = record.ok_or("its schema is none of a manifest list")?;
        let manifest = RecordPlan::new(record, &MANIFEST);
        let summary = manifest.field(507).and_then(|schema| schema.items());
        let summary = summary.and_then(Schema::record).unwrap_or_default();
        Ok(Self {
            summary: RecordPlan::new(summary, &SUMMARY),
            manifest,
        })
    }

    fn manifest(&self, cursor: &mut Cursor<'_>) -> Result<ManifestSummary, Mismatch> {
        let mut manifest = ManifestSummary::new(FileId::new(CanonicalUri::new(""), None), 0);
        let (mut path, mut length, mut encrypted) = ("", None, false);
        for (id, schema) in &self.manifest.fields {
            let Some(schema) = cursor.present(schema)? else {
                continue;
            };
            let counts = &mut manifest.counts;
            match id {
                500 => path = cursor.text(schema)?,
                501 => length = Some(cursor.integer(schema)?),
                502 => manifest.spec_id = cursor.int(schema)?,
                503 => manifest.added_snapshot_id = cursor.integer(schema)?,
                504 => counts.added_files = u32::try_from(cursor.integer(schema)?).ok(),
                505 => counts.existing_files = u32::try_from(cursor.integer(schema)?).ok(),
                506 => counts.deleted_files = u32::try_from(cursor.integer(schema)?).ok(),
                512 => counts.added_rows = u64::try_from(cursor.integer(schema)?).ok(),
                513 => counts.existing_rows = u64::try_from(cursor.integer(schema)?).ok(),
                514 => counts.deleted_rows = u64::try_from(cursor.integer(schema)?).ok(),
                507 => manifest.partitions = Some(self.summaries(cursor, schema)?),
                515 => manifest.sequence_number = cursor.integer(schema)?,
                516 => manifest.min_sequence_number = cursor.integer(schema)?,
                517 => manifest.content = content(cursor.integer(schema)?)?,
                519 => encrypted = !cursor.blob(schema)?.is_empty(),
                520 => manifest.first_row_id = u64::try_from(cursor.integer(schema)?).ok(),
                _ => cursor.skip(schema)?,
            }
        }
        let counts = &manifest.counts;
        let files = |count: Option<u32>| count.map(u64::from);
        manifest.files = add(files(counts.added_files), files(counts.existing_files));
        manifest.rows = add(counts.added_rows, counts.existing_rows);
        if encrypted {
            let refusal = Refusal::Unsupported("its files are encrypted".into());
            return Err(Mismatch::Refused(refusal));
        }
        if path.is_empty() {
            return Err(Malformed::from("a manifest has no path").into());
        }
        let length = length.map(|length| {
            let negative = || format!("the manifest {path} has a negative length");
            u64::try_from(length).map_err(|_| Mismatch::Refused(Refusal::Invalid(negative())))
        });
        manifest.id = FileId::new(CanonicalUri::new(path), length.transpose()?);
        Ok(manifest)
    }

    fn summaries(
        &self,
        cursor: &mut Cursor<'_>,
        schema: &Schema,
    ) -> Result<Box<[FieldSummary]>, Malformed> {
        let Kind::Array(item) = &schema.kind else {
            return Err("a manifest's partitions are no list".into());
        };
        let mut summaries = Vec::new();
        loop {
            let count = cursor.block(item)?;
            if count == 0 {
                return Ok(summaries.into());
            }
            if item.is_empty() {
                return Err("a partition's summary says nothing".into());
            }
            for _ in 0..count {
                if cursor.present(item)?.is_some() {
                    summaries.push(self.field_summary(cursor)?);
                }
            }
        }
    }

    fn field_summary(&self, cursor: &mut Cursor<'_>) -> Result<FieldSummary, Malformed> {
        let mut summary = FieldSummary {
            // What isn't said may be.
            contains_null: true,
            ..FieldSummary::default()
        };
        for (id, schema) in &self.summary.fields {
            let Some(schema) = cursor.present(schema)? else {
                continue;
            };
            match id {
                509 => summary.contains_null = cursor.boolean(schema)?,
                518 => summary.contains_nan = Some(cursor.boolean(schema)?),
                510 => summary.lower_bound = Some(cursor.blob(schema)?.to_vec().into()),
                511 => summary.upper_bound = Some(cursor.blob(schema)?.to_vec().into()),
                _ => cursor.skip(schema)?,
            }
        }
        Ok(summary)
    }
}

fn content(code: i64) -> Result<ManifestContentType, Malformed> {
    match code {
        0 => Ok(ManifestContentType::Data),
        1 => Ok(ManifestContentType::Deletes),
        _ => Err("a manifest's content is neither data nor deletes".into()),
    }
}

fn add(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    left?.checked_add(right?)
}
