//! Passwords typed or piped in, and their hashes.

use std::io::{BufRead, IsTerminal, Write};

use console::Term;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::hash_password;
use crate::error::ProxyError;

/// Asks on the terminal without showing what is typed; nothing when there is no terminal.
pub(super) fn ask(prompt: &str) -> Result<Option<SecretString>, ProxyError> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let terminal = Term::stderr();
    terminal.write_str(prompt)?;
    Ok(Some(SecretString::from(terminal.read_secure_line()?)))
}

/// `landfast user hash`: reads a password, and prints its argon2 hash.
pub(super) fn hash(out: &mut dyn Write) -> Result<(), ProxyError> {
    let password = match ask("Password: ")? {
        Some(first) => {
            let again = ask("Again: ")?.unwrap_or_default();
            if again.expose_secret() != first.expose_secret() {
                return Err(ProxyError::Usage("the two passwords differ".to_owned()));
            }
            first
        }
        None => {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            SecretString::from(line.trim_end_matches(['\r', '\n']).to_owned())
        }
    };
    if password.expose_secret().is_empty() {
        return Err(ProxyError::Usage("the password is empty".to_owned()));
    }
    let hash =
        hash_password(password.expose_secret()).map_err(|e| ProxyError::Users(e.to_string()))?;
    writeln!(out, "{hash}")?;
    Ok(())
}
