//! Two hundred connections, of which many stop reading: memory stays bounded and nobody starves.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't set itself up stops there"
)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::{StreamExt, TryStreamExt};
use landfast_proxy::client::{Client, Endpoint, Login, TlsFiles};
use landfast_tests::landfast::{Config, Landfast};
use landfast_tests::process::run_dir;
use tokio::sync::Semaphore;

const CONNECTIONS: usize = 200;
/// Queries that the others have under way at once.
const CONCURRENT: usize = 64;
/// Clients that stop reading: far more than queries may run at once.
const SLOW: usize = 40;
/// Statements of each client that reads.
const ROUNDS: usize = 3;

/// More than any buffer between the two ends holds.
const LARGE: &str =
    "SELECT value, value AS again, value AS once_more FROM generate_series(1, 1000000000)";

/// What the queries may take together by configuration.
const QUERIES_BYTES: u64 = 256 << 20;
/// What one result may have on its way besides: some messages of two mebibytes each, encoded and being sent.
const RESULT_BYTES: u64 = 12 << 20;
/// What allocators keep, and what connections and plans take.
const OTHER_BYTES: u64 = 256 << 20;

fn landfast() -> Landfast {
    let lake = run_dir("load").unwrap();
    let config = Config::at("here").with(&format!(
        "[limits]\nconcurrent_queries = 8\nqueued_queries = {CONNECTIONS}\nqueue_timeout_ms = 600000\n\
         memory_bytes = {QUERIES_BYTES}\n\
         [[site]]\nname = \"here\"\n[site.store]\nkind = \"file\"\nroot = \"{lake}\"\n\
         [[site.prefix]]\ncanonical = \"gs://lake/\"\norigin = true\n\
         [[catalog]]\nname = \"lake\"\nkind = \"sql\"\nurl = \"sqlite://{lake}/catalog.db?mode=rwc\"\n\
         create_tables = true\n",
        lake = lake.display()
    ));
    Landfast::start(&config).unwrap()
}

/// The server's process, known by its configuration file.
fn process_of(server: &Landfast) -> u32 {
    let wanted = server.config_file().display().to_string();
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let serving = pids
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let program = words
                .first()
                .is_some_and(|word| word.ends_with(b"landfast-under-test"));
            program && words.contains(&wanted.as_bytes())
        });
    serving.min().expect("the server is a process")
}

fn resident_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_with_slow_readers_keep_memory_bounded_and_starve_nobody() {
    if !cfg!(target_os = "linux") {
        return landfast_tests::skipped(
            "the load test",
            "Linux, which tells what a process has resident",
        );
    }
    let server = tokio::task::spawn_blocking(landfast).await.unwrap();
    let pid = process_of(&server);
    let endpoint = Endpoint::new(&server.uri(), &TlsFiles::default()).unwrap();
    let connect = || Client::connect(&endpoint, Login::Nobody);
    let mut clients = vec![];
    for _ in 0..CONNECTIONS {
        clients.push(connect().await.unwrap());
    }
    let before = resident_bytes(pid);
    let highest = Arc::new(AtomicU64::new(before));

    let quick = clients.split_off(SLOW);
    let mut stalled = vec![];
    for client in &mut clients {
        let execution = client.execute(LARGE).await.unwrap();
        let mut rows = client.rows(&execution).await.unwrap();
        let first = rows.next().await.unwrap().unwrap();
        assert!(first.num_rows() > 0);
        stalled.push(rows);
        highest.fetch_max(resident_bytes(pid), Ordering::Relaxed);
    }

    let places = Arc::new(Semaphore::new(CONCURRENT));
    let tasks: Vec<_> = quick
        .into_iter()
        .enumerate()
        .map(|(at, mut client)| {
            let (places, highest) = (places.clone(), highest.clone());
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let _place = places.acquire().await.unwrap();
                    let upto = (at * ROUNDS + round) as i64 + 1;
                    let sql = format!("SELECT sum(value) AS s FROM generate_series(1, {upto})");
                    let (_, batches) = client.query(&sql).await.unwrap();
                    let sum = batches[0].column(0).as_primitive::<Int64Type>().value(0);
                    assert_eq!(sum, upto * (upto + 1) / 2);
                    highest.fetch_max(resident_bytes(pid), Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    // Whoever had stopped reads on where they were, without a row lost or doubled.
    for rows in &mut stalled {
        let batches: Vec<_> = rows.take(3).try_collect().await.unwrap();
        for batch in batches {
            let values = batch.column(0).as_primitive::<Int64Type>().values();
            assert!(values.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        }
    }
    let grown = highest.load(Ordering::Relaxed) - before;
    let bound = QUERIES_BYTES + SLOW as u64 * RESULT_BYTES + OTHER_BYTES;
    assert!(
        grown < bound,
        "the server grew by {} MiB, and {} were allowed",
        grown >> 20,
        bound >> 20
    );
}
