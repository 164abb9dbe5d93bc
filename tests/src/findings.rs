//! What a program in `tests/clients/` found: it tries everything in one run and prints one line for each finding, a name, a
//! tab and a value.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The findings of one run.
#[derive(Clone, Debug)]
pub struct Findings {
    by: String,
    found: BTreeMap<String, String>,
}

impl Findings {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// When it fails, with what it said, or when it says something twice.
    pub fn of(by: &str, program: &mut Command) -> Result<Self> {
        let done = program
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("start {by}"))?;
        let said = String::from_utf8_lossy(&done.stdout);
        let lines = said.lines().filter_map(|line| line.split_once('\t'));
        let mut found = BTreeMap::new();
        for (name, value) in lines {
            if found.insert(name.to_owned(), value.to_owned()).is_some() {
                bail!("{by} says '{name}' twice");
            }
        }
        if !done.status.success() {
            let errors = String::from_utf8_lossy(&done.stderr);
            let last: Vec<&str> = errors.lines().rev().take(30).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            bail!(
                "{by} failed after {} findings: {}",
                found.len(),
                last.join("\n")
            );
        }
        Ok(Self {
            by: by.to_owned(),
            found,
        })
    }

    /// A finding.
    ///
    /// # Panics
    /// When there is no such.
    pub fn at(&self, name: &str) -> &str {
        match self.found.get(name) {
            Some(value) => value,
            None => panic!("{} says nothing about '{name}'", self.by),
        }
    }

    /// The findings whose names begin so, without that beginning.
    pub fn below(&self, beginning: &str) -> Vec<(&str, &str)> {
        let found = self.found.iter();
        found
            .filter_map(|(name, value)| Some((name.strip_prefix(beginning)?, value.as_str())))
            .collect()
    }

    /// Compares findings with what is expected, and panics with all that differ.
    ///
    /// # Panics
    /// When one differs.
    pub fn are(&self, expected: &[(&str, &str)]) {
        let wrong: Vec<String> = expected
            .iter()
            .filter(|(name, value)| self.at(name) != *value)
            .map(|(name, value)| {
                format!(
                    "  {name}\n    is        {}\n    should be {value}",
                    self.at(name)
                )
            })
            .collect();
        assert!(wrong.is_empty(), "{}:\n{}", self.by, wrong.join("\n"));
    }

    /// Asserts that findings have words in them, and panics with all that lack some.
    ///
    /// # Panics
    /// When one lacks them.
    pub fn say(&self, expected: &[(&str, &str)]) {
        let wrong: Vec<String> = expected
            .iter()
            .filter(|(name, words)| !self.at(name).contains(words))
            .map(|(name, words)| {
                format!(
                    "  {name}\n    is          {}\n    should have {words}",
                    self.at(name)
                )
            })
            .collect();
        assert!(wrong.is_empty(), "{}:\n{}", self.by, wrong.join("\n"));
    }
}
