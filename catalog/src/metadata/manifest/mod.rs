//! Manifests: parsed straight from Avro into what each consumer keeps.

mod data;
mod deletes;
mod entries;
mod inherit;
mod partition;
mod raw;

#[cfg(test)]
mod tests;

use iceberg::spec::ManifestContentType;

use crate::avro::{Container, Malformed};
use crate::files::ManifestSummary;
use crate::metadata::document::Refusal;

pub(crate) use data::parse;
pub(crate) use deletes::parse as parse_deletes;
pub(crate) use entries::parse as parse_entries;

use raw::RawEntry;

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(format!("it does not parse: {malformed}"))
    }
}

/// A manifest that says itself what it holds, and in which partitions, must say what is expected.
fn check_header(
    container: &Container<'_>,
    summary: &ManifestSummary,
    expected: ManifestContentType,
) -> Result<(), Refusal> {
    let spec_id = container.text("partition-spec-id");
    let spec_id = spec_id.and_then(|text| text.parse::<i32>().ok());
    if let Some(found) = spec_id.filter(|found| *found != summary.spec_id) {
        return Err(Refusal::Damaged(format!(
            "its partition spec is {found}, and the manifest list says {}",
            summary.spec_id
        )));
    }
    let found = match container.text("content") {
        Some("deletes") => ManifestContentType::Deletes,
        Some("data") => ManifestContentType::Data,
        _ => return Ok(()),
    };
    if found == expected {
        return Ok(());
    }
    Err(Refusal::Damaged(format!(
        "its content is {found}, and the manifest list says {expected}"
    )))
}

fn refuse_encrypted(raw: &RawEntry<'_>) -> Result<(), Refusal> {
    match raw.key_metadata {
        None | Some([]) => Ok(()),
        Some(_) => Err(Refusal::Unsupported("its files are encrypted".into())),
    }
}
