//! `landfast.system.queries`, `.last_query` and `.query_reads`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use landfast_planner::{Access, Asker};
use landfast_sites::{ReadClass, SiteReads, Sites};

use super::columns::{
    counts, decimals, flags, lists, maybe_millis, maybe_numbers, maybe_texts, maybe_times, records,
    texts, timestamp,
};
use crate::queries::{QueryKind, QueryRecord, QueryRegistry, QuerySnapshot};

fn snapshot_list() -> DataType {
    records(vec![
        Field::new("table", DataType::Utf8, false),
        Field::new("snapshot_id", DataType::Int64, true),
        Field::new("committed_at", timestamp(), true),
        Field::new("pointer_age_ms", DataType::Int64, false),
        Field::new("stale", DataType::Boolean, false),
    ])
}

/// The shape of `queries` and `last_query`.
pub(super) fn queries_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("query_id", DataType::Utf8, false),
        Field::new("principal", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("statement", DataType::Utf8, false),
        Field::new("state", DataType::Utf8, false),
        Field::new("received_at", timestamp(), true),
        Field::new("ended_at", timestamp(), true),
        Field::new("planning_ms", DataType::Float64, true),
        Field::new("running_ms", DataType::Float64, true),
        Field::new("rows", DataType::Int64, false),
        Field::new("sent_bytes", DataType::Int64, false),
        Field::new("affected", DataType::Int64, true),
        Field::new("snapshots", snapshot_list(), false),
        Field::new("read_bytes", DataType::Int64, false),
        Field::new("usd", DataType::Float64, false),
        Field::new("data_cache_hits", DataType::Int64, false),
        Field::new("data_cache_bytes", DataType::Int64, false),
        Field::new("metadata_cache_hits", DataType::Int64, false),
        Field::new("metadata_cache_bytes", DataType::Int64, false),
        Field::new("error_kind", DataType::Utf8, true),
        Field::new("error", DataType::Utf8, true),
    ]))
}

/// The shape of `query_reads`.
pub(super) fn reads_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("query_id", DataType::Utf8, false),
        Field::new("site", DataType::Utf8, false),
        Field::new("requests", DataType::Int64, false),
        Field::new("bytes", DataType::Int64, false),
        Field::new("fall_throughs", DataType::Int64, false),
        Field::new("usd", DataType::Float64, false),
        Field::new("data_requests", DataType::Int64, false),
        Field::new("data_bytes", DataType::Int64, false),
        Field::new("data_first_byte_ms", DataType::Float64, true),
        Field::new("metadata_requests", DataType::Int64, false),
        Field::new("metadata_bytes", DataType::Int64, false),
        Field::new("metadata_first_byte_ms", DataType::Float64, true),
    ]))
}

/// The queries that the asker may see.
fn visible(registry: &QueryRegistry, access: &Access) -> Vec<QueryRecord> {
    registry.list(|record| access.sees_queries_of(&record.principal))
}

pub(super) fn queries(
    registry: &QueryRegistry,
    access: &Access,
) -> Result<RecordBatch, ArrowError> {
    batch(&visible(registry, access), registry.sites())
}

/// The query before this one in the asker's session; nothing where there is no session.
pub(super) fn last_query(
    registry: &QueryRegistry,
    asker: &Asker,
) -> Result<RecordBatch, ArrowError> {
    let last = asker
        .session
        .as_deref()
        .and_then(|session| registry.last_in_session(session));
    let own = last.filter(|record| *record.principal == *asker.principal);
    batch(own.as_slice(), registry.sites())
}

fn batch(records: &[QueryRecord], sites: &Sites) -> Result<RecordBatch, ArrowError> {
    let reads: Vec<Vec<SiteReads>> = records.iter().map(QueryRecord::site_reads).collect();
    let snapshots: Vec<&QuerySnapshot> = records
        .iter()
        .flat_map(|record| &record.snapshots)
        .collect();
    let snapshot_columns = vec![
        texts(snapshots.iter().map(|snapshot| &snapshot.table)),
        maybe_numbers(snapshots.iter().map(|snapshot| snapshot.snapshot_id)),
        maybe_times(
            snapshots
                .iter()
                .map(|snapshot| snapshot.committed_at_ms?.checked_mul(1_000)),
        ),
        counts(snapshots.iter().map(|snapshot| snapshot.pointer_age_ms)),
        flags(snapshots.iter().map(|snapshot| snapshot.stale)),
    ];
    let cache = |class: ReadClass| records.iter().map(move |record| record.cache_hits(class));
    let columns = vec![
        texts(records.iter().map(|record| record.id.to_string())),
        texts(records.iter().map(|record| &record.principal)),
        texts(records.iter().map(|record| match record.kind {
            QueryKind::Query => "query",
            QueryKind::Command => "command",
        })),
        texts(records.iter().map(|record| &record.statement)),
        texts(records.iter().map(|record| record.state.label())),
        maybe_times(records.iter().map(|record| Some(record.received_at_us()))),
        maybe_times(records.iter().map(QueryRecord::ended_at_us)),
        maybe_millis(records.iter().map(|record| record.planning)),
        maybe_millis(records.iter().map(|record| record.running)),
        counts(records.iter().map(|record| record.rows)),
        counts(records.iter().map(|record| record.sent_bytes)),
        maybe_numbers(records.iter().map(|record| record.affected)),
        lists(
            &snapshot_list(),
            records.iter().map(|record| record.snapshots.len()),
            snapshot_columns,
        )?,
        counts(
            reads
                .iter()
                .map(|reads| reads.iter().map(SiteReads::bytes).sum()),
        ),
        decimals(reads.iter().map(|reads| sites.cost_usd(reads))),
        counts(cache(ReadClass::Data).map(|hits| hits.hits)),
        counts(cache(ReadClass::Data).map(|hits| hits.bytes)),
        counts(cache(ReadClass::Metadata).map(|hits| hits.hits)),
        counts(cache(ReadClass::Metadata).map(|hits| hits.bytes)),
        maybe_texts(
            records
                .iter()
                .map(|record| record.error.as_ref().map(|error| error.kind)),
        ),
        maybe_texts(
            records
                .iter()
                .map(|record| record.error.as_ref().map(|error| &error.text)),
        ),
    ];
    RecordBatch::try_new(queries_schema(), columns)
}

pub(super) fn reads(registry: &QueryRegistry, access: &Access) -> Result<RecordBatch, ArrowError> {
    let records = visible(registry, access);
    let rows: Vec<(String, SiteReads)> = records
        .iter()
        .flat_map(|record| {
            record
                .site_reads()
                .into_iter()
                .map(|reads| (record.id.to_string(), reads))
        })
        .collect();
    let of = |value: fn(&SiteReads) -> u64| counts(rows.iter().map(move |(_, reads)| value(reads)));
    let columns = vec![
        texts(rows.iter().map(|(id, _)| id)),
        texts(rows.iter().map(|(_, reads)| reads.site.as_str())),
        of(SiteReads::requests),
        of(SiteReads::bytes),
        of(SiteReads::fall_throughs),
        decimals(
            rows.iter()
                .map(|(_, reads)| registry.sites().cost_usd(std::slice::from_ref(reads))),
        ),
        of(|reads| reads.data.requests),
        of(|reads| reads.data.bytes),
        maybe_millis(rows.iter().map(|(_, reads)| reads.data.first_byte)),
        of(|reads| reads.metadata.requests),
        of(|reads| reads.metadata.bytes),
        maybe_millis(rows.iter().map(|(_, reads)| reads.metadata.first_byte)),
    ];
    RecordBatch::try_new(reads_schema(), columns)
}
