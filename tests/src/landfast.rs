//! The `landfast` binary as a process of its own, with a generated configuration.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use argon2::{Argon2, PasswordHasher, password_hash::SaltString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::process::{Launch, Server, free_port, run_dir};
use crate::stores::block_on;

/// Who queries: a plain reader.
pub const READER: &str = "ana";
/// Who defines: may run DDL and CALL.
pub const ENGINEER: &str = "eva";
/// Who operates: sees everybody's queries.
pub const OPERATOR: &str = "otto";
/// The password of each of them.
pub const PASSWORD: &str = "correct horse";

/// A configuration in the making: pieces of TOML, in order.
#[derive(Clone, Debug, Default)]
pub struct Config {
    text: String,
    environment: Vec<(String, String)>,
    secure: bool,
    site: String,
    signing_key: String,
    tls: String,
}

impl Config {
    /// For a proxy at `site`, without TLS and without users, on the loopback address.
    pub fn at(site: &str) -> Self {
        Self {
            site: site.to_owned(),
            ..Self::default()
        }
    }

    /// With TLS and the three users of this module.
    #[must_use]
    pub fn secured(mut self) -> Self {
        self.secure = true;
        self
    }

    /// With more lines of `[proxy.tls]`; only where it is [`Config::secured`].
    #[must_use]
    pub fn tls(mut self, toml: &str) -> Self {
        self.tls.push_str(toml);
        self
    }

    /// With more TOML at the end.
    #[must_use]
    pub fn with(mut self, toml: &str) -> Self {
        self.text.push_str(toml);
        self.text.push('\n');
        self
    }

    /// With a key of its own to sign tickets, in this environment variable.
    #[must_use]
    pub fn signed(mut self, name: &str, key: &str) -> Self {
        self.signing_key = name.to_owned();
        self.env(name, key)
    }

    /// With an environment variable that the TOML names.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn render(&self, dir: &Path, flight: u16, admin: u16) -> Result<String> {
        let mut head = format!(
            "[proxy]\nsite = \"{}\"\nlisten = \"127.0.0.1:{flight}\"\n",
            self.site
        );
        if !self.signing_key.is_empty() {
            head.push_str(&format!("signing_key_env = \"{}\"\n", self.signing_key));
        }
        if self.secure {
            let certificate = certificate()?;
            for (name, text) in [
                ("server.pem", &certificate.0),
                ("server.key", &certificate.1),
            ] {
                fs::write(dir.join(name), text).with_context(|| format!("write {name}"))?;
            }
            let (cert, key) = (dir.join("server.pem"), dir.join("server.key"));
            head.push_str(&format!(
                "\n[proxy.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n{}",
                cert.display(),
                key.display(),
                self.tls
            ));
        } else {
            head.push_str("insecure = true\n");
        }
        head.push_str(&format!("\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\n"));
        let mut text = head + &self.text;
        if self.secure {
            for (name, role) in [
                (READER, "reader"),
                (ENGINEER, "engineer"),
                (OPERATOR, "operator"),
            ] {
                let hash = password_hash(PASSWORD)?;
                text.push_str(&format!(
                    "\n[[user]]\nname = \"{name}\"\npassword_hash = \"{hash}\"\nrole = \"{role}\"\n"
                ));
            }
        }
        Ok(text)
    }
}

/// What a proxy says whose port is taken.
const PORT_TAKEN: &str = "another program has it";

/// A running proxy.
#[derive(Debug)]
pub struct Landfast {
    dir: PathBuf,
    flight: u16,
    admin: u16,
    secure: bool,
    server: Server,
}

impl Landfast {
    /// Starts it and waits until it takes queries.
    ///
    /// # Errors
    /// When it does not, with what it said.
    pub fn start(config: &Config) -> Result<Self> {
        let mut tries = 0;
        loop {
            match Self::start_once(config) {
                // Another process may have taken a port since it was found free.
                Err(error) if tries < 5 && format!("{error:#}").contains(PORT_TAKEN) => tries += 1,
                started => return started,
            }
        }
    }

    fn start_once(config: &Config) -> Result<Self> {
        let (dir, flight, admin) = (run_dir("landfast")?, free_port()?, free_port()?);
        let file = dir.join("landfast.toml");
        fs::write(&file, config.render(&dir, flight, admin)?)
            .with_context(|| format!("write {}", file.display()))?;
        let mut launch = Launch::new("landfast", binary()?);
        launch
            .command()
            .args(["serve", "--config"])
            .arg(&file)
            .env("NO_COLOR", "1")
            .envs(config.environment.iter().map(|(name, value)| (name, value)));
        let mut server = launch.start()?;
        let url = format!("http://127.0.0.1:{admin}/readyz");
        server.ready(Duration::from_secs(60), || {
            block_on(reqwest::get(&url)).is_ok_and(|answer| answer.status().is_success())
        })?;
        Ok(Self {
            dir,
            flight,
            admin,
            secure: config.secure,
            server,
        })
    }

    /// What a Flight SQL client connects to.
    pub fn uri(&self) -> String {
        let scheme = if self.secure { "grpc+tls" } else { "grpc" };
        format!("{scheme}://{}:{}", Ipv4Addr::LOCALHOST, self.flight)
    }

    /// The Flight SQL port.
    pub fn port(&self) -> u16 {
        self.flight
    }

    /// The certificate that clients must trust, a PEM file.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    /// Where its configuration lies.
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("landfast.toml")
    }

    /// What the ADBC driver needs to connect: as the engineer, where there are users.
    pub fn adbc_options(&self) -> Value {
        self.adbc_options_for(ENGINEER, PASSWORD)
    }

    /// The same, as someone.
    pub fn adbc_options_for(&self, user: &str, password: &str) -> Value {
        if !self.secure {
            // Nobody logs in, so a cookie makes the session.
            return json!({ "adbc.flight.sql.rpc.with_cookie_middleware": "true" });
        }
        let roots = fs::read_to_string(self.certificate()).unwrap_or_default();
        json!({ "username": user, "password": password, "adbc.flight.sql.client_option.tls_root_certs": roots })
    }

    /// A page of the admin server: status and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn admin(&self, path: &str) -> Result<(u16, String)> {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        block_on(async {
            let answer = reqwest::get(&url).await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        })
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

/// The binary of this very build: Cargo puts it beside the tests' own binaries.
///
/// # Errors
/// When it isn't there.
pub fn binary() -> Result<PathBuf> {
    let running = std::env::current_exe().context("find the running binary")?;
    let found = running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(NAME))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        anyhow!(
            "no {NAME} beside {}: build the crate landfast-tests",
            running.display()
        )
    })
}

/// The binary of this crate that is nothing but `landfast`, so that `cargo test` builds it, from the same sources.
const NAME: &str = "landfast-under-test";

/// A text's SHA-256 in hexadecimal, as the configuration wants a token's.
pub fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A self-signed certificate for the loopback address, and its key.
fn certificate() -> Result<(String, String)> {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

fn password_hash(password: &str) -> Result<String> {
    // The same salt each time: it guards nothing here.
    let salt =
        SaltString::encode_b64(b"landfast tests").map_err(|error| anyhow!("salt: {error}"))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    Ok(hash.map_err(|error| anyhow!("hash: {error}"))?.to_string())
}
