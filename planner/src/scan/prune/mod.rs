//! Which manifests and files a query can leave out: decided on plain values, without an Arrow array in sight.
//!
//! A filter becomes a tree of questions about single columns ([`compile`]). A question is asked of what is known of the
//! column's values ([`question::Known`]): a file's bounds, a partition value, a manifest's partition summary. Every
//! case that isn't certain keeps the file.

mod columnar;
mod compile;
mod mask;
mod paths;
mod project;
mod question;
mod tuple;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::logical_expr::Expr;
use iceberg::spec::{
    Datum, Literal, PartitionSpec, PrimitiveType, Schema, Struct, TableMetadata, Transform, Type,
};
use landfast_catalog::{ManifestFiles, ManifestListing, ManifestSummary};

use columnar::Columns;
use compile::Test;
pub(super) use mask::Mask;
pub(super) use paths::files_named;
use project::project;
use question::{Known, Question};
use tuple::typed;

/// The filters of one scan, ready to be asked of manifests and files.
#[derive(Debug)]
pub(super) struct Pruner {
    tests: Vec<Test>,
    /// What manifests are asked, if not the same as files.
    of_manifests: Option<Vec<Test>>,
    specs: BTreeMap<i32, Vec<SpecField>>,
    /// The types of the top-level columns.
    types: BTreeMap<i32, PrimitiveType>,
    /// The only files that are wanted, where they are named.
    files: Option<BTreeSet<String>>,
    /// The columns by whose partition values alone a filter is decided.
    deciding: BTreeSet<i32>,
}

/// One field of a partition spec, as pruning needs it.
#[derive(Debug, Clone)]
struct SpecField {
    source_id: i32,
    transform: Transform,
    /// Of the source column today; `None` when it was dropped or is not primitive.
    source: Option<PrimitiveType>,
    /// Of the partition value.
    result: Option<PrimitiveType>,
}

impl Pruner {
    /// Compiles `filters`, whose columns are those of `schema`.
    pub(super) fn new(metadata: &TableMetadata, schema: &Schema, filters: &[Expr]) -> Self {
        let specs = metadata
            .partition_specs_iter()
            .map(|spec| (spec.spec_id(), spec_fields(spec, schema)))
            .collect();
        let fields = schema.as_struct().fields().iter();
        let types = fields.filter_map(|field| {
            let of = field.field_type.as_primitive_type()?;
            Some((field.id, of.clone()))
        });
        Self {
            tests: tests(filters, schema),
            of_manifests: None,
            specs,
            types: types.collect(),
            files: None,
            deciding: BTreeSet::new(),
        }
    }

    /// The same, where nobody looks at rows again for the filters that partitions of these specs decide.
    pub(super) fn deciding(mut self, spec_ids: &[i32]) -> Self {
        let specs: Option<Vec<&[SpecField]>> = spec_ids
            .iter()
            .map(|id| self.specs.get(id).map(Vec::as_slice))
            .collect();
        let decided = self
            .tests
            .iter()
            .filter(|test| is_decided(test, specs.as_deref().unwrap_or_default()));
        let mut deciding = BTreeSet::new();
        decided.for_each(|test| test.columns(&mut deciding));
        self.deciding = deciding;
        self
    }

    /// The same, of these files alone where they are named.
    pub(super) fn of_files(self, files: Option<BTreeSet<String>>) -> Self {
        Self { files, ..self }
    }

    /// The same, with manifests chosen by these filters alone where there are some.
    pub(super) fn of_manifests(self, filters: Option<&[Expr]>, schema: &Schema) -> Self {
        Self {
            of_manifests: filters.map(|filters| tests(filters, schema)),
            ..self
        }
    }

