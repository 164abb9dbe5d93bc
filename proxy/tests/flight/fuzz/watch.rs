//! Runs one target in a process of its own and tells the input that ended it.
//!
//! The child writes each input to a file before it tries it, so that the input is there whatever happens: a panic in any
//! thread, a stack that overflows, an answer that never comes.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::house::hex;

/// Inputs of a run that is not told how long to go on.
const INPUTS: u64 = 150;
/// How long one input may take; far more than any needs, also on a machine that is busy otherwise.
const INPUT_TIME_MAX: Duration = Duration::from_secs(60);
/// How much more memory one input may take than there was before it.
const INPUT_BYTES_MAX: u64 = 768 << 20;
/// Inputs that are kept to be changed further.
const KEPT_MAX: usize = 4000;

const CHILD: &str = "LANDFAST_FUZZ_CHILD";
const SECONDS: &str = "LANDFAST_FUZZ_SECONDS";
const SEED: &str = "LANDFAST_FUZZ_SEED";
const REPLAY: &str = "LANDFAST_FUZZ_REPLAY";

/// What is fuzzed.
pub(super) trait Target {
    /// Inputs that mean something.
    fn seeds(&self) -> Vec<Vec<u8>>;
    /// Another input, made of those.
    fn change(&self, rng: &mut StdRng, kept: &[Vec<u8>]) -> Vec<u8>;
    /// Tries one input: how it was answered, or what is wrong with that.
    fn answer(&mut self, input: &[u8]) -> Result<String, String>;
    /// An input for people.
    fn shown(&self, input: &[u8]) -> String;
}

/// Runs the target in a child of this test binary; in the child, tries inputs.
pub(super) fn run<T: Target>(test: &str, make: impl FnOnce() -> T) {
    match std::env::var_os(CHILD) {
        Some(file) => try_inputs(make(), Path::new(&file)),
        None => watch(test),
    }
}

fn watch(test: &str) {
    let name = test.rsplit("::").next().unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    fs::create_dir_all(&folder).unwrap();
    let (input, said) = (folder.join(name), folder.join(format!("{name}.log")));
    fs::write(&input, b"").unwrap();
    let log = File::create(&said).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, &input)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .status()
        .unwrap();
    let said = fs::read_to_string(&said).unwrap();
    let tail: Vec<&str> = said.lines().rev().take(40).collect();
    let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
    assert!(
        status.success(),
        "{tail}\n{status}; the input is in {file}: try it again with {REPLAY}={file}\nin hexadecimal: {}",
        shortened(&hex(&fs::read(&input).unwrap())),
        file = input.display()
    );
    let summary = said.lines().find(|line| line.starts_with("tried "));
    eprintln!("{name}: {}", summary.expect("the child says what it did"));
}

fn shortened(text: &str) -> String {
    match text.get(..16_384) {
        Some(start) => format!("{start}… ({} in all)", text.len()),
        None => text.to_owned(),
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

fn try_inputs<T: Target>(mut target: T, file: &Path) {
    let panics = catch_panics();
    let attempt = |target: &mut T, input: &[u8]| {
        fs::write(file, input).unwrap();
        let before = Memory::now();
        let start = Instant::now();
        let answer = target.answer(input);
        let fault = match (answer, panics.lock().unwrap().pop()) {
            (_, Some(panic)) => panic,
            (Err(fault), None) => fault,
            (Ok(_), None) if start.elapsed() > INPUT_TIME_MAX => {
                format!("it took {:?}", start.elapsed())
            }
            (Ok(answer), None) => match before.grown() {
                grown if grown > INPUT_BYTES_MAX => format!("it took {} MiB", grown >> 20),
                _ => return answer,
            },
        };
        eprintln!("{fault}\nthe input: {}", shortened(&target.shown(input)));
        std::process::exit(101);
    };
    if let Some(replayed) = std::env::var_os(REPLAY) {
        let input = fs::read(replayed).unwrap();
        eprintln!("tried one input: {}", attempt(&mut target, &input));
        return;
    }
    let mut kept = target.seeds();
    for seed in kept.clone() {
        attempt(&mut target, &seed);
    }
    let seed = setting(SEED).unwrap_or(1);
    let until = setting(SECONDS).map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut tried, mut answers) = (0, HashSet::new());
    while until.map_or(tried < INPUTS, |until| Instant::now() < until) {
        let input = target.change(&mut rng, &kept);
        let answer = attempt(&mut target, &input);
        tried += 1;
        if answers.insert(outline(&answer)) {
            match kept.len() < KEPT_MAX {
                true => kept.push(input),
                false => {
                    let at = rng.random_range(0..kept.len());
                    kept[at] = input;
                }
            }
        }
    }
    eprintln!(
        "tried {tried} inputs of seed {seed}, answered in {} ways",
        answers.len()
    );
}

/// An answer without what is the input's own: numbers, and whatever is quoted.
fn outline(answer: &str) -> String {
    let mut quoted = false;
    let plain = answer.chars().filter(|letter| {
        if matches!(letter, '`' | '"' | '\'') {
            quoted = !quoted;
        }
        !quoted && !letter.is_ascii_digit()
    });
    plain.take(100).collect()
}

/// Panics of all threads from now on, with where they were.
fn catch_panics() -> Arc<Mutex<Vec<String>>> {
    let panics = Arc::new(Mutex::new(Vec::new()));
    let caught = panics.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::force_capture().to_string();
        let ours: Vec<&str> = trace
            .lines()
            .filter(|line| !line.contains("/rustc/"))
            .take(120)
            .collect();
        let text = format!("a panic: {panic}\n{}", ours.join("\n"));
        caught.lock().unwrap().push(text);
    }));
    panics
}

/// The process's memory, to see what one input adds at its highest.
struct Memory {
    resident: u64,
}

impl Memory {
    fn now() -> Self {
        // From here on the highest is that of this input; where the system can't do that, it's that of all of them.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self {
            resident: status("VmRSS:"),
        }
    }

    fn grown(&self) -> u64 {
        status("VmHWM:").saturating_sub(self.resident)
    }
}

/// A line of the process's status, in bytes; nought where there is none.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
