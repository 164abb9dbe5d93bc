//! The whole service behind TLS: certificates of clients, issuers' tokens, files that change, and the audit log.

mod house;

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tonic::{Code, Status};

use crate::auth::hash_password;
use crate::auth::oidc_tests::{Provider, Signer};
use house::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_speaks_for_its_holder_and_credentials_decide_where_there_are_some() {
    let house = House::new();
    let more = format!(
        "{}\n[[certificate]]\nsubject = \"report\"\nprincipal = \"nightly-report\"\nrole = \"engineer\"\n",
        token_entry("robot", "robot-token")
    );
    let tls = "client_ca_file = \"clients.pem\"\nclient_auth = \"optional\"\nclient_groups = true";
    let running = house.serve(tls, &more).await;
    let report = house.clients.signs(&[], "report", "programs");
    let client = Client::connect(&running, &house.ca, Some(&report))
        .await
        .unwrap();
    client.rows("SELECT 1").await.unwrap();
    client
        .says("Bearer robot-token")
        .rows("SELECT 2")
        .await
        .unwrap();
    let session = client.handshake().await.unwrap();
    client.says(&session).rows("SELECT 3").await.unwrap();

    let unlisted = house.clients.signs(&[], "somebody", "programs");
    let unlisted = Client::connect(&running, &house.ca, Some(&unlisted))
        .await
        .unwrap();
    assert_eq!(code(unlisted.ask("SELECT 1").await), Code::Unauthenticated);
    let bare = Client::connect(&running, &house.ca, None).await.unwrap();
    assert_eq!(code(bare.ask("SELECT 1").await), Code::Unauthenticated);
    assert_eq!(
        code(bare.says(&session).ask("SELECT 1").await),
        Code::Unauthenticated,
        "a session that a certificate opened is that certificate's"
    );
    bare.says("Bearer robot-token")
        .rows("SELECT 4")
        .await
        .unwrap();

    let forged = Authority::new().signs(&[], "report", "programs");
    let forged = Client::connect(&running, &house.ca, Some(&forged)).await;
    let refused = match forged {
        Err(_) => true,
        // With TLS 1.3 the client hears of it with its first call.
        Ok(client) => client.ask("SELECT 1").await.is_err(),
    };
    assert!(
        refused,
        "a certificate that a stranger signed opens nothing"
    );

    let statements: Vec<(String, String, Value)> = house
        .audited(&running)
        .iter()
        .filter(|line| line["event"] == "statement")
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            (text("principal"), text("method"), line["groups"].clone())
        })
        .collect();
    let by_certificate = |method: &str| {
        (
            "nightly-report".to_owned(),
            method.to_owned(),
            serde_json::json!(["programs"]),
        )
    };
    let by_token = (
        "robot".to_owned(),
        "token".to_owned(),
        serde_json::json!([]),
    );
    assert_eq!(
        statements,
        [
            by_certificate("certificate"),
            by_token.clone(),
            by_certificate("certificate"),
            by_token
        ]
    );
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_required_a_token_alone_does_not_even_connect() {
    let house = House::new();
    let tls = "client_ca_file = \"clients.pem\"\nclient_role = \"reader\"";
    let running = house.serve(tls, &token_entry("robot", "robot-token")).await;
    let refused = match Client::connect(&running, &house.ca, None).await {
        Err(_) => true,
        Ok(client) => client
            .says("Bearer robot-token")
            .ask("SELECT 1")
            .await
            .is_err(),
    };
    assert!(refused);
    let anybody = house.clients.signs(&[], "anybody", "programs");
    let client = Client::connect(&running, &house.ca, Some(&anybody))
        .await
        .unwrap();
    client.rows("SELECT 1").await.unwrap();
    let lines = house.audited(&running);
    let line = lines.last().unwrap();
    assert_eq!(
        (&line["principal"], &line["role"]),
        (&"anybody".into(), &"reader".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_closed_at_once_and_fits_when_another_has_ended() {
    let house = House::new();
    let more = token_entry("robot", "robot-token") + "\n[limits]\nconnections = 4\n";
    let running = house.serve("", &more).await;
    let rows = async || {
        let client = Client::connect(&running, &house.ca, None).await;
        let client = client.map_err(|error| Status::unavailable(error.to_string()))?;
        let client = client.says("Bearer robot-token");
        client.rows("SELECT 1").await.map(|rows| (client, rows))
    };
    let (first, _) = rows().await.unwrap();
    assert_eq!(rows().await.err().unwrap().code(), Code::Unavailable);
    first.rows("SELECT 1").await.unwrap();
    let sources = running.parts().admin_sources();
    let metrics = sources.metrics.render(&sources.sources).unwrap();
    assert!(
        metrics.contains("landfast_connections_open 1\n"),
        "{metrics}"
    );
    assert!(!metrics.contains("landfast_connections_refused_total 0\n"));
    drop(first);
    until("room for another connection", rows).await;
}

/// Tries until it works, and fails when it never does.
async fn until<T, E: std::fmt::Debug>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let since = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => assert!(since.elapsed() < SOON, "waited for {what}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_without_a_restart_and_a_broken_pair_changes_nothing() {
    let house = House::new();
    let tls =
        "client_ca_file = \"clients.pem\"\nclient_auth = \"optional\"\nclient_role = \"reader\"";
    let running = house.serve(tls, &token_entry("robot", "robot-token")).await;
    let holder = house.clients.signs(&[], "holder", "programs");
    let first = Client::connect(&running, &house.ca, Some(&holder))
        .await
        .unwrap();
    first.rows("SELECT 1").await.unwrap();

    let next = Authority::new();
    assert!(Client::connect(&running, &next, None).await.is_err());
    house.install(&next.server());
    let second = until("the new certificate", async || {
        Client::connect(&running, &next, None).await
    })
    .await;
    second
        .says("Bearer robot-token")
        .rows("SELECT 1")
        .await
        .unwrap();
    first.rows("SELECT 1").await.unwrap();

    // A certificate without its key, and then nonsense.
    house.write("server.pem", &Authority::new().server().certificate);
    house.write("clients.pem", "nonsense");
    running.reload_now().await;
    let still = Client::connect(&running, &next, Some(&holder))
        .await
        .unwrap();
    still.rows("SELECT 1").await.unwrap();

    let other_clients = Authority::new();
    house.install(&next.server());
    house.write("clients.pem", &other_clients.pem);
    running.reload_now().await;
    let newcomer = other_clients.signs(&[], "newcomer", "programs");
    let newcomer = Client::connect(&running, &next, Some(&newcomer))
        .await
        .unwrap();
    newcomer.rows("SELECT 1").await.unwrap();
    let refused = match Client::connect(&running, &next, Some(&holder)).await {
        Err(_) => true,
        Ok(client) => client.ask("SELECT 1").await.is_err(),
    };
    assert!(
        refused,
        "whose authority is no longer trusted connects no more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_connects_no_more_and_neither_does_any_by_a_list_that_is_too_old() {
    let house = House::new();
    let pairs = ["one", "two"].map(|name| house.clients.signs(&[], name, "programs"));
    let [one, two] = &pairs;
    house.write("revoked.pem", &house.clients.revokes(&[one], 2999));
    let tls = "client_ca_file = \"clients.pem\"\nclient_crl_file = \"revoked.pem\"\nclient_role = \"reader\"";
    let running = house.serve(tls, "").await;
    let comes_in = async |pair: &Pair| match Client::connect(&running, &house.ca, Some(pair)).await
    {
        Err(_) => false,
        Ok(client) => client.ask("SELECT 1").await.is_ok(),
    };
    assert!(!comes_in(one).await);
    assert!(comes_in(two).await);

    house.write("revoked.pem", &house.clients.revokes(&[two], 2999));
    running.reload_now().await;
    assert!(comes_in(one).await);
    assert!(!comes_in(two).await);
    for unusable in ["nonsense", &house.clients.pem] {
        house.write("revoked.pem", unusable);
        running.reload_now().await;
        assert!(comes_in(one).await, "what can't be used changes nothing");
        assert!(!comes_in(two).await);
    }

    let of_others = Authority::new().revokes(&[], 2999);
    for useless in [house.clients.revokes(&[], 2021), of_others] {
        house.write("revoked.pem", &useless);
        running.reload_now().await;
        assert!(!comes_in(one).await, "whether it was revoked is not known");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_and_go_with_their_file_and_a_broken_file_changes_nothing() {
    let house = House::new();
    let entry = {
        let hashes = ["ann", "bob"].map(|name| (name, hash_password(name).unwrap()));
        move |name: &str, role: &str| {
            let hash = &hashes.iter().find(|(known, _)| *known == name).unwrap().1;
            user_hashed(name, role, hash)
        }
    };
    house.write("users.toml", &entry("ann", "engineer"));
    let running = house.serve("", "").await;
    let client = Client::connect(&running, &house.ca, None).await.unwrap();
    let ann = client.says(&client.says(&basic("ann", "ann")).handshake().await.unwrap());
    ann.ask("CREATE SCHEMA lake.made").await.unwrap();
    assert_eq!(
        code(client.says(&basic("bob", "bob")).handshake().await),
        Code::Unauthenticated
    );

    house.write(
        "users.toml",
        &format!("{}{}", entry("ann", "reader"), entry("bob", "reader")),
    );
    let bob = until("the new user", async || {
        client.says(&basic("bob", "bob")).handshake().await
    })
    .await;
    let bob = client.says(&bob);
    bob.rows("SELECT 1").await.unwrap();
    assert_eq!(
        code(ann.ask("CREATE SCHEMA lake.another").await),
        Code::PermissionDenied,
        "a session is as mighty as its user is now"
    );
    house.write("users.toml", "[[user]]\nname = 1");
    running.reload_now().await;
    bob.rows("SELECT 1").await.unwrap();
    house.write("users.toml", &entry("bob", "reader"));
    running.reload_now().await;
    assert_eq!(code(ann.ask("SELECT 1").await), Code::Unauthenticated);
    bob.rows("SELECT 1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_the_sessions_that_the_old_one_opened() {
    let house = House::new();
    let bob = user_entry("bob", "reader");
    house.write(
        "users.toml",
        &format!("{}{bob}", user_entry("ann", "reader")),
    );
    let running = house.serve("", "").await;
    let client = Client::connect(&running, &house.ca, None).await.unwrap();
    let [ann, bobs] = ["ann", "bob"].map(|name| client.says(&basic(name, name)));
    let ann = client.says(&ann.handshake().await.unwrap());
    let bobs = client.says(&bobs.handshake().await.unwrap());
    ann.rows("SELECT 1").await.unwrap();

    let other = user_hashed("ann", "reader", &hash_password("another").unwrap());
    house.write("users.toml", &format!("{other}{bob}"));
    running.reload_now().await;
    assert_eq!(code(ann.ask("SELECT 1").await), Code::Unauthenticated);
    bobs.rows("SELECT 1").await.unwrap();
    let ann = client.says(&basic("ann", "another")).handshake().await;
    let ann = client.says(&ann.unwrap());
    ann.rows("SELECT 1").await.unwrap();

    house.write("users.toml", &bob);
    running.reload_now().await;
    house.write("users.toml", &format!("{other}{bob}"));
    running.reload_now().await;
    assert_eq!(
        code(ann.ask("SELECT 1").await),
        Code::Unauthenticated,
        "who was away meanwhile logs in again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_come_and_go_with_the_file_of_users() {
    let house = House::new();
    let signer = Signer::p256();
    let provider = Provider::start(&[signer.public("one")]).await;
    let ann = user_entry("ann", "reader");
    house.write("users.toml", &ann);
    let running = house.serve("", "").await;
    let client = Client::connect(&running, &house.ca, None).await.unwrap();
    let token = signer.token("ES256", Some("one"), &provider.claims());
    let ada = client.says(&format!("Bearer {token}"));
    assert_eq!(code(ada.ask("SELECT 1").await), Code::Unauthenticated);
    let issuer = |lines: &str| {
        let url = &provider.url;
        format!(
            "{ann}[[oidc]]\nissuer = \"{url}\"\naudiences = [\"landfast\"]\nallow_http = true\n{lines}"
        )
    };
    house.write("users.toml", &issuer(""));
    running.reload_now().await;
    ada.rows("SELECT 1").await.unwrap();
    assert_eq!(
        code(ada.ask("CREATE SCHEMA lake.made").await),
        Code::PermissionDenied
    );
    house.write("users.toml", &issuer("role = \"engineer\""));
    running.reload_now().await;
    ada.ask("CREATE SCHEMA lake.made").await.unwrap();
    house.write("users.toml", &issuer("algorithms = [\"none\"]"));
    running.reload_now().await;
    ada.rows("SELECT 1").await.unwrap();
    house.write("users.toml", &ann);
    running.reload_now().await;
    assert_eq!(code(ada.ask("SELECT 1").await), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuers_token_passes_the_handshake_and_has_a_session_by_cookie() {
    let house = House::new();
    let signer = Signer::p256();
    let provider = Provider::start(&[signer.public("one")]).await;
    let more = format!(
        "[[oidc]]\nissuer = \"{}\"\naudiences = [\"landfast\"]\nallow_http = true\ngroups_claim = \"realm_access.roles\"\n\
         engineer_groups = [\"east\"]\n",
        provider.url
    );
    let running = house.serve("", &more).await;
    let client = Client::connect(&running, &house.ca, None).await.unwrap();
    let token = format!(
        "Bearer {}",
        signer.token("ES256", Some("one"), &provider.claims())
    );
    let ada = client.says(&token);
    assert_eq!(ada.handshake().await.unwrap(), token);
    ada.ask("CREATE SCHEMA lake.made").await.unwrap();
    let answer = ada.ask("SELECT 1").await.unwrap();
    let cookie = answer
        .metadata()
        .get("set-cookie")
        .unwrap()
        .to_str()
        .unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let set = ada
        .with("cookie", &cookie)
        .ask("SET landfast.placement = 'origin'")
        .await
        .unwrap();
    let cookie = set.metadata().get("set-cookie").unwrap().to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    ada.with("cookie", &cookie).rows("SELECT 1").await.unwrap();

    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let late = signer.token(
        "ES256",
        Some("one"),
        &provider.claims_but("exp", serde_json::json!(now - 100)),
    );
    let status = client
        .says(&format!("Bearer {late}"))
        .ask("SELECT 1")
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("expired"), "{}", status.message());

    let lines = house.audited(&running);
    let last = |event: &str| {
        lines
            .iter()
            .rfind(|line| line["event"] == event)
            .unwrap()
            .clone()
    };
    assert_eq!(last("statement")["principal"], "ada");
    assert_eq!(last("statement")["method"], "oidc");
    assert_eq!(
        last("statement")["groups"],
        serde_json::json!(["east", "sales"])
    );
    assert_eq!(last("login")["outcome"], "refused");
    let text = fs::read_to_string(house.path().join("audit.jsonl")).unwrap();
    for secret in [
        token.trim_start_matches("Bearer "),
        &late,
        "landfast_session",
    ] {
        assert!(!text.contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_of_statements_log_ins_and_denials_and_of_no_literal_or_credential() {
    let house = House::new();
    let more = format!(
        "{}{}",
        user_entry("ann", "engineer"),
        user_entry("bob", "reader")
    );
    let running = house.serve("", &more).await;
    let client = Client::connect(&running, &house.ca, None).await.unwrap();
    let ann = client.says(&client.says(&basic("ann", "ann")).handshake().await.unwrap());
    let bob = client.says(&basic("bob", "bob"));
    assert_eq!(
        code(client.says(&basic("ann", "hushhush")).handshake().await),
        Code::Unauthenticated
    );
    assert_eq!(
        code(client.says(&basic("hushhush", "")).handshake().await),
        Code::Unauthenticated
    );
    assert_eq!(
        code(client.says("Bearer hushhush").ask("SELECT 1").await),
        Code::Unauthenticated
    );
    ann.rows("SELECT 'hushhush' AS one").await.unwrap();
    assert_ne!(code(ann.ask("SELECT \"hushhush\"").await), Code::Ok);
    assert_ne!(
        code(ann.ask("SELECT 1 FROM lake.s.t WHERE a = hushhush").await),
        Code::Ok
    );
    assert_ne!(code(ann.ask("SELECT hushhush 'hushhush").await), Code::Ok);
    assert_eq!(
        code(bob.ask("CREATE SCHEMA lake.hush").await),
        Code::PermissionDenied
    );
    ann.ask("CREATE SCHEMA lake.made").await.unwrap();
    let info = ann.ask("SELECT 1").await.unwrap().into_inner();
    let stolen = info.endpoint[0].ticket.clone().unwrap();
    let denied = bob.flight.clone().do_get(bob.request(stolen)).await;
    assert_eq!(code(denied), Code::PermissionDenied);

    let lines = house.audited(&running);
    let told: Vec<(&str, &str, &str, &str)> = lines
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-");
            (
                text("event"),
                text("principal"),
                text("outcome"),
                text("statement"),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("login", "ann", "ok", "-"),
            ("login", "ann", "refused", "-"),
            ("login", "-", "refused", "-"),
            ("login", "-", "refused", "-"),
            ("statement", "ann", "finished", "SELECT ? AS one"),
            ("statement", "ann", "failed", "SELECT \"?\""),
            (
                "statement",
                "ann",
                "failed",
                "SELECT ? FROM ?.?.? WHERE ? = ?"
            ),
            (
                "statement",
                "ann",
                "failed",
                "(a statement of 25 bytes that can't be read)"
            ),
            ("statement", "bob", "failed", "CREATE SCHEMA lake.hush"),
            ("statement", "ann", "finished", "CREATE SCHEMA lake.made"),
            ("denied", "bob", "failed", "-"),
        ]
    );
    let text = fs::read_to_string(house.path().join("audit.jsonl")).unwrap();
    assert!(!text.contains("hushhush"), "{text}");
    let first = &lines[4];
    assert_eq!(first["rows"], 1);
    assert_eq!(first["kind"], "query");
    assert_eq!(first["error"], Value::Null);
    assert!(first["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(first["client"].as_str().unwrap().contains("tonic"));
    assert_eq!(lines[8]["error"], "permission_denied");
    running.shutdown().await.unwrap();
}
