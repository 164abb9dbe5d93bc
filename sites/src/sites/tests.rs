use super::*;
use crate::error::SitesErrorKind;
use crate::id::Scheme;
use crate::link::LinkSpec;
use crate::spec::{GcsSpec, SiteSpec, StoreSpec};
use crate::testing::{link, mapping, site, site_spec, uri};

fn gcs(name: &str, origin: bool) -> SiteSpec {
    let mut spec = site_spec(
        name,
        vec![mapping("gs://lake/", Some("lake"), origin)],
        Holdings::AssumeAll,
    );
    spec.store = StoreSpec::Gcs(GcsSpec {
        endpoint: None,
        credential: crate::GoogleCredential::Anonymous,
        user_project: None,
    });
    spec
}

fn spec() -> SitesSpec {
    SitesSpec {
        sites: vec![
            gcs("gcp", true),
            gcs("dc-west", false),
            gcs("dc-east", false),
        ],
        links: vec![link("gcp", 40), link("dc-west", 30)],
        reader: site("dc-east"),
    }
}

fn refused(change: impl FnOnce(&mut SitesSpec)) -> String {
    let mut spec = spec();
    change(&mut spec);
    let error = Sites::new(spec).unwrap_err();
    assert_eq!(error.kind(), SitesErrorKind::Invalid);
    error.to_string()
}

#[test]
fn a_site_reads_its_own_store_without_a_configured_link() {
    let sites = Sites::new(spec()).unwrap();
    assert_eq!(sites.ids(), [site("dc-east"), site("dc-west"), site("gcp")]);
    assert_eq!(*sites.link_to_reader(&site("dc-east")), Link::OWN_SITE);
    assert_eq!(
        sites.link_to_reader(&site("gcp")).latency,
        Duration::from_millis(40)
    );
    assert_eq!(sites.origin_of(&uri("gs://lake/x")).unwrap(), site("gcp"));
    assert!(sites.under_a_prefix(&uri("gs://lake/x")));
    assert!(!sites.under_a_prefix(&uri("gs://lak/x")));
    assert_eq!(sites.mapped(&uri("gs://lake/x")), sites.ids());
}

#[test]
fn a_missing_link_names_both_its_ends() {
    let text = refused(|spec| {
        spec.links.pop();
    });
    assert!(
        text.contains("from `dc-west` to `dc-east`") && text.contains("[[link]]"),
        "{text}"
    );
}

#[test]
fn links_that_make_no_sense_are_refused_by_their_ends() {
    let with = |change: fn(&mut LinkSpec)| refused(|spec| change(&mut spec.links[0]));
    let nowhere = with(|link| link.to = site("dc-north"));
    assert!(
        nowhere.contains("`dc-north`, which is no site"),
        "{nowhere}"
    );
    let empty = with(|link| link.link.bandwidth_bytes_per_s = 0);
    assert!(
        empty.contains("no bandwidth") && empty.contains("`gcp`"),
        "{empty}"
    );
    for price in [-1.0, f64::NAN] {
        let text = refused(|spec| spec.links[0].link.usd_per_gib = price);
        assert!(text.contains("price"), "{text}");
    }
    let twice = refused(|spec| spec.links.push(link("gcp", 1)));
    assert!(twice.contains("there twice"), "{twice}");
}

#[test]
fn sites_are_told_apart_by_name_and_the_reader_is_one_of_them() {
    let twins = refused(|spec| spec.sites.push(gcs("gcp", false)));
    assert!(twins.contains("two sites are named `gcp`"), "{twins}");
    let nobody = refused(|spec| spec.reader = site("dc-north"));
    assert!(
        nobody.contains("`dc-north`") && nobody.contains("dc-east, dc-west, gcp"),
        "{nobody}"
    );
    for bad in ["", "DC", "a b", "a/b", &"x".repeat(64)] {
        SiteId::new(bad).unwrap_err();
    }
}

#[test]
fn a_uri_is_taken_apart_without_changing_a_byte_of_its_key() {
    let uri = uri("abfss://c@Acc.dfs.core.windows.net/a%3A b//c/");
    let location = uri.location().unwrap();
    assert_eq!((location.scheme, location.bucket()), (Scheme::Azure, "c"));
    assert_eq!(location.authority, "c@acc.blob.core.windows.net");
    assert_eq!(location.key, "a%3A b//c/");
    for (bad, why) in [
        ("relative/path", "no scheme"),
        ("hdfs://n/a", "unknown scheme `hdfs`"),
        ("s3:/b/a", "followed by `//`"),
        ("gs:///a", "bucket's name is missing"),
        ("file://host/a", "another host"),
        ("file:a", "must be absolute"),
        ("abfs://@h/a", "container's name is missing"),
    ] {
        let error = CanonicalUri::new(bad).location().unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(bad), "{error}");
    }
}

#[test]
fn secrets_do_not_show_in_a_spec() {
    use crate::spec::{AzureCredential, S3Credential};
    let s3 = S3Credential::Static {
        access_key_id: "id".into(),
        secret: "hush".into(),
        session_token: Some("hush".into()),
    };
    let azure = [
        AzureCredential::Key("hush".into()),
        AzureCredential::Sas("hush".into()),
    ];
    assert!(!format!("{s3:?} {azure:?}").contains("hush"));
}
