//! How the demo's lake comes to be: tables at the origin, and copies of some of their files at the other sites.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::house::{CANONICAL, SCHEMA, unusable};
use super::lake::{self, LakeSpec, LakeTable, TPCH_TABLES, TpchTable};
use crate::error::ProxyError;

/// What is where, in months since January 1970: `dc-west` has 1995 and 1996, `dc-east` all from 1997 on.
const WEST_FROM: i32 = (1995 - 1970) * 12;
const EAST_FROM: i32 = (1997 - 1970) * 12;

/// Writes the origin's tables and copies parts of them.
pub(super) fn write_lake(dir: &Path, scale_factor: f64) -> Result<Vec<LakeTable>, ProxyError> {
    let total: u64 = TPCH_TABLES.iter().map(|t| t.rows(scale_factor)).sum();
    let bar = progress_bar(total);
    let spec = LakeSpec {
        root: dir.join("gcp"),
        canonical: CANONICAL.to_owned(),
        scale_factor,
    };
    let tables = lake::write(&spec, &|progress| bar.inc(progress.rows));
    let tables = tables.map_err(|e| ProxyError::Demo(e.to_string()))?;
    bar.set_message("copying to dc-east and dc-west");
    for site in ["dc-east", "dc-west"] {
        for table in &tables {
            copy_metadata(dir, site, table.table)?;
            for file in &table.files {
                if file.month.is_some_and(|month| keeps(site, month)) {
                    copy(dir, site, &file.path)?;
                }
            }
        }
    }
    bar.finish_and_clear();
    Ok(tables)
}

fn keeps(site: &str, month: i32) -> bool {
    match site {
        "dc-east" => month >= EAST_FROM,
        "dc-west" => (WEST_FROM..EAST_FROM).contains(&month),
        _ => true,
    }
}

fn copy_metadata(dir: &Path, site: &str, table: TpchTable) -> Result<(), ProxyError> {
    let folder = format!("{SCHEMA}/{table}/metadata");
    let from = dir.join("gcp").join(&folder);
    for entry in std::fs::read_dir(&from).map_err(|e| unusable(&from, &e))? {
        let entry = entry.map_err(|e| unusable(&from, &e))?;
        copy(
            dir,
            site,
            &format!("{folder}/{}", entry.file_name().display()),
        )?;
    }
    Ok(())
}

fn copy(dir: &Path, site: &str, path: &str) -> Result<(), ProxyError> {
    let to = dir.join(site).join(path);
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|e| unusable(parent, &e))?;
    }
    std::fs::copy(dir.join("gcp").join(path), &to)
        .map(drop)
        .map_err(|e| unusable(&to, &e))
}

/// A bar over rows on standard error, drawn on a terminal only.
fn progress_bar(rows: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(rows), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} rows {elapsed} {msg}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
