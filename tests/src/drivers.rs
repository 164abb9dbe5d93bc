//! Clients that only some tests need, fetched or built by the first that asks: other versions of the JDBC driver, what
//! notebooks use, ADBC from Go and from Rust.
//!
//! Each is kept under a name that has its version, or a hash of all that it is made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::parts::{Parts, fetch_wheels, on_path, run};

/// Fetches one artifact, without what it names as its dependencies: the driver has them inside.
const FETCH_ARTIFACT: &str = "\
import pathlib, shutil, sys
from jgo.maven import MavenContext

group, artifact, version, cache, target = sys.argv[1:]
found = MavenContext(repo_cache=pathlib.Path(cache)).project(group, artifact).at_version(version).artifact().resolve()
shutil.copyfile(found, target)
";

/// The stock JDBC driver of some version, a jar.
///
/// # Errors
/// When it cannot be fetched.
pub fn jdbc(version: &str) -> Result<PathBuf> {
    let parts = Parts::get();
    let name = format!("flight-sql-jdbc-driver-{version}.jar");
    let what = format!("the JDBC driver {version} (a few seconds)");
    parts.on_demand(&name, &what, |jar| {
        let mut fetch = Command::new(parts.python());
        fetch.args(["-c", FETCH_ARTIFACT, "org.apache.arrow"]);
        fetch.args(["flight-sql-jdbc-driver", version]);
        fetch.arg(parts.keep("maven")).arg(jar);
        run(&mut fetch, &format!("fetch the JDBC driver {version}"))
    })
}

/// The Java programs of `tests/clients/jdbc`, compiled: a directory of classes.
///
/// # Errors
/// When they don't compile.
pub fn java_programs() -> Result<PathBuf> {
    let parts = Parts::get();
    let sources = sources("jdbc")?;
    let name = format!("jdbc-programs-{}", hash(&sources)?);
    parts.on_demand(&name, "what drives JDBC (compiled)", |classes| {
        let javac = parts.java().with_file_name("javac");
        let mut javac = Command::new(if javac.is_file() {
            javac
        } else {
            "javac".into()
        });
        javac.args(["--release", "17", "-d"]).arg(classes);
        run(javac.args(&sources), "compile tests/clients/jdbc")
    })
}

/// A Python with what notebooks use: pandas, Polars, DuckDB, Ibis, SQLAlchemy.
///
/// # Errors
/// When its wheels cannot be fetched.
pub fn notebooks() -> Result<PathBuf> {
    const LIST: &str = "clients/notebooks-requirements.txt";
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST);
    let name = format!("notebooks-{}", hash(&[list])?);
    let what = "what notebooks use (a minute)";
    let venv = Parts::get().on_demand(&name, what, |venv| fetch_wheels(venv, LIST))?;
    Ok(venv.join("bin/python"))
}

/// The Go program of `tests/clients/go`, built; nothing where there is no Go.
///
/// # Errors
/// When it doesn't build.
pub fn go_program() -> Result<Option<PathBuf>> {
    if !on_path("go") {
        return Ok(None);
    }
    let parts = Parts::get();
    let name = format!("go-program-{}", hash(&sources("go")?)?);
    let what = "ADBC for Go (a minute)";
    let built = parts.on_demand(&name, what, |binary| {
        let mut go = Command::new("go");
        go.current_dir(Parts::client("go"));
        go.args(["build", "-mod=readonly", "-o"])
            .arg(binary)
            .arg(".");
        run(&mut go, "build tests/clients/go")
    })?;
    Ok(Some(built))
}

/// The Rust program of `tests/clients/rust`, built. It is no part of the workspace: ADBC's driver manager has an Arrow of
/// its own.
///
/// # Errors
/// When it doesn't build.
pub fn rust_program() -> Result<PathBuf> {
    let parts = Parts::get();
    let name = format!("rust-program-{}", hash(&sources("rust")?)?);
    let what = "ADBC for Rust (a minute)";
    let built = parts.on_demand(&name, what, |target| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What the workspace is built with is none of its business.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("CARGO_RESOLVER_") {
                cargo.env_remove(variable);
            }
        }
        cargo.current_dir(Parts::client("rust"));
        cargo.args(["build", "--quiet", "--locked", "--target-dir"]);
        run(cargo.arg(target), "build tests/clients/rust")
    })?;
    Ok(built.join("debug/adbc-from-rust"))
}

/// The Flight SQL driver's shared library, as Python's wheel brings it.
///
/// # Errors
/// When the wheel has none.
pub fn adbc_library() -> Result<PathBuf> {
    let wheel = Parts::get().site_packages()?;
    let library = wheel.join("adbc_driver_flightsql/libadbc_driver_flightsql.so");
    ensure!(library.is_file(), "there is no {}", library.display());
    Ok(library)
}

/// The files of a folder in `tests/clients`, in order.
fn sources(folder: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![Parts::client(folder)];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

fn hash(files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(fs::read(file).with_context(|| format!("read {}", file.display()))?);
    }
    let hash = hash.finalize();
    Ok(hash
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
