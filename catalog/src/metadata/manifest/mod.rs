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

/// A manifest that says itself what it holds must say what is expected.
fn check_content(container: &Container<'_>, expected: ManifestContentType) -> Result<(), Refusal> {
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
