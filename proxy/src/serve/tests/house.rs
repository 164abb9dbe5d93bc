//! A service in a directory of its own, the authorities that sign its certificates, and its clients.

use std::fs;
use std::path::Path;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightDescriptor, FlightInfo, HandshakeRequest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures::TryStreamExt;
use prost::Message;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use super::super::*;
use crate::auth::hash_password;

pub(super) const SOON: Duration = Duration::from_secs(30);

/// An authority that signs certificates.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate and its key, as PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) serial: SerialNumber,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(parameters, key),
            pem,
        }
    }

    pub(super) fn signs(&self, dns: &[&str], name: &str, unit: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(dns).unwrap();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, name);
        subject.push(DnType::OrganizationalUnitName, unit);
        parameters.distinguished_name = subject;
        let serial = SerialNumber::from(rand::random::<u64>() >> 1);
        parameters.serial_number = Some(serial.clone());
        Pair {
            serial,
            certificate: parameters.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A list of what it revoked, good until that year.
    pub(super) fn revokes(&self, pairs: &[&Pair], until: i32) -> String {
        let revoked = |pair: &&Pair| RevokedCertParams {
            serial_number: pair.serial.clone(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: pairs.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    pub(super) fn server(&self) -> Pair {
        self.signs(&["localhost"], "server", "servers")
    }
}

/// A directory with the files of a service.
pub(super) struct House {
    pub(super) dir: tempfile::TempDir,
    pub(super) ca: Authority,
    pub(super) clients: Authority,
}

impl House {
    pub(super) fn new() -> Self {
        let house = Self {
            dir: tempfile::tempdir().unwrap(),
            ca: Authority::new(),
            clients: Authority::new(),
        };
        fs::create_dir(house.dir.path().join("data")).unwrap();
        house.install(&house.ca.server());
        house.write("clients.pem", &house.clients.pem);
        house
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        // As careful people write files that others read: whole, then in place.
        let whole = self.path().join(format!("{name}.new"));
        fs::write(&whole, text).unwrap();
        fs::rename(whole, self.path().join(name)).unwrap();
    }

    pub(super) fn install(&self, pair: &Pair) {
        self.write("server.pem", &pair.certificate);
        self.write("server.key", &pair.key);
    }

    /// `tls` and `more` are lines of `[proxy.tls]`, and sections. `users.toml` is used where it is.
    pub(super) async fn serve(&self, tls: &str, more: &str) -> Running {
        let users = match self.path().join("users.toml").exists() {
            true => "users_file = \"users.toml\"",
            false => "",
        };
        let text = format!(
            r#"
[proxy]
site = "here"
listen = "127.0.0.1:0"
reload_ms = 20
{users}
[proxy.tls]
cert_file = "server.pem"
key_file = "server.key"
{tls}
[[site]]
name = "here"
store = {{ kind = "file", root = "data" }}
prefix = [{{ canonical = "gs://lake/", at = "", origin = true }}]
[[catalog]]
name = "lake"
kind = "sql"
url = "sqlite://catalog.db?mode=rwc"
create_tables = true
[audit]
file = "audit.jsonl"
{more}
"#
        );
        let config = crate::config::parse(&text, self.path()).unwrap();
        start(config).await.unwrap()
    }

    pub(super) fn audited(&self, running: &Running) -> Vec<Value> {
        let audit = running.parts().audit.as_ref().unwrap();
        assert!(audit.flush(SOON));
        fs::read_to_string(self.path().join("audit.jsonl"))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

pub(super) fn token_entry(principal: &str, token: &str) -> String {
    let digest: String = Sha256::digest(token)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("[[token]]\nprincipal = \"{principal}\"\nsha256 = \"{digest}\"\n")
}

pub(super) fn user_entry(name: &str, role: &str) -> String {
    user_hashed(name, role, &hash_password(name).unwrap())
}

pub(super) fn user_hashed(name: &str, role: &str, hash: &str) -> String {
    format!("[[user]]\nname = \"{name}\"\npassword_hash = \"{hash}\"\nrole = \"{role}\"\n")
}

pub(super) fn basic(name: &str, password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD_NO_PAD.encode(format!("{name}:{password}"))
    )
}

/// A client that trusts one authority, with a certificate or without.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) flight: FlightServiceClient<Channel>,
    pub(super) headers: MetadataMap,
}

impl Client {
    pub(super) async fn connect(
        running: &Running,
        ca: &Authority,
        pair: Option<&Pair>,
    ) -> Result<Self, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&ca.pem))
            .domain_name("localhost");
        if let Some(pair) = pair {
            tls = tls.identity(Identity::from_pem(&pair.certificate, &pair.key));
        }
        let uri = format!("https://localhost:{}", running.flight_addr().port());
        let channel = Endpoint::from_shared(uri)?
            .tls_config(tls)?
            .connect()
            .await?;
        Ok(Self {
            flight: FlightServiceClient::new(channel),
            headers: MetadataMap::new(),
        })
    }

    pub(super) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.insert(name, value.parse().unwrap());
        client
    }

    pub(super) fn says(&self, authorization: &str) -> Self {
        self.with("authorization", authorization)
    }

    pub(super) fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        *request.metadata_mut() = self.headers.clone();
        request
    }

    /// Plans a statement; the answer has the headers too.
    pub(super) async fn ask(&self, sql: &str) -> Result<tonic::Response<FlightInfo>, Status> {
        let command = CommandStatementQuery {
            query: sql.into(),
            transaction_id: None,
        };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        self.flight
            .clone()
            .get_flight_info(self.request(descriptor))
            .await
    }

    /// Runs a query to its end.
    pub(super) async fn rows(&self, sql: &str) -> Result<usize, Status> {
        let info = self.ask(sql).await?.into_inner();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let messages = self
            .flight
            .clone()
            .do_get(self.request(ticket))
            .await?
            .into_inner();
        Ok(messages.try_collect::<Vec<_>>().await?.len())
    }

    /// The `authorization` that a Handshake hands out.
    pub(super) async fn handshake(&self) -> Result<String, Status> {
        let request = self.request(futures::stream::iter([HandshakeRequest::default()]));
        let answer = self.flight.clone().handshake(request).await?;
        let header = answer.metadata().get("authorization").unwrap();
        Ok(header.to_str().unwrap().to_owned())
    }
}

pub(super) fn code<T>(answer: Result<T, Status>) -> Code {
    match answer {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}
