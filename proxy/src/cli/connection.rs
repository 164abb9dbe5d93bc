//! How the client commands reach a proxy: the flags they share.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::password;
use crate::client::{Client, Endpoint, Login, TlsFiles};
use crate::error::ProxyError;

/// The variable that a user's name may come from, where neither a user nor a token is given.
const USER_VARIABLE: &str = "LANDFAST_USER";
/// The variable that a password may come from.
const PASSWORD_VARIABLE: &str = "LANDFAST_PASSWORD";

/// Where the proxy is and who is asking.
#[derive(Debug, Clone, Args)]
pub struct ConnectionArgs {
    /// The proxy's Flight URI: grpc+tls://host:port, or grpc://host:port without TLS
    #[arg(long, env = "LANDFAST_URL", default_value = "grpc://127.0.0.1:31337")]
    url: String,
    /// Log in as this user, or as LANDFAST_USER says; the password comes from LANDFAST_PASSWORD, --password-file or the
    /// terminal
    #[arg(long, conflicts_with = "token_file")]
    user: Option<String>,
    /// A file with the user's password
    #[arg(long, conflicts_with = "token_file")]
    password_file: Option<PathBuf>,
    /// A file with a bearer token, instead of a user
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// A PEM file with the certificate authorities to trust, instead of the system's
    #[arg(long)]
    ca: Option<PathBuf>,
    /// A PEM file with a client certificate to show, where the proxy asks for one
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// A PEM file with the private key of --cert
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Connects and logs in.
    pub(super) async fn connect(&self) -> Result<Client, ProxyError> {
        let files = TlsFiles {
            ca: self.ca.clone(),
            identity: self.cert.clone().zip(self.key.clone()),
        };
        let endpoint =
            Endpoint::new(&self.url, &files).map_err(crate::client::ClientError::from)?;
        Ok(Client::connect(&endpoint, self.login()?).await?)
    }

    fn login(&self) -> Result<Login, ProxyError> {
        if let Some(file) = &self.token_file {
            return Ok(Login::Token(secret_file(file)?));
        }
        let named = self.user.clone();
        let Some(user) = named.or_else(|| std::env::var(USER_VARIABLE).ok()) else {
            return match &self.password_file {
                Some(_) => Err(ProxyError::Usage(format!(
                    "--password-file needs a user: give --user, or set {USER_VARIABLE}"
                ))),
                None => Ok(Login::Nobody),
            };
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
        Ok(Login::Password { user, password })
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
