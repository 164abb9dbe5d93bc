//! `landfast.system.sites`, `.catalogs` and `.tables`.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::{StreamExt, stream};
use landfast_catalog::{CatalogError, Namespace, Reading, SnapshotFiles, TableName, TableSnapshot};
use landfast_planner::Access;
use landfast_sites::{HealthState, Holding, ReadLog, SiteId, SiteReads, Sites};

use super::columns::{
    counts, decimals, flags, lists, maybe_counts, maybe_numbers, maybe_texts, maybe_times, records,
    texts, timestamp,
};

/// Tables looked at at once.
const TABLES_AT_ONCE: usize = 16;
/// How long one table is waited for; a table that takes longer is listed with that as the reason.
const TABLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the first listing of a table's files is waited for; until then it is not known what a site holds.
const INVENTORY_TIMEOUT: Duration = Duration::from_secs(2);
/// Tables looked at for one query; the others are listed as not looked at.
pub(super) const TABLES_MAX: usize = 1_000;
/// Why a table was not looked at.
pub(super) const TOO_MANY: &str =
    "not looked at: the query asks for more than 1000 tables; name fewer in WHERE";
/// What the others hear of a failure.
const UNTOLD: &str = "it failed; how, is for who may read everything";
/// How old the pointers may be.
const POINTER_AGE_MAX: Duration = Duration::from_secs(60);

/// The shape of `sites`.
pub(super) fn sites_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("site", DataType::Utf8, false),
        Field::new("is_here", DataType::Boolean, false),
        Field::new("state", DataType::Utf8, false),
        Field::new("down_since", timestamp(), true),
        Field::new("last_error", DataType::Utf8, true),
        Field::new("latency_ms", DataType::Float64, false),
        Field::new("bandwidth_bytes_per_s", DataType::Int64, false),
        Field::new("usd_per_gib", DataType::Float64, false),
        Field::new("quarantined", DataType::Int64, false),
        Field::new("requests", DataType::Int64, false),
        Field::new("bytes", DataType::Int64, false),
        Field::new("fall_throughs", DataType::Int64, false),
    ]))
}

pub(super) fn sites(sites: &Sites, access: &Access) -> Result<RecordBatch, ArrowError> {
    let health = sites.health();
    let totals = sites.totals();
    let total = |id: &SiteId, value: fn(&SiteReads) -> u64| {
        totals
            .iter()
            .find(|reads| reads.site == *id)
            .map_or(0, value)
    };
    let link = |id: &SiteId| sites.link_to_reader(id);
    let columns = vec![
        texts(health.iter().map(|site| site.id.as_str())),
        flags(health.iter().map(|site| site.id == *sites.reader())),
        texts(health.iter().map(|site| match site.state {
            HealthState::Up => "up",
            HealthState::Suspect => "suspect",
            HealthState::Down { .. } => "down",
        })),
        maybe_times(health.iter().map(|site| match site.state {
            HealthState::Down { since } => {
                let since = since
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default();
                i64::try_from(since.as_micros()).ok()
            }
            HealthState::Up | HealthState::Suspect => None,
        })),
        maybe_texts(
            health
                .iter()
                .map(|site| told(site.last_error.as_deref(), access)),
        ),
        decimals(
            health
                .iter()
                .map(|site| link(&site.id).latency.as_secs_f64() * 1e3),
        ),
        counts(
            health
                .iter()
                .map(|site| link(&site.id).bandwidth_bytes_per_s),
        ),
        decimals(health.iter().map(|site| link(&site.id).usd_per_gib)),
        counts(health.iter().map(|site| site.quarantined as u64)),
        counts(
            health
                .iter()
                .map(|site| total(&site.id, SiteReads::requests)),
        ),
        counts(health.iter().map(|site| total(&site.id, SiteReads::bytes))),
        counts(
            health
                .iter()
                .map(|site| total(&site.id, SiteReads::fall_throughs)),
        ),
    ];
    RecordBatch::try_new(sites_schema(), columns)
}

/// What went wrong last, for who may read everything: a failure's own words may name anybody's tables and files.
fn told<'a>(error: Option<&'a str>, access: &Access) -> Option<&'a str> {
    error.map(|error| match access.reads_everything() {
        true => error,
        false => UNTOLD,
    })
}

/// The shape of `catalogs`.
pub(super) fn catalogs_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("state", DataType::Utf8, false),
        Field::new("last_error", DataType::Utf8, true),
    ]))
}

pub(super) fn catalogs(namespace: &Namespace, access: &Access) -> Result<RecordBatch, ArrowError> {
    let mut members = namespace.member_states();
    members.retain(|member| access.sees_catalog(&member.name));
    let columns = vec![
        texts(members.iter().map(|member| member.name.as_str())),
        texts(members.iter().map(|member| member.kind)),
        texts(members.iter().map(|member| member.status.as_str())),
        maybe_texts(
            members
                .iter()
                .map(|member| told(member.last_error.as_deref(), access)),
        ),
    ];
    RecordBatch::try_new(catalogs_schema(), columns)
}

