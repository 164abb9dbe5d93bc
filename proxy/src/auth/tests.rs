use super::*;

fn authenticator() -> Authenticator {
    Authenticator::new(AuthSpec {
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
        insecure: false,
    })
    .unwrap()
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
    let ann = auth.password("ann", "s:ecret").await.unwrap();
    assert_eq!((&*ann.name, ann.role), ("ann", Role::Engineer));
    assert_eq!(ann.groups, Groups::new(["east", "sales"]));
    assert_eq!(
        auth.password("ann", "s:ecret").await.unwrap(),
        ann,
        "a remembered password is still right"
    );
    assert_eq!(
        auth.password("ann", "wrong").await,
        Err(AuthError::BadPassword)
    );
    assert_eq!(
        auth.password("bob", "s:ecret").await,
        Err(AuthError::BadPassword)
    );
    assert_eq!(auth.without_credentials(), Err(AuthError::Missing));
}

#[test]
fn a_static_token_is_known_by_its_hash() {
    let auth = authenticator();
    let robot = auth.static_token("tok").unwrap();
    assert_eq!(&*robot.name, "robot");
    assert!(robot.groups.contains("programs"));
    assert_eq!(auth.static_token("tok "), Err(AuthError::BadToken));
    assert_eq!(auth.static_token(""), Err(AuthError::BadToken));
}

#[tokio::test]
async fn insecure_mode_takes_anybody() {
    let auth = Authenticator::new(AuthSpec {
        insecure: true,
        ..AuthSpec::default()
    })
    .unwrap();
    assert_eq!(&*auth.without_credentials().unwrap().name, ANONYMOUS);
    assert_eq!(&*auth.password("carla", "x").await.unwrap().name, "carla");
    assert_eq!(&*auth.static_token("x").unwrap().name, ANONYMOUS);
}

#[test]
fn a_hash_that_is_not_argon2_is_refused_and_names_the_user() {
    let spec = AuthSpec {
        users: vec![User {
            name: "ann".into(),
            password_hash: "plain".into(),
            role: Role::Reader,
            groups: Groups::new(["programs"]),
        }],
        ..AuthSpec::default()
    };
    let text = Authenticator::new(spec).unwrap_err().to_string();
    assert!(
        text.contains("`ann`") && text.contains("landfast user hash"),
        "{text}"
    );
    assert!(!text.contains("plain"));
}
