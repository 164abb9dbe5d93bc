//! The customer's world in small: Google's cloud, two on-prem sites, a REST catalog in the cloud and a SQL one on-prem.
//!
//! | site | is | holds |
//! | --- | --- | --- |
//! | `gcp` | fake-gcs-server | the origin of `gs://lake/` |
//! | `dc-east` | a second fake-gcs-server | copies in the bucket `hot`, under `lake/`; the proxy stands here |
//! | `dc-west` | moto's S3 | copies in the bucket `west`, under `lake/`; the origin of `s3://plant/` |
//!
//! A reverse proxy stands before each, and before the REST catalog, so that tests can count, delay and cut.
//! Copies: `dc-east` has the recent half of `lineitem` and `orders`, `customer`, `nation` and `region`, and all metadata but
//! `part`'s and `partsupp`'s; `dc-west` has the years before that, and `supplier`; 1992 and 1993, `part` and `partsupp` are
//! in the cloud only.

use anyhow::Result;
use serde_json::json;

use crate::catalogs::RestCatalog;
use crate::clients::Iceberg;
use crate::lake::{Lake, iceberg_io, rest_properties, sql_properties};
use crate::landfast::Config;
use crate::reverse::Reverse;
use crate::stores::{Bucket, S3_ACCESS_KEY, S3_SECRET_KEY, Store};

/// A store and the reverse proxy that Landfast reaches it through.
#[derive(Debug)]
pub struct Site {
    /// The store itself.
    pub store: Store,
    /// What stands before it.
    pub line: Reverse,
}

impl Site {
    /// Puts a reverse proxy before a store.
    ///
    /// # Errors
    /// When there is no port left.
    pub fn new(store: Store) -> Result<Self> {
        let line = Reverse::before(store.endpoint())?;
        Ok(Self { store, line })
    }
}

/// The running world; see the module.
#[derive(Debug)]
pub struct World {
    /// What is kept between runs.
    pub lake: Lake,
    /// Google's cloud.
    pub gcp: Site,
    /// The proxy's own site.
    pub east: Site,
    /// The other on-prem site.
    pub west: Site,
    /// What stands before the cloud's catalog.
    pub rest_line: Reverse,
    /// The bucket `hot` at `dc-east`.
    pub hot: Bucket,
    rest: RestCatalog,
    plant_db: std::path::PathBuf,
}

