//! Who may come, as configurations say it.

use std::time::Duration;

use landfast_planner::{Groups, Role};

use super::{SMALL, error, loaded};
use crate::audit::{AuditTarget, OnFailure};
use crate::auth::{Algorithm, NameSource, hash_password};
use crate::config::{ClientAuth, parse};

/// `SMALL` behind TLS.
fn secure(tls: &str, more: &str) -> String {
    let proxy = format!(
        "[proxy.tls]\ncert_file = \"c\"\nkey_file = \"k\"\n{tls}\n{more}\n\n[[site]]\nname = \"here\""
    );
    SMALL
        .replacen("insecure = true", "", 1)
        .replacen("[[site]]\nname = \"here\"", &proxy, 1)
}

fn refused(tls: &str, more: &str) -> String {
    loaded(&secure(tls, more)).unwrap_err().to_string()
}

#[test]
fn client_certificates_are_asked_for_only_with_an_authority() {
    let error = refused("client_crl_file = \"crl\"", "");
    assert!(error.contains("proxy.tls.client_crl_file"), "{error}");
    let error = refused("client_auth = \"optional\"", "");
    assert!(
        error.contains("proxy.tls.client_auth") && error.contains("client_ca_file"),
        "{error}"
    );
    let error = refused("", "[[certificate]]\nsubject = \"x\"");
    assert!(error.contains("client_ca_file"), "{error}");
    let error = refused("client_ca_file = \"ca\"", "");
    assert!(error.contains("nobody could log in"), "{error}");
    let tls = "client_ca_file = \"ca\"\nclient_name = \"san-uri\"\nclient_role = \"engineer\"";
    let clients = loaded(&secure(tls, ""))
        .unwrap()
        .tls
        .unwrap()
        .clients
        .unwrap();
    assert_eq!(clients.auth, ClientAuth::Required);
    assert_eq!(clients.name.name, NameSource::SanUri);
    assert_eq!(clients.role, Some(Role::Engineer));
    let entries = "[[certificate]]\nsubject = \"x\"\ngroups = [\"g\"]\n[[certificate]]\nsubject = \"y\"\nprincipal = \"z\"";
    let config = loaded(&secure("client_ca_file = \"ca\"", entries)).unwrap();
    assert_eq!(config.certificates[0].principal, "x");
    assert_eq!(config.certificates[0].groups, Groups::new(["g"]));
    assert_eq!(config.certificates[1].principal, "z");
    let twice = format!("{entries}\n[[certificate]]\nsubject = \"y\"");
    let error = refused("client_ca_file = \"ca\"", &twice);
    assert!(error.contains("certificate[y].subject"), "{error}");
}

#[test]
fn issuers_may_stand_in_the_file_of_users_and_in_one_place_only() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = "[[oidc]]\nissuer = \"https://idp.example\"\naudiences = [\"landfast\"]\nca_file = \"ca.pem\"\n";
    std::fs::write(dir.path().join("users.toml"), issuer).unwrap();
    let with = |more: &str| {
        let text = secure("", more).replacen("[proxy]", "[proxy]\nusers_file = \"users.toml\"", 1);
        crate::config::parse(&text, dir.path())
    };
    let config = with("").unwrap();
    assert_eq!(config.oidc[0].issuer, "https://idp.example");
    assert_eq!(config.oidc[0].ca_file, Some(dir.path().join("ca.pem")));
    let error = with(issuer).unwrap_err().to_string();
    assert!(
        error.contains("users_file") && error.contains("stands here and in"),
        "{error}"
    );
}

