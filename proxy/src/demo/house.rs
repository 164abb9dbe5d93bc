//! The demo's directory: three sites, a catalog, and a mark that says that all of it is there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use landfast_catalog::{CatalogName, Namespace, NamespaceSpec, SchemaName, TableName};
use landfast_sites::{CanonicalUri, Sites};
use serde::{Deserialize, Serialize};

use super::lake::LakeTable;
use super::making;
use crate::config;
use crate::error::ProxyError;

/// What every table's URI begins with: the lake could lie in a bucket of this name.
pub(super) const CANONICAL: &str = "gs://landfast-demo/";
/// The catalog and the schema that the tables are registered in.
pub(super) const CATALOG: &str = "lake";
pub(super) const SCHEMA: &str = "tpch";

/// The sites, in the order of the report: the proxy's own first.
pub(super) const SITES: [&str; 3] = ["dc-east", "dc-west", "gcp"];

/// Raised when a lake of an older program can't be used any more.
const VERSION: u32 = 1;
const MARK: &str = "landfast-demo.json";
const UNFINISHED: &str = "landfast-demo.unfinished";
const CATALOG_FILE: &str = "catalog.db";
const CONFIG_FILE: &str = "landfast.toml";

/// A directory for the demo, and what is in it.
#[derive(Debug)]
pub struct House {
    dir: PathBuf,
    scale_factor: f64,
    state: HouseState,
}

/// Whether a lake is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HouseState {
    /// A whole lake of the right scale.
    Ready,
    /// None, or none that can be used; the text says why.
    Missing(&'static str),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    version: u32,
    scale_factor: f64,
}

impl House {
    /// Looks at the directory, and makes it when it is missing.
    ///
    /// # Errors
    /// When it can't be read or written, or holds something else than a demo.
    pub fn open(dir: &Path, scale_factor: f64) -> Result<Self, ProxyError> {
        std::fs::create_dir_all(dir).map_err(|e| unusable(dir, &e))?;
        let dir = std::path::absolute(dir).map_err(|e| unusable(dir, &e))?;
        // Also tells early that nothing can be written here.
        tempfile_probe(&dir)?;
        let state = look(&dir, scale_factor)?;
        Ok(Self {
            dir,
            scale_factor,
            state,
        })
    }

    /// The directory's absolute path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What was found when it was opened.
    pub fn state(&self) -> &HouseState {
        &self.state
    }

    /// Makes the lake anew: tables at the origin, copies at the other sites, the catalog, and last the mark.
    ///
    /// # Errors
    /// When something can't be written; the next start begins anew then.
    pub async fn build(&self) -> Result<(), ProxyError> {
        self.clear()?;
        let (dir, scale_factor) = (self.dir.clone(), self.scale_factor);
        let tables = tokio::task::spawn_blocking(move || making::write_lake(&dir, scale_factor))
            .await
            .map_err(|e| ProxyError::Demo(e.to_string()))??;
        self.register(&tables).await?;
        let listen = SocketAddr::from(([127, 0, 0, 1], 31337));
        self.put(CONFIG_FILE, self.config(listen).as_bytes())?;
        let mark = Mark {
            version: VERSION,
            scale_factor: self.scale_factor,
        };
        let text = serde_json::to_vec_pretty(&mark).map_err(|e| ProxyError::Demo(e.to_string()))?;
        self.put(MARK, &text)?;
        let unfinished = self.dir.join(UNFINISHED);
        std::fs::remove_file(&unfinished).map_err(|e| unusable(&unfinished, &e))
    }

    /// Takes away what an earlier start left, and nothing else.
    fn clear(&self) -> Result<(), ProxyError> {
        self.put(UNFINISHED, b"A lake is being made here.\n")?;
        for site in SITES {
            remove(&self.dir.join(site), |p| std::fs::remove_dir_all(p))?;
        }
        for name in [
            MARK,
            CONFIG_FILE,
            CATALOG_FILE,
            "catalog.db-wal",
            "catalog.db-shm",
            "catalog.db-journal",
        ] {
            remove(&self.dir.join(name), |p| std::fs::remove_file(p))?;
        }
        for site in SITES {
            let path = self.dir.join(site);
            std::fs::create_dir_all(&path).map_err(|e| unusable(&path, &e))?;
        }
        Ok(())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ProxyError> {
        let path = self.dir.join(name);
        std::fs::write(&path, bytes).map_err(|e| unusable(&path, &e))
    }

    async fn register(&self, tables: &[LakeTable]) -> Result<(), ProxyError> {
        let config = config::parse(
            &self.config(SocketAddr::from(([127, 0, 0, 1], 0))),
            &self.dir,
        )?;
        let sites = Sites::new(config.sites)?;
        let namespace = Namespace::new(NamespaceSpec::new(config.members), sites)?;
        let catalog = CatalogName::new(CATALOG)?;
        let schema = SchemaName::new(SCHEMA)?;
        namespace.create_schema(&catalog, &schema).await?;
        for table in tables {
            let name = TableName::new(catalog.clone(), schema.clone(), table.table.name())?;
            let location = CanonicalUri::new(table.metadata_location.as_str());
            namespace.register_table(&name, &location).await?;
        }
        Ok(())
    }

    /// The configuration of the demo's proxy.
    pub fn config(&self, listen: SocketAddr) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let root = |site: &str| quoted(&self.dir.join(site).display().to_string());
        format!(
            r#"# The configuration of `landfast demo`. Links are as slow as the real ones they stand for.

[proxy]
site = "dc-east"
listen = "{listen}"
insecure = true

[defaults]
catalog = "{CATALOG}"
schema = "{SCHEMA}"

[log]
level = "warn"

# The origin of all tables, 40 ms and 1 Gbit/s away.
[[site]]
name = "gcp"
store = {{ kind = "file", root = {gcp} }}
simulate = {{ latency_ms = 40, bandwidth_bytes_per_s = 125_000_000 }}
prefix = [{{ canonical = "{CANONICAL}", at = "", origin = true }}]

# The proxy's own site: the newest part.
[[site]]
name = "dc-east"
store = {{ kind = "file", root = {east} }}
prefix = [{{ canonical = "{CANONICAL}", at = "" }}]

# The other site, 30 ms and 10 Gbit/s away: an older part.
[[site]]
name = "dc-west"
store = {{ kind = "file", root = {west} }}
simulate = {{ latency_ms = 30, bandwidth_bytes_per_s = 1_250_000_000 }}
prefix = [{{ canonical = "{CANONICAL}", at = "" }}]

[[link]]
from = "gcp"
to = "dc-east"
latency_ms = 40
bandwidth_mbit_per_s = 1000
usd_per_gib = 0.08

[[link]]
from = "dc-west"
to = "dc-east"
latency_ms = 30
bandwidth_mbit_per_s = 10000

[[catalog]]
name = "{CATALOG}"
kind = "sql"
url = {url}
catalog_name = "{CATALOG}"
create_tables = true
"#,
            gcp = root("gcp"),
            east = root("dc-east"),
            west = root("dc-west"),
            url = quoted(&format!("sqlite://{CATALOG_FILE}?mode=rwc")),
        )
    }

