//! Entries of a manifest as they lie in the file.

use iceberg::spec::ManifestStatus;

use super::partition::PartitionReader;
use crate::avro::{Container, Cursor, Malformed, RecordPlan, Schema, counts, values};

/// Iceberg's field ids of a manifest entry, for files that don't say them.
const ENTRY: [(&str, i32); 5] = [
    ("status", 0),
    ("snapshot_id", 1),
    ("data_file", 2),
    ("sequence_number", 3),
    ("file_sequence_number", 4),
];

/// Iceberg's field ids of a data file.
const FILE: [(&str, i32); 20] = [
    ("content", 134),
    ("file_path", 100),
    ("file_format", 101),
    ("partition", 102),
    ("record_count", 103),
    ("file_size_in_bytes", 104),
    ("column_sizes", 108),
    ("value_counts", 109),
    ("null_value_counts", 110),
    ("nan_value_counts", 137),
    ("lower_bounds", 125),
    ("upper_bounds", 128),
    ("key_metadata", 131),
    ("split_offsets", 132),
    ("equality_ids", 135),
    ("sort_order_id", 140),
    ("first_row_id", 142),
    ("referenced_data_file", 143),
    ("content_offset", 144),
    ("content_size_in_bytes", 145),
];

/// One entry, whose texts and bytes lie in the block that it was read from. Nothing is inherited yet.
#[derive(Debug, Default)]
pub(super) struct RawEntry<'a> {
    pub(super) status: Option<ManifestStatus>,
    pub(super) snapshot_id: Option<i64>,
    pub(super) sequence_number: Option<i64>,
    pub(super) file_sequence_number: Option<i64>,
    /// 0 data, 1 position deletes, 2 equality deletes.
    pub(super) content: i32,
    pub(super) path: &'a str,
    pub(super) format: &'a str,
    /// The partition tuple as it is encoded.
    pub(super) partition: &'a [u8],
    pub(super) rows: u64,
    pub(super) size: u64,
    pub(super) column_sizes: Vec<(i32, u64)>,
    pub(super) value_counts: Vec<(i32, u64)>,
    pub(super) null_counts: Vec<(i32, u64)>,
    pub(super) nan_counts: Vec<(i32, u64)>,
    pub(super) lower_bounds: Vec<(i32, &'a [u8])>,
    pub(super) upper_bounds: Vec<(i32, &'a [u8])>,
    pub(super) key_metadata: Option<&'a [u8]>,
    pub(super) has_split_offsets: bool,
    pub(super) split_offsets: Vec<i64>,
    pub(super) has_equality_ids: bool,
    pub(super) equality_ids: Vec<i64>,
    pub(super) sort_order_id: Option<i32>,
    pub(super) first_row_id: Option<i64>,
    pub(super) referenced_data_file: Option<&'a str>,
    pub(super) content_offset: Option<i64>,
    pub(super) content_size: Option<i64>,
}

impl RawEntry<'_> {
    pub(super) fn is_live(&self) -> bool {
        self.status != Some(ManifestStatus::Deleted)
    }

    fn clear(&mut self) {
        let Self {
            status,
            snapshot_id,
            sequence_number,
            file_sequence_number,
            content,
            path,
            format,
            partition,
            rows,
            size,
            column_sizes,
            value_counts,
            null_counts,
            nan_counts,
            lower_bounds,
            upper_bounds,
            key_metadata,
            has_split_offsets,
            split_offsets,
            has_equality_ids,
            equality_ids,
            sort_order_id,
            first_row_id,
            referenced_data_file,
            content_offset,
            content_size,
        } = self;
        *status = None;
        for number in [
            snapshot_id,
            sequence_number,
            file_sequence_number,
            first_row_id,
            content_offset,
            content_size,
        ] {
            *number = None;
        }
        *content = 0;
        (*path, *format, *partition) = ("", "", &[]);
        (*rows, *size) = (0, 0);
        for counts in [column_sizes, value_counts, null_counts, nan_counts] {
            counts.clear();
        }
        lower_bounds.clear();
        upper_bounds.clear();
        *key_metadata = None;
        (*has_split_offsets, *has_equality_ids) = (false, false);
        split_offsets.clear();
        equality_ids.clear();
        *sort_order_id = None;
        *referenced_data_file = None;
    }
}

/// Reads the entries of one manifest.
#[derive(Debug)]
pub(super) struct EntryReader {
    entry: RecordPlan,
    file: RecordPlan,
    /// How partition tuples are read.
    pub(super) partitions: PartitionReader,
}

