//! What the demo prints: where bytes are, and what each placement read, paid and waited.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use super::compare::{Comparison, Measured, RUNS};
use super::house::{CANONICAL, House, SITES};

/// The sites, and how much of the lake is at each.
pub(super) fn sites(house: &House, out: &mut dyn Write) -> std::io::Result<()> {
    let place = [
        "this proxy's own site; copies of 1997 and later",
        "30 ms and 10 Gbit/s away, free; copies of 1995 and 1996",
        "40 ms and 1 Gbit/s away, 0.08 USD per GiB; the origin of all",
    ];
    writeln!(out, "\nThree sites hold files of {CANONICAL}:")?;
    for (site, place) in SITES.iter().zip(place) {
        let bytes = house.bytes_at(site)?;
        writeln!(out, "  {site:<8} {:>10} of data  {place}", size(bytes))?;
    }
    writeln!(
        out,
        "All have the metadata. Links are slowed down to these figures; everything else is real."
    )
}

/// The two placements side by side.
pub(super) fn comparison(comparisons: &[Comparison], out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "\nEvery query ran once in each placement to fill the caches of metadata and footers (data is not cached), then\n\
         {RUNS} times in each, in turns: the median time, and the last run's receipt.\n"
    )?;
    let width = comparisons
        .iter()
        .map(|c| c.query.title.len())
        .max()
        .unwrap_or_default();
    let half = SITES.len() * 10 + 9 + 11;
    writeln!(
        out,
        "{:width$} | {:^half$} | {:^half$}",
        "", "every file from its origin", "every file from its nearest copy"
    )?;
    let header = half_header();
    writeln!(out, "{:width$} |{header} |{header}", "query")?;
    let rule = "-".repeat(width + 1 + 2 * (half + 2));
    writeln!(out, "{rule}")?;
    let mut total = [Measured::default(), Measured::default()];
    for comparison in comparisons {
        let title = comparison.query.title;
        let [origin, nearest] = [&comparison.origin, &comparison.nearest];
        writeln!(out, "{title:width$} |{} |{}", cells(origin), cells(nearest))?;
        add(&mut total[0], origin);
        add(&mut total[1], nearest);
    }
    writeln!(out, "{rule}")?;
    let [origin, nearest] = &total;
    writeln!(
        out,
        "{:width$} |{} |{}",
        "total",
        cells(origin),
        cells(nearest)
    )?;
    writeln!(out, "\nThe answers are the same, row by row.")?;
    writeln!(out, "{}", saving(origin, nearest))
}

fn half_header() -> String {
    let sites: String = SITES.iter().map(|site| format!(" {site:>9}")).collect();
    format!(" {:>8}{sites} {:>10}", "time", "USD")
}

fn cells(measured: &Measured) -> String {
    let sites: String = SITES
        .iter()
        .map(|site| match measured.bytes.get(*site) {
            None | Some(0) => format!(" {:>9}", "-"),
            Some(bytes) => format!(" {:>9}", size(*bytes)),
        })
        .collect();
    format!(
        " {:>8}{sites} {:>10.6}",
        seconds(measured.time),
        measured.usd
    )
}

fn add(total: &mut Measured, one: &Measured) {
    total.time += one.time;
    total.usd += one.usd;
    total.rows += one.rows;
    for (site, bytes) in &one.bytes {
        *total.bytes.entry(site.clone()).or_default() += bytes;
    }
}

/// What the nearest copies saved, or did not.
fn saving(origin: &Measured, nearest: &Measured) -> String {
    let gcp = |bytes: &BTreeMap<String, u64>| bytes.get("gcp").copied().unwrap_or_default();
    let (before, after) = (gcp(&origin.bytes), gcp(&nearest.bytes));
    let less = |before: f64, after: f64| {
        if before > 0.0 {
            100.0 * (before - after) / before
        } else {
            0.0
        }
    };
    format!(
        "Nearest copies: {} instead of {} from gcp ({:.0} % less), {:.6} USD instead of {:.6} ({:.0} % less), {} instead of {} ({:.1} times as fast).",
        size(after),
        size(before),
        less(before as f64, after as f64),
        nearest.usd,
        origin.usd,
        less(origin.usd, nearest.usd),
        seconds(nearest.time),
        seconds(origin.time),
        origin.time.as_secs_f64() / nearest.time.as_secs_f64().max(f64::EPSILON),
    )
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

/// Bytes with three figures: `938 B`, `4.31 kB`, `12.3 MB`.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let decimals = match value {
        v if unit == "B" || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Comparison, Measured, comparison, size};
    use crate::demo::DEMO_QUERIES;

    #[test]
    fn sizes_have_three_figures() {
        let sizes: Vec<String> = [
            0, 938, 999, 1_000, 4_312, 99_960, 999_499, 999_500, 12_345_678,
        ]
        .map(size)
        .into();
        assert_eq!(
            sizes,
            [
                "0 B", "938 B", "999 B", "1.00 kB", "4.31 kB", "100 kB", "999 kB", "1.00 MB",
                "12.3 MB"
            ]
        );
    }

    #[test]
    fn the_report_has_totals_and_the_saving() {
        let measured = |ms, site: &str, usd| Measured {
            time: Duration::from_millis(ms),
            bytes: BTreeMap::from([(site.to_owned(), 1_000_000)]),
            usd,
            rows: 1,
        };
        let one = Comparison {
            query: DEMO_QUERIES[0],
            origin: measured(400, "gcp", 0.5),
            nearest: measured(100, "dc-east", 0.0),
        };
        let mut out = Vec::new();
        comparison(&[one.clone(), one], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("total"), "{text}");
        assert!(text.contains("2.00 MB"), "{text}");
        assert!(
            text.contains("0.000000 USD instead of 1.000000 (100 % less)"),
            "{text}"
        );
        assert!(text.contains("4.0 times as fast"), "{text}");
    }
}
