//! Certificates: read, checked against each other, and changed without a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};

use crate::auth::PeerName;
use crate::config::{ClientAuth, ClientCertificates, TlsFiles};
use crate::error::ProxyError;

/// What the files held when they were looked at.
type Fingerprint = [u8; 32];

/// The TLS configuration that new connections get.
#[derive(Debug)]
pub(super) struct CurrentTls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    /// The last files that were looked at, usable or not: a broken pair is told of once.
    seen: Mutex<Fingerprint>,
}

/// What became of a look at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsChange {
    /// They are as they were.
    None,
    /// New connections get what is new.
    Taken,
    /// What is new can't be used; the old stays.
    Refused,
}

impl CurrentTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one can't be read, or they don't go together.
    pub(super) fn load(files: &TlsFiles) -> Result<Self, ProxyError> {
        let texts = Texts::read(files)?;
        Ok(Self {
            current: RwLock::new(Arc::new(texts.server_config(files)?)),
            seen: Mutex::new(texts.fingerprint()),
            files: files.clone(),
        })
    }

    /// What a new connection gets.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read())
    }

    /// How a client's certificate is read, where there may be one.
    pub(super) fn peer_name(&self) -> Option<PeerName> {
        self.files.clients.as_ref().map(|clients| clients.name)
    }

    /// Looks whether the files have changed, and takes what is new if it can be used. A file that can't be read, because
    /// it is just being replaced for example, is looked at again the next time.
    pub(super) fn reload(&self) -> TlsChange {
        // Held to the end: of two looks at once, the one that read last is the one that counts.
        let mut seen = self.seen.lock();
        let read = Texts::read(&self.files);
        let fingerprint = match &read {
            Ok(texts) => texts.fingerprint(),
            Err(error) => Sha256::digest(error.to_string()).into(),
        };
        if *seen == fingerprint {
            return TlsChange::None;
        }
        *seen = fingerprint;
        match read.and_then(|texts| texts.server_config(&self.files)) {
            Ok(config) => {
                *self.current.write() = Arc::new(config);
                tracing::info!(target: "landfast::serve", cert_file = %self.files.cert_file.display(), "new connections get the new certificate");
                TlsChange::Taken
            }
            Err(error) => {
                tracing::error!(target: "landfast::serve", %error, "the new certificate can't be used: the old one stays");
                TlsChange::Refused
            }
        }
    }
}

/// Says whether a certificate and its key can be served.
pub(crate) fn check_tls(files: &TlsFiles) -> Result<(), ProxyError> {
    CurrentTls::load(files).map(drop)
}

/// What stands in the files, read once: what is checked is what is served.
struct Texts {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
    client_crl: Option<Vec<u8>>,
}

impl Texts {
    fn read(files: &TlsFiles) -> Result<Self, ProxyError> {
        Ok(Self {
            cert: text(&files.cert_file)?,
            key: text(&files.key_file)?,
            client_ca: match &files.clients {
                Some(clients) => Some(text(&clients.ca_file)?),
                None => None,
            },
            client_crl: match files.clients.as_ref().and_then(|c| c.crl_file.as_ref()) {
                Some(file) => Some(text(file)?),
                None => None,
            },
        })
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut digest = Sha256::new();
        let parts = [
            Some(&self.cert),
            Some(&self.key),
            self.client_ca.as_ref(),
            self.client_crl.as_ref(),
        ];
        for part in parts.into_iter().flatten() {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn server_config(&self, files: &TlsFiles) -> Result<ServerConfig, ProxyError> {
        let chain = certificates(&files.cert_file, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| fault(&files.key_file, "has no PEM section \"PRIVATE KEY\""))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&files.cert_file, error.to_string()))?;
        let builder = match (&files.clients, &self.client_ca) {
            (Some(clients), Some(text)) => {
                builder.with_client_cert_verifier(self.client_verifier(clients, text, provider)?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            fault(
                &files.cert_file,
                format!("the certificate and the key can't be used together: {error}"),
            )
        })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

impl Texts {
    /// What checks the certificates of clients.
    fn client_verifier(
        &self,
        clients: &ClientCertificates,
        authorities: &[u8],
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, ProxyError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&clients.ca_file, authorities)? {
            roots
                .add(certificate)
                .map_err(|error| fault(&clients.ca_file, error.to_string()))?;
        }
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let mut last = &clients.ca_file;
        if let (Some(file), Some(text)) = (&clients.crl_file, &self.client_crl) {
            // Whoever keeps a list wants to know of every certificate, and from a list that is kept.
            verifier = verifier
                .with_crls(revocations(file, text)?)
                .enforce_revocation_expiration();
            last = file;
        }
        let verifier = match clients.auth {
            ClientAuth::Required => verifier,
            ClientAuth::Optional => verifier.allow_unauthenticated(),
        };
        verifier
            .build()
            .map_err(|error| fault(last, error.to_string()))
    }
}

fn revocations(
    file: &Path,
    text: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, ProxyError> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| fault(file, "has no PEM section \"X509 CRL\""))
}

fn certificates(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, ProxyError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| fault(file, "has no PEM section \"CERTIFICATE\""))
}

fn text(file: &PathBuf) -> Result<Vec<u8>, ProxyError> {
    std::fs::read(file).map_err(|error| fault(file, format!("can't be read: {error}")))
}

fn fault(file: &Path, reason: impl Into<String>) -> ProxyError {
    ProxyError::Tls {
        file: file.to_owned(),
        reason: reason.into(),
    }
}
