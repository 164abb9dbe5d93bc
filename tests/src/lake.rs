//! A lake written once and kept: TPC-H from DuckDB, as Iceberg tables written by PyIceberg.
//!
//! - Catalog `lake` (Apache's REST catalog), bucket `gs://lake`: schema `tpch`, all eight tables; `lineitem` in one file
//!   per month of `l_shipdate`, `orders` in one per year of `o_orderdate`.
//! - Catalog `plant` (SQL on SQLite), bucket `s3://plant`: schema `tpch` with `supplier` and `nation`, of record
//!   on-prem; schema `mirror` with `orders`, `region` and `part` of the lake, registered a second time, so that they can be
//!   found when the cloud's catalog can't.
//!
//! Kept are the objects as plain files and the catalogs' databases. No path in them names a port, so every run can
//! serve them from its own servers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::catalogs::RestCatalog;
use crate::clients::Iceberg;
use crate::parts::Parts;
use crate::process::run_dir;
use crate::stores::{S3_ACCESS_KEY, S3_SECRET_KEY, Store};

/// Counts up when what is written changes.
const VERSION: u32 = 1;

/// The kept lake; see the module.
#[derive(Clone, Debug)]
pub struct Lake {
    dir: PathBuf,
}

/// Name, partitioning and number of appends of the TPC-H tables.
const TABLES: [(&str, Option<[&str; 2]>, u32); 8] = [
    ("region", None, 1),
    ("nation", None, 1),
    ("supplier", None, 1),
    ("customer", None, 2),
    ("part", None, 2),
    ("partsupp", None, 3),
    ("orders", Some(["o_orderdate", "year"]), 1),
    ("lineitem", Some(["l_shipdate", "month"]), 1),
];

impl Lake {
    /// The lake, written by the first test that asks; `LANDFAST_TESTS_SCALE_FACTOR` sets its size (0.1).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn get() -> Result<Self> {
        let scale =
            std::env::var("LANDFAST_TESTS_SCALE_FACTOR").unwrap_or_else(|_| "0.1".to_owned());
        let parts = Parts::get();
        let dir = parts.keep(&format!("lake-{VERSION}-sf{scale}"));
        let _lock = parts.lock()?;
        if !dir.join("ready").exists() {
            crate::tell(&format!(
                "landfast-tests: writing the lake (TPC-H, scale factor {scale}), once"
            ));
            if dir.exists() {
                fs::remove_dir_all(&dir).with_context(|| format!("clear {}", dir.display()))?;
            }
            fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
            write(&dir, &scale)?;
            fs::write(dir.join("ready"), "")?;
        }
        Ok(Self { dir })
    }

    /// The same data in DuckDB, to open read-only.
    pub fn duckdb(&self) -> PathBuf {
        self.dir.join("tpch.duckdb")
    }

    /// The objects of the bucket `gs://lake`, as files.
    pub fn gs(&self) -> PathBuf {
        self.dir.join("gs")
    }

    /// The objects of the bucket `s3://plant`, as files.
    pub fn s3(&self) -> PathBuf {
        self.dir.join("s3")
    }

    /// A copy of a catalog's database (`lake` or `plant`), for one run to change.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn database(&self, catalog: &str) -> Result<PathBuf> {
        let copy = run_dir("database")?.join(format!("{catalog}.db"));
        fs::copy(self.dir.join(format!("{catalog}.db")), &copy)
            .context("copy a catalog's database")?;
        Ok(copy)
    }
}

/// How PyIceberg reaches the tests' stores.
pub fn iceberg_io(gcs: &str, s3: &str) -> Value {
    json!({
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        "gcs.service.host": gcs, "gcs.oauth2.token": "anonymous", "gcs.oauth2.token-expires-at": "9999999999999",
        "s3.endpoint": s3, "s3.region": "us-east-1",
        "s3.access-key-id": S3_ACCESS_KEY, "s3.secret-access-key": S3_SECRET_KEY,
    })
}

/// Properties of a REST catalog for PyIceberg.
pub fn rest_properties(uri: &str, io: &Value) -> Value {
    merged(io, &json!({ "type": "rest", "uri": uri }))
}

/// Properties of a SQL catalog for PyIceberg.
pub fn sql_properties(url: &str, warehouse: &str, io: &Value) -> Value {
    merged(
        io,
        &json!({ "type": "sql", "uri": url, "warehouse": warehouse }),
    )
}

fn merged(one: &Value, other: &Value) -> Value {
    let pairs = [one, other]
        .into_iter()
        .filter_map(Value::as_object)
        .flatten();
    Value::Object(
        pairs
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    )
}

fn write(dir: &Path, scale: &str) -> Result<()> {
    let (gcs, s3) = (Store::gcs()?, Store::s3()?);
    let (lake_bucket, plant_bucket) = (gcs.make_bucket("lake")?, s3.make_bucket("plant")?);
    let rest = RestCatalog::start(&dir.join("lake.db"), "gs://lake/wh", &gcs)?;
    let io = iceberg_io(gcs.endpoint(), s3.endpoint());
    let plant_url = format!("sqlite:///{}", dir.join("plant.db").display());
    let duckdb = dir.join("tpch.duckdb").display().to_string();

    let mut python = Iceberg::start();
    python.ask(
        "generate_tpch",
        json!({ "database": duckdb, "scale_factor": scale }),
    );
    python.ask(
        "catalog",
        json!({ "name": "lake", "properties": rest_properties(rest.uri(), &io) }),
    );
    python.ask(
        "catalog",
        json!({ "name": "plant", "properties": sql_properties(&plant_url, "s3://plant/wh", &io) }),
    );
    for (catalog, namespace) in [("lake", "tpch"), ("plant", "tpch"), ("plant", "mirror")] {
        python.ask(
            "create_namespace",
            json!({ "catalog": catalog, "namespace": [namespace] }),
        );
    }
    for (table, partition, appends) in TABLES {
        let sql = format!("select * from {table}");
        let written = python.ask(
            "create_table_from_duckdb",
            json!({ "catalog": "lake", "table": ["tpch", table], "database": duckdb, "sql": sql,
                    "partition": partition, "appends": appends }),
        );
        if ["orders", "region", "part"].contains(&table) {
            let location = &written["metadata_location"];
            python.ask("register", json!({ "catalog": "plant", "table": ["mirror", table], "metadata_location": location }));
        }
        if ["supplier", "nation"].contains(&table) {
            python.ask(
                "create_table_from_duckdb",
                json!({ "catalog": "plant", "table": ["tpch", table], "database": duckdb, "sql": sql }),
            );
        }
    }
    lake_bucket.get_tree(&dir.join("gs"))?;
    plant_bucket.get_tree(&dir.join("s3"))
}
