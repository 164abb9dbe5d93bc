//! What no linter checks: which crate may know which, how long a file grows, where versions stand, and what must
//! never be in the repository.
//!
//! Each [`Rule`] is a function of a [`Tree`] alone, and brings examples of what it refuses and of what it accepts:
//! a rule that finds nothing in its own bad examples fails, so none can go blind.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read the repository says where and stops"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tracked files by their path from the repository's root, with `/` between the parts. Files that aren't text are absent.
type Tree = BTreeMap<String, String>;

/// The same, as an example writes it.
type Example = &'static [(&'static str, &'static str)];

struct Rule {
    name: &'static str,
    /// Every fault found, each saying where it is and what to do.
    faults: fn(&Tree) -> Vec<String>,
    /// Each must give at least one fault.
    bad: &'static [Example],
    /// Must give none.
    good: Example,
}

/// A file's most lines; the aim is half of it.
const LINES_MAX: usize = 800;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "shared", "stuff",
];

/// For each crate: which of ours it may use, and which others it must not (nor any `name-…` of theirs).
const DIRECTION: &[(&str, &[&str], &[&str])] = &[
    (
        "sites",
        &[],
        &[
            "iceberg",
            "datafusion",
            "sqlparser",
            "tonic",
            "arrow-flight",
        ],
    ),
    (
        "catalog",
        &["sites"],
        &["datafusion", "sqlparser", "tonic", "arrow-flight"],
    ),
    (
        "planner",
        &["catalog", "sites"],
        &["tonic", "arrow-flight", "reqwest"],
    ),
    ("proxy", &["planner", "catalog", "sites"], &[]),
    ("tests", &["proxy", "planner", "catalog", "sites"], &[]),
    ("bench", &["proxy", "planner", "catalog", "sites"], &[]),
    // Two folders down: it takes the place of a crate of others, and keeps that crate's shape.
    ("vendor/substrait", &[], &[]),
];