    /// Bytes of data files at each site, for the report: what is really there.
    pub(super) fn bytes_at(&self, site: &str) -> std::io::Result<u64> {
        let mut bytes = 0;
        let mut folders = vec![self.dir.join(site)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if entry.path().extension().is_some_and(|e| e == "parquet") {
                    bytes += entry.metadata()?.len();
                }
            }
        }
        Ok(bytes)
    }
}

fn look(dir: &Path, scale_factor: f64) -> Result<HouseState, ProxyError> {
    let unfinished = dir.join(UNFINISHED).exists();
    match std::fs::read(dir.join(MARK)) {
        Ok(bytes) => {
            let wanted = Mark {
                version: VERSION,
                scale_factor,
            };
            Ok(match serde_json::from_slice::<Mark>(&bytes) {
                Ok(_) if unfinished => HouseState::Missing("the last start did not finish it"),
                Ok(found) if found == wanted => HouseState::Ready,
                Ok(found) if found.version == VERSION => {
                    HouseState::Missing("the one that is there has another scale")
                }
                _ => HouseState::Missing("the one that is there is of another version"),
            })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if unfinished {
                return Ok(HouseState::Missing("the last start did not finish it"));
            }
            let mut entries = std::fs::read_dir(dir).map_err(|e| unusable(dir, &e))?;
            if entries.next().is_some() {
                return Err(ProxyError::File {
                    path: dir.to_owned(),
                    reason: "is not empty and holds no demo lake; give --dir an empty or a new directory"
                        .to_owned(),
                });
            }
            Ok(HouseState::Missing("there is none yet"))
        }
        Err(e) => Err(unusable(&dir.join(MARK), &e)),
    }
}

fn tempfile_probe(dir: &Path) -> Result<(), ProxyError> {
    let probe = dir.join(".landfast-demo-probe");
    std::fs::write(&probe, b"")
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|e| unusable(dir, &e))
}

fn remove(path: &Path, how: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), ProxyError> {
    match how(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(unusable(path, &e)),
        _ => Ok(()),
    }
}

pub(super) fn unusable(path: &Path, error: &std::io::Error) -> ProxyError {
    ProxyError::File {
        path: path.to_owned(),
        reason: format!("can't be used: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{House, HouseState};
    use crate::config;

    #[test]
    fn a_new_directory_has_no_lake_and_a_strange_one_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let house = House::open(&dir.path().join("new"), 0.01).unwrap();
        assert_eq!(house.state(), &HouseState::Missing("there is none yet"));

        std::fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        let error = House::open(dir.path(), 0.01).unwrap_err().to_string();
        assert!(error.contains("holds no demo lake"), "{error}");
    }

    #[test]
    fn a_file_in_the_way_is_said_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = House::open(&file.join("below"), 0.01).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("can't be used"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn a_lake_of_another_scale_or_a_half_made_one_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join(super::MARK);
        std::fs::write(&mark, r#"{"version": 1, "scale_factor": 0.01}"#).unwrap();
        let state = |sf| House::open(dir.path(), sf).unwrap().state().clone();
        assert_eq!(state(0.01), HouseState::Ready);
        assert!(matches!(state(0.02), HouseState::Missing(why) if why.contains("scale")));
        std::fs::write(dir.path().join(super::UNFINISHED), "").unwrap();
        assert!(matches!(state(0.01), HouseState::Missing(why) if why.contains("finish")));
        std::fs::remove_file(mark).unwrap();
        assert!(matches!(state(0.01), HouseState::Missing(why) if why.contains("finish")));
    }

    #[test]
    fn the_demo_has_a_valid_configuration_wherever_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let house = House::open(&dir.path().join("with \"quotes\" and %20"), 0.01).unwrap();
        let text = house.config("127.0.0.1:0".parse().unwrap());
        let config = config::parse(&text, house.dir()).unwrap();
        assert_eq!(config.sites.sites.len(), 3);
        assert!(config.insecure);
    }
}
