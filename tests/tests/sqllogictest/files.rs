//! The files, as the crate of their version brings them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use landfast_tests::parts::target_dir;
use sha2::{Digest, Sha256};

/// The version of DataFusion that the workspace is built with.
const VERSION: &str = "55.2.0";
/// The crate file's SHA-256.
const SHA256: &str = "b270cea4d8c2b2c42773e60164204386fb97d7936736e5f126ac751b86d7dabe";

/// Where the files lie once they are fetched.
pub(crate) fn root() -> Result<PathBuf> {
    let parts = target_dir()?.join("landfast-parts");
    Ok(parts.join(format!("datafusion-sqllogictest-{VERSION}/test_files")))
}

/// The folder of files, fetched by the first run.
pub(crate) fn fetched() -> Result<PathBuf> {
    let root = root()?;
    let home = root.parent().context("the folder has a parent")?;
    let parts = home.parent().context("the folder has a parent")?;
    fs::create_dir_all(parts).with_context(|| format!("make {}", parts.display()))?;
    let lock = fs::File::create(parts.join("sqllogictest.lock"))?;
    lock.lock()?;
    let ready = home.join("ready");
    if ready.exists() {
        return Ok(root);
    }
    landfast_tests::tell("landfast-tests: fetching DataFusion's sqllogictest files, once");
    let archive = match cached()? {
        Some(archive) => archive,
        None => {
            fetch(parts)?;
            cached()?.ok_or_else(|| anyhow!("Cargo fetched datafusion-sqllogictest nowhere"))?
        }
    };
    let bytes = fs::read(&archive).with_context(|| format!("read {}", archive.display()))?;
    let found: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ensure!(
        found == SHA256,
        "{} has the SHA-256 {found}",
        archive.display()
    );
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(parts);
    run(&mut tar, "unpack datafusion-sqllogictest with tar")?;
    fs::write(ready, "")?;
    Ok(root)
}

/// Lets Cargo fetch the crate, and nothing that it depends on.
fn fetch(parts: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut info = Command::new(cargo);
    // Outside of the workspace, which has versions of its own.
    info.current_dir(std::env::temp_dir())
        .env("CARGO_TARGET_DIR", parts);
    info.args([
        "info",
        "--quiet",
        &format!("datafusion-sqllogictest@{VERSION}"),
    ]);
    run(&mut info, "fetch datafusion-sqllogictest with cargo")
}

fn cached() -> Result<Option<PathBuf>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let caches = home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("registry/cache");
    let Ok(registries) = fs::read_dir(&caches) else {
        return Ok(None);
    };
    let file = format!("datafusion-sqllogictest-{VERSION}.crate");
    let mut archives = registries
        .flatten()
        .map(|registry| registry.path().join(&file));
    Ok(archives.find(|archive| archive.is_file()))
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let done = command
        .output()
        .with_context(|| format!("could not {what}"))?;
    if !done.status.success() {
        bail!(
            "could not {what}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(())
}

/// All files below a folder, by their paths in it.
pub(crate) fn in_folder(root: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "slt") {
                found.insert(path.strip_prefix(root)?.display().to_string());
            }
        }
    }
    Ok(found)
}
