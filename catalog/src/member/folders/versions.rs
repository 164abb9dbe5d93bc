//! Which of the files in a table's `metadata/` is its newest metadata: by names, as every writer numbers them.

use landfast_sites::Listed;

/// The file that says which version is the current one.
pub(super) const HINT: &str = "version-hint.text";

/// A metadata file as it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) file: Listed,
}

/// The metadata files of a listing, the newest first: by number, then by when they were last modified.
pub(super) fn newest_first(folder: &str, listed: Vec<Listed>) -> Vec<Version> {
    let mut versions: Vec<Version> = listed
        .into_iter()
        .filter_map(|file| {
            let number = number(name(folder, &file)?)?;
            Some(Version { number, file })
        })
        .collect();
    versions.sort_by(|a, b| {
        let key = |version: &Version| (version.number, version.file.modified_ms);
        key(b)
            .cmp(&key(a))
            .then_with(|| b.file.uri.cmp(&a.file.uri))
    });
    versions
}

/// The name of a file that lies directly in the folder.
pub(super) fn name<'a>(folder: &str, file: &'a Listed) -> Option<&'a str> {
    let key = file.uri.as_str().strip_prefix(folder)?;
    let key = key.strip_prefix('/')?;
    (!key.contains('/')).then_some(key)
}

/// The number of a metadata file: `v<N>.metadata.json` or `<NNNNN>-<uuid>.metadata.json`, compressed or not.
fn number(name: &str) -> Option<u64> {
    let endings = [".gz.metadata.json", ".metadata.json.gz", ".metadata.json"];
    let stem = endings
        .iter()
        .find_map(|ending| name.strip_suffix(ending))?;
    let digits = match stem.strip_prefix('v') {
        Some(digits) => digits,
        None => stem.split_once('-').filter(|(_, rest)| !rest.is_empty())?.0,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// The version that a hint's text means: a number, or a file's name.
pub(super) fn hinted<'a>(text: &str, folder: &str, versions: &'a [Version]) -> Option<&'a Version> {
    let text = text.trim();
    let stem = |name: &str| {
        let of = format!("v{}.", number(name).unwrap_or_default());
        name.starts_with(&of)
    };
    versions.iter().find(|version| {
        let name = name(folder, &version.file).unwrap_or_default();
        match text.parse::<u64>() {
            Ok(wanted) => version.number == wanted && stem(name),
            Err(_) => name == text || name.strip_suffix(".metadata.json") == Some(text),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "gs://lake/t/metadata";

    fn listed(name: &str, modified_ms: i64) -> Listed {
        Listed {
            uri: format!("{FOLDER}/{name}").into(),
            size: 1,
            modified_ms,
        }
    }

    fn names(files: &[(&str, i64)]) -> Vec<String> {
        let listed = files.iter().map(|(name, at)| listed(name, *at)).collect();
        let versions = newest_first(FOLDER, listed);
        let name = |version: &Version| name(FOLDER, &version.file).unwrap().to_owned();
        versions.iter().map(name).collect()
    }

    #[test]
    fn versions_are_told_by_number_as_any_writer_names_them_and_ties_by_time() {
        let found = names(&[
            ("v9.metadata.json", 90),
            ("v10.gz.metadata.json", 10),
            ("v11.metadata.json.gz", 5),
            ("00012-5f8d.metadata.json", 1),
            ("00012-0a1b.gz.metadata.json", 2),
            ("v1730000000123.metadata.json", 0),
        ]);
        assert_eq!(
            found,
            [
                "v1730000000123.metadata.json",
                "00012-0a1b.gz.metadata.json",
                "00012-5f8d.metadata.json",
                "v11.metadata.json.gz",
                "v10.gz.metadata.json",
                "v9.metadata.json",
            ]
        );
    }

    #[test]
    fn what_is_no_metadata_file_of_the_table_itself_is_passed_over() {
        let found = names(&[
            ("version-hint.text", 1),
            ("snap-123-1-a.avro", 1),
            ("v.metadata.json", 1),
            ("vx1.metadata.json", 1),
            ("v1.metadata.json.tmp", 1),
            ("v+1.metadata.json", 1),
            ("00001-.metadata.json", 1),
            ("00001.metadata.json", 1),
            ("old/v99.metadata.json", 1),
            ("v99999999999999999999999.metadata.json", 1),
            (".v3.metadata.json.crc", 1),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_hint_is_a_number_or_a_name() {
        let files = [
            "v3.metadata.json",
            "v2.gz.metadata.json",
            "00002-ab.metadata.json",
        ];
        let listing = files.iter().map(|name| listed(name, 1)).collect();
        let versions = newest_first(FOLDER, listing);
        for (text, expected) in [
            ("3\n", Some("v3.metadata.json")),
            ("2", Some("v2.gz.metadata.json")),
            ("00002-ab", Some("00002-ab.metadata.json")),
            ("00002-ab.metadata.json", Some("00002-ab.metadata.json")),
            ("7", None),
            ("", None),
        ] {
            let found = hinted(text, FOLDER, &versions);
            let found = found.and_then(|version| name(FOLDER, &version.file));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
