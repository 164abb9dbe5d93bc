//! A small issuer over HTTP, and tokens that are right, and wrong in every way.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfast_planner::Groups;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::*;

/// A key of an issuer, and how it signs.
pub(crate) enum Signer {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    pub(crate) fn p256() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::P256(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random)
                .unwrap(),
        )
    }

    fn p384() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
        Self::P384(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key.as_ref(), &random)
                .unwrap(),
        )
    }

    fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    /// ring makes no RSA keys: this one is for these tests alone.
    fn rsa() -> Self {
        let key = PrivatePkcs8KeyDer::from_pem_slice(include_bytes!("tests/rsa.pem")).unwrap();
        Self::Rsa(RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap())
    }

    pub(crate) fn public(&self, kid: &str) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::P256(key) | Self::P384(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "kid": kid, "use": "sig", "x": b64(x), "y": b64(y)})
            }
            Self::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(key.public_key().as_ref())})
            }
            Self::Rsa(key) => {
                let public: ring::rsa::PublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "kid": kid, "use": "sig", "n": b64(&public.n), "e": b64(&public.e)})
            }
        }
    }

    fn sign(&self, algorithm: &str, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(key) | Self::P384(key) => key.sign(&random, text).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(text).as_ref().to_vec(),
            Self::Rsa(key) => {
                let padding: &dyn ring::signature::RsaEncoding = match algorithm {
                    "RS256" => &RSA_PKCS1_SHA256,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    other => panic!("{other}"),
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(padding, &random, text, &mut signature).unwrap();
                signature
            }
        }
    }

    pub(crate) fn token(&self, algorithm: &str, kid: Option<&str>, claims: &Value) -> String {
        let text = unsigned(&json!({"alg": algorithm, "kid": kid, "typ": "JWT"}), claims);
        let signature = self.sign(algorithm, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// What the issuer answers with.
#[derive(Clone)]
enum Mood {
    Keys(Value),
    Raw(String),
    Error,
    Silent,
}

pub(crate) struct Provider {
    pub(crate) url: String,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

impl Provider {
    pub(crate) async fn start(keys: &[Value]) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let provider = Arc::new(Self {
            url,
            mood: Mutex::new(Mood::Keys(json!({"keys": keys}))),
            asked: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(key_set))
            .with_state(Arc::clone(&provider));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        provider
    }

    fn answers(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    fn publishes(&self, keys: &[Value]) {
        self.answers(Mood::Keys(json!({"keys": keys})));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn spec(&self) -> OidcSpec {
        OidcSpec {
            allow_http: true,
            timeout: Duration::from_millis(500),
            interval: Duration::ZERO,
            groups_claim: Some("realm_access.roles".into()),
            ..OidcSpec::new(self.url.clone(), "landfast")
        }
    }

    /// Claims that are right.
    pub(crate) fn claims(&self) -> Value {
        let now = seconds(SystemTime::now());
        json!({
            "iss": self.url, "aud": ["other", "landfast"], "sub": "ada", "iat": now, "nbf": now,
            "exp": now + 300, "realm_access": {"roles": ["sales", "east"]},
        })
    }

    pub(crate) fn claims_but(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

async fn discovery(State(provider): State<Arc<Provider>>) -> Response {
    axum::Json(json!({"issuer": provider.url, "jwks_uri": format!("{}/keys", provider.url)}))
        .into_response()
}

async fn key_set(State(provider): State<Arc<Provider>>) -> Response {
    provider.asked.fetch_add(1, Ordering::SeqCst);
    let mood = provider.mood.lock().clone();
    match mood {
        Mood::Keys(keys) => axum::Json(keys).into_response(),
        Mood::Raw(text) => text.into_response(),
        Mood::Error => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Mood::Silent => std::future::pending().await,
    }
}

fn issuers(spec: OidcSpec) -> Issuers {
    Issuers::default().next(vec![spec]).unwrap()
}

async fn checked(issuers: &Issuers, token: &str) -> Result<Principal, AuthError> {
    issuers
        .verify(token, SystemTime::now())
        .await
        .expect("it is a token of the issuer")
}

async fn refused(issuers: &Issuers, token: &str) -> TokenRefusal {
    match checked(issuers, token).await {
        Err(AuthError::RefusedToken(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn tokens_of_every_algorithm_are_taken_and_say_who_comes() {
    let signers = [
        (Signer::p256(), vec!["ES256"]),
        (Signer::p384(), vec!["ES384"]),
        (Signer::ed25519(), vec!["EdDSA"]),
        (Signer::rsa(), vec!["RS256", "RS512", "PS256", "PS384"]),
    ];
    let keys: Vec<Value> = (0..)
        .zip(&signers)
        .map(|(number, (signer, _))| signer.public(&format!("key-{number}")))
        .collect();
    let provider = Provider::start(&keys).await;
    let issuers = issuers(provider.spec());
    for (number, (signer, algorithms)) in signers.iter().enumerate() {
        for algorithm in algorithms {
            let kid = format!("key-{number}");
            for kid in [Some(kid.as_str()), None] {
                let token = signer.token(algorithm, kid, &provider.claims());
                let ada = checked(&issuers, &token).await.unwrap();
                assert_eq!((&*ada.name, ada.role), ("ada", Role::Reader));
                assert_eq!(ada.groups, Groups::new(["east", "sales"]));
            }
        }
    }
    assert_eq!(provider.asked(), 1, "keys are fetched once");
}

#[tokio::test]
async fn a_token_without_a_public_key_signature_is_refused() {
    let signer = Signer::rsa();
    let public = signer.public("one");
    let provider = Provider::start(std::slice::from_ref(&public)).await;
    let issuers = issuers(provider.spec());
    let claims = provider.claims();
    for algorithm in ["none", "None", "HS256", "RS1", "ES256K"] {
        let text = unsigned(&json!({"alg": algorithm, "kid": "one"}), &claims);
        // The classic confusion: the published key as the secret of an HMAC.
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::Mac>::new_from_slice(
            public["n"].as_str().unwrap().as_bytes(),
        )
        .unwrap();
        hmac::Mac::update(&mut mac, text.as_bytes());
        let signature = hmac::Mac::finalize(mac).into_bytes();
        for signature in [URL_SAFE_NO_PAD.encode(signature), String::new()] {
            let token = format!("{text}.{signature}");
            assert_eq!(refused(&issuers, &token).await, TokenRefusal::Algorithm);
        }
    }
    let text = unsigned(
        &json!({"alg": "RS256", "kid": "one", "crit": ["x"], "x": 1}),
        &claims,
    );
    let token = format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(signer.sign("RS256", text.as_bytes()))
    );
    assert_eq!(
        refused(&issuers, &token).await,
        TokenRefusal::Algorithm,
        "an extension that must be understood is not"
    );
    let only_es = issuers_with(&provider, |spec| spec.algorithms = vec![Algorithm::Es256]);
    let token = signer.token("RS256", Some("one"), &claims);
    assert_eq!(refused(&only_es, &token).await, TokenRefusal::Algorithm);
}

fn issuers_with(provider: &Provider, change: impl FnOnce(&mut OidcSpec)) -> Issuers {
    let mut spec = provider.spec();
    change(&mut spec);
    issuers(spec)
}

#[tokio::test]
async fn a_signature_by_another_key_or_over_other_claims_is_refused() {
    let (signer, stranger) = (Signer::p256(), Signer::p256());
    let provider = Provider::start(&[signer.public("one"), Signer::rsa().public("two")]).await;
    let issuers = issuers(provider.spec());
    let forged = stranger.token("ES256", Some("one"), &provider.claims());
    assert_eq!(refused(&issuers, &forged).await, TokenRefusal::Signature);
    let wrong_kind = signer.token("ES256", Some("two"), &provider.claims());
    assert_eq!(
        refused(&issuers, &wrong_kind).await,
        TokenRefusal::UnknownKey
    );
    let token = signer.token("ES256", Some("one"), &provider.claims());
    let other = unsigned(
        &json!({"alg": "ES256", "kid": "one"}),
        &provider.claims_but("sub", json!("root")),
    );
    let signature = token.rsplit('.').next().unwrap();
    assert_eq!(
        refused(&issuers, &format!("{other}.{signature}")).await,
        TokenRefusal::Signature
    );
    for nonsense in [
        "",
        "a.b",
        "a.b.c",
        "lfs_0",
        &token[1..],
        &"x".repeat(100_000),
    ] {
        assert!(
            issuers.verify(nonsense, SystemTime::now()).await.is_none(),
            "what is no token is left to others"
        );
    }
    let stranger = signer.token(
        "ES256",
        Some("one"),
        &provider.claims_but("iss", json!("https://elsewhere.example")),
    );
    assert!(issuers.verify(&stranger, SystemTime::now()).await.is_none());
}

#[tokio::test]
async fn claims_are_checked_within_the_clock_skew() {
    let signer = Signer::p256();
    let provider = Provider::start(&[signer.public("one")]).await;
    let issuers = issuers(provider.spec());
    let now = seconds(SystemTime::now());
    let expired = TokenRefusal::Expired;
    let claim = |name: &str| TokenRefusal::Claim(name.to_owned());
    for (name, value, refusal) in [
        ("exp", json!(now - 61), expired.clone()),
        ("exp", json!(0), expired),
        ("exp", json!("tomorrow"), claim("exp")),
        ("exp", Value::Null, claim("exp")),
        ("nbf", json!(now + 90), TokenRefusal::Early),
        ("iat", json!(now + 90), TokenRefusal::Early),
        ("aud", json!("another"), TokenRefusal::Audience),
        ("aud", json!(["another"]), TokenRefusal::Audience),
        ("aud", Value::Null, TokenRefusal::Audience),
        ("sub", json!(""), claim("sub")),
        ("sub", json!(7), claim("sub")),
        ("sub", json!("a\nb"), claim("sub")),
        ("sub", json!("x".repeat(300)), claim("sub")),
        (
            "realm_access",
            json!({"roles": [1]}),
            claim("realm_access.roles"),
        ),
        (
            "realm_access",
            json!({"roles": vec!["g"; 1_001]}),
            claim("realm_access.roles"),
        ),
    ] {
        let token = signer.token(
            "ES256",
            Some("one"),
            &provider.claims_but(name, value.clone()),
        );
        assert_eq!(refused(&issuers, &token).await, refusal, "{name} = {value}");
    }
    for (name, value) in [
        ("exp", json!(now - 50)),
        ("nbf", json!(now + 50)),
        ("iat", json!(now + 50)),
        ("aud", json!("landfast")),
        ("realm_access", Value::Null),
    ] {
        let token = signer.token("ES256", Some("one"), &provider.claims_but(name, value));
        checked(&issuers, &token).await.unwrap();
    }
    let mut endless = provider.claims();
    endless.as_object_mut().unwrap().remove("exp");
    let token = signer.token("ES256", Some("one"), &endless);
    assert_eq!(refused(&issuers, &token).await, claim("exp"));
}

#[tokio::test]
async fn claims_become_a_name_groups_and_a_role_as_configured() {
    let signer = Signer::p256();
    let provider = Provider::start(&[signer.public("one")]).await;
    let issuers = issuers_with(&provider, |spec| {
        spec.user_claim = "email".into();
        spec.user_prefix = "acme:".into();
        spec.groups_claim = Some("https://acme.example/groups".into());
        spec.groups_prefix = "acme/".into();
        spec.engineer_groups = vec!["builders".into()];
        spec.operator_groups = vec!["keepers".into()];
    });
    let token = |groups: Value, verified: Value| {
        let mut claims = provider.claims();
        claims["email"] = json!("ada@acme.example");
        claims["email_verified"] = verified;
        claims["https://acme.example/groups"] = groups;
        signer.token("ES256", Some("one"), &claims)
    };
    for (groups, role) in [
        (json!("people"), Role::Reader),
        (json!(["builders"]), Role::Engineer),
        (json!(["keepers", "builders"]), Role::Operator),
        (json!(["acme/keepers"]), Role::Reader),
    ] {
        let ada = checked(&issuers, &token(groups, json!(true)))
            .await
            .unwrap();
        assert_eq!((&*ada.name, ada.role), ("acme:ada@acme.example", role));
    }
    let ada = checked(&issuers, &token(json!("people"), json!(true)))
        .await
        .unwrap();
    assert_eq!(ada.groups, Groups::new(["acme/people"]));
    let unverified = TokenRefusal::Claim("email_verified".into());
    for value in [json!(false), json!("false"), json!(1), Value::Null] {
        let token = token(json!("people"), value);
        assert_eq!(refused(&issuers, &token).await, unverified);
    }
    let mut silent = provider.claims();
    silent["email"] = json!("ada@acme.example");
    let silent = signer.token("ES256", Some("one"), &silent);
    assert_eq!(refused(&issuers, &silent).await, unverified);
    checked(&issuers, &token(json!("people"), json!("true")))
        .await
        .unwrap();
}

#[tokio::test]
async fn new_keys_are_fetched_when_a_token_names_one_and_old_ones_are_gone() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let provider = Provider::start(&[old.public("old")]).await;
    let issuers = issuers(provider.spec());
    let by_old = old.token("ES256", Some("old"), &provider.claims());
    let by_new = new.token("ES256", Some("new"), &provider.claims());
    checked(&issuers, &by_old).await.unwrap();
    assert_eq!(refused(&issuers, &by_new).await, TokenRefusal::UnknownKey);
    provider.publishes(&[new.public("new")]);
    checked(&issuers, &by_new).await.unwrap();
    assert_eq!(refused(&issuers, &by_old).await, TokenRefusal::UnknownKey);
}

#[tokio::test]
async fn issuers_come_and_go_and_one_that_stays_keeps_its_keys() {
    let signer = Signer::p256();
    let provider = Provider::start(&[signer.public("one")]).await;
    let token = signer.token("ES256", Some("one"), &provider.claims());
    let first = issuers(provider.spec());
    checked(&first, &token).await.unwrap();
    let other = OidcSpec::new("https://idp.example", "landfast");
    let more = first.next(vec![other.clone(), provider.spec()]).unwrap();
    checked(&more, &token).await.unwrap();
    assert_eq!(provider.asked(), 1);
    let stricter = OidcSpec {
        audiences: vec!["another".into()],
        ..provider.spec()
    };
    let stricter = more.next(vec![stricter]).unwrap();
    assert_eq!(refused(&stricter, &token).await, TokenRefusal::Audience);
    let gone = more.next(vec![other]).unwrap();
    assert!(gone.verify(&token, SystemTime::now()).await.is_none());
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_issuer_once() {
    let signer = Signer::p256();
    let provider = Provider::start(&[signer.public("one")]).await;
    let issuers = issuers_with(&provider, |spec| spec.interval = Duration::from_secs(3600));
    let right = signer.token("ES256", Some("one"), &provider.claims());
    let tokens: Vec<String> = (0..50)
        .map(|number| {
            signer.token(
                "ES256",
                Some(&format!("made-up-{number}")),
                &provider.claims(),
            )
        })
        .collect();
    let refusals = futures::future::join_all(tokens.iter().map(|token| refused(&issuers, token)));
    for refusal in refusals.await {
        assert_eq!(refusal, TokenRefusal::UnknownKey);
    }
    checked(&issuers, &right).await.unwrap();
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn known_keys_work_while_the_issuer_is_down_and_without_any_it_says_so() {
    let signer = Signer::p256();
    let provider = Provider::start(&[signer.public("one")]).await;
    let token = signer.token("ES256", Some("one"), &provider.claims());
    let known = issuers_with(&provider, |spec| spec.refresh = Duration::ZERO);
    checked(&known, &token).await.unwrap();
    let forgetful = issuers_with(&provider, |spec| {
        spec.refresh = Duration::ZERO;
        spec.keep = Duration::ZERO;
    });
    let huge = format!(
        "{{\"keys\": [], \"padding\": \"{}\"}}",
        "x".repeat(300 * 1024)
    );
    let many: Vec<Value> = (0..101)
        .map(|number| signer.public(&number.to_string()))
        .collect();
    for mood in [
        Mood::Error,
        Mood::Silent,
        Mood::Raw("no JSON".into()),
        Mood::Raw(huge),
        Mood::Keys(json!({"keys": []})),
        Mood::Keys(json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]})),
        Mood::Keys(json!({"keys": many})),
    ] {
        provider.answers(mood);
        checked(&known, &token).await.unwrap();
        let fresh = issuers(provider.spec());
        assert_eq!(checked(&fresh, &token).await, Err(AuthError::IssuerDown));
        assert_eq!(
            checked(&forgetful, &token).await,
            Err(AuthError::IssuerDown)
        );
    }
    provider.publishes(&[signer.public("one")]);
    checked(&issuers(provider.spec()), &token).await.unwrap();
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_and_plain_http_are_refused() {
    let signer = Signer::p256();
    let provider = Provider::start(&[signer.public("one")]).await;
    let mut spec = provider.spec();
    spec.issuer = format!("{}/", provider.url);
    let found = issuers(spec).probe().await;
    let reason = found[0].1.as_ref().unwrap_err();
    assert!(reason.contains("letter by letter"), "{reason}");
    let secure_only = OidcSpec::new(provider.url.clone(), "landfast");
    let reason = Issuers::default().next(vec![secure_only]);
    let reason = reason.unwrap_err().to_string();
    assert!(reason.contains("plain HTTP"), "{reason}");
    let direct = issuers_with(&provider, |spec| {
        spec.jwks_uri = Some(format!("{}/keys", provider.url));
    });
    assert_eq!(direct.probe().await[0].1, Ok(1));
}