fn coverage_list() -> DataType {
    records(vec![
        Field::new("site", DataType::Utf8, false),
        Field::new("files", DataType::Int64, false),
        Field::new("bytes", DataType::Int64, false),
    ])
}

/// The shape of `tables`. A list says for each mapped site what it is known to hold of the snapshot's data.
pub(super) fn tables_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog", DataType::Utf8, false),
        Field::new("schema", DataType::Utf8, false),
        Field::new("table", DataType::Utf8, false),
        Field::new("state", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, true),
        Field::new("location", DataType::Utf8, true),
        Field::new("snapshot_id", DataType::Int64, true),
        Field::new("committed_at", timestamp(), true),
        Field::new("files", DataType::Int64, true),
        Field::new("bytes", DataType::Int64, true),
        Field::new("rows", DataType::Int64, true),
        Field::new("coverage", coverage_list(), false),
    ]))
}

/// What is known of one table.
struct Row {
    name: TableName,
    /// Whether the asker may read no more than a part of it: then nothing is told of what is stored.
    limited: bool,
    table: Option<Arc<TableSnapshot>>,
    files: Option<FilesSum>,
    coverage: Vec<Coverage>,
    looked_at: bool,
    reason: Option<String>,
}

/// A snapshot's data files together.
struct FilesSum {
    count: u64,
    bytes: u64,
    rows: u64,
}

/// What a site holds of a snapshot's data.
struct Coverage {
    site: SiteId,
    files: u64,
    bytes: u64,
}

/// The rows of `tables` about these tables.
pub(super) async fn tables(
    namespace: &Arc<Namespace>,
    mut names: Vec<TableName>,
    access: &Access,
) -> Result<RecordBatch, ArrowError> {
    let beyond = names.split_off(names.len().min(TABLES_MAX));
    let looks: Vec<_> = names
        .into_iter()
        .map(|name| row(namespace, name, access))
        .collect();
    let mut rows: Vec<Row> = stream::iter(looks).buffered(TABLES_AT_ONCE).collect().await;
    rows.extend(beyond.into_iter().map(Row::of));
    let coverage: Vec<&Coverage> = rows.iter().flat_map(|row| &row.coverage).collect();
    let coverage_columns = vec![
        texts(coverage.iter().map(|part| part.site.as_str())),
        counts(coverage.iter().map(|part| part.files)),
        counts(coverage.iter().map(|part| part.bytes)),
    ];
    let table = |row: &Row| row.table.clone();
    let columns = vec![
        texts(rows.iter().map(|row| row.name.catalog.as_str())),
        texts(rows.iter().map(|row| row.name.schema.as_str())),
        texts(rows.iter().map(|row| row.name.table.as_str())),
        texts(rows.iter().map(|row| match &row.reason {
            _ if row.limited => "limited",
            _ if !row.looked_at => "unknown",
            None => "ok",
            Some(_) => "broken",
        })),
        maybe_texts(rows.iter().map(|row| row.reason.as_ref())),
        maybe_texts(
            rows.iter()
                .map(|row| table(row).map(|table| table.location.to_string())),
        ),
        maybe_numbers(rows.iter().map(|row| table(row)?.snapshot_id())),
        maybe_times(
            rows.iter()
                .map(|row| table(row)?.committed_at_ms()?.checked_mul(1_000)),
        ),
        maybe_counts(
            rows.iter()
                .map(|row| row.files.as_ref().map(|files| files.count)),
        ),
        maybe_counts(
            rows.iter()
                .map(|row| row.files.as_ref().map(|files| files.bytes)),
        ),
        maybe_counts(
            rows.iter()
                .map(|row| row.files.as_ref().map(|files| files.rows)),
        ),
        lists(
            &coverage_list(),
            rows.iter().map(|row| row.coverage.len()),
            coverage_columns,
        )?,
    ];
    RecordBatch::try_new(tables_schema(), columns)
}

impl Row {
    /// A table that was not looked at.
    fn of(name: TableName) -> Self {
        Self {
            name,
            limited: false,
            table: None,
            files: None,
            coverage: Vec::new(),
            looked_at: false,
            reason: Some(TOO_MANY.to_owned()),
        }
    }
}

async fn row(namespace: &Arc<Namespace>, name: TableName, access: &Access) -> Row {
    let whole = access.reads_whole(&name);
    let mut row = Row {
        looked_at: true,
        limited: !whole,
        reason: None,
        ..Row::of(name)
    };
    if !whole {
        return row;
    }
    let name = row.name.clone();
    match tokio::time::timeout(TABLE_TIMEOUT, look_at(namespace, &name, &mut row)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let error = match access.reads_everything() {
                true => error,
                false => error.without_members_words(),
            };
            row.reason = Some(error.to_string());
        }
        Err(_) => {
            row.reason = Some(format!(
                "it could not be read within {} s",
                TABLE_TIMEOUT.as_secs()
            ))
        }
    }
    row
}

