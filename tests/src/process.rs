//! Servers as processes of their own, each ended with the tests.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::parts::{Parts, target_dir};

/// How often something that is awaited is asked.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// Where servers of tests listen: below the ports that systems hand out by themselves (Linux from 32768, others from
/// 49152), so that no connection and no socket that asks for any port takes one while its server starts.
const PORTS: Range<u16> = 20_000..32_000;

/// A port on the loopback address that nobody listens on, and that no other caller in this process is given. Another
/// process may take it before its server does: rare, and said clearly.
///
/// It is found by asking, not by listening: a child that another test starts at this moment holds our sockets open
/// until it is a program of its own, and whoever asks the port meanwhile would take it for the server.
///
/// # Errors
/// When all are taken.
pub fn free_port() -> Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes with neighbouring ids begin far from each other.
    let first = std::process::id().wrapping_mul(7919);
    for _ in PORTS {
        let step = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from(step % u32::from(PORTS.end - PORTS.start))?;
        let asked = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        if asked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            return Ok(port);
        }
    }
    bail!("every port from {} to {} is taken", PORTS.start, PORTS.end)
}

/// Asks `ready` until it says yes.
///
/// # Errors
/// When `deadline` has passed; `what` says what was awaited.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have threads of their own, and between two questions there is nothing to await"
)]
pub fn wait_until(what: &str, deadline: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !ready() {
        if start.elapsed() > deadline {
            bail!("{what}: not within {} s", deadline.as_secs());
        }
        thread::sleep(ASK_EVERY);
    }
    Ok(())
}

/// A directory for this run of this test binary: data of servers, logs, generated files. Logs are kept until another
/// run finds them an hour old.
///
/// # Errors
/// When it cannot be made.
pub fn run_dir(name: &str) -> Result<PathBuf> {
    static COUNT: Mutex<u32> = Mutex::new(0);
    let runs = target_dir()?.join("landfast-parts/runs");
    let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    if *count == 0 {
        clear_old_runs(&runs);
    }
    *count += 1;
    let dir = runs
        .join(std::process::id().to_string())
        .join(format!("{:03}-{name}", *count));
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}

fn clear_old_runs(runs: &Path) {
    let old = Duration::from_secs(3600);
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let age = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > old) && !Path::new("/proc").join(entry.file_name()).exists()
        {
            // Left-overs only: nobody waits for them.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// How a server is started.
#[derive(Debug)]
pub struct Launch {
    name: &'static str,
    command: Command,
    keeper: Vec<String>,
}

impl Launch {
    /// A server called `name` in logs and errors.
    pub fn new(name: &'static str, program: impl AsRef<Path>) -> Self {
        Self {
            name,
            command: Command::new(program.as_ref()),
            keeper: Vec::new(),
        }
    }

    /// Its arguments and environment, before it starts.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs it as another user; only root can.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.keeper.extend(["--user".into(), user.into()]);
        self
    }

    /// Ends it with this signal (`INT`, `TERM`, …).
    #[must_use]
    pub fn end_with(mut self, signal: &str) -> Self {
        self.keeper.extend(["--signal".into(), signal.into()]);
        self
    }

    /// Removes a directory when it has ended.
    #[must_use]
    pub fn remove(mut self, dir: &Path) -> Self {
        self.keeper
            .extend(["--remove".into(), dir.display().to_string()]);
        self
    }

    /// Starts it; its output goes to a log.
    ///
    /// # Errors
    /// When the keeper does not start.
    pub fn start(self) -> Result<Server> {
        let log = run_dir("log")?.join(format!("{}.log", self.name));
        let out = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let mut keeper = Command::new(Parts::get().python());
        keeper
            .arg(Parts::client("keeper.py"))
            .args(&self.keeper)
            .arg("--");
        keeper
            .arg(self.command.get_program())
            .args(self.command.get_args());
        for (key, value) in self.command.get_envs() {
            match value {
                Some(value) => keeper.env(key, value),
                None => keeper.env_remove(key),
            };
        }
        if let Some(dir) = self.command.get_current_dir() {
            keeper.current_dir(dir);
        }
        keeper
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out);
        let mut child = keeper
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        let lifeline = child.stdin.take();
        show_log_on_panic(&log);
        Ok(Server {
            name: self.name,
            child,
            lifeline,
            log,
        })
    }
}

/// A running server. Dropped, it is ended with all its children; so it is when the tests die.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    /// The server's keeper ends it when this closes.
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Server {
    /// Asks until the server is ready.
    ///
    /// # Errors
    /// When it ended before, or the deadline passed; with the end of its log.
    pub fn ready(&mut self, deadline: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let child = &mut self.child;
        let mut ended = None;
        let waited = wait_until(self.name, deadline, || {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || ready()
        });
        if let Some(status) = ended {
            bail!(
                "{} ended at its start ({status}):\n{}",
                self.name,
                self.log_tail()
            );
        }
        waited.with_context(|| format!("{} said:\n{}", self.name, self.log_tail()))
    }

    /// Asks until the server takes connections at `port`.
    ///
    /// # Errors
    /// As [`Server::ready`].
    pub fn listening(&mut self, port: u16) -> Result<()> {
        self.ready(Duration::from_secs(60), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        })
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has ended by itself, and gives its exit code.
    ///
    /// # Errors
    /// When it still runs at the deadline.
    pub fn ended(&mut self, deadline: Duration) -> Result<i32> {
        let child = &mut self.child;
        let mut code = None;
        wait_until(&format!("{} to end", self.name), deadline, || {
            code = child
                .try_wait()
                .ok()
                .flatten()
                .map(|status| status.code().unwrap_or(-1));
            code.is_some()
        })?;
        Ok(code.unwrap_or(-1))
    }

    fn log_tail(&self) -> String {
        tail(&self.log, 30)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.lifeline = None;
        // The keeper ends by itself, after its server; there is nobody to tell when it doesn't.
        let _ = self.child.wait();
    }
}

fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let skip = text.lines().count().saturating_sub(lines);
    text.lines().skip(skip).collect::<Vec<_>>().join("\n")
}

/// The first failed test prints the ends of all logs.
fn show_log_on_panic(log: &Path) {
    static LOGS: OnceLock<Mutex<Vec<PathBuf>>> = OnceLock::new();
    let logs = LOGS.get_or_init(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            previous(panic);
            let logs = LOGS.get().map(|logs| {
                std::mem::take(&mut *logs.lock().unwrap_or_else(PoisonError::into_inner))
            });
            for log in logs.into_iter().flatten() {
                let end = tail(&log, 15);
                if !end.is_empty() {
                    crate::tell(&format!("--- the end of {}\n{end}", log.display()));
                }
            }
        }));
        Mutex::new(Vec::new())
    });
    logs.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(log.to_path_buf());
}
