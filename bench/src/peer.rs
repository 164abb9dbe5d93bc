//! Plain DataFusion over the lake's Parquet files, given everything it has: statistics, and caches of footers, statistics
//! and listings that hold them all.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

use crate::protocol::Engine;

/// More than the footers, statistics or listings of any lake that this benchmark writes.
const CACHE_BYTES: usize = 512 << 20;

pub(crate) struct Peer(SessionContext);

/// Registers a listing table for each folder, its schema read from the files.
pub(crate) async fn open(
    tables: &[(String, PathBuf)],
    target_partitions: usize,
    batch_size: usize,
) -> anyhow::Result<Peer> {
    let mut config = SessionConfig::new()
        .with_target_partitions(target_partitions)
        .with_batch_size(batch_size)
        .with_collect_statistics(true);
    // Partitions of a table are folders below its data folder.
    config
        .options_mut()
        .execution
        .listing_table_ignore_subdirectory = false;
    let runtime = RuntimeEnvBuilder::new()
        .with_metadata_cache_limit(CACHE_BYTES)
        .with_file_statistics_cache_limit(CACHE_BYTES)
        .with_object_list_cache_limit(CACHE_BYTES)
        .build()?;
    let context = SessionContext::new_with_config_rt(config, Arc::new(runtime));
    for (name, folder) in tables {
        ensure!(
            folder.is_dir(),
            "table {name}: {} is no folder",
            folder.display()
        );
        let url = format!("{}/", folder.display());
        context
            .register_parquet(name.as_str(), &url, ParquetReadOptions::default())
            .await
            .with_context(|| format!("table {name}"))?;
    }
    Ok(Peer(context))
}

/// `NAME=FOLDER`, as the command line has it.
pub(crate) fn table(text: &str) -> Result<(String, PathBuf), String> {
    let (name, folder) = text.split_once('=').ok_or("a table is NAME=FOLDER")?;
    Ok((name.to_owned(), PathBuf::from(folder)))
}

impl Engine for Peer {
    async fn start(&self, sql: &str) -> anyhow::Result<SendableRecordBatchStream> {
        Ok(self.0.sql(sql).await?.execute_stream().await?)
    }
}
