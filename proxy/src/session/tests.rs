use landfast_planner::{Groups, Role};

use super::*;

fn principal(name: &str) -> Principal {
    Principal {
        name: name.into(),
        role: Role::Reader,
        groups: Groups::default(),
    }
}

fn sessions(limits: SessionLimits) -> Sessions {
    Sessions::new(limits, SessionSettings::default(), b"key")
}

fn changed() -> SessionSettings {
    let mut settings = SessionSettings::default();
    settings.set("landfast.freshness", "strong").unwrap();
    settings
}

fn value(settings: &SessionSettings) -> Option<String> {
    settings.show("landfast.freshness").ok()
}

#[test]
fn each_handshake_opens_a_session_of_its_own() {
    let sessions = sessions(SessionLimits::default());
    let ann = principal("ann");
    let (one, two) = (
        sessions.open_for_handshake(&ann, Method::Password).unwrap(),
        sessions.open_for_handshake(&ann, Method::Password).unwrap(),
    );
    let (who, how, first) = sessions.by_token(&one).unwrap();
    let (_, _, second) = sessions.by_token(&two).unwrap();
    assert_eq!((who, how), (ann.clone(), Method::Password));
    assert_ne!(first, second);
    let (first, second) = (SessionRef::Token(first), SessionRef::Token(second));
    assert_eq!(
        sessions
            .change(&first, &ann, &SessionSettings::default(), &changed())
            .unwrap(),
        None
    );
    assert_eq!(value(&sessions.settings(&first)), value(&changed()));
    assert_eq!(
        value(&sessions.settings(&second)),
        value(&SessionSettings::default())
    );
    assert!(sessions.by_token("lfs_guess").is_none());
}

#[test]
fn a_setting_without_a_session_is_refused_and_says_how_to_turn_cookies_on() {
    let sessions = sessions(SessionLimits::default());
    let error = sessions
        .change(
            &SessionRef::None,
            &principal("robot"),
            &SessionSettings::default(),
            &changed(),
        )
        .unwrap_err();
    assert_eq!(error, SessionError::NoSession);
    assert!(
        error
            .to_string()
            .contains("adbc.flight.sql.rpc.with_cookie_middleware")
    );
}

#[test]
fn a_cookie_is_stored_only_once_something_is_set() {
    let sessions = sessions(SessionLimits::default());
    let ann = principal("ann");
    let fresh = sessions.fresh_cookie(&ann);
    let id = sessions.by_cookie(&fresh, &ann).unwrap().unwrap();
    assert_eq!(sessions.open(), 0);
    let session = SessionRef::Cookie(id.clone());
    let marked = sessions
        .change(&session, &ann, &SessionSettings::default(), &changed())
        .unwrap()
        .unwrap();
    assert_eq!(sessions.open(), 1);
    assert_eq!(sessions.by_cookie(&marked, &ann).unwrap(), Some(id));
    assert_eq!(value(&sessions.settings(&session)), value(&changed()));
}

#[test]
fn a_cookie_whose_settings_are_gone_is_told_so() {
    let ann = principal("ann");
    let before = sessions(SessionLimits::default());
    let fresh = before.fresh_cookie(&ann);
    let session = SessionRef::Cookie(before.by_cookie(&fresh, &ann).unwrap().unwrap());
    let marked = before
        .change(&session, &ann, &SessionSettings::default(), &changed())
        .unwrap()
        .unwrap();
    let restarted = sessions(SessionLimits::default());
    assert_eq!(
        restarted.by_cookie(&marked, &ann),
        Err(SessionError::Expired)
    );
    assert!(
        restarted.by_cookie(&fresh, &ann).unwrap().is_some(),
        "nothing was set under this one, so nothing is lost"
    );
}

#[test]
fn a_cookie_of_another_principal_or_a_changed_one_names_no_session() {
    let sessions = sessions(SessionLimits::default());
    let (ann, bob) = (principal("ann"), principal("bob"));
    let cookie = sessions.fresh_cookie(&ann);
    assert_eq!(sessions.by_cookie(&cookie, &bob), Ok(None));
    assert_eq!(sessions.by_cookie("landfast_session=x", &ann), Ok(None));
    let value = cookie.split(';').next().unwrap();
    for at in COOKIE_NAME.len() + 1..value.len() {
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(sessions.by_cookie(&changed, &ann), Ok(None), "byte {at}");
    }
    let among_others = format!("a=b; {value}; c=d");
    assert!(sessions.by_cookie(&among_others, &ann).unwrap().is_some());
}

#[test]
fn sessions_are_bounded_and_idle_ones_make_room() {
    let ann = principal("ann");
    let bounded = sessions(SessionLimits {
        sessions_max: 2,
        idle: Duration::from_secs(3600),
    });
    bounded.open_for_handshake(&ann, Method::Password).unwrap();
    bounded.open_for_handshake(&ann, Method::Password).unwrap();
    assert_eq!(
        bounded.open_for_handshake(&ann, Method::Password),
        Err(SessionError::TooMany)
    );
    let fleeting = sessions(SessionLimits {
        sessions_max: 1,
        idle: Duration::ZERO,
    });
    let token = fleeting.open_for_handshake(&ann, Method::Password).unwrap();
    assert!(fleeting.by_token(&token).is_none());
    fleeting.open_for_handshake(&ann, Method::Password).unwrap();
    assert_eq!(fleeting.open(), 1);
}

#[test]
fn of_two_changes_at_once_neither_undoes_the_other() {
    let sessions = sessions(SessionLimits::default());
    let ann = principal("ann");
    let (_, _, id) = sessions
        .by_token(&sessions.open_for_handshake(&ann, Method::Password).unwrap())
        .unwrap();
    let session = SessionRef::Token(id);
    let before = sessions.settings(&session);
    let mut other = before.clone();
    other.set("landfast.placement", "origin").unwrap();
    sessions
        .change(&session, &ann, &before, &changed())
        .unwrap();
    sessions.change(&session, &ann, &before, &other).unwrap();
    let after = sessions.settings(&session);
    assert_eq!(value(&after), value(&changed()));
    assert_eq!(after.show("landfast.placement").unwrap(), "origin");
}