#[test]
fn an_issuer_is_checked_before_anybody_comes() {
    let oidc = |lines: &str| {
        format!("[[oidc]]\nissuer = \"https://idp.example\"\naudiences = [\"landfast\"]\n{lines}")
    };
    let config = loaded(&secure("", &oidc(""))).unwrap();
    let spec = &config.oidc[0];
    assert_eq!(
        *spec,
        crate::auth::OidcSpec::new("https://idp.example", "landfast")
    );
    let config = loaded(&secure("", &oidc("algorithms = [\"ES256\"]"))).unwrap();
    assert_eq!(config.oidc[0].algorithms, [Algorithm::Es256]);
    for (lines, key, text) in [
        (
            "algorithms = [\"HS256\"]",
            "oidc[https://idp.example].algorithms[#1]",
            "HS256",
        ),
        (
            "algorithms = [\"none\"]",
            "oidc[https://idp.example].algorithms[#1]",
            "none",
        ),
        (
            "algorithms = []",
            "oidc[https://idp.example].algorithms",
            "no token",
        ),
        (
            "jwks_uri = \"http://idp.example/keys\"",
            "oidc[https://idp.example].jwks_uri",
            "plain HTTP",
        ),
        (
            "jwks_uri = \"ftp://idp.example/keys\"",
            "oidc[https://idp.example].jwks_uri",
            "ftp",
        ),
        (
            "engineer_groups = [\"g\"]",
            "oidc[https://idp.example].groups_claim",
            "needed",
        ),
        (
            "keys_keep_ms = 1",
            "oidc[https://idp.example].keys_keep_ms",
            "shorter",
        ),
        (
            "timeout_ms = 0",
            "oidc[https://idp.example].timeout_ms",
            "at least 1",
        ),
        (
            "user_claim = \"\"",
            "oidc[https://idp.example].user_claim",
            "empty",
        ),
        ("audience = \"x\"", "audience", "did you mean `audiences`"),
    ] {
        let error = refused("", &oidc(lines));
        assert!(
            error.contains(key) && error.contains(text),
            "{lines}: {error}"
        );
    }
    let error = refused(
        "",
        "[[oidc]]\nissuer = \"https://idp.example\"\naudiences = []",
    );
    assert!(
        error.contains("oidc[https://idp.example].audiences"),
        "{error}"
    );
    let error = refused("", &format!("{}\n{}", oidc(""), oidc("")));
    assert!(error.contains("given twice"), "{error}");
}

#[test]
fn the_audit_log_has_defaults_and_standard_output_is_one() {
    let audit = |lines: &str| SMALL.replacen("[[catalog]]", &format!("{lines}\n[[catalog]]"), 1);
    assert_eq!(
        loaded(SMALL).unwrap().audit.map(|spec| spec.queue_lines),
        None
    );
    let spec = loaded(&audit("[audit]\nfile = \"stdout\""))
        .unwrap()
        .audit
        .unwrap();
    assert_eq!(spec.target, AuditTarget::Stdout);
    assert!(spec.redact_literals);
    assert_eq!(
        (spec.on_failure, spec.queue_lines),
        (OnFailure::Refuse, 8_192)
    );
    let spec = loaded(&audit("[audit]\nfile = \"a\"\non_failure = \"drop\""))
        .unwrap()
        .audit
        .unwrap();
    assert!(matches!(spec.target, AuditTarget::File(path) if path.is_absolute()));
    assert_eq!(spec.on_failure, OnFailure::Drop);
    let error = error(
        "[[catalog]]",
        "[audit]\nfile = \"a\"\nqueue_lines = 0\n[[catalog]]",
    );
    assert!(error.contains("audit.queue_lines"), "{error}");
}

#[test]
fn a_file_of_users_is_read_like_the_configuration_and_its_mistakes_have_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("more/users.toml");
    std::fs::create_dir(dir.path().join("more")).unwrap();
    let hash = hash_password("p").unwrap();
    let text = SMALL.replacen(
        "insecure = true",
        "insecure = true\nusers_file = \"more/users.toml\"\nreload_ms = 100",
        1,
    );
    let text = format!("{text}\n[[user]]\nname = \"ann\"\npassword_hash = \"{hash}\"\n");
    let with = |content: &str| {
        std::fs::write(&file, content).unwrap();
        parse(&text, dir.path())
    };
    std::fs::write(dir.path().join("more/robot.sha256"), "0".repeat(64)).unwrap();
    let config = with(&format!(
        "[[user]]\nname = \"bob\"\npassword_hash = \"{hash}\"\n[[token]]\nprincipal = \"robot\"\nsha256_file = \"robot.sha256\""
    ))
    .unwrap();
    let names: Vec<&str> = config.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["ann", "bob"]);
    assert_eq!(config.tokens[0].principal, "robot");
    assert_eq!(config.reload_every, Duration::from_millis(100));
    assert_eq!(config.access.read().unwrap(), config.known());
    for (content, wanted) in [
        (
            "[[user]]\nname = \"bob\"\npassword_hash = \"plain\"",
            "users.toml:3: user[bob].password_hash",
        ),
        ("[[usr]]\nname = \"bob\"", "did you mean `user`"),
        ("[[user]]\nname = 1", "users.toml:2"),
    ] {
        let error = with(content).unwrap_err().to_string();
        assert!(
            error.contains("proxy.users_file") && error.contains(wanted),
            "{error}"
        );
        assert!(config.access.read().is_err());
    }
    let error = with(&format!(
        "[[user]]\nname = \"ann\"\npassword_hash = \"{hash}\""
    ))
    .unwrap_err()
    .to_string();
    assert!(error.contains("`ann` stands here and in"), "{error}");
    std::fs::remove_file(&file).unwrap();
    let error = parse(&text, dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("proxy.users_file") && error.contains("can't be read"),
        "{error}"
    );
}
