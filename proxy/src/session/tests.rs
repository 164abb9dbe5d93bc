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

fn bounded(sessions_max: usize, idle: Duration) -> Sessions {
    sessions(SessionLimits { sessions_max, idle })
}

fn open(sessions: &Sessions, name: &str) -> Result<String, SessionError> {
    sessions.open_for_handshake(&principal(name), Method::Password)
}

#[test]
fn sessions_are_bounded_and_idle_ones_make_room() {
    let full = bounded(2, Duration::from_secs(3600));
    open(&full, "ann").unwrap();
    open(&full, "bob").unwrap();
    assert_eq!(open(&full, "cid"), Err(SessionError::TooMany));
    let fleeting = bounded(1, Duration::ZERO);
    let token = open(&fleeting, "ann").unwrap();
    assert!(fleeting.by_token(&token).is_none());
    open(&fleeting, "ann").unwrap();
    assert_eq!(fleeting.open(), 1);
}

#[test]
fn whoever_opens_sessions_without_end_keeps_nobody_else_out() {
    let sessions = bounded(8, Duration::from_secs(3600));
    open(&sessions, "ann").unwrap();
    let second = open(&sessions, "ann").unwrap();
    let refused = SessionError::TooManyOfOne { max: 2 };
    assert_eq!(open(&sessions, "ann"), Err(refused.clone()));
    let (ann, cookie) = (principal("ann"), sessions.fresh_cookie(&principal("ann")));
    let cookie = sessions.by_cookie(&cookie, &ann).unwrap().unwrap();
    let stored = sessions.change(
        &SessionRef::Cookie(cookie),
        &ann,
        &SessionSettings::default(),
        &changed(),
    );
    assert_eq!(stored, Err(refused), "a cookie's session is one as well");
    open(&sessions, "bob").unwrap();
    let (_, _, id) = sessions.by_token(&second).unwrap();
    sessions.close(&SessionRef::Token(id));
    open(&sessions, "ann").unwrap();
}

#[test]
fn closed_sessions_make_room_before_anybody_is_refused() {
    let sessions = bounded(4, Duration::from_secs(3600));
    let mut last = None;
    for number in 0..100 {
        let token = open(&sessions, &format!("user-{}", number % 4)).unwrap();
        let (_, _, id) = sessions.by_token(&token).unwrap();
        sessions.close(&SessionRef::Token(id.clone()));
        assert!(sessions.by_token(&token).is_none());
        assert!(
            sessions.closed_by_token(&token).is_some(),
            "closing it again is fine"
        );
        last = Some((token, id));
    }
    assert!(sessions.open() <= 4);
    let (token, id) = last.unwrap();
    let ann = principal("ann");
    let late = sessions.change(
        &SessionRef::Token(id),
        &ann,
        &SessionSettings::default(),
        &changed(),
    );
    assert_eq!(
        late,
        Err(SessionError::Expired),
        "a closed one keeps nothing"
    );
    let age = CLOSED_FOR + Duration::from_secs(1);
    for session in sessions.table.lock().by_id.values_mut() {
        session.closed = session.closed.and_then(|at| at.checked_sub(age));
    }
    assert!(sessions.closed_by_token(&token).is_none());
}

#[test]
fn sessions_are_ended_by_whose_they_are_and_how_they_were_opened() {
    let sessions = sessions(SessionLimits::default());
    let (ann, bob) = (
        open(&sessions, "ann").unwrap(),
        open(&sessions, "bob").unwrap(),
    );
    let certified = sessions
        .open_for_handshake(&principal("ann"), Method::Certificate)
        .unwrap();
    sessions.end(|name, method| name == "ann" && method == Method::Password);
    assert!(sessions.by_token(&ann).is_none());
    assert!(sessions.closed_by_token(&ann).is_none());
    assert!(sessions.by_token(&bob).is_some());
    assert!(sessions.by_token(&certified).is_some());
    assert_eq!(sessions.open(), 2);
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
