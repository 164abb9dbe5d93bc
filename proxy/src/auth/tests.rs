use super::*;
use sha2::{Digest, Sha256};

fn authenticator() -> Authenticator {
    Authenticator::new(AuthSpec {
        access: access(),
        ..AuthSpec::default()
    })
    .unwrap()
}

fn access() -> Access {
    Access {
        users: vec![User {
            name: "ann".into(),
            password_hash: hash_password("s:ecret").unwrap(),
            role: Role::Engineer,
            groups: Groups::new(["sales", "east"]),
        }],
        tokens: vec![StaticToken {
            sha256: Sha256::digest(b"tok").into(),
            principal: "robot".into(),
            role: Role::Reader,
            groups: Groups::new(["programs"]),
        }],
        certificates: vec![CertificateEntry {
            subject: "spiffe://acme/report".into(),
            principal: "report".into(),
            role: Role::Engineer,
            groups: Groups::new(["programs"]),
        }],
        issuers: Vec::new(),
    }
}

fn arrival(name: &str, groups: &[&str]) -> Arrival {
    Arrival {
        address: None,
        certificate: Some(Arc::new(CertificateName {
            name: name.into(),
            groups: Groups::new(groups),
        })),
    }
}

#[test]
fn basic_is_read_with_padding_without_and_with_a_colon_in_the_password() {
    let expected = Credentials::Basic {
        user: "ann".into(),
        password: "s:ecret".into(),
    };
    // base64("ann:s:ecret") = YW5uOnM6ZWNyZXQ=
    assert_eq!(
        Credentials::parse("Basic YW5uOnM6ZWNyZXQ=").unwrap(),
        expected
    );
    assert_eq!(
        Credentials::parse("basic YW5uOnM6ZWNyZXQ").unwrap(),
        expected
    );
    assert_eq!(
        Credentials::parse("Bearer abc").unwrap(),
        Credentials::Bearer("abc".into())
    );
    assert_eq!(
        Credentials::parse("Digest abc"),
        Err(CredentialError::Scheme)
    );
    assert_eq!(Credentials::parse("Basic !!"), Err(CredentialError::Basic));
    assert_eq!(
        Credentials::parse("Basic YWJj"),
        Err(CredentialError::Basic)
    );
}

#[test]
fn credentials_do_not_show_in_debug_output() {
    let shown = format!(
        "{:?}",
        Credentials::parse("Basic YW5uOnM6ZWNyZXQ=").unwrap()
    );
    assert!(
        !shown.contains("ecret") && !shown.contains("ann"),
        "{shown}"
    );
}

#[tokio::test]
async fn only_the_right_password_of_a_known_user_is_taken() {
    let auth = authenticator();
    let (ann, how) = auth.password("ann", "s:ecret", None).await.unwrap();
    assert_eq!(how, Method::Password);
    assert_eq!((&*ann.name, ann.role), ("ann", Role::Engineer));
    assert_eq!(ann.groups, Groups::new(["east", "sales"]));
    assert_eq!(
        auth.password("ann", "s:ecret", None).await.unwrap().0,
        ann,
        "a remembered password is still right"
    );
    assert_eq!(
        auth.password("ann", "wrong", None).await,
        Err(AuthError::BadPassword)
    );
    assert_eq!(
        auth.password("bob", "s:ecret", None).await,
        Err(AuthError::BadPassword)
    );
    assert_eq!(
        auth.without_credentials(&Arrival::default()),
        Err(AuthError::Missing)
    );
}

#[tokio::test]
async fn a_static_token_is_known_by_its_hash() {
    let auth = authenticator();
    let (robot, how) = auth.bearer("tok").await.unwrap();
    assert_eq!((&*robot.name, how), ("robot", Method::Token));
    assert!(robot.groups.contains("programs"));
    assert_eq!(auth.bearer("tok ").await, Err(AuthError::BadToken));
    assert_eq!(auth.bearer("").await, Err(AuthError::BadToken));
}

#[tokio::test]
async fn insecure_mode_takes_anybody() {
    let auth = Authenticator::new(AuthSpec {
        insecure: true,
        ..AuthSpec::default()
    })
    .unwrap();
    let (nobody, how) = auth.without_credentials(&Arrival::default()).unwrap();
    assert_eq!((&*nobody.name, how), (ANONYMOUS, Method::Insecure));
    let (carla, _) = auth.password("carla", "x", None).await.unwrap();
    assert_eq!(&*carla.name, "carla");
    assert_eq!(&*auth.bearer("x").await.unwrap().0.name, ANONYMOUS);
}

#[test]
fn a_hash_that_is_not_argon2_is_refused_and_names_the_user() {
    let mut access = access();
    access.users[0].password_hash = "plain".into();
    let spec = AuthSpec {
        access,
        ..AuthSpec::default()
    };
    let text = Authenticator::new(spec).unwrap_err().to_string();
    assert!(
        text.contains("`ann`") && text.contains("landfast user hash"),
        "{text}"
    );
    assert!(!text.contains("plain"));
}

