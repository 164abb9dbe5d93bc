//! Tables to plan over: manifests of files that need not exist, with metrics of 16 columns each.
//!
//! The column of the benchmark's predicate, `c03`, is not partitioned, and its bounds don't follow the order of the
//! manifests: every manifest spans the whole range, so that only entries can be left out.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use futures::executor::block_on;
use iceberg::TableIdent;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, ManifestFile,
    ManifestWriterBuilder, NestedField, Operation, PrimitiveType, Schema, SchemaRef, TableMetadata,
    Type,
};
use iceberg::table::StaticTable;

use super::{Place, avro, commit, empty, mix, snapshot_id};

/// How far apart two files begin in the predicate's column; each spans half as much again.
pub(crate) const STEP: i64 = 1_000;

/// The column of the predicate, and its place among the columns.
const SELECTIVE: usize = 3;

const ROWS: u64 = 250_000;

/// What to write, and where.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) to: PathBuf,
    pub(crate) files: u64,
    /// Entries of one manifest.
    pub(crate) entries: u64,
    pub(crate) threads: usize,
}

/// Writes the table and gives its metadata's URI.
pub(crate) fn write(request: &Request) -> anyhow::Result<String> {
    let place = Place::create(&request.to)?;
    let metadata = empty(&place, schema()?)?;
    let id = snapshot_id(request.files);
    let manifests = manifests(request, &place, &metadata, id)?;
    block_on(commit(metadata, &place, id, Operation::Append, manifests))
}

/// A table whose manifests are those of `from`, each linked under `copies` names: as many times the entries, at no cost
/// of disk. A reader that knows manifests by their path parses and keeps each of them.
pub(crate) async fn repeat(
    from: &str,
    to: &std::path::Path,
    copies: usize,
) -> anyhow::Result<String> {
    let io = FileIO::new_with_fs();
    let name = TableIdent::from_strs(["bench", "once"])?;
    let table = StaticTable::from_metadata_file(from, name, io)
        .await?
        .into_table();
    let snapshot = table
        .metadata()
        .current_snapshot()
        .context("the table is empty")?;
    let list = table.manifest_list_reader(snapshot).load().await?;
    let place = Place::create(to)?;
    let id = snapshot_id(copies as u64);
    let mut manifests = Vec::new();
    for copy in 0..copies {
        for (number, once) in list.entries().iter().enumerate() {
            let relative = format!("metadata/{copy:03}-m{number}.avro");
            let source = once.manifest_path.trim_start_matches("file://");
            let link = place.path(&relative);
            if !link.exists() {
                std::fs::hard_link(source, &link).with_context(|| source.to_owned())?;
            }
            let mut manifest = once.clone();
            manifest.manifest_path = place.uri(&relative);
            manifest.added_snapshot_id = id;
            manifests.push(manifest);
        }
    }
    let metadata = empty(&place, schema()?)?;
    commit(metadata, &place, id, Operation::Append, manifests).await
}

fn schema() -> anyhow::Result<Schema> {
    let fields = (0..16).map(|column| {
        let of = Type::Primitive(column_type(column));
        Arc::new(NestedField::optional(
            column as i32 + 1,
            format!("c{column:02}"),
            of,
        ))
    });
    Ok(Schema::builder()
        .with_schema_id(0)
        .with_fields(fields)
        .build()?)
}

fn column_type(column: usize) -> PrimitiveType {
    match column {
        0..6 => PrimitiveType::Long,
        6..9 => PrimitiveType::Int,
        9..11 => PrimitiveType::Double,
        11..14 => PrimitiveType::String,
        14 => PrimitiveType::Timestamp,
        _ => PrimitiveType::Date,
    }
}

fn manifests(
    request: &Request,
    place: &Place,
    metadata: &TableMetadata,
    snapshot_id: i64,
) -> anyhow::Result<Vec<ManifestFile>> {
    let count = request.files.div_ceil(request.entries) as usize;
    let next = AtomicUsize::new(0);
    let written = Mutex::new(vec![None; count]);
    std::thread::scope(|scope| {
        let work = || -> anyhow::Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                let first = number as u64 * request.entries;
                let last = request.files.min(first + request.entries);
                let files = (first..last).map(|file| data_file(place, file, request.files));
                let name = format!("metadata/{snapshot_id}-m{number}.avro");
                let manifest = block_on(manifest(place, &name, metadata, snapshot_id, files))?;
                let mut written = written
                    .lock()
                    .map_err(|_| anyhow::anyhow!("a writer failed"))?;
                written[number] = Some(manifest);
            }
        };
        let workers: Vec<_> = (0..request.threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a writer failed"))?
        })
    })?;
    let written = written.into_inner()?;
    written
        .into_iter()
        .collect::<Option<_>>()
        .context("a manifest is missing")
}