const RULES: &[Rule] = &[
    Rule {
        name: "dependencies point one way",
        faults: dependencies_point_one_way,
        bad: &[
            &[(
                "sites/Cargo.toml",
                "[dependencies]\nlandfast-catalog.workspace = true",
            )],
            &[(
                "catalog/Cargo.toml",
                "[dev-dependencies]\nlandfast-planner.workspace = true",
            )],
            &[(
                "sites/Cargo.toml",
                "[dependencies]\niceberg.workspace = true",
            )],
            &[(
                "catalog/Cargo.toml",
                "[dependencies]\ndatafusion-datasource.workspace = true",
            )],
            &[(
                "planner/Cargo.toml",
                "[target.'cfg(unix)'.dependencies]\narrow-flight.workspace = true",
            )],
            &[
                (
                    "Cargo.toml",
                    "[workspace.dependencies]\nhttp-client = { package = \"reqwest\", version = \"0.12\" }",
                ),
                (
                    "planner/Cargo.toml",
                    "[dependencies]\nhttp-client.workspace = true",
                ),
            ],
            &[(
                "newcomer/Cargo.toml",
                "[package]\nname = \"landfast-newcomer\"",
            )],
        ],
        good: &[
            (
                "catalog/Cargo.toml",
                "[dependencies]\nlandfast-sites.workspace = true\niceberg.workspace = true",
            ),
            (
                "proxy/Cargo.toml",
                "[dependencies]\nlandfast-planner.workspace = true\narrow-flight.workspace = true",
            ),
        ],
    },
    Rule {
        name: "versions stand in the workspace manifest alone",
        faults: versions_stand_in_one_place,
        bad: &[
            &[(
                "sites/Cargo.toml",
                "[lints]\nworkspace = true\n[dependencies]\nbytes = \"1\"",
            )],
            &[(
                "sites/Cargo.toml",
                "[lints]\nworkspace = true\n[dev-dependencies]\nbytes = { version = \"1\" }",
            )],
            &[(
                "sites/Cargo.toml",
                "[lints]\nworkspace = true\n[dependencies]\nother = { path = \"../other\" }",
            )],
            &[("sites/Cargo.toml", "[dependencies]\nbytes.workspace = true")],
        ],
        good: &[
            ("Cargo.toml", "[workspace.dependencies]\nbytes = \"1\""),
            (
                "sites/Cargo.toml",
                "[lints]\nworkspace = true\n[dependencies]\nbytes = { workspace = true, features = [\"serde\"] }",
            ),
        ],
    },
    Rule {
        name: "no file passes 800 lines",
        faults: no_file_is_too_long,
        bad: &[
            &[("sites/src/long.rs", LONG)],
            &[("tests/programs/long.py", LONG)],
        ],
        good: &[
            ("sites/src/short.rs", "//! Short.\n"),
            ("docs/long.md", LONG),
            ("sites/src/store/tests.rs", LONG),
            ("tests/tests/long.rs", LONG),
        ],
    },
    Rule {
        name: "a name says what is inside",
        faults: names_say_what_is_inside,
        bad: &[
            &[("sites/src/utils.rs", "")],
            &[("proxy/src/common/mod.rs", "")],
            &[("bench/helpers.py", "")],
        ],
        good: &[
            ("sites/src/inventory.rs", ""),
            ("docs/common-errors.md", ""),
        ],
    },
    Rule {
        name: "every configuration key is explained where it stands",
        faults: configuration_is_explained,
        bad: &[
            &[("config/landfast.toml", "[proxy]\nsite = \"dc-east\"\n")],
            &[("config/landfast.toml", "# advertise = \"grpc://x\"\n")],
        ],
        good: &[(
            "config/landfast.toml",
            "# Where this proxy stands.\n[proxy]\n# The site's name.\nsite = \"dc-east\"\nlisten = \"127.0.0.1:1\" # Where clients connect.\n\n# How clients are told\n# to reach this proxy.\n# advertise = \"grpc://x\"\n",
        )],
    },
    Rule {
        name: "no package registry is named",
        faults: no_registry_is_named,
        bad: &[
            &[(
                "tests/src/fetch.rs",
                concat!("const INDEX: &str = \"https://py", "pi.org/simple\";"),
            )],
            &[(
                "bench/run.py",
                concat!("url = 'https://repo1.maven", ".org/maven2'"),
            )],
        ],
        good: &[
            (
                "Cargo.lock",
                "source = \"registry+https://github.com/rust-lang/crates.io-index\"",
            ),
            ("README.md", "Wheels come with pip."),
        ],
    },
    Rule {
        name: "no path of one machine is in the repository",
        faults: no_machine_path,
        bad: &[
            &[("bench/run.py", concat!("LAKE = '/wo", "rk/lake'"))],
            &[(
                "docs/development.md",
                concat!("Look into `/ro", "ot/.cargo`."),
            )],
            &[("README.md", concat!("cd /ho", "me/somebody/landfast"))],
        ],
        good: &[(
            "README.md",
            concat!(
                "gs://lake/wo",
                "rk/x, the framework/part, ~/lake, /var/lib/landfast, $HOME/.cache"
            ),
        )],
    },
    Rule {
        name: "links lead somewhere",
        faults: links_lead_somewhere,
        bad: &[
            &[("README.md", "[more](docs/gone.md)")],
            &[("docs/sql.md", "see [it](../bench/gone.md#part)")],
        ],
        good: &[
            (
                "README.md",
                "[docs](docs/sql.md#settings) [folder](docs/) [web](https://example.org/x) [here](#tour) `[[user]](x)`",
            ),
            ("docs/sql.md", "[back](../README.md)"),
        ],
    },
    Rule {
        name: "what a reader looks for is there",
        faults: front_matter_is_there,
        bad: &[
            &[("README.md", "# Landfast")],
            &[
                ("CHANGELOG.md", "# Changes\n\nNone.\n"),
                ("LICENSE", "Apache License"),
                ("README.md", "# Landfast"),
            ],
        ],
        good: &[
            ("CHANGELOG.md", "# Changes\n\n## Unreleased\n\n- It runs.\n"),
            ("LICENSE", "Apache License"),
            ("README.md", "# Landfast"),
        ],
    },
];

