use proptest::prelude::*;

use super::*;
use crate::prefix::{ancestors, normalised, relative_key};
use crate::spec::{AzureCredential, AzureSpec, FileSpec, Holdings};
use crate::testing::{mapping, site_spec};

fn rules(sites: &[(&str, Vec<MappingSpec>)]) -> Result<Rules, SitesError> {
    let specs: Vec<SiteSpec> = sites
        .iter()
        .map(|(name, mappings)| site_spec(name, mappings.clone(), Holdings::AssumeAll))
        .collect();
    Rules::new(&specs)
}

fn uri(text: &str) -> CanonicalUri {
    text.into()
}

fn key(rules: &Rules, site: usize, text: &str) -> Option<String> {
    let place = rules.place(site, &uri(text)).unwrap()?;
    Some(place.path.to_string())
}

#[test]
fn the_longest_prefix_wins_within_a_site_and_among_origins() {
    let rules = rules(&[
        ("a", vec![mapping("gs://lake/", Some("all"), true)]),
        (
            "b",
            vec![
                mapping("gs://lake/ops", Some("ours"), true),
                mapping("gs://lake", Some("copies"), false),
            ],
        ),
    ])
    .unwrap();
    assert_eq!(rules.origin(&uri("gs://lake/hot/x")).unwrap(), 0);
    assert_eq!(rules.origin(&uri("gs://lake/ops/x")).unwrap(), 1);
    assert_eq!(
        rules.origin(&uri("gs://lake/opsy/x")).unwrap(),
        0,
        "a prefix ends where a segment does"
    );
    assert_eq!(key(&rules, 1, "gs://lake/ops/x").as_deref(), Some("ours/x"));
    assert_eq!(
        key(&rules, 1, "gs://lake/opsy/x").as_deref(),
        Some("copies/opsy/x")
    );
    assert_eq!(rules.mapped(&uri("gs://lake/x")), [0, 1]);
    assert_eq!(rules.mapped(&uri("gs://other/x")), [0usize; 0]);
}

#[test]
fn all_spellings_of_a_scheme_meet_the_same_rule() {
    let rules = rules(&[(
        "a",
        vec![
            mapping("s3://lake/t", Some("s3"), true),
            mapping("abfss://c@acc.dfs.core.windows.net/t/", Some("az"), true),
            mapping("file:///data", Some("fs"), true),
        ],
    )])
    .unwrap();
    for spelling in [
        "s3://lake/t/x",
        "s3a://lake/t/x",
        "s3n://lake/t/x",
        "S3://lake/t/x",
    ] {
        assert_eq!(
            key(&rules, 0, spelling).as_deref(),
            Some("s3/x"),
            "{spelling}"
        );
    }
    for spelling in [
        "abfs://c@acc.dfs.core.windows.net/t/x",
        "wasbs://c@acc.blob.core.windows.net/t/x",
        "wasb://c@ACC.blob.core.windows.net/t/x",
    ] {
        assert_eq!(
            key(&rules, 0, spelling).as_deref(),
            Some("az/x"),
            "{spelling}"
        );
    }
    for spelling in [
        "file:/data/x",
        "file:///data/x",
        "file://localhost/data/x",
        "/data/x",
        "file:/data//x",
        "//data/x",
    ] {
        assert_eq!(
            key(&rules, 0, spelling).as_deref(),
            Some("fs/x"),
            "{spelling}"
        );
    }
    assert_eq!(
        key(&rules, 0, "wasbs://c@other.blob.core.windows.net/t/x"),
        None
    );
}

#[test]
fn keys_are_taken_as_they_are_written() {
    let rules = rules(&[("a", vec![mapping("gs://lake/", Some("r"), true)])]).unwrap();
    for raw in ["d=2026%3A01/x y.parquet", "a%20b", "ü/+&=?#1x", "a/b%2Fc"] {
        assert_eq!(
            key(&rules, 0, &format!("gs://lake/{raw}")),
            Some(format!("r/{raw}"))
        );
    }
}

#[test]
fn the_same_place_is_meant_where_nothing_else_is_said() {
    let rules = rules(&[("a", vec![mapping("gs://lake/hot/", None, true)])]).unwrap();
    assert_eq!(
        key(&rules, 0, "gs://lake/hot/x").as_deref(),
        Some("lake/hot/x"),
        "a directory keeps buckets apart"
    );

    let mut azure = site_spec(
        "a",
        vec![mapping("abfss://c@acc.dfs.core.windows.net/t", None, true)],
        Holdings::AssumeAll,
    );
    azure.store = StoreSpec::Azure(AzureSpec {
        account: "acc".into(),
        endpoint: None,
        credential: AzureCredential::Anonymous,
        allow_http: false,
    });
    let rules = Rules::new(&[azure]).unwrap();
    let place = rules
        .place(0, &uri("abfs://c@acc.dfs.core.windows.net/t/x"))
        .unwrap()
        .unwrap();
    assert_eq!((place.bucket.as_str(), place.path.as_ref()), ("c", "t/x"));

    let mut files = site_spec(
        "a",
        vec![mapping("file:/data/lake/wh", None, true)],
        Holdings::AssumeAll,
    );
    files.store = StoreSpec::File(FileSpec {
        root: "/data/lake".into(),
    });
    let rules = Rules::new(&[files]).unwrap();
    assert_eq!(key(&rules, 0, "/data/lake/wh/x").as_deref(), Some("wh/x"));
}