impl EntryReader {
    pub(super) fn new(container: &Container<'_>) -> Result<Self, Malformed> {
        let none = "its schema is none of a manifest";
        let entry = RecordPlan::new(container.schema.record().ok_or(none)?, &ENTRY);
        let file = entry.field(2).and_then(|schema| schema.record());
        let file = RecordPlan::new(file.ok_or(none)?, &FILE);
        let partition = file.field(102).and_then(|schema| schema.record());
        let partitions = PartitionReader::new(
            partition.unwrap_or_default(),
            container.text("partition-spec"),
        );
        Ok(Self {
            entry,
            file,
            partitions,
        })
    }

    /// Gives each entry to `each`.
    pub(super) fn entries<E: From<Malformed>>(
        &self,
        container: &Container<'_>,
        mut each: impl FnMut(&RawEntry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        container.blocks(|count, cursor| {
            let mut raw = RawEntry::default();
            for _ in 0..count {
                raw.clear();
                self.read(cursor, &mut raw)?;
                each(&raw)?;
            }
            Ok(())
        })
    }

    fn read<'a>(&self, cursor: &mut Cursor<'a>, raw: &mut RawEntry<'a>) -> Result<(), Malformed> {
        let mut has_file = false;
        for (id, schema) in &self.entry.fields {
            let Some(schema) = cursor.present(schema)? else {
                continue;
            };
            match id {
                0 => raw.status = Some(status(cursor.integer(schema)?)?),
                1 => raw.snapshot_id = Some(cursor.integer(schema)?),
                2 => {
                    has_file = true;
                    self.read_file(cursor, raw)?;
                }
                3 => raw.sequence_number = Some(cursor.integer(schema)?),
                4 => raw.file_sequence_number = Some(cursor.integer(schema)?),
                _ => cursor.skip(schema)?,
            }
        }
        if raw.status.is_none() || !has_file || raw.path.is_empty() {
            return Err("an entry lacks its status or its file".into());
        }
        Ok(())
    }

    fn read_file<'a>(
        &self,
        cursor: &mut Cursor<'a>,
        raw: &mut RawEntry<'a>,
    ) -> Result<(), Malformed> {
        let mut required = 0;
        for (id, schema) in &self.file.fields {
            let Some(schema) = cursor.present(schema)? else {
                continue;
            };
            match id {
                134 => raw.content = cursor.int(schema)?,
                100 => raw.path = cursor.text(schema)?,
                101 => raw.format = cursor.text(schema)?,
                102 => {
                    let before = cursor.rest();
                    cursor.skip(schema)?;
                    raw.partition = &before[..before.len() - cursor.rest().len()];
                }
                103 => {
                    raw.rows = count(cursor, schema)?;
                    required += 1;
                }
                104 => {
                    raw.size = count(cursor, schema)?;
                    required += 1;
                }
                108 => counts(cursor, schema, &mut raw.column_sizes)?,
                109 => counts(cursor, schema, &mut raw.value_counts)?,
                110 => counts(cursor, schema, &mut raw.null_counts)?,
                137 => counts(cursor, schema, &mut raw.nan_counts)?,
                125 => values(cursor, schema, &mut raw.lower_bounds)?,
                128 => values(cursor, schema, &mut raw.upper_bounds)?,
                131 => raw.key_metadata = Some(cursor.blob(schema)?),
                132 => {
                    raw.has_split_offsets = true;
                    cursor.integers(schema, &mut raw.split_offsets)?;
                }
                135 => {
                    raw.has_equality_ids = true;
                    cursor.integers(schema, &mut raw.equality_ids)?;
                }
                140 => raw.sort_order_id = Some(cursor.int(schema)?),
                142 => raw.first_row_id = Some(cursor.integer(schema)?),
                143 => raw.referenced_data_file = Some(cursor.text(schema)?),
                144 => raw.content_offset = Some(cursor.integer(schema)?),
                145 => raw.content_size = Some(cursor.integer(schema)?),
                _ => cursor.skip(schema)?,
            }
        }
        if required < 2 {
            return Err("a file's rows or length are not said".into());
        }
        Ok(())
    }
}

fn count(cursor: &mut Cursor<'_>, schema: &Schema) -> Result<u64, Malformed> {
    u64::try_from(cursor.integer(schema)?)
        .map_err(|_| "a file's rows or length are negative".into())
}

fn status(code: i64) -> Result<ManifestStatus, Malformed> {
    match code {
        0 => Ok(ManifestStatus::Existing),
        1 => Ok(ManifestStatus::Added),
        2 => Ok(ManifestStatus::Deleted),
        _ => Err("an entry's status is none of 0, 1 and 2".into()),
    }
}
