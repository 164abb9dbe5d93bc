//! Other ways in than a password: an OpenID Connect issuer that signs tokens, and an authority that signs certificates of
//! clients. Both are made anew for each test binary.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, PKCS_ED25519, SigningKey,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::process::run_dir;
use crate::stores::runtime;

/// Whom the certificate names.
pub const CERTIFIED: &str = "cora";
/// Whom tokens of the issuer name.
pub const ISSUED: &str = "olga";
/// Whom tokens of the issuer are for.
pub const AUDIENCE: &str = "landfast-tests";

/// An issuer that answers, and a client's certificate.
#[derive(Debug)]
pub struct Identities {
    issuer: String,
    key: KeyPair,
    dir: PathBuf,
}

impl Identities {
    /// The ones of this test binary.
    ///
    /// # Panics
    /// When they can't be made.
    pub fn get() -> &'static Self {
        static MADE: OnceLock<Identities> = OnceLock::new();
        MADE.get_or_init(|| Self::make().expect("identities for tests"))
    }

    fn make() -> Result<Self> {
        let dir = run_dir("identities")?;
        certificates(&dir)?;
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let public = json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "one",
            "x": URL_SAFE_NO_PAD.encode(key.public_key_raw()),
        });
        let issuer = runtime().block_on(serve(json!({ "keys": [public] })))?;
        Ok(Self { issuer, key, dir })
    }

    /// The issuer's name, which is its address.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token for [`ISSUED`] that is valid for so many seconds; with a negative number, one that has expired.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn token(&self, seconds: i64) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let expires = i64::try_from(now)?.saturating_add(seconds);
        let header = json!({ "alg": "EdDSA", "kid": "one", "typ": "JWT" });
        let claims = json!({ "iss": self.issuer, "aud": AUDIENCE, "sub": ISSUED, "exp": expires });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(text.as_bytes())?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Who signs certificates of clients, a PEM file.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("clients-ca.pem")
    }

    /// The certificate of [`CERTIFIED`], a PEM file.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("client.pem")
    }

    /// The certificate's private key, a PEM file.
    pub fn certificate_key(&self) -> PathBuf {
        self.dir.join("client.key")
    }
}

/// Answers as an issuer that has these keys, and says its name.
async fn serve(keys: Value) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let about = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") });
    let answer = |value: Value| get(move || async { Json(value) });
    let app = Router::new()
        .route("/.well-known/openid-configuration", answer(about))
        .route("/keys", answer(keys));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(issuer)
}

/// Writes an authority, and a certificate that it signed.
fn certificates(dir: &Path) -> Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let signer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let mut client = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, CERTIFIED);
    client.distinguished_name = subject;
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = client.signed_by(&key, &signer)?.pem();
    for (name, text) in [
        ("clients-ca.pem", authority_pem),
        ("client.pem", certificate),
        ("client.key", key.serialize_pem()),
    ] {
        fs::write(dir.join(name), text).with_context(|| format!("write {name}"))?;
    }
    Ok(())
}