#[test]
fn contradictions_are_refused_with_the_names_of_what_contradicts() {
    type Case = (
        Vec<(&'static str, Vec<MappingSpec>)>,
        &'static [&'static str],
    );
    let cases: Vec<Case> = vec![
        (
            vec![
                ("a", vec![mapping("gs://l/", None, true)]),
                ("b", vec![mapping("gs://l", None, true)]),
            ],
            &["two origins", "`a`", "`b`"],
        ),
        (
            vec![("a", vec![mapping("gs://l/x", None, false)])],
            &["no origin", "gs://l/x", "`a`"],
        ),
        (
            vec![(
                "a",
                vec![
                    mapping("s3://l/x", None, true),
                    mapping("s3a://l/x/", None, false),
                ],
            )],
            &["twice", "s3a://l/x/", "s3://l/x"],
        ),
        (
            vec![(
                "a",
                vec![
                    mapping("gs://l", None, true),
                    mapping("gs://l/x", Some("y"), false),
                ],
            )],
            &["gs://l/x", "another place"],
        ),
        (
            vec![("a", vec![mapping("hdfs://n/x", None, true)])],
            &["unknown scheme `hdfs`"],
        ),
        (
            vec![("a", vec![mapping("gs://l/a//b", None, true)])],
            &["empty segment"],
        ),
        (
            vec![("a", vec![mapping("gs://l/", Some("../up"), true)])],
            &["no path segments"],
        ),
        (
            vec![("a", vec![mapping("file:/elsewhere", None, true)])],
            &["does not lie under", "/nowhere"],
        ),
    ];
    for (sites, words) in cases {
        let error = rules(&sites).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "`{error}` lacks `{word}`");
        }
    }
}

#[test]
fn a_key_under_a_root_is_one_whatever_the_spelling() {
    for (root, file, key) in [
        ("gs://l/t", "gs://l/t/data/a", Some("data/a")),
        ("gs://l/t/", "gs://l/t/data/a", Some("data/a")),
        ("s3://l/t", "s3a://l/t/data/a", Some("data/a")),
        ("gs://l/t", "gs://l/tt/a", None),
        ("file:///t", "file:/t//data/a", Some("data/a")),
        ("gs://l/t", "gs://l/t", None),
        (
            "gs://l/t",
            "gs://l/t/d=2026%3A01/x y",
            Some("d=2026%3A01/x y"),
        ),
    ] {
        assert_eq!(
            relative_key(&uri(root), &uri(file)).as_deref(),
            key,
            "{root} {file}"
        );
    }
    assert_eq!(
        ancestors(&uri("s3a://l/t/d/a")),
        ["S3:l/t/d", "S3:l/t", "S3:l"]
    );
    assert_eq!(normalised(&uri("s3://l/t/")).as_deref(), Some("S3:l/t"));
}

fn path() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "b", "ab", "a%3A", "x y"]),
        0..5,
    )
}

proptest! {
    /// The model compares segment by segment; the rules compare text.
    #[test]
    fn matching_is_what_comparing_segments_says(
        prefixes in prop::collection::btree_set(path(), 1..6),
        file in path(),
        name in "[a-c]",
    ) {
        let mappings: Vec<MappingSpec> = prefixes
            .iter()
            .enumerate()
            .map(|(n, p)| mapping(&format!("gs://l/{}", p.join("/")), Some(&format!("place{n}")), true))
            .collect();
        let rules = rules(&[("a", mappings)]).unwrap();
        let mut segments = file;
        segments.push(&name);
        let wanted = format!("gs://l/{}", segments.join("/"));
        let model = prefixes
            .iter()
            .enumerate()
            .filter(|(_, p)| segments.len() > p.len() && segments[..p.len()] == p[..])
            .max_by_key(|(_, p)| p.len())
            .map(|(n, p)| format!("place{n}/{}", segments[p.len()..].join("/")));
        // A file that is itself a prefix has no name below it; the rules say so in an error.
        let exact = prefixes.contains(&segments);
        match rules.place(0, &uri(&wanted)) {
            Ok(place) if !exact => prop_assert_eq!(place.map(|p| p.path.to_string()), model),
            Ok(_) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn identity_is_the_string_as_written_and_normalising_is_stable(key in "[a-z%/ ü]{0,20}") {
        let written = format!("s3a://bucket/{key}");
        let uri = CanonicalUri::new(written.as_str());
        prop_assert_eq!(uri.as_str(), &written);
        let location = uri.location().unwrap();
        prop_assert_eq!(location.key, &key);
        let other = CanonicalUri::new(format!("s3://bucket/{key}"));
        prop_assert!(uri != other);
        prop_assert_eq!(other.location().unwrap(), location);
    }
}