#[test]
fn a_certificate_stands_for_its_entry_and_otherwise_for_nobody() {
    let auth = authenticator();
    let (report, how) = auth
        .without_credentials(&arrival("spiffe://acme/report", &["ops"]))
        .unwrap();
    assert_eq!(
        (&*report.name, report.role, how),
        ("report", Role::Engineer, Method::Certificate)
    );
    assert_eq!(report.groups, Groups::new(["ops", "programs"]));
    let unknown = arrival("spiffe://acme/other", &["ops"]);
    assert_eq!(auth.without_credentials(&unknown), Err(AuthError::Missing));
    let open = Authenticator::new(AuthSpec {
        access: access(),
        certificate_role: Some(Role::Reader),
        ..AuthSpec::default()
    })
    .unwrap();
    let (other, _) = open.without_credentials(&unknown).unwrap();
    assert_eq!(
        (&*other.name, other.role),
        ("spiffe://acme/other", Role::Reader)
    );
    assert!(other.groups.contains("ops"));
}

#[tokio::test]
async fn whoever_is_known_no_more_is_turned_away_at_once_and_a_changed_role_counts_at_once() {
    let auth = authenticator();
    let (ann, how) = auth.password("ann", "s:ecret", None).await.unwrap();
    let mut changed = access();
    changed.users[0].role = Role::Reader;
    changed.users[0].groups = Groups::default();
    auth.replace(changed.clone()).unwrap();
    let now = auth.renew(ann.clone(), how).unwrap();
    assert_eq!((now.role, now.groups), (Role::Reader, Groups::default()));
    changed.users[0].password_hash = hash_password("another").unwrap();
    auth.replace(changed).unwrap();
    assert_eq!(
        auth.password("ann", "s:ecret", None).await,
        Err(AuthError::BadPassword),
        "a remembered password is none once its hash has changed"
    );
    auth.replace(Access::default()).unwrap();
    assert_eq!(auth.renew(ann, how), Err(AuthError::BadToken));
    assert_eq!(auth.bearer("tok").await, Err(AuthError::BadToken));
}

#[tokio::test]
async fn wrong_passwords_slow_the_next_one_and_are_counted() {
    let auth = Authenticator::new(AuthSpec {
        access: access(),
        login_delay_max: Duration::from_secs(3600),
        ..AuthSpec::default()
    })
    .unwrap();
    let address = Some("192.0.2.1".parse().unwrap());
    for name in ["ann", "nobody"] {
        for _ in 0..3 {
            assert_eq!(
                auth.password(name, "guess", address).await,
                Err(AuthError::BadPassword)
            );
        }
        let next = auth.password(name, "guess", address);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), next)
                .await
                .is_err(),
            "the fourth guess waits, whether or not there is such a user"
        );
    }
    let (ann, _) = auth
        .password("ann", "s:ecret", Some("198.51.100.1".parse().unwrap()))
        .await
        .unwrap();
    assert_eq!(
        &*ann.name, "ann",
        "from elsewhere the right password is taken"
    );
    let counted: Vec<(&str, &str, u64)> = auth
        .counts()
        .into_iter()
        .filter(|count| count.count > 0)
        .map(|count| (count.method.label(), count.outcome.label(), count.count))
        .collect();
    assert_eq!(counted, [("password", "ok", 1), ("password", "refused", 6)]);
}

#[tokio::test]
async fn a_log_in_that_could_not_be_looked_at_slows_nobody() {
    let auth = Authenticator::new(AuthSpec {
        access: access(),
        login_delay_max: Duration::from_secs(3600),
        ..AuthSpec::default()
    })
    .unwrap();
    let address = Some("192.0.2.1".parse().unwrap());
    let busy = auth.gate.fill();
    for _ in 0..30 {
        let turned_away = auth.password("ann", "s:ecret", address).await;
        assert_eq!(turned_away, Err(AuthError::Busy));
    }
    drop(busy);
    let wait = Duration::from_secs(60);
    let taken = tokio::time::timeout(wait, auth.password("ann", "s:ecret", address)).await;
    assert_eq!(&*taken.unwrap().unwrap().0.name, "ann");
}

#[test]
fn a_certificate_is_read_by_the_name_that_was_chosen_and_by_no_other() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters =
        rcgen::CertificateParams::new(vec!["report.acme.example".to_owned()]).unwrap();
    parameters.subject_alt_names.extend([
        rcgen::SanType::URI("spiffe://acme/report".try_into().unwrap()),
        rcgen::SanType::Rfc822Name("report@acme.example".try_into().unwrap()),
    ]);
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, "Nightly report");
    name.push(rcgen::DnType::OrganizationalUnitName, "programs");
    parameters.distinguished_name = name;
    let certificate = parameters.self_signed(&key).unwrap();
    let read = |name, groups| PeerName { name, groups }.read(certificate.der());
    for (source, expected) in [
        (NameSource::CommonName, "Nightly report"),
        (NameSource::SanDns, "report.acme.example"),
        (NameSource::SanEmail, "report@acme.example"),
        (NameSource::SanUri, "spiffe://acme/report"),
    ] {
        let found = read(source, false).unwrap();
        assert_eq!((&*found.name, found.groups), (expected, Groups::default()));
    }
    assert_eq!(
        read(NameSource::SanUri, true).unwrap().groups,
        Groups::new(["programs"])
    );
    parameters.subject_alt_names.push(rcgen::SanType::URI(
        "spiffe://acme/another".try_into().unwrap(),
    ));
    let two = parameters.self_signed(&key).unwrap();
    let uri = PeerName {
        name: NameSource::SanUri,
        groups: false,
    };
    assert_eq!(uri.read(two.der()), None, "two names are none");
    assert_eq!(uri.read(b"no certificate"), None);
}
