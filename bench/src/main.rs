//! The parts of the benchmark that have to be Rust: the lake that every engine reads, plain DataFusion on its files, and
//! Landfast's own engine without the network. `run.py` starts them and keeps the clock's results; see `bench/README.md`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

mod in_process;
mod lake;
mod peer;
mod protocol;

#[derive(Debug, Parser)]
#[command(about = "Workers of the benchmark; start bench/run.py instead")]
struct Args {
    #[command(subcommand)]
    worker: Worker,
}

#[derive(Debug, Subcommand)]
enum Worker {
    /// Answer statements with Landfast's engine, without Flight.
    Landfast {
        #[arg(long)]
        config: PathBuf,
    },
    /// Write the lake, and print where each table's metadata is.
    Lake {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        scale_factor: f64,
    },
    /// Answer statements with plain DataFusion over Parquet folders.
    Datafusion {
        /// `NAME=FOLDER` for each table.
        #[arg(long = "table", required = true, value_parser = peer::table)]
        tables: Vec<(String, PathBuf)>,
        #[arg(long)]
        target_partitions: usize,
        #[arg(long)]
        batch_size: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    match Args::parse().worker {
        Worker::Landfast { config } => {
            let engine = runtime.block_on(in_process::open(&config))?;
            protocol::answer(&runtime, &engine)
        }
        Worker::Lake { dir, scale_factor } => lake::write(&dir, scale_factor),
        Worker::Datafusion {
            tables,
            target_partitions,
            batch_size,
        } => {
            let peer = runtime.block_on(peer::open(&tables, target_partitions, batch_size))?;
            protocol::answer(&runtime, &peer)
        }
    }
}
