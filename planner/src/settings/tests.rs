use proptest::prelude::*;

use super::*;

#[test]
fn every_setting_survives_the_way_through_text() {
    let mut settings = SessionSettings::default();
    for (key, value) in [
        ("landfast.catalog", "lake"),
        ("schema", "a.b"),
        ("as_of", "Timestamp '2026-01-31'"),
        ("LANDFAST.FRESHNESS", "bounded 1m 30s"),
        ("landfast.stale_reads", "allow"),
        ("landfast.placement", "Origin"),
        ("max_egress_usd", "0.25"),
        ("timezone", "Europe/Berlin"),
        ("landfast.wire_types", "Zoneless"),
        ("use_sort_orders", "Off"),
        ("compression", "zstd"),
        ("datafusion.execution.target_partitions", "7"),
        ("datafusion.execution.batch_size", "1024"),
        ("datafusion.optimizer.prefer_hash_join", "false"),
    ] {
        settings.set(key, value).unwrap();
    }
    assert_eq!(settings.show("freshness").unwrap(), "bounded 90s");
    let pairs = settings.to_pairs();
    let again =
        SessionSettings::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))).unwrap();
    assert_eq!(again, settings);
    let plain = SessionSettings::default().to_pairs();
    let again =
        SessionSettings::from_pairs(plain.iter().map(|(k, v)| (k.as_str(), v.as_str()))).unwrap();
    assert_eq!(again, SessionSettings::default());
}

#[test]
fn an_unknown_key_lists_the_nearest_ones() {
    let error = SessionSettings::default()
        .set("landfast.freshnes", "strong")
        .unwrap_err();
    assert!(error.to_string().contains("landfast.freshness"), "{error}");
    let error = SessionSettings::default()
        .set("datafusion.catalog.location", "/")
        .unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
}

#[test]
fn a_value_that_does_not_fit_changes_nothing() {
    let mut settings = SessionSettings::default();
    for (key, value) in [
        ("landfast.freshness", "bounded"),
        ("landfast.freshness", "bounded 60"),
        ("landfast.freshness", "bounded 25h"),
        ("landfast.freshness", "fresh"),
        ("landfast.placement", "no site!"),
        ("landfast.max_egress_usd", "-1"),
        ("landfast.max_egress_usd", "1 USD"),
        ("landfast.max_egress_usd", "inf"),
        ("landfast.max_egress_usd", "NaN"),
        ("landfast.stale_reads", "yes"),
        ("landfast.time_zone", "Mars/Olympus"),
        ("landfast.wire_types", "arrow"),
        ("landfast.use_sort_orders", "never"),
        ("landfast.compression", "gzip"),
        ("landfast.catalog", "no spaces allowed"),
        ("datafusion.execution.batch_size", "0"),
        ("datafusion.execution.target_partitions", "100000"),
    ] {
        assert!(settings.set(key, value).is_err(), "{key} = {value}");
    }
    assert_eq!(settings, SessionSettings::default());
}

#[test]
fn a_reset_gives_back_the_default() {
    let mut defaults = SessionSettings::default();
    defaults.set("landfast.catalog", "lake").unwrap();
    let mut settings = defaults.clone();
    settings.set("landfast.catalog", "other").unwrap();
    settings.reset("catalog", &defaults).unwrap();
    assert_eq!(settings, defaults);
}

#[test]
fn a_typed_option_sets_what_its_text_would_and_says_what_was_wrong_with_which_part() {
    let defaults = SessionSettings::default();
    let mut settings = defaults.clone();
    for (key, value, shown) in [
        ("landfast.max_egress_usd", SettingValue::Float(0.5), "0.5"),
        ("landfast.max_egress_usd", SettingValue::Int(2), "2"),
        ("landfast.max_egress_usd", SettingValue::Unset, "unlimited"),
        (
            "datafusion.execution.batch_size",
            SettingValue::Int(100),
            "100",
        ),
        (
            "datafusion.optimizer.prefer_hash_join",
            SettingValue::Bool(false),
            "false",
        ),
        ("landfast.use_sort_orders", SettingValue::Bool(false), "off"),
        ("catalog", SettingValue::Text("lake".into()), "lake"),
        ("placement", SettingValue::Text("DC-East".into()), "dc-east"),
    ] {
        settings.set_option(key, &value, &defaults).unwrap();
        assert_eq!(settings.show(key).unwrap(), shown, "{key}");
    }
    let before = settings.clone();
    let of = |key, value| {
        settings
            .clone()
            .set_option(key, &value, &defaults)
            .unwrap_err()
    };
    let texts = SettingValue::Texts(vec!["lake".into()]);
    assert!(matches!(
        of("landfast.colour", SettingValue::Int(1)),
        KeyError::Name(_)
    ));
    assert!(matches!(
        of("landfast.freshness", SettingValue::Bool(true)),
        KeyError::Value(_)
    ));
    assert!(matches!(of("catalog", texts), KeyError::Value(_)));
    assert_eq!(settings, before);
}

#[test]
fn the_listing_of_options_sets_the_same_again() {
    let defaults = SessionSettings::default();
    let mut settings = defaults.clone();
    for (key, value) in [
        ("catalog", "lake"),
        ("max_egress_usd", "0.1"),
        ("placement", "dc-east"),
    ] {
        settings.set(key, value).unwrap();
    }
    let options = settings.to_options();
    let of = |name: &str| {
        options
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(of("catalog"), Some(SettingValue::Text("lake".into())));
    assert_eq!(of("schema"), None, "what has no value is left out");
    assert_eq!(
        of("landfast.max_egress_usd"),
        Some(SettingValue::Float(0.1))
    );
    let mut again = defaults.clone();
    for (key, value) in &options {
        again.set_option(key, value, &defaults).unwrap();
    }
    assert_eq!(again, settings);
}

proptest! {
    #[test]
    fn any_bound_up_to_a_day_survives_the_way_through_text(ms in 0u64..=86_400_000) {
        let freshness = Freshness::Bounded(Duration::from_millis(ms));
        prop_assert_eq!(parse_freshness(&freshness_text(freshness)).unwrap(), freshness);
    }

    #[test]
    fn no_text_makes_the_settings_panic(key in ".{0,40}", value in ".{0,40}") {
        let _ = SessionSettings::default().set(&key, &value);
        let _ = parse_freshness(&value);
    }
}

#[test]
fn a_version_for_all_tables_is_a_time_a_ref_or_none() {
    let mut settings = SessionSettings::default();
    for (written, shown) in [
        (
            "timestamp 2026-01-31 12:00",
            "timestamp 2026-01-31 12:00:00",
        ),
        (
            "TIMESTAMP '2026-01-31 12:00:00+01:00'",
            "timestamp 2026-01-31 12:00:00+01:00",
        ),
        ("ref:audit", "ref audit"),
        ("REF 2026 q1", "ref 2026 q1"),
        ("current", "current"),
        ("ref audit", "ref audit"),
        ("", "current"),
    ] {
        settings.set("landfast.as_of", written).unwrap();
        assert_eq!(settings.show("landfast.as_of").unwrap(), shown, "{written}");
    }
    for wrong in [
        "audit",
        "ref",
        "ref ",
        "timestamp",
        "timestamp soon",
        "version 3",
        "2026-01-31",
        "currant",
        "'x'",
    ] {
        let error = settings.set("landfast.as_of", wrong).unwrap_err();
        assert!(
            error.to_string().contains("write") || error.to_string().contains("landfast.as_of"),
            "{error}"
        );
    }
    assert_eq!(settings.show("as_of").unwrap(), "current");
}
