//! Properties of placement, and its rules by example.

use std::time::Duration;

use landfast_sites::{Holding, Link, SiteId};
use proptest::prelude::*;

use super::*;

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn link(latency_ms: u64, bandwidth_bytes_per_s: u64, usd_per_gib: f64) -> Link {
    Link {
        latency: Duration::from_millis(latency_ms),
        bandwidth_bytes_per_s,
        usd_per_gib,
    }
}

fn candidate(name: &str, link: Link, holding: Holding) -> Candidate {
    Candidate {
        site: site(name),
        link,
        holding,
        healthy: true,
    }
}

fn route(candidates: &[Candidate], bytes_to_read: u64, policy: PlacementPolicy) -> Vec<String> {
    let origin = site("origin");
    let route = place(
        &PlacementInput {
            bytes_to_read,
            requests: 2,
            candidates,
            origin: &origin,
        },
        &policy,
    );
    route.sites().iter().map(ToString::to_string).collect()
}

fn nearest(seconds_per_usd: f64) -> PlacementPolicy {
    PlacementPolicy {
        mode: PlacementMode::Nearest,
        seconds_per_usd,
    }
}

#[test]
fn a_held_copy_nearby_comes_before_the_origin_and_a_dear_one_after_it() {
    let candidates = [
        candidate("origin", link(40, 125_000_000, 0.0), Holding::Held),
        candidate("near", link(1, 125_000_000, 0.0), Holding::Held),
        candidate("dear", link(30, 125_000_000, 100.0), Holding::Held),
    ];
    assert_eq!(
        route(&candidates, 1 << 30, nearest(1.0)),
        ["near", "origin", "dear"]
    );
    assert_eq!(
        route(&candidates, 1 << 30, nearest(0.0)),
        ["near", "dear", "origin"]
    );
}

#[test]
fn an_unknown_copy_is_tried_first_only_where_a_miss_costs_less_than_a_hit_may_save() {
    let origin = candidate("origin", link(40, 125_000_000, 0.0), Holding::Held);
    let near = candidate("near", link(1, 125_000_000, 0.0), Holding::Unknown);
    let far = candidate("far", link(30, 125_000_000, 0.0), Holding::Unknown);
    assert_eq!(
        route(&[origin.clone(), near], 1 << 20, nearest(0.0)),
        ["near", "origin"]
    );
    assert_eq!(
        route(&[origin, far], 1 << 20, nearest(0.0)),
        ["origin", "far"]
    );
}

#[test]
fn absent_copies_are_the_last_resort_and_ejected_sites_wait_behind_healthy_ones() {
    let mut near = candidate("near", link(1, 125_000_000, 0.0), Holding::Held);
    near.healthy = false;
    let candidates = [
        candidate("origin", link(40, 125_000_000, 0.0), Holding::Held),
        near,
        candidate("empty", link(1, 125_000_000, 0.0), Holding::Absent),
    ];
    assert_eq!(
        route(&candidates, 1 << 20, nearest(0.0)),
        ["origin", "near", "empty"]
    );
}

#[test]
fn mode_origin_asks_the_origin_first_and_others_only_after_it() {
    let candidates = [
        candidate("near", link(1, 125_000_000, 0.0), Holding::Held),
        candidate("origin", link(40, 125_000_000, 1.0), Holding::Held),
    ];
    let policy = PlacementPolicy {
        mode: PlacementMode::Origin,
        seconds_per_usd: 1000.0,
    };
    assert_eq!(route(&candidates, 1 << 20, policy), ["origin", "near"]);
}

#[test]
fn ties_go_to_the_smaller_name() {
    let same = link(5, 1_000_000, 0.0);
    let candidates = [
        candidate("b", same, Holding::Held),
        candidate("a", same, Holding::Held),
    ];
    assert_eq!(route(&candidates, 100, nearest(0.0)), ["a", "b", "origin"]);
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (
        0_u64..200,
        1_u64..1_000_000_000,
        0.0_f64..2.0,
        0_u8..3,
        any::<bool>(),
    );
    proptest::collection::vec(one, 1..6).prop_map(|sites| {
        let named = sites.into_iter().enumerate();
        named
            .map(
                |(at, (latency, bandwidth, usd, holding, healthy))| Candidate {
                    site: if at == 0 {
                        site("origin")
                    } else {
                        site(&format!("s{at}"))
                    },
                    link: link(latency, bandwidth, usd),
                    holding: [Holding::Held, Holding::Unknown, Holding::Absent]
                        [usize::from(holding)],
                    healthy,
                },
            )
            .collect()
    })
}

proptest! {
    #[test]
    fn every_site_is_in_the_route_once_and_the_origin_always(sites in any_candidates(), bytes in 0_u64..1 << 34) {
        let mut found = route(&sites, bytes, nearest(1.0));
        let mut all: Vec<String> = sites.iter().map(|site| site.site.to_string()).collect();
        found.sort();
        all.sort();
        prop_assert_eq!(found, all);
        let none = route(&[], bytes, nearest(1.0));
        prop_assert_eq!(none, ["origin"]);
    }

    #[test]
    fn the_first_site_is_no_worse_than_any_other_that_is_held_and_healthy(
        sites in any_candidates(), bytes in 0_u64..1 << 34, worth in 0.0_f64..1e6,
    ) {
        let first = route(&sites, bytes, nearest(worth)).remove(0);
        let of = |name: &str| sites.iter().find(|site| site.site.as_str() == name).unwrap();
        let cost = |site: &Candidate| score(&site.link, bytes, 2, worth);
        let usable = |site: &&Candidate| site.healthy && (site.holding == Holding::Held || site.site.as_str() == "origin");
        for other in sites.iter().filter(usable) {
            prop_assert!(cost(of(&first)) <= cost(other));
        }
    }

    #[test]
    fn the_order_of_the_candidates_is_of_no_account(sites in any_candidates(), bytes in 0_u64..1 << 34) {
        let mut turned = sites.clone();
        turned.reverse();
        prop_assert_eq!(route(&sites, bytes, nearest(3.0)), route(&turned, bytes, nearest(3.0)));
    }

    #[test]
    fn a_dearer_dollar_never_spends_more(
        sites in any_candidates(), bytes in 0_u64..1 << 34, worth in 0.0_f64..1e4, more in 0.0_f64..1e4,
    ) {
        let spent = |worth: f64| {
            let first = route(&sites, bytes, nearest(worth)).remove(0);
            usd(&sites.iter().find(|site| site.site.as_str() == first).unwrap().link, bytes)
        };
        prop_assert!(spent(worth + more) <= spent(worth) + 1e-9);
    }
}

#[test]
fn a_site_that_is_asked_for_comes_first_unless_it_is_known_to_lack_the_file() {
    let policy = || PlacementPolicy {
        mode: PlacementMode::Site(site("far")),
        seconds_per_usd: 1.0,
    };
    let near = candidate("near", link(1, 125_000_000, 0.0), Holding::Held);
    let of = |holding, healthy| {
        let mut far = candidate("far", link(80, 1_000_000, 9.0), holding);
        far.healthy = healthy;
        route(&[near.clone(), far], 1 << 20, policy())
    };
    assert_eq!(of(Holding::Held, true), ["far", "near", "origin"]);
    assert_eq!(of(Holding::Unknown, false), ["far", "near", "origin"]);
    assert_eq!(of(Holding::Absent, true), ["near", "far", "origin"]);
    assert_eq!(
        route(std::slice::from_ref(&near), 1, policy()),
        ["near", "origin"],
        "it has no rule for the file"
    );
}