async fn look_at(
    namespace: &Arc<Namespace>,
    name: &TableName,
    row: &mut Row,
) -> Result<(), CatalogError> {
    let log = ReadLog::new();
    let table = namespace
        .resolve(name, Reading::bounded(POINTER_AGE_MAX), &log)
        .await?;
    row.table = Some(table.clone());
    let files = namespace.files(&table, &log).await?;
    row.files = Some(FilesSum {
        count: files.count() as u64,
        bytes: files.bytes(),
        rows: files.rows(),
    });
    let sites = namespace.sites();
    sites.inventory().watch(&table.location);
    sites
        .inventory()
        .ready(&table.location, INVENTORY_TIMEOUT)
        .await;
    row.coverage = coverage(sites, &table, &files);
    Ok(())
}

/// What each site that is mapped for some of the files holds of them, as far as is known.
fn coverage(sites: &Sites, table: &TableSnapshot, files: &SnapshotFiles) -> Vec<Coverage> {
    sites
        .ids()
        .into_iter()
        .map(|site| {
            let held = files.files(&[]).filter(|file| {
                sites.inventory().holding(&site, &file.id, &table.location) == Holding::Held
            });
            let (files, bytes) = held.fold((0, 0), |(files, bytes), file| {
                (files + 1, bytes + file.id.size.unwrap_or(0))
            });
            Coverage { site, files, bytes }
        })
        .filter(|part| part.files > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use landfast_catalog::{CatalogName, MemberKind, MemberSpec, NamespaceSpec, SqlSpec};
    use landfast_planner::{AccessPolicy, Asker, Groups, Role};
    use landfast_sites::{
        FileSpec, Holdings, MappingSpec, SiteSpec, SitesSpec, StoreSpec, Timeouts,
    };

    use super::*;
    use crate::config::parse_policy;

    fn here(root: &std::path::Path) -> Arc<Sites> {
        let id = SiteId::new("here").unwrap();
        let site = SiteSpec {
            id: id.clone(),
            store: StoreSpec::File(FileSpec {
                root: root.to_path_buf(),
            }),
            mappings: vec![MappingSpec {
                prefix: "gs://lake/".into(),
                at: None,
                origin: true,
            }],
            holdings: Holdings::AssumeAll,
            simulated: None,
            timeouts: Timeouts::default(),
        };
        Sites::new(SitesSpec {
            sites: vec![site],
            links: vec![],
            reader: id,
        })
        .unwrap()
    }

    #[tokio::test]
    async fn what_a_failure_said_is_for_who_may_read_everything() {
        let dir = tempfile::tempdir().unwrap();
        let member = MemberSpec {
            name: CatalogName::new("lake").unwrap(),
            kind: MemberKind::Sql(SqlSpec {
                url: format!("sqlite://{}/no/catalog.db", dir.path().display()).into(),
                catalog_name: "lake".into(),
                create_tables: false,
            }),
            timeout: Duration::from_secs(30),
        };
        let spec = NamespaceSpec::new(vec![member]);
        let namespace = Namespace::new(spec, here(dir.path())).unwrap();
        namespace.listing().await;
        let asker = Asker {
            principal: "bob".into(),
            groups: Groups::default(),
            role: Role::Reader,
            session: None,
        };
        let one = "[[grant]]\nto = [\"user:bob\"]\non = [\"lake.shop.orders\"]\n";
        let one = parse_policy(one, None).unwrap().access(&asker);
        let all = AccessPolicy::of_roles().access(&asker);
        let text = |batch: &RecordBatch, column: &str| {
            let column = batch.column_by_name(column).unwrap();
            column.as_string::<i32>().value(0).to_owned()
        };
        let said = text(&catalogs(&namespace, &all).unwrap(), "last_error");
        let heard = text(&catalogs(&namespace, &one).unwrap(), "last_error");
        assert!(!said.is_empty() && said != heard, "{said}");
        assert_eq!(heard, UNTOLD);
        let orders = || {
            let (catalog, schema) = ("lake".parse().unwrap(), "shop".parse().unwrap());
            vec![TableName::new(catalog, schema, "orders").unwrap()]
        };
        let reason = async |access: &Access| {
            let batch = tables(&namespace, orders(), access).await.unwrap();
            text(&batch, "reason")
        };
        assert!(reason(&all).await.contains(&said));
        assert!(!reason(&one).await.contains(&said));
        // Of sites the same is said.
        let failed = Some("gs://lake/secret: refused");
        assert_eq!(told(failed, &all), failed);
        assert_eq!((told(failed, &one), told(None, &one)), (Some(UNTOLD), None));
    }
}