    /// Whether a manifest may have files with rows that pass.
    pub(super) fn keeps_manifest(&self, manifest: &ManifestSummary) -> bool {
        let (Some(fields), Some(summaries)) =
            (self.specs.get(&manifest.spec_id), &manifest.partitions)
        else {
            return true;
        };
        if fields.len() != summaries.len() {
            return true;
        }
        let may = |id: i32, question: &Question| {
            fields
                .iter()
                .zip(summaries.iter())
                .filter(|(field, _)| field.source_id == id)
                .all(|(field, summary)| {
                    let Some(projected) = field.project(question) else {
                        return true;
                    };
                    let Some(result) = &field.result else {
                        return true;
                    };
                    let bound = |bytes: &Option<_>| {
                        decode(bytes.as_ref().map(AsRef::<[u8]>::as_ref), result)
                    };
                    let (Ok(lower), Ok(upper)) =
                        (bound(&summary.lower_bound), bound(&summary.upper_bound))
                    else {
                        return true;
                    };
                    let only_null = summary.contains_null
                        && lower.is_none()
                        && upper.is_none()
                        && summary.contains_nan == Some(false);
                    let may_nan = is_float(result) && summary.contains_nan != Some(false);
                    let lower = lower.as_ref().map(Datum::literal);
                    let upper = upper.as_ref().map(Datum::literal);
                    projected.may_hold(&Known {
                        lower,
                        upper,
                        may_null: summary.contains_null,
                        only_null,
                        may_nan,
                    })
                })
        };
        let tests = self.of_manifests.as_ref().unwrap_or(&self.tests);
        tests.iter().all(|test| test.may_hold(&may))
    }

    /// The files of a manifest that may have rows that pass.
    ///
    /// # Errors
    /// Why the partition of a file doesn't decide a filter that nobody else decides.
    pub(super) fn kept(&self, files: &ManifestFiles) -> Result<Mask, String> {
        let spec = self.specs.get(&files.spec_id);
        self.check(files, spec.map(Vec::as_slice).unwrap_or_default())?;
        let columns = Columns {
            files,
            spec: spec.map(Vec::as_slice).unwrap_or_default(),
            types: &self.types,
        };
        let mut kept = Mask::All;
        for test in &self.tests {
            if kept == Mask::None {
                break;
            }
            kept = kept.and(columns.kept(test));
        }
        Ok(match &self.files {
            Some(wanted) if kept != Mask::None => kept.and(named(files, wanted)),
            _ => kept,
        })
    }

