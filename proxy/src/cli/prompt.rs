//! The prompt of `landfast sql`: lines until a semicolon, a history, and errors that don't end it.

use std::io::Write;
use std::path::PathBuf;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::sql::{OutputArgs, execute};
use super::statements;
use crate::client::Client;
use crate::error::ProxyError;

pub(super) async fn run(
    client: &mut Client,
    output: &OutputArgs,
    out: &mut (dyn Write + Send),
) -> Result<(), ProxyError> {
    let mut editor = DefaultEditor::new().map_err(broken)?;
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        drop(editor.load_history(file));
    }
    writeln!(out, "A statement ends with `;`. \\q or Ctrl-D leaves.")?;
    let mut pending = String::new();
    loop {
        let prompt = if pending.is_empty() {
            "landfast> "
        } else {
            "      ... "
        };
        // The editor waits for a key: that must not hold a thread of the runtime.
        let (returned, line) = tokio::task::spawn_blocking(move || {
            let line = editor.readline(prompt);
            (editor, line)
        })
        .await
        .map_err(|e| ProxyError::Service(e.to_string()))?;
        editor = returned;
        match line {
            Ok(line) => {
                if pending.is_empty() && ["\\q", "quit", "exit"].contains(&line.trim()) {
                    break;
                }
                pending.push_str(&line);
                pending.push('\n');
            }
            // Ctrl-C throws the unfinished statement away.
            Err(ReadlineError::Interrupted) => {
                pending.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(broken(error)),
        }
        if statements::split(&pending).is_empty() {
            pending.clear();
        } else if statements::is_complete(&pending) {
            let text = std::mem::take(&mut pending);
            // A history that can't be kept is no reason to stop.
            drop(editor.add_history_entry(text.trim()));
            for statement in statements::split(&text) {
                if let Err(error) = execute(client, statement, output, out).await {
                    eprintln!("{error}");
                    break;
                }
            }
        }
    }
    if let Some(file) = &history {
        drop(editor.save_history(file));
    }
    Ok(())
}

fn history_file() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"))?;
    Some(PathBuf::from(home).join(".landfast_history"))
}

fn broken(error: ReadlineError) -> ProxyError {
    ProxyError::Terminal(std::io::Error::other(error))
}
