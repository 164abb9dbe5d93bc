//! Stock clients, each in a process of its own: Python's ADBC driver, PyIceberg, the JDBC driver.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use crate::landfast::Landfast;
use crate::parts::{ClassPath, Parts};
use crate::process::run_dir;

/// What a client was told instead of an answer.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The text that a user sees.
    pub message: String,
    /// ADBC's status, such as `NOT_FOUND`; empty for other clients.
    pub status: String,
}

/// A result set, its values as JSON has them: decimals, dates and times are text.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Arrow types of the columns, as Python writes them.
    pub types: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

impl Rows {
    /// The only value of the only row.
    ///
    /// # Panics
    /// When there are more or fewer.
    pub fn only(&self) -> &Value {
        assert!(
            self.rows.len() == 1 && self.rows[0].len() == 1,
            "one value expected: {self:?}"
        );
        &self.rows[0][0]
    }

    /// A column's values.
    ///
    /// # Panics
    /// When there is no such column.
    pub fn column(&self, name: &str) -> Vec<Value> {
        let index = self.columns.iter().position(|column| column == name);
        let index = index.unwrap_or_else(|| panic!("no column {name} in {:?}", self.columns));
        self.rows.iter().map(|row| row[index].clone()).collect()
    }

    /// A column's values as text, those that are.
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.column(name)
            .iter()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    }
}

/// A program in `tests/clients/` that answers one JSON object a line with one a line.
#[derive(Debug)]
struct Dialogue {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Dialogue {
    fn start(name: &'static str) -> Result<Self> {
        let log = run_dir("client")?.join(format!("{name}.log"));
        let mut command = Command::new(Parts::get().python());
        command
            .arg(Parts::client(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        // A stray interpreter setting must not change what is tested.
        command
            .env_remove("PYTHONPATH")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1");
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let stdin = child.stdin.take();
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| anyhow!("{name} has no output"))?;
        Ok(Self {
            name,
            child,
            stdin,
            stdout: BufReader::new(stdout),
            log,
        })
    }

    /// Sends a request without waiting for its answer.
    fn send(&mut self, request: &Value) -> Result<()> {
        let stdin = self
            .stdin
            .as_mut()
            .ok_or_else(|| anyhow!("{} has ended", self.name))?;
        writeln!(stdin, "{request}").with_context(|| format!("ask {}", self.name))
    }

    fn receive(&mut self) -> Result<Result<Value, Refusal>> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            bail!("{} died; its log is {}", self.name, self.log.display());
        }
        let mut answer: Value = serde_json::from_str(&line)?;
        if answer.get("error").is_some() {
            let text = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
            return Ok(Err(Refusal {
                message: text("message"),
                status: text("status"),
            }));
        }
        Ok(Ok(answer["ok"].take()))
    }