/// More lines than a file may have.
const LONG: &str = {
    const BYTES: [u8; LINES_MAX + 1] = [b'\n'; LINES_MAX + 1];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

#[test]
fn the_repository_keeps_every_rule() {
    let tree = tracked_files();
    assert!(
        tree.contains_key("Cargo.toml") && tree.len() > 20,
        "only {} files of the repository were found",
        tree.len()
    );
    let mut report = String::new();
    for rule in RULES {
        for fault in (rule.faults)(&tree) {
            let _ = writeln!(report, "  {}: {fault}", rule.name);
        }
    }
    assert!(report.is_empty(), "the repository is untidy:\n{report}");
}

#[test]
fn every_rule_finds_the_fault_in_each_of_its_bad_examples() {
    for rule in RULES {
        assert!(
            !rule.bad.is_empty(),
            "rule '{}' has no bad example",
            rule.name
        );
        for (number, example) in rule.bad.iter().enumerate() {
            let faults = (rule.faults)(&tree_of(example));
            assert!(
                !faults.is_empty(),
                "rule '{}' sees nothing wrong in its bad example {number}: {example:?}",
                rule.name
            );
        }
    }
}

#[test]
fn every_rule_accepts_its_good_example() {
    for rule in RULES {
        let faults = (rule.faults)(&tree_of(rule.good));
        assert!(
            faults.is_empty(),
            "rule '{}' refuses its good example: {faults:?}",
            rule.name
        );
    }
}

#[test]
fn every_crate_of_the_workspace_has_a_direction() {
    let tree = tracked_files();
    let root: toml::Table = tree["Cargo.toml"].parse().unwrap();
    let members: Vec<&str> = root["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m.as_str().unwrap())
        .collect();
    let known: Vec<&str> = DIRECTION.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(
        members, known,
        "DIRECTION in this file lists the workspace's members, in the same order"
    );
}

fn dependencies_point_one_way(tree: &Tree) -> Vec<String> {
    let packages = package_names(tree);
    let mut faults = Vec::new();
    for (krate, path, manifest) in member_manifests(tree) {
        let Some((_, ours, forbidden)) = DIRECTION.iter().find(|(name, _, _)| *name == krate)
        else {
            faults.push(format!("{path}: a crate that no direction is set for; add it to DIRECTION in tests/tests/tidy.rs"));
            continue;
        };
        for (_, name, _) in dependencies(&manifest) {
            let package = packages.get(&name).unwrap_or(&name);
            if let Some(other) = package.strip_prefix("landfast-")
                && !ours.contains(&other)
            {
                faults.push(format!("{path}: `{krate}` must not depend on `{other}`; dependencies point proxy → planner → catalog → sites, so move the code or pass plain data"));
            }
            if let Some(banned) = forbidden
                .iter()
                .find(|banned| package == *banned || package.starts_with(&format!("{banned}-")))
            {
                faults.push(format!("{path}: `{krate}` must not know `{banned}` (found `{package}`); do it in the crate whose question it is"));
            }
        }
    }
    faults
}

fn versions_stand_in_one_place(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (_, path, manifest) in member_manifests(tree) {
        for (section, name, value) in dependencies(&manifest) {
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                faults.push(format!("{path}: [{section}] {name}: put the version into [workspace.dependencies] of Cargo.toml and write `{name}.workspace = true`"));
            }
        }
        let lints = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool);
        if lints != Some(true) {
            faults.push(format!(
                "{path}: add `[lints] workspace = true`, so that the house's lints hold here too"
            ));
        }
    }
    faults
}

fn no_file_is_too_long(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree
        .iter()
        .filter(|(path, text)| is_source(path) && !is_test(path) && !is_generated(text))
    {
        let lines = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        if lines > LINES_MAX {
            faults.push(format!("{path}: {lines} lines before its tests, and {LINES_MAX} is the most; split it by idea"));
        }
    }
    faults
}

