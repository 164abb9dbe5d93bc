//! The parts of the benchmark that have to be Rust: the tables that every engine reads, plain DataFusion and
//! iceberg-rust as peers, and Landfast's own engine without the network. `run.py` starts them and keeps the clock's
//! results; see `bench/README.md`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use serde_json::json;
use tokio::runtime::Runtime;

mod iceberg_peer;
mod in_process;
mod lake;
mod load;
mod peer;
mod plan;
mod protocol;
mod write;

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
    /// Plan over a range of a column with Landfast's engine.
    PlanLandfast {
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        table: String,
    },
    /// Plan over a range of a column with iceberg-rust.
    PlanIceberg {
        #[arg(long)]
        metadata: String,
    },
    /// Serve results of Landfast's engine with arrow-flight alone, DoGet and nothing else.
    LoadBare {
        #[arg(long)]
        config: PathBuf,
        /// Statements whose results are computed once and served from memory.
        #[arg(long)]
        hold: Vec<String>,
    },
    /// Run `SELECT 1` alone, and over many connections.
    LoadPoint {
        #[arg(long)]
        url: String,
        /// The server's process.
        #[arg(long)]
        pid: u32,
        #[arg(long)]
        connections: usize,
        #[arg(long)]
        concurrent: usize,
        #[arg(long)]
        count: usize,
    },
    /// Fetch a result once.
    LoadFetch {
        #[arg(long)]
        url: String,
        #[arg(long)]
        sql: String,
        /// The ticket, where the server plans nothing.
        #[arg(long)]
        ticket: Option<String>,
        #[arg(long)]
        streams: usize,
    },
    /// Run statements beside clients that stop reading.
    LoadSlow {
        #[arg(long)]
        url: String,
        #[arg(long)]
        pid: u32,
        #[arg(long)]
        connections: usize,
        #[arg(long)]
        slow: usize,
        #[arg(long)]
        large: String,
        #[arg(long)]
        small: String,
        #[arg(long)]
        rounds: usize,
    },
    /// Write TPC-H, and print where each table's metadata is.
    Lake {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        scale_factor: f64,
    },
    /// Delete a share of a table's rows in a second table on the same data files.
    Deletes {
        #[arg(long)]
        from: String,
        #[arg(long)]
        to: PathBuf,
        #[arg(long)]
        kind: write::deletes::Kind,
        #[arg(long)]
        share: f64,
        /// The columns that identify a row; for equality deletes.
        #[arg(long, value_delimiter = ',')]
        key: Vec<String>,
    },
    /// Write a table of events, sorted by `id`.
    Events {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        files: u64,
        /// Rows of each file.
        #[arg(long)]
        rows: u64,
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Write the metadata of a table whose files need not exist.
    Planning {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        files: u64,
        /// Entries of each manifest.
        #[arg(long, default_value_t = 10_000)]
        entries: u64,
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Write a table whose manifests are those of another, each under several names.
    PlanningRepeat {
        #[arg(long)]
        from: String,
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        copies: usize,
    },
}

/// Runs the worker that the command line names, until it is done or standard input ends.
///
/// # Errors
/// When the worker can't start, or what it writes can't be written. A statement's own error is its reply.
pub fn run() -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    match Args::parse().worker {
        Worker::Landfast { config } => {
            let engine = runtime.block_on(in_process::open(&config))?;
            protocol::answer(&runtime, &engine)
        }
        Worker::Datafusion {
            tables,
            target_partitions,
            batch_size,
        } => {
            let peer = runtime.block_on(peer::open(&tables, target_partitions, batch_size))?;
            protocol::answer(&runtime, &peer)
        }
        Worker::PlanLandfast { config, table } => {
            let engine = runtime.block_on(in_process::open(&config))?;
            plan::answer(&runtime, &mut engine.planner(table))
        }
        Worker::PlanIceberg { metadata } => {
            plan::answer(&runtime, &mut iceberg_peer::IcebergPeer::new(metadata))
        }
        Worker::LoadBare { config, hold } => runtime.block_on(async {
            let engine = in_process::open(&config).await?;
            load::serve(engine, hold).await
        }),
        Worker::LoadPoint {
            url,
            pid,
            connections,
            concurrent,
            count,
        } => {
            let figures = load::point(&url, pid, connections, concurrent, count);
            protocol::print(&runtime.block_on(figures)?)
        }
        Worker::LoadFetch {
            url,
            sql,
            ticket,
            streams,
        } => {
            let figures = load::fetch(&url, &sql, ticket, streams);
            protocol::print(&runtime.block_on(figures)?)
        }
        Worker::LoadSlow {
            url,
            pid,
            connections,
            slow,
            large,
            small,
            rounds,
        } => {
            let figures = load::slow(load::Slow {
                url,
                pid,
                connections,
                slow,
                large,
                small,
                rounds,
            });
            protocol::print(&runtime.block_on(figures)?)
        }
        Worker::Lake { dir, scale_factor } => lake::write(&dir, scale_factor),
        Worker::Deletes {
            from,
            to,
            kind,
            share,
            key,
        } => {
            let request = write::deletes::Request {
                from,
                to,
                kind,
                share,
                key,
            };
            let (metadata, rows) = runtime.block_on(write::deletes::write(&request))?;
            protocol::print(&json!({ "metadata": metadata, "deleted": rows }))
        }
        Worker::Events {
            dir,
            files,
            rows,
            threads,
        } => {
            let metadata = write::events::write(&write::events::Request {
                to: dir,
                files,
                rows,
                threads,
            })?;
            protocol::print(&json!({ "metadata": metadata }))
        }
        Worker::Planning {
            dir,
            files,
            entries,
            threads,
        } => {
            let metadata = write::planning::write(&write::planning::Request {
                to: dir,
                files,
                entries,
                threads,
            })?;
            protocol::print(&json!({ "metadata": metadata, "step": write::planning::STEP }))
        }
        Worker::PlanningRepeat { from, dir, copies } => {
            let metadata = runtime.block_on(write::planning::repeat(&from, &dir, copies))?;
            protocol::print(&json!({ "metadata": metadata, "step": write::planning::STEP }))
        }
    }
}