    fn ask(&mut self, request: &Value) -> Result<Value, Refusal> {
        let answered = self.send(request).and_then(|()| self.receive());
        answered.unwrap_or_else(|error| panic!("{request}: {error:#}"))
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        self.stdin = None;
        // A client in the middle of a query that hangs must not hold the tests up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection of the stock Python ADBC driver.
#[derive(Debug)]
pub struct Adbc {
    dialogue: Dialogue,
}

impl Adbc {
    /// Starts Python, unconnected.
    ///
    /// # Panics
    /// When Python does not start.
    pub fn start() -> Self {
        Self {
            dialogue: Dialogue::start("adbc.py").expect("Python starts"),
        }
    }

    /// Connects with options of the driver (`username`, `adbc.flight.sql.…`).
    ///
    /// # Errors
    /// What the user is told.
    pub fn connect(&mut self, uri: &str, options: &Value) -> Result<(), Refusal> {
        self.ask(&json!({ "do": "connect", "uri": uri, "options": options }))
            .map(|_| ())
    }

    /// A connected client.
    ///
    /// # Panics
    /// When the proxy refuses.
    pub fn to(landfast: &Landfast) -> Self {
        let mut client = Self::start();
        client
            .connect(&landfast.uri(), &landfast.adbc_options())
            .unwrap_or_else(|error| panic!("connect: {error:?}"));
        client
    }

    /// Runs a query and fetches all of it.
    ///
    /// # Errors
    /// What the user is told.
    pub fn try_query(&mut self, sql: &str) -> Result<Rows, Refusal> {
        self.ask(&json!({ "do": "query", "sql": sql }))
            .map(|answer| rows(&answer))
    }

    /// Runs a query that must succeed.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn query(&mut self, sql: &str) -> Rows {
        self.try_query(sql)
            .unwrap_or_else(|error| panic!("{sql}: {} {}", error.status, error.message))
    }

    /// Runs a query with parameters.
    ///
    /// # Errors
    /// What the user is told.
    pub fn query_with(&mut self, sql: &str, parameters: &Value) -> Result<Rows, Refusal> {
        self.ask(&json!({ "do": "query", "sql": sql, "parameters": parameters }))
            .map(|answer| rows(&answer))
    }

    /// Runs a query that must be refused.
    ///
    /// # Panics
    /// When it isn't.
    pub fn refused(&mut self, sql: &str) -> Refusal {
        match self.try_query(sql) {
            Ok(rows) => panic!("{sql}: answered with {rows:?}"),
            Err(refusal) => refusal,
        }
    }

    /// Runs a statement as notebooks do: `cursor.execute(…)`, then close, nothing fetched.
    ///
    /// # Errors
    /// What the user is told.
    pub fn execute(&mut self, sql: &str) -> Result<(), Refusal> {
        self.ask(&json!({ "do": "execute", "sql": sql }))
            .map(|_| ())
    }

    /// Starts a query and returns at once; [`Adbc::answer`] gives its rows.
    ///
    /// # Panics
    /// When the client has died.
    pub fn begin(&mut self, sql: &str) {
        self.dialogue
            .send(&json!({ "do": "query", "sql": sql }))
            .expect("the client lives");
    }

    /// The rows of what [`Adbc::begin`] started.
    ///
    /// # Errors
    /// What the user is told.
    ///
    /// # Panics
    /// When the client has died.
    pub fn answer(&mut self) -> Result<Rows, Refusal> {
        self.dialogue
            .receive()
            .expect("the client lives")
            .map(|answer| rows(&answer))
    }

    /// Any other operation of `adbc.py`.
    ///
    /// # Errors
    /// What the user is told.
    pub fn ask(&mut self, request: &Value) -> Result<Value, Refusal> {
        self.dialogue.ask(request)
    }
}

/// PyIceberg.
#[derive(Debug)]
pub struct Iceberg {
    dialogue: Dialogue,
}

impl Iceberg {
    /// Starts Python with PyIceberg, no catalog loaded.
    ///
    /// # Panics
    /// When Python does not start.
    pub fn start() -> Self {
        Self {
            dialogue: Dialogue::start("iceberg.py").expect("Python starts"),
        }
    }

    /// Does an operation of `iceberg.py` that must succeed.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn ask(&mut self, operation: &str, mut request: Value) -> Value {
        request["do"] = operation.into();
        self.dialogue
            .ask(&request)
            .unwrap_or_else(|error| panic!("PyIceberg, {operation}: {}", error.message))
    }
}

fn rows(answer: &Value) -> Rows {
    let texts = |key: &str| {
        let values = answer[key].as_array().into_iter().flatten();
        values
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    };
    let rows = answer["rows"].as_array().into_iter().flatten();
    let rows = rows
        .map(|row| row.as_array().cloned().unwrap_or_default())
        .collect();
    Rows {
        columns: texts("columns"),
        types: texts("types"),
        rows,
    }
}

/// Runs a single-file Java program of `tests/clients/` with the stock JDBC driver on its class path, and gives what it
/// printed.
///
/// # Errors
/// When it fails, with what it said.
pub fn java(program: &str, arguments: &[&str]) -> Result<String> {
    let parts = Parts::get();
    let mut java = Command::new(parts.java());
    java.args([
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "-cp",
        &parts.class_path(ClassPath::Jdbc)?,
    ]);
    java.arg(Parts::client(program))
        .args(arguments)
        .stdin(Stdio::null());
    let done = java.output().context("start java")?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        bail!(
            "{program} failed:\n{said}\n{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(said)
}