fn names_say_what_is_inside(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for path in tree.keys() {
        let stems = path
            .split('/')
            .map(|part| part.split('.').next().unwrap_or(part));
        if let Some(name) = stems.into_iter().find(|stem| EMPTY_NAMES.contains(stem)) {
            faults.push(format!(
                "{path}: `{name}` says nothing; name the file for what it does"
            ));
        }
    }
    faults
}

/// A key, commented out or not, needs words in its block or at the end of its line, once in the file.
fn configuration_is_explained(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.get("config/landfast.toml") else {
        return Vec::new();
    };
    let mut explained = BTreeSet::new();
    let mut bare = Vec::new();
    let mut in_words = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some((key, value)) = assignment(line) {
            if in_words || value.contains(" # ") {
                explained.insert(key);
            } else {
                bare.push((number + 1, key));
            }
        } else if line.is_empty() {
            in_words = false;
        } else if line.starts_with('#') && !line.trim_start_matches(['#', ' ']).starts_with('[') {
            in_words |= line.chars().any(char::is_alphabetic);
        }
    }
    bare.into_iter()
        .filter(|(_, key)| !explained.contains(key))
        .map(|(number, key)| format!("config/landfast.toml:{number}: say above `{key}` what it means, in which unit, and its default"))
        .collect()
}

fn no_registry_is_named(tree: &Tree) -> Vec<String> {
    const HOSTS: &[&str] = &[
        concat!("py", "pi.org"),
        concat!("files.python", "hosted.org"),
        concat!("registry.npm", "js.org"),
        concat!("repo.maven", ".apache.org"),
        concat!("repo1.maven", ".org"),
        concat!("proxy.go", "lang.org"),
        concat!("static.crates", ".io"),
        concat!("index.crates", ".io"),
        concat!("deb.deb", "ian.org"),
    ];
    find_texts(
        tree,
        HOSTS,
        |_| true,
        "a package registry's host; use the package by name, and let the client know where from",
    )
}

fn no_machine_path(tree: &Tree) -> Vec<String> {
    const PATHS: &[&str] = &[
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
    ];
    let starts_a_path =
        |before: Option<char>| before.is_none_or(|c| !c.is_alphanumeric() && !"/._-}~".contains(c));
    find_texts(
        tree,
        PATHS,
        starts_a_path,
        "a path of one machine; make it relative, or let it be configured",
    )
}

fn links_lead_somewhere(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (number, line) in text.lines().enumerate() {
            for target in link_targets(line) {
                let file = target
                    .split('#')
                    .next()
                    .unwrap_or(target)
                    .trim_end_matches('/');
                if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                    continue;
                }
                let found = resolve(path, file);
                let folder = format!("{found}/");
                if !tree.contains_key(&found)
                    && !tree.keys().any(|other| other.starts_with(&folder))
                    && !is_picture(&found)
                {
                    faults.push(format!("{path}:{}: the link to `{target}` leads nowhere; nothing tracked is at `{found}`", number + 1));
                }
            }
        }
    }
    faults
}

fn front_matter_is_there(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for path in ["README.md", "CHANGELOG.md", "LICENSE"] {
        if !tree.contains_key(path) {
            faults.push(format!("{path} is missing; write it"));
        }
    }
    let unreleased = tree.get("CHANGELOG.md").is_none_or(|text| {
        text.lines().any(|line| line.starts_with("## "))
            && text.lines().any(|line| line.starts_with("- "))
    });
    if !unreleased {
        faults.push(
            "CHANGELOG.md: say under a `## ` heading, in `- ` lines, what a user can see"
                .to_owned(),
        );
    }
    faults
}

fn find_texts(
    tree: &Tree,
    wanted: &[&str],
    starts: impl Fn(Option<char>) -> bool,
    what: &str,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| !path.ends_with(".lock")) {
        for (number, line) in text.lines().enumerate() {
            for needle in wanted {
                if line
                    .match_indices(needle)
                    .any(|(at, _)| starts(line[..at].chars().next_back()))
                {
                    faults.push(format!("{path}:{}: `{needle}` is {what}", number + 1));
                }
            }
        }
    }
    faults
}