async fn manifest(
    place: &Place,
    name: &str,
    metadata: &TableMetadata,
    snapshot_id: i64,
    files: impl Iterator<Item = anyhow::Result<DataFile>>,
) -> anyhow::Result<ManifestFile> {
    let memory = FileIO::new_with_memory();
    let uri = place.uri(name);
    let schema: &SchemaRef = metadata.current_schema();
    let mut writer = ManifestWriterBuilder::new(
        memory.new_output(&uri)?,
        Some(snapshot_id),
        Arc::clone(schema),
        metadata.default_partition_spec().as_ref().clone(),
    )
    .build_v2_data();
    for file in files {
        writer.add_file(file?, 1)?;
    }
    let mut manifest = writer.write_manifest_file().await?;
    let packed = avro::deflate(&memory.new_input(&uri)?.read().await?)?;
    manifest.manifest_length = i64::try_from(packed.len())?;
    std::fs::write(place.path(name), packed)?;
    Ok(manifest)
}

/// Where file `file` begins in the predicate's column: a permutation of all files, far from their order.
fn place_of(file: u64, files: u64) -> i64 {
    // A prime above any number of files here: a permutation, whatever that number is.
    const STRIDE: u128 = 2_654_435_761;
    let place = u128::from(file) * STRIDE % u128::from(files);
    i64::try_from(place).unwrap_or_default() * STEP
}

fn data_file(place: &Place, file: u64, files: u64) -> anyhow::Result<DataFile> {
    let mut lowers = HashMap::with_capacity(16);
    let mut uppers = HashMap::with_capacity(16);
    let mut sizes = HashMap::with_capacity(16);
    let mut values = HashMap::with_capacity(16);
    let mut nulls = HashMap::with_capacity(16);
    for column in 0..16 {
        let id = column as i32 + 1;
        let noise = mix((file << 5) | column as u64);
        let (lower, upper) = if column == SELECTIVE {
            let low = place_of(file, files);
            (Datum::long(low), Datum::long(low + STEP * 3 / 2))
        } else {
            bounds(column, noise)
        };
        lowers.insert(id, lower);
        uppers.insert(id, upper);
        sizes.insert(id, 100_000 + noise % 900_000);
        values.insert(id, ROWS);
        nulls.insert(id, noise % 7);
    }
    let nans = HashMap::from([(10, 0), (11, 0)]);
    let noise = mix(file);
    let path = place.uri(&format!(
        "data/{:05}-{}-{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}-00001.parquet",
        file % 200,
        file,
        noise >> 32,
        noise & 0xffff,
        (noise >> 16) & 0xfff,
        (noise >> 28) & 0xfff,
        mix(noise) >> 16,
    ));
    Ok(DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(path)
        .file_format(DataFileFormat::Parquet)
        .record_count(ROWS)
        .file_size_in_bytes(8_000_000 + noise % 1_000_000)
        .column_sizes(sizes)
        .value_counts(values)
        .null_value_counts(nulls)
        .nan_value_counts(nans)
        .lower_bounds(lowers)
        .upper_bounds(uppers)
        .split_offsets(Some(vec![4]))
        .sort_order_id(0)
        .build()?)
}

fn bounds(column: usize, noise: u64) -> (Datum, Datum) {
    let low = noise % 1_000_000;
    let high = low + 1 + (noise >> 32) % 1_000_000;
    match column_type(column) {
        PrimitiveType::Long => (Datum::long(low as i64), Datum::long(high as i64)),
        PrimitiveType::Int => (Datum::int(low as i32), Datum::int(high as i32)),
        PrimitiveType::Double => (Datum::double(low as f64), Datum::double(high as f64)),
        PrimitiveType::String => (
            Datum::string(format!("customer-{low:07}")),
            Datum::string(format!("customer-{high:07}")),
        ),
        PrimitiveType::Timestamp => (
            Datum::timestamp_micros(1_700_000_000_000_000 + low as i64),
            Datum::timestamp_micros(1_700_000_000_000_000 + high as i64),
        ),
        _ => (
            Datum::date((low % 20_000) as i32),
            Datum::date((20_000 + high % 1_000) as i32),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{STEP, place_of};

    #[test]
    fn bounds_cover_the_range_and_do_not_follow_the_files_order() {
        for files in [7, 1_000, 100_000] {
            let places: Vec<i64> = (0..files).map(|file| place_of(file, files)).collect();
            let distinct: HashSet<i64> = places.iter().copied().collect();
            assert_eq!(distinct.len() as u64, files);
            assert!(places.iter().all(|place| *place < files as i64 * STEP));
            assert!(!places.is_sorted());
        }
    }
}
