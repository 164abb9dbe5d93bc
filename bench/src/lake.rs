//! The lake that every engine reads, written by the demo's writer.

use std::io::{self, Write as _};
use std::path::Path;

use landfast_proxy::demo::lake::{self, LakeSpec};
use serde_json::json;

/// Writes TPC-H below `dir` under `file://` URIs, so that any engine reads it where it lies. Prints a JSON line for each
/// table: its name, and its metadata file.
pub(crate) fn write(dir: &Path, scale_factor: f64) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let root = dir.canonicalize()?;
    let spec = LakeSpec {
        canonical: format!("file://{}/", root.display()),
        root,
        scale_factor,
    };
    let mut out = io::stdout().lock();
    for table in lake::write(&spec, &|_| ())? {
        let line = json!({ "table": table.table.to_string(), "metadata": table.metadata_location });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
