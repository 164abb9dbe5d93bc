//! Catalog servers, each a process of its own: Apache's Iceberg REST catalog, and PostgreSQL for SQL catalogs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::parts::{ClassPath, Parts};
use crate::process::{Launch, Server, free_port, run_dir};
use crate::stores::Store;

/// PostgreSQL refuses to run as root; then it runs as this user, whom every Unix has.
const NOBODY: &str = "nobody";

/// Apache's Iceberg REST catalog server. It knows no authentication: see [`crate::reverse`].
#[derive(Debug)]
pub struct RestCatalog {
    uri: String,
    _server: Server,
}

impl RestCatalog {
    /// Starts it over a SQLite file; new tables go to `warehouse` in a GCS-like store.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(database: &Path, warehouse: &str, store: &Store) -> Result<Self> {
        let port = free_port()?;
        let parts = Parts::get();
        let mut launch = Launch::new("rest-catalog", parts.java());
        let java = launch.command();
        java.args([
            "-cp",
            &parts.class_path(ClassPath::Rest)?,
            "org.apache.iceberg.rest.RESTCatalogServer",
        ]);
        java.env("CATALOG_REST_PORT", port.to_string());
        java.env("CATALOG_WAREHOUSE", warehouse);
        java.env("CATALOG_IO__IMPL", "org.apache.iceberg.gcp.gcs.GCSFileIO");
        java.env("CATALOG_GCS_SERVICE_HOST", store.endpoint());
        java.env("CATALOG_GCS_NO__AUTH", "true");
        java.env("CATALOG_GCS_PROJECT__ID", "tests");
        java.env(
            "CATALOG_CATALOG__IMPL",
            "org.apache.iceberg.jdbc.JdbcCatalog",
        );
        java.env("CATALOG_URI", format!("jdbc:sqlite:{}", database.display()));
        // One connection: with two, SQLite refuses one of two writers at the same time.
        java.env("CATALOG_CLIENTS", "1");
        java.env("CATALOG_JDBC_USER", "tests");
        java.env("CATALOG_JDBC_PASSWORD", "tests");
        java.env("CATALOG_JDBC_SCHEMA__VERSION", "V1");
        let mut server = launch.start()?;
        server.listening(port)?;
        Ok(Self {
            uri: format!("http://127.0.0.1:{port}"),
            _server: server,
        })
    }

    /// Its base URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

/// A PostgreSQL server of its own, empty.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    _server: Server,
}

impl Postgres {
    /// Starts it on a free port, its data in a directory that goes with it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self> {
        let port = free_port()?;
        let wheel = Parts::get().site_packages()?;
        if !is_root()? {
            let data = run_dir("postgres")?.join("data");
            let bin = wheel.join("pgserver/pginstall/bin");
            init(&mut Command::new(bin.join("initdb")), &data)?;
            return Self::serve(
                Launch::new("postgres", bin.join("postgres")).remove(&data),
                &data,
                port,
            );
        }
        // Another user may not reach the target directory, so the binaries (34 MB) go where everyone can.
        let home =
            std::env::temp_dir().join(format!("landfast-postgres-{}-{port}", std::process::id()));
        fs::create_dir(&home).with_context(|| format!("make {}", home.display()))?;
        for part in ["pgserver", "pgserver.libs"] {
            run(Command::new("cp")
                .arg("-r")
                .arg(wheel.join(part))
                .arg(&home))?;
        }
        run(Command::new("chown").args(["-R", NOBODY]).arg(&home))?;
        let (bin, data) = (home.join("pgserver/pginstall/bin"), home.join("data"));
        let keeper = Parts::client("keeper.py");
        let mut as_nobody = Command::new(Parts::get().python());
        // The keeper drops root's rights; its lifeline stays open until initdb is done.
        as_nobody
            .arg(keeper)
            .args(["--user", NOBODY, "--"])
            .arg(bin.join("initdb"));
        as_nobody
            .stdin(std::process::Stdio::piped())
            .current_dir(&home);
        init(&mut as_nobody, &data)?;
        let mut launch = Launch::new("postgres", bin.join("postgres"))
            .user(NOBODY)
            .remove(&home);
        launch.command().current_dir(&home);
        Self::serve(launch, &data, port)
    }

    fn serve(launch: Launch, data: &Path, port: u16) -> Result<Self> {
        // INT is PostgreSQL's fast shutdown: it does not wait for clients.
        let mut launch = launch.end_with("INT");
        let postgres = launch.command().arg("-D").arg(data);
        postgres.args([
            "-h",
            "127.0.0.1",
            "-k",
            "",
            "-p",
            &port.to_string(),
            "-c",
            "fsync=off",
        ]);
        let mut server = launch.start()?;
        server.listening(port)?;
        Ok(Self {
            port,
            _server: server,
        })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL that Landfast takes.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The URL that PyIceberg (SQLAlchemy) takes.
    pub fn sqlalchemy_url(&self) -> String {
        format!(
            "postgresql+psycopg2://postgres@127.0.0.1:{}/postgres",
            self.port
        )
    }
}

fn init(initdb: &mut Command, data: &Path) -> Result<()> {
    initdb.arg("-D").arg(data).args([
        "--auth=trust",
        "-U",
        "postgres",
        "--encoding=UTF8",
        "--no-sync",
    ]);
    run(initdb)
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    // Spawned by hand: `output` would close a piped stdin before the program is done.
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut child = child.with_context(|| format!("start {name}"))?;
    let lifeline = child.stdin.take();
    let done = child.wait_with_output()?;
    drop(lifeline);
    if !done.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

fn is_root() -> Result<bool> {
    let said = Command::new("id").arg("-u").output().context("run id")?;
    Ok(said.stdout.trim_ascii() == b"0")
}
