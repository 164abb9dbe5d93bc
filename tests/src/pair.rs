//! The smallest lake with a cloud and a site of one's own, empty: for tests that write their own tables.
//!
//! | part | is |
//! | --- | --- |
//! | `gcp` | fake-gcs-server behind a reverse proxy, the origin of `gs://lake/` |
//! | `dc` | moto's S3, the origin of `s3://plant/`; the proxy stands here |
//! | `rest` | Apache's REST catalog behind a reverse proxy |

use anyhow::Result;
use serde_json::{Value, json};

use crate::catalogs::RestCatalog;
use crate::clients::Iceberg;
use crate::lake::{iceberg_io, rest_properties};
use crate::landfast::Config;
use crate::process::run_dir;
use crate::reverse::Reverse;
use crate::stores::{S3_ACCESS_KEY, S3_SECRET_KEY, Store};
use crate::world::link;

/// Running servers; see the module.
#[derive(Debug)]
pub struct Pair {
    /// The cloud's store.
    pub gcs: Store,
    /// What Landfast reaches it through.
    pub gcs_line: Reverse,
    /// The on-prem store.
    pub s3: Store,
    /// What Landfast reaches the REST catalog through.
    pub rest_line: Reverse,
    /// How PyIceberg reaches both stores, past the reverse proxies.
    pub io: Value,
    rest: RestCatalog,
}

impl Pair {
    /// Starts them.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start() -> Result<Self> {
        let (gcs, s3) = (Store::gcs()?, Store::s3()?);
        gcs.make_bucket("lake")?;
        s3.make_bucket("plant")?;
        let gcs_line = Reverse::before(gcs.endpoint())?;
        let rest = RestCatalog::start(&run_dir("rest")?.join("rest.db"), "gs://lake/wh", &gcs)?;
        let rest_line = Reverse::before(rest.uri())?;
        let io = iceberg_io(gcs.endpoint(), s3.endpoint());
        Ok(Self {
            gcs,
            gcs_line,
            s3,
            rest_line,
            io,
            rest,
        })
    }

    /// PyIceberg with the REST catalog loaded as `rest`, past the reverse proxy.
    pub fn iceberg(&self) -> Iceberg {
        let mut python = Iceberg::start();
        let properties = rest_properties(self.rest.uri(), &self.io);
        python.ask(
            "catalog",
            json!({ "name": "rest", "properties": properties }),
        );
        python
    }

    /// The proxy's configuration at `dc`: both sites, and no catalog yet.
    pub fn config(&self) -> Config {
        self.config_with_google("credential = \"anonymous\"\n")
    }

    /// The same, with these lines about who Landfast is to the cloud's store.
    pub fn config_with_google(&self, credential: &str) -> Config {
        let (gcs, s3) = (self.gcs_line.url(), self.s3.endpoint());
        let sites = format!(
            "[[site]]\nname = \"gcp\"\n[site.store]\nkind = \"gcs\"\nendpoint = \"{gcs}\"\n{credential}\
             [[site.prefix]]\ncanonical = \"gs://lake/\"\norigin = true\n\
             [[site]]\nname = \"dc\"\n[site.store]\nkind = \"s3\"\nendpoint = \"{s3}\"\nregion = \"us-east-1\"\n\
             allow_http = true\ncredential = \"static\"\naccess_key_id = \"{S3_ACCESS_KEY}\"\n\
             secret_access_key_env = \"S3_SECRET\"\n[[site.prefix]]\ncanonical = \"s3://plant/\"\norigin = true\n"
        );
        let links = link("gcp", "dc", 40, 1000, 0.08);
        Config::at("dc")
            .with(&sites)
            .with(&links)
            .env("S3_SECRET", S3_SECRET_KEY)
    }

    /// The REST catalog's part of the configuration, under the name `rest`.
    pub fn rest_member(&self, auth: &str) -> String {
        format!(
            "[[catalog]]\nname = \"rest\"\nkind = \"rest\"\nuri = \"{}\"\ntimeout_ms = 2000\n{auth}",
            self.rest_line.url()
        )
    }
}

/// A SQL catalog's part of the configuration.
pub fn sql_member(name: &str, url: &str) -> String {
    format!("[[catalog]]\nname = \"{name}\"\nkind = \"sql\"\nurl = \"{url}\"\n")
}

/// Columns of many types, for PyIceberg to write; three rows, the last all nulls but its id.
pub fn columns() -> Value {
    json!({
        "id": ["int64", [1, 2, 3]],
        "price": ["decimal(9,2)", ["0.10", "-2.00", null]],
        "day": ["date", ["2024-02-29", "1969-12-31", null]],
        "moment": ["timestamptz", ["2024-02-29T12:00:00+00:00", "1969-12-31T23:59:59.999999+00:00", null]],
        "name": ["string", ["a", "ö", null]],
        "ok": ["bool", [true, false, null]],
    })
}
