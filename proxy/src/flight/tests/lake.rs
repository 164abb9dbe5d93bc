//! Sites with tables that have rows.

use std::path::Path;

use landfast_sites::{
    FileSpec, Holdings, Link, LinkSpec, MappingSpec, SimulatedLink, SiteId, SiteSpec, SitesSpec,
    StoreSpec, Timeouts,
};

use super::*;
use crate::demo::lake::{LakeSpec, LakeTable, write};

fn site(name: &str, root: &Path, origin: bool) -> SiteSpec {
    SiteSpec {
        id: SiteId::new(name).unwrap(),
        store: StoreSpec::File(FileSpec {
            root: root.to_path_buf(),
        }),
        mappings: vec![MappingSpec {
            prefix: "gs://lake/".into(),
            at: Some("lake".into()),
            origin,
        }],
        holdings: Holdings::AssumeAll,
        simulated: None,
        timeouts: Timeouts::default(),
    }
}

fn sites(sites: Vec<SiteSpec>, links: Vec<LinkSpec>) -> Arc<Sites> {
    let reader = SiteId::new("here").unwrap();
    Sites::new(SitesSpec {
        sites,
        links,
        reader,
    })
    .unwrap()
}

/// All of the lake is here.
pub(super) fn one_site(root: &Path) -> Arc<Sites> {
    sites(vec![site("here", root, true)], vec![])
}

/// TPC-H at a small scale in a directory.
async fn written(root: &Path) -> Vec<LakeTable> {
    let spec = LakeSpec {
        root: root.join("lake"),
        canonical: "gs://lake/".into(),
        scale_factor: 0.002,
    };
    tokio::task::spawn_blocking(move || write(&spec, &|_| {}).unwrap())
        .await
        .unwrap()
}

async fn register(service: &Service, tables: &[LakeTable]) {
    let mut client = service.login("ann").await;
    client.update("CREATE SCHEMA lake.tpch").await.unwrap();
    for table in tables {
        let sql = format!(
            "CALL landfast.register_table('lake.tpch.{}', '{}')",
            table.table, table.metadata_location
        );
        client.update(&sql).await.unwrap();
    }
}

/// A service with TPC-H in `lake.tpch`, all of it here.
pub(super) async fn with_rows(limits: Limits) -> Service {
    let lake = Arc::new(tempfile::tempdir().unwrap());
    let tables = written(lake.path()).await;
    let sites = one_site(lake.path());
    let service = service_over(limits, lake, sites, |_| {}).await;
    register(&service, &tables).await;
    service
}

/// Another proxy of the same federation, which runs plans in other numbers of partitions.
pub(super) async fn sibling(service: &Service, limits: Limits) -> Service {
    let lake = service._lake.clone();
    let sites = one_site(lake.path());
    service_over(limits, lake, sites, |spec| spec.target_partitions += 3).await
}

/// A service whose metadata is here, and all of whose data files are at a site that never answers in time.
pub(super) async fn with_data_out_of_reach(limits: Limits) -> Service {
    let lake = Arc::new(tempfile::tempdir().unwrap());
    let (here, far) = (lake.path().join("here"), lake.path().join("far"));
    let tables = written(&far).await;
    copy_but_parquet(&far, &here);
    let simulated = Some(SimulatedLink {
        latency: Duration::from_secs(3600),
        bandwidth_bytes_per_s: None,
    });
    let slow = SiteSpec {
        simulated,
        ..site("far", &far, true)
    };
    let link = LinkSpec {
        from: SiteId::new("far").unwrap(),
        to: SiteId::new("here").unwrap(),
        link: Link {
            latency: Duration::from_millis(40),
            bandwidth_bytes_per_s: 125_000_000,
            usd_per_gib: 0.1,
        },
    };
    let sites = sites(vec![site("here", &here, false), slow], vec![link]);
    let service = service_over(limits, lake, sites, |_| {}).await;
    register(&service, &tables).await;
    service
}

fn copy_but_parquet(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_but_parquet(&path, &copy);
        } else if path.extension().is_none_or(|of| of != "parquet") {
            std::fs::copy(&path, &copy).unwrap();
        }
    }
}
