//! TPC-H as Iceberg tables in a directory: real Parquet files, manifests with full metrics, and metadata.
//!
//! [`write()`] makes the eight tables under one canonical prefix. `lineitem` and `orders` are partitioned by the month of
//! their date (`month()`, hidden partitioning), so that `lineitem` has some 84 files; the others have one file per
//! million rows. Nothing is registered anywhere: give each [`LakeTable::metadata_location`] to a catalog.
//!
//! Canonical URIs may be of any scheme: `gs://bucket/` for a lake that stands in for a cloud one, `file:///dir/` for one
//! that any engine reads where it lies.

mod data;
mod generate;
mod metadata;
mod metrics;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use metrics::data_file as manifest_entry;
pub use schema::{TPCH_TABLES, TpchTable};

/// Where a lake is written, and how large.
#[derive(Debug, Clone)]
pub struct LakeSpec {
    /// The directory that stands for the canonical prefix.
    pub root: PathBuf,
    /// What every URI in the metadata begins with, for example `gs://landfast-demo/`; it ends with `/`.
    pub canonical: String,
    /// TPC-H's scale factor: 1 is 6 million rows in `lineitem`, about 250 MB as Parquet.
    pub scale_factor: f64,
}

/// A table that was written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LakeTable {
    /// Which table.
    pub table: TpchTable,
    /// The table's canonical location, without a trailing `/`.
    pub location: String,
    /// The canonical URI of its metadata file.
    pub metadata_location: String,
    /// Its data files.
    pub files: Vec<LakeFile>,
}

/// A data file that was written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LakeFile {
    /// The path below the lake's root, with `/` between its parts.
    pub path: String,
    /// Months since January 1970, for tables that are partitioned.
    pub month: Option<i32>,
    /// The file's size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
}

/// Why a lake can't be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// A file or a directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Parquet or Arrow.
    #[error("{}: {source}", path.display())]
    Parquet {
        /// The file that was being written.
        path: PathBuf,
        /// What the writer said.
        source: parquet::errors::ParquetError,
    },
    /// Iceberg metadata.
    #[error("{table}: {source}")]
    Iceberg {
        /// The table that was being written.
        table: TpchTable,
        /// What the library said.
        source: Box<iceberg::Error>,
    },
    /// The specification can't be met.
    #[error("{0}")]
    Spec(String),
}

/// How far the writing has come.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Progress {
    /// The table that grew.
    pub table: TpchTable,
    /// Rows just added.
    pub rows: u64,
}

/// Writes all eight tables, one per thread on as many threads as there are cores; memory stays bounded whatever the
/// scale. `progress` is called from those threads. Blocks: call it off the runtime.
///
/// # Errors
/// When the specification makes no sense or a file can't be written. What was written until then stays.
pub fn write(
    spec: &LakeSpec,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<LakeTable>, LakeError> {
    if !spec.canonical.ends_with('/') {
        return Err(LakeError::Spec(format!(
            "the canonical prefix `{}` must end with `/`",
            spec.canonical
        )));
    }
    if !(spec.scale_factor.is_finite() && spec.scale_factor > 0.0) {
        return Err(LakeError::Spec(format!(
            "the scale factor {} is not positive",
            spec.scale_factor
        )));
    }
    create_dir(&spec.root)?;
    // The largest tables come first, so that no thread starts one when the others are done.
    let queue = Mutex::new(TPCH_TABLES.iter().rev().copied().collect::<Vec<_>>());
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(TPCH_TABLES.len());
    let results: Vec<Result<Vec<LakeTable>, LakeError>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(spec, &queue, progress)))
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker.join().unwrap_or_else(|_| {
                    Err(LakeError::Spec("a writing thread broke off".to_owned()))
                })
            })
            .collect()
    });
    let mut tables = Vec::with_capacity(TPCH_TABLES.len());
    for result in results {
        tables.extend(result?);
    }
    tables.sort_by_key(|t| t.table);
    Ok(tables)
}

fn work(
    spec: &LakeSpec,
    queue: &Mutex<Vec<TpchTable>>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<LakeTable>, LakeError> {
    let mut done = Vec::new();
    loop {
        let next = queue.lock().map_or(None, |mut queue| queue.pop());
        let Some(table) = next else {
            return Ok(done);
        };
        done.push(write_table(spec, table, progress)?);
    }
}

fn write_table(
    spec: &LakeSpec,
    table: TpchTable,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<LakeTable, LakeError> {
    let plan = metadata::TablePlan::new(spec, table)?;
    let files = data::write_files(spec, &plan, progress)?;
    let metadata_location = metadata::write(spec, &plan, &files)?;
    Ok(LakeTable {
        table,
        location: plan.location().to_owned(),
        metadata_location,
        files: files.into_iter().map(|f| f.file).collect(),
    })
}

/// The local path of something under the lake's root.
fn local(root: &Path, relative: &str) -> PathBuf {
    relative
        .split('/')
        .fold(root.to_owned(), |p, part| p.join(part))
}

fn create_dir(path: &Path) -> Result<(), LakeError> {
    std::fs::create_dir_all(path).map_err(|source| LakeError::File {
        path: path.to_owned(),
        source,
    })
}