impl World {
    /// Starts every server and makes the copies.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start() -> Result<Self> {
        let lake = Lake::get()?;
        let (gcp, east, west) = (
            Site::new(Store::gcs()?)?,
            Site::new(Store::gcs()?)?,
            Site::new(Store::s3()?)?,
        );
        let origin = gcp.store.make_bucket("lake")?;
        origin.put_tree(&lake.gs())?;
        west.store.make_bucket("plant")?.put_tree(&lake.s3())?;
        let hot = east.store.make_bucket("hot")?;
        hot.copy_from(&origin, "lake/", is_at_east)?;
        let cold = west.store.make_bucket("west")?;
        cold.copy_from(&origin, "lake/", is_at_west)?;
        let rest = RestCatalog::start(&lake.database("lake")?, "gs://lake/wh", &gcp.store)?;
        let rest_line = Reverse::before(rest.uri())?;
        let plant_db = lake.database("plant")?;
        Ok(Self {
            lake,
            gcp,
            east,
            west,
            rest_line,
            hot,
            rest,
            plant_db,
        })
    }

    /// The proxy's configuration for this world, at `dc-east`.
    pub fn config(&self) -> Config {
        self.config_with(&self.sites())
    }

    /// The same, with other sites and links.
    pub fn config_with(&self, sites: &str) -> Config {
        Config::at("dc-east")
            .with(sites)
            .with(&self.catalogs())
            .env(S3_SECRET_VARIABLE, S3_SECRET_KEY)
    }

    /// The sites and links of the configuration.
    pub fn sites(&self) -> String {
        let (gcp, east, west) = (
            self.gcp.line.url(),
            self.east.line.url(),
            self.west.line.url(),
        );
        let mut text = format!(
            r#"
[[site]]
name = "gcp"
[site.store]
kind = "gcs"
endpoint = "{gcp}"
credential = "anonymous"
[[site.prefix]]
canonical = "gs://lake/"
origin = true

[[site]]
name = "dc-east"
inventory_refresh_ms = 3600000
[site.store]
kind = "gcs"
endpoint = "{east}"
credential = "anonymous"
[[site.prefix]]
canonical = "gs://lake/"
at = "hot/lake/"

[[site]]
name = "dc-west"
inventory_refresh_ms = 3600000
[site.store]
kind = "s3"
endpoint = "{west}"
region = "us-east-1"
allow_http = true
credential = "static"
access_key_id = "{S3_ACCESS_KEY}"
secret_access_key_env = "{S3_SECRET_VARIABLE}"
[[site.prefix]]
canonical = "gs://lake/"
at = "west/lake/"
[[site.prefix]]
canonical = "s3://plant/"
origin = true
"#
        );
        for (site, latency_ms, mbit, usd) in [
            ("gcp", 40, 1000, 0.08),
            ("dc-west", 30, 10_000, 0.0),
            ("dc-east", 1, 40_000, 0.0),
        ] {
            text.push_str(&link(site, "dc-east", latency_ms, mbit, usd));
        }
        text
    }

    /// The catalogs of the configuration.
    pub fn catalogs(&self) -> String {
        let (rest, plant) = (self.rest_line.url(), self.plant_db.display());
        format!(
            r#"
[[catalog]]
name = "lake"
kind = "rest"
uri = "{rest}"

[[catalog]]
name = "plant"
kind = "sql"
url = "sqlite://{plant}"
catalog_name = "plant"
"#
        )
    }

    /// PyIceberg with both catalogs loaded, past the reverse proxies.
    pub fn iceberg(&self) -> Iceberg {
        let mut python = Iceberg::start();
        let io = iceberg_io(self.gcp.store.endpoint(), self.west.store.endpoint());
        let plant = format!("sqlite:///{}", self.plant_db.display());
        python.ask(
            "catalog",
            json!({ "name": "lake", "properties": rest_properties(self.rest.uri(), &io) }),
        );
        python.ask(
            "catalog",
            json!({ "name": "plant", "properties": sql_properties(&plant, "s3://plant/wh", &io) }),
        );
        python
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        for line in [
            &self.gcp.line,
            &self.east.line,
            &self.west.line,
            &self.rest_line,
        ] {
            line.heal();
        }
    }
}

/// The environment variable that the configuration names for the S3 secret.
pub const S3_SECRET_VARIABLE: &str = "LANDFAST_TESTS_S3_SECRET";

/// A link of the configuration.
pub fn link(from: &str, to: &str, latency_ms: u32, mbit_per_s: u32, usd_per_gib: f64) -> String {
    format!(
        "\n[[link]]\nfrom = \"{from}\"\nto = \"{to}\"\nlatency_ms = {latency_ms}\n\
         bandwidth_mbit_per_s = {mbit_per_s}\nusd_per_gib = {usd_per_gib:?}\n"
    )
}

/// Whether `dc-east` has a copy; see the module.
pub fn is_at_east(key: &str) -> bool {
    if key.contains("/metadata/") {
        return !key.contains("/part/") && !key.contains("/partsupp/");
    }
    match year(key) {
        Some(year) => year >= 1996,
        None => ["customer", "nation", "region"]
            .iter()
            .any(|table| key.contains(&format!("/{table}/"))),
    }
}

/// Whether `dc-west` has a copy; see the module.
pub fn is_at_west(key: &str) -> bool {
    match year(key) {
        Some(year) => year == 1994 || year == 1995,
        None => key.contains("/supplier/"),
    }
}

/// The year in a data file's path, such as `…/l_shipdate_month=1995-07/…`.
fn year(key: &str) -> Option<u32> {
    let (_, rest) = key
        .split_once("_month=")
        .or_else(|| key.split_once("_year="))?;
    rest.get(..4)?.parse().ok()
}