    /// Whether every partition has values that the filters which it decides can be asked of.
    fn check(&self, files: &ManifestFiles, fields: &[SpecField]) -> Result<(), String> {
        if self.deciding.is_empty() {
            return Ok(());
        }
        for partition in files.partitions() {
            let values = partition.fields();
            let wrong = |what: String| {
                let (manifest, spec) = (&files.id.uri, files.spec_id);
                Err(format!(
                    "in its manifest {manifest} a partition of the spec {spec} {what}"
                ))
            };
            if values.len() != fields.len() {
                let (found, due) = (values.len(), fields.len());
                return wrong(format!("has {found} values, and the spec has {due} fields"));
            }
            let deciding = fields.iter().zip(values).filter(|(field, _)| {
                field.transform == Transform::Identity && self.deciding.contains(&field.source_id)
            });
            for (field, value) in deciding {
                if let (Some(value), Some(of)) = (value, &field.result)
                    && !matches!(value, Literal::Primitive(value) if typed(value, of).is_some())
                {
                    let id = field.source_id;
                    return wrong(format!(
                        "has a value that is no {of}, for the field id {id}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether a filter is decided for every row by the file's partition alone, in each of the given specs: then no
    /// row needs to be looked at.
    pub(super) fn decides(
        metadata: &TableMetadata,
        schema: &Schema,
        filter: &Expr,
        spec_ids: &[i32],
    ) -> bool {
        let test = compile::compile(filter, schema);
        let specs: Option<Vec<_>> = spec_ids
            .iter()
            .map(|id| Some(spec_fields(metadata.partition_spec_by_id(*id)?, schema)))
            .collect();
        let specs = specs.unwrap_or_default();
        let specs: Vec<&[SpecField]> = specs.iter().map(Vec::as_slice).collect();
        is_decided(&test, &specs)
    }

    /// Whether filters take or leave whole partitions of a snapshot: of its data files, and of its delete files.
    pub(super) fn takes_whole_partitions(
        (metadata, schema): (&TableMetadata, &Schema),
        filters: &[Expr],
        listing: &ManifestListing,
    ) -> bool {
        let manifests = listing.manifests.iter().chain(&listing.deletes);
        let specs: BTreeSet<i32> = manifests.map(|manifest| manifest.spec_id).collect();
        let specs: Vec<i32> = specs.into_iter().collect();
        let mut filters = filters.iter();
        filters.all(|filter| Self::decides(metadata, schema, filter, &specs))
    }
}

/// Whether a test is decided for every row by the file's partition alone, in each of some specs; in none of none.
fn is_decided(test: &Test, specs: &[&[SpecField]]) -> bool {
    let identity = |id: i32| {
        specs.iter().all(|fields| {
            let field = fields
                .iter()
                .find(|field| field.source_id == id && field.transform == Transform::Identity);
            field
                .and_then(|field| field.source.as_ref())
                .is_some_and(decides_exactly)
        })
    };
    !specs.is_empty() && test.is_decided_by(&identity)
}

impl SpecField {
    /// The question about the partition value that is implied by the question about the column.
    fn project(&self, question: &Question) -> Option<Question> {
        project(question, self.transform, self.source.as_ref()?)
    }
}

fn tests(filters: &[Expr], schema: &Schema) -> Vec<Test> {
    let tests = filters.iter();
    tests
        .map(|filter| compile::compile(filter, schema))
        .collect()
}

/// The files of a manifest that have one of these paths.
fn named(files: &ManifestFiles, wanted: &BTreeSet<String>) -> Mask {
    let mut found = vec![false; files.len()];
    files.each_path(|at, path| {
        let path = std::str::from_utf8(path).unwrap_or_default();
        if let Some(found) = found.get_mut(at) {
            *found = wanted.contains(path);
        }
    });
    Mask::new(found.len(), |at| found[at])
}

fn spec_fields(spec: &Arc<PartitionSpec>, schema: &Schema) -> Vec<SpecField> {
    let fields = spec.fields().iter();
    fields
        .map(|field| {
            let source = schema
                .field_by_id(field.source_id)
                .map(|source| source.field_type.as_ref());
            let result = source.and_then(|source| field.transform.result_type(source).ok());
            SpecField {
                source_id: field.source_id,
                transform: field.transform,
                source: source.and_then(Type::as_primitive_type).cloned(),
                result: result.as_ref().and_then(Type::as_primitive_type).cloned(),
            }
        })
        .collect()
}

fn partition_may(fields: &[SpecField], partition: &Struct, id: i32, question: &Question) -> bool {
    if partition.fields().len() != fields.len() {
        return true;
    }
    let about = fields
        .iter()
        .zip(partition.fields())
        .filter(|(field, _)| field.source_id == id);
    about.into_iter().all(|(field, value)| {
        let Some(projected) = field.project(question) else {
            return true;
        };
        match value {
            None => projected.may_hold(&Known::null()),
            Some(Literal::Primitive(value)) => field
                .result
                .as_ref()
                .and_then(|of| typed(value, of))
                .is_none_or(|value| projected.may_hold(&Known::exactly(&value))),
            Some(_) => true,
        }
    })
}

fn decode(bytes: Option<&[u8]>, of: &PrimitiveType) -> Result<Option<Datum>, ()> {
    match bytes {
        None => Ok(None),
        Some(bytes) => Datum::try_from_bytes(bytes, of.clone())
            .map(Some)
            .map_err(|_| ()),
    }
}

fn is_float(of: &PrimitiveType) -> bool {
    matches!(of, PrimitiveType::Float | PrimitiveType::Double)
}

/// Whether comparisons of an identity partition's value are the rows' own: not where NaN and signed zeros are, nor
/// where values aren't compared at all.
fn decides_exactly(of: &PrimitiveType) -> bool {
    !is_float(of) && of != &PrimitiveType::Uuid
}