/// `key = value` of a TOML line, commented out or not; prose that happens to have a `=` in it is none.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim_start_matches(['#', ' ']).split_once('=')?;
    let key = key.trim();
    let is_key = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-\"".contains(c));
    is_key.then_some((key, value))
}

/// The targets of `[text](target)` in a line of Markdown, code spans left out.
fn link_targets(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    for prose in line.split('`').step_by(2) {
        let mut rest = prose;
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            targets.push(&rest[..end]);
            rest = &rest[end..];
        }
    }
    targets
}

/// Where a relative link of the file at `from` leads.
fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Pictures aren't text, so a [`Tree`] doesn't hold them; on disk they must be.
fn is_picture(path: &str) -> bool {
    path.ends_with(".png") && root().join(path).is_file()
}

fn is_source(path: &str) -> bool {
    [".rs", ".py", ".java", ".js", ".go", ".sh"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// What a program wrote says so in its first line.
fn is_generated(text: &str) -> bool {
    text.lines()
        .next()
        .is_some_and(|line| line.starts_with("//") && line.contains("@generated"))
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The manifests of the crates one folder down: the crate's folder, its path and its content.
fn member_manifests(tree: &Tree) -> Vec<(String, String, toml::Table)> {
    let mut found = Vec::new();
    for (path, text) in tree {
        if let Some((folder, "Cargo.toml")) = path.split_once('/') {
            let manifest = text
                .parse()
                .unwrap_or_else(|e| panic!("{path} is no TOML: {e}"));
            found.push((folder.to_owned(), path.clone(), manifest));
        }
    }
    found
}

/// Every dependency of a manifest: section, name as written there, and value.
fn dependencies(manifest: &toml::Table) -> Vec<(String, String, toml::Value)> {
    let mut found = Vec::new();
    let mut collect = |prefix: &str, table: &toml::Table| {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table
                .get(section)
                .and_then(toml::Value::as_table)
                .into_iter()
                .flatten()
            {
                found.push((format!("{prefix}{section}"), name.clone(), value.clone()));
            }
        }
    };
    collect("", manifest);
    for (target, table) in manifest
        .get("target")
        .and_then(toml::Value::as_table)
        .into_iter()
        .flatten()
    {
        if let Some(table) = table.as_table() {
            collect(&format!("target.{target}."), table);
        }
    }
    found
}

/// What the workspace's renamed dependencies are really called.
fn package_names(tree: &Tree) -> BTreeMap<String, String> {
    let Some(text) = tree.get("Cargo.toml") else {
        return BTreeMap::new();
    };
    let root: toml::Table = text
        .parse()
        .unwrap_or_else(|e| panic!("Cargo.toml is no TOML: {e}"));
    let listed = root
        .get("workspace")
        .and_then(|w| w.get("dependencies"))
        .and_then(toml::Value::as_table);
    let renamed = listed.into_iter().flatten().filter_map(|(name, value)| {
        Some((name.clone(), value.get("package")?.as_str()?.to_owned()))
    });
    renamed.collect()
}

fn tree_of(example: Example) -> Tree {
    example
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// What git tracks; where there is no git (an unpacked source archive), every file outside of `target` and hidden folders.
fn tracked_files() -> Tree {
    let root = root();
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(&root)
        .output();
    let paths: Vec<String> = match listed {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout)
            .unwrap()
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
        _ => walk(&root, Path::new("")),
    };
    paths
        .into_iter()
        .filter_map(|path| {
            Some((
                path.clone(),
                std::fs::read_to_string(root.join(&path)).ok()?,
            ))
        })
        .collect()
}

fn walk(root: &Path, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = folder.join(&name);
        if entry.file_type().unwrap().is_dir() {
            if name != "target"
                && name != "__pycache__"
                && (name == ".ci" || !name.starts_with('.'))
            {
                found.extend(walk(root, &path));
            }
        } else {
            found.push(path.to_str().unwrap().replace('\\', "/"));
        }
    }
    found
}
