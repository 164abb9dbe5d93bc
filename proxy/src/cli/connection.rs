//! How the client commands reach a proxy: the flags they share.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::password;
use crate::client::{Client, Endpoint, Login};
use crate::error::ProxyError;

/// The variable that a password may come from.
const PASSWORD_VARIABLE: &str = "LANDFAST_PASSWORD";

/// Where the proxy is and who is asking.
#[derive(Debug, Clone, Args)]
pub struct ConnectionArgs {
    /// The proxy's Flight URI: grpc+tls://host:port, or grpc://host:port without TLS
    #[arg(long, env = "LANDFAST_URL", default_value = "grpc://127.0.0.1:31337")]
    url: String,
    /// Log in as this user; the password comes from LANDFAST_PASSWORD, --password-file or the terminal
    #[arg(long, env = "LANDFAST_USER", conflicts_with = "token_file")]
    user: Option<String>,
    /// A file with the user's password
    #[arg(long, requires = "user")]
    password_file: Option<PathBuf>,
    /// A file with a bearer token, instead of a user
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// A PEM file with the certificate authorities to trust, instead of the system's
    #[arg(long)]
    ca: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Connects and logs in.
    pub(super) async fn connect(&self) -> Result<Client, ProxyError> {
        let endpoint =
            Endpoint::new(&self.url, self.ca.clone()).map_err(crate::client::ClientError::from)?;
        Ok(Client::connect(&endpoint, self.login()?).await?)
    }

    fn login(&self) -> Result<Login, ProxyError> {
        if let Some(file) = &self.token_file {
            return Ok(Login::Token(secret_file(file)?));
        }
        let Some(user) = &self.user else {
            return Ok(Login::Nobody);
        };
        let password = match &self.password_file {
            Some(file) => secret_file(file)?,
            None => match std::env::var(PASSWORD_VARIABLE) {
                Ok(password) => SecretString::from(password),
                Err(_) => password::ask(&format!("Password of {user}: "))?.ok_or_else(|| {
                    ProxyError::Usage(format!(
                        "no password for {user}: set {PASSWORD_VARIABLE}, or give --password-file"
                    ))
                })?,
            },
        };
        Ok(Login::Password {
            user: user.clone(),
            password,
        })
    }
}

fn secret_file(file: &PathBuf) -> Result<SecretString, ProxyError> {
    let text = std::fs::read_to_string(file).map_err(|e| ProxyError::File {
        path: file.clone(),
        reason: format!("can't be read: {e}"),
    })?;
    Ok(SecretString::from(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}
