//! Names near one that doesn't exist.

/// How many near names are said.
const NEAREST_MAX: usize = 3;

/// How alike two names must be, from 0 to 1.
const LIKENESS_MIN: f64 = 0.6;

/// Those of `names` that are near `wanted`, the nearest first, case aside.
pub(crate) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| {
            (
                strsim::normalized_damerau_levenshtein(&wanted, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(score, _)| *score >= LIKENESS_MIN)
        .collect();
    scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored
        .into_iter()
        .take(NEAREST_MAX)
        .map(|(_, name)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_name_and_nonsense_finds_none() {
        let names = ["orders", "lineitem", "order_lines", "part"];
        assert_eq!(nearest("oders", names), ["orders"]);
        assert_eq!(nearest("ORDERS", names)[0], "orders");
        assert!(nearest("zzz", names).is_empty());
    }
}
