//! Manifests left out by their partition summaries, and files by their partitions.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use iceberg::spec::{Datum, FieldSummary, Literal, PrimitiveLiteral, Struct, TableMetadata};
use landfast_catalog::{DataFile, ManifestFiles, ManifestListing, ManifestSummary};
use landfast_sites::{CanonicalUri, FileId};

use super::Pruner;
use crate::scan::tests::lake;

fn table() -> TableMetadata {
    let columns = vec![
        lake::column(1, "n", "long"),
        lake::column(2, "s", "string"),
        lake::column(3, "x", "double"),
    ];
    let spec: &[(i32, &str, &str)] = &[
        (1, "n", "identity"),
        (2, "s", "truncate[2]"),
        (3, "x", "identity"),
    ];
    serde_json::from_value(lake::metadata(columns, &[spec, &[]])).unwrap()
}

fn summary(
    bounds: Option<(Datum, Datum)>,
    contains_null: bool,
    contains_nan: Option<bool>,
) -> FieldSummary {
    let (lower, upper) = bounds.unzip();
    FieldSummary {
        contains_null,
        contains_nan,
        lower_bound: lower.map(|bound| bound.to_bytes().unwrap()),
        upper_bound: upper.map(|bound| bound.to_bytes().unwrap()),
    }
}

fn manifest(fields: Vec<FieldSummary>) -> ManifestSummary {
    let mut manifest =
        ManifestSummary::new(FileId::new(CanonicalUri::new("gs://lake/m.avro"), None), 0);
    manifest.partitions = Some(fields.into());
    manifest
}

fn keeps(filter: Expr, manifest: &ManifestSummary) -> bool {
    let table = table();
    Pruner::new(&table, table.current_schema(), &[filter]).keeps_manifest(manifest)
}

#[test]
fn a_manifest_is_kept_while_its_summaries_allow_a_row() {
    let numbers = summary(Some((Datum::long(10), Datum::long(20))), false, Some(false));
    let texts = summary(
        Some((Datum::string("ba"), Datum::string("ca"))),
        true,
        Some(false),
    );
    let floats = summary(
        Some((Datum::double(1.0), Datum::double(2.0))),
        false,
        Some(true),
    );
    let manifest = manifest(vec![numbers, texts, floats]);
    for (filter, kept) in [
        (col("n").eq(lit(10_i64)), true),
        (col("n").eq(lit(9_i64)), false),
        (col("n").gt(lit(20_i64)), false),
        (col("n").is_null(), false),
        (col("s").eq(lit("banana")), true),
        (col("s").gt(lit("cab")), true),
        (col("s").gt(lit("cb")), false),
        (col("s").is_null(), true),
        (col("x").gt(lit(5.0_f64)), true),
        (col("x").lt(lit(0.5_f64)), false),
        (col("n").eq(lit(9_i64)).or(col("s").eq(lit("banana"))), true),
        (
            col("n").eq(lit(9_i64)).and(col("s").eq(lit("banana"))),
            false,
        ),
        (col("missing").eq(lit(1_i64)), true),
    ] {
        assert_eq!(keeps(filter.clone(), &manifest), kept, "{filter}");
    }
}

#[test]
fn a_manifest_of_null_partitions_is_kept_for_null_alone() {
    let only_null = || summary(None, true, Some(false));
    let manifest = manifest(vec![only_null(), only_null(), only_null()]);
    assert!(keeps(col("n").is_null(), &manifest));
    assert!(!keeps(col("n").eq(lit(1_i64)), &manifest));
    assert!(!keeps(col("n").is_not_null(), &manifest));
}

#[test]
fn what_a_manifest_does_not_say_keeps_it() {
    let unsure = manifest(vec![
        summary(None, true, None),
        summary(None, true, None),
        summary(None, true, None),
    ]);
    assert!(keeps(col("n").eq(lit(1_i64)), &unsure));
    let mut silent = manifest(vec![]);
    assert!(keeps(col("n").eq(lit(1_i64)), &silent));
    silent.partitions = None;
    assert!(keeps(col("n").eq(lit(1_i64)), &silent));
    silent.spec_id = 99;
    assert!(keeps(col("n").eq(lit(1_i64)), &silent));
}

#[test]
fn only_partitions_of_every_spec_decide_a_filter() {
    let table = table();
    let decides = |filter: Expr, specs: &[i32]| {
        Pruner::decides(&table, table.current_schema(), &filter, specs)
    };
    assert!(decides(col("n").gt(lit(1_i64)), &[0]));
    assert!(
        !decides(col("n").gt(lit(1_i64)), &[0, 1]),
        "files of the unpartitioned spec are not decided"
    );
    assert!(
        !decides(col("s").eq(lit("a")), &[0]),
        "a truncated value is not the value"
    );
    assert!(
        !decides(col("x").gt(lit(1.0_f64)), &[0]),
        "zeros and NaN are not told apart exactly"
    );
    assert!(!decides(
        col("n").gt(lit(1_i64)).and(col("s").eq(lit("a"))),
        &[0]
    ));
    assert!(!decides((col("n") % lit(2_i64)).eq(lit(0_i64)), &[0]));
}

#[test]
fn manifests_can_be_chosen_by_other_filters_than_files() {
    let manifest = manifest(vec![
        summary(Some((Datum::long(10), Datum::long(20))), false, Some(false)),
        summary(None, true, Some(false)),
        summary(None, true, Some(false)),
    ]);
    let table = table();
    let schema = table.current_schema();
    let (in_it, not_in_it) = (col("n").eq(lit(15_i64)), col("n").eq(lit(30_i64)));
    for (manifests, files, kept) in [
        (Some(&in_it), &not_in_it, true),
        (Some(&not_in_it), &in_it, false),
        (None, &in_it, true),
        (None, &not_in_it, false),
    ] {
        let pruner = Pruner::new(&table, schema, std::slice::from_ref(files));
        let pruner = pruner.of_manifests(manifests.map(std::slice::from_ref), schema);
        assert_eq!(
            pruner.keeps_manifest(&manifest),
            kept,
            "{manifests:?}, {files}"
        );
    }
}

#[test]
fn a_delete_file_of_no_partition_is_of_more_than_a_partition() {
    let table = table();
    let of_spec = |spec_id: i32| {
        let id = FileId::new(CanonicalUri::new("gs://lake/m.avro"), None);
        ManifestSummary::new(id, spec_id)
    };
    let listing = |manifests: &[i32], deletes: &[i32]| ManifestListing {
        manifests: manifests.iter().copied().map(of_spec).collect(),
        deletes: deletes.iter().copied().map(of_spec).collect(),
        ..ManifestListing::default()
    };
    let takes = |filter: Expr, listing: &ManifestListing| {
        let table = (&table, &**table.current_schema());
        Pruner::takes_whole_partitions(table, &[filter], listing)
    };
    let by_n = || col("n").gt(lit(15_i64));
    assert!(takes(by_n(), &listing(&[0], &[])));
    assert!(takes(by_n(), &listing(&[0, 0], &[0])));
    // The second spec has no fields.
    assert!(!takes(by_n(), &listing(&[0], &[0, 1])));
    assert!(!takes(by_n(), &listing(&[0, 1], &[])));
    assert!(!takes(col("s").eq(lit("ba")), &listing(&[0], &[])));
}

/// A table whose column `at` is partitioned so.
fn partitioned(of: &str, transform: &str) -> TableMetadata {
    let columns = vec![lake::column(1, "at", of)];
    let metadata = lake::metadata(columns, &[&[(1, "part", transform)]]);
    serde_json::from_value(lake::v3(metadata)).unwrap()
}

/// A manifest of one file that has this partition.
fn one_file(values: Vec<PrimitiveLiteral>) -> ManifestFiles {
    let partition = values
        .into_iter()
        .map(|value| Some(Literal::Primitive(value)));
    let id = FileId::new(CanonicalUri::new("gs://lake/f.parquet"), Some(9));
    let file = DataFile::new(id, 1, 0, Struct::from_iter(partition));
    let manifest = FileId::new(CanonicalUri::new("gs://lake/m.avro"), None);
    ManifestFiles::new(manifest, 0, vec![file])
}

fn keeps_file(table: &TableMetadata, filter: Expr, part: PrimitiveLiteral) -> bool {
    let pruner = Pruner::new(table, table.current_schema(), &[filter]);
    pruner.kept(&one_file(vec![part])).unwrap().count(1) == 1
}

/// In microseconds since 1970.
fn micros(at: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(at), None))
}

/// In nanoseconds since 1970.
fn nanos(at: i64) -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(at), None))
}

#[test]
fn the_last_second_of_a_day_before_1970_is_of_that_day() {
    // 1965-06-30 is 1,646 days before 1970, and 23:59:59.25 is 0.75 s before its end.
    let day = PrimitiveLiteral::Int(-1_646);
    let at = -1_645 * 86_400_000_000 - 750_000;
    let table = partitioned("timestamp", "day");
    for at in [at, at - 249_999, at + 749_998] {
        assert!(keeps_file(&table, col("at").eq(micros(at)), day.clone()));
        assert!(keeps_file(&table, col("at").gt_eq(micros(at)), day.clone()));
        let either = vec![micros(at), micros(0)];
        let either = col("at").in_list(either, false);
        assert!(keeps_file(&table, either, day.clone()));
    }
    let midnight = at + 750_000;
    assert!(!keeps_file(
        &table,
        col("at").eq(micros(midnight)),
        day.clone()
    ));
    let table = partitioned("timestamp_ns", "day");
    assert!(keeps_file(
        &table,
        col("at").eq(nanos(at * 1_000)),
        day.clone()
    ));
    let last = midnight * 1_000 - 1;
    assert!(keeps_file(&table, col("at").eq(nanos(last)), day));
    let table = partitioned("timestamp_ns", "hour");
    let hour = PrimitiveLiteral::Int(-1_645 * 24 - 1);
    assert!(keeps_file(&table, col("at").eq(nanos(last)), hour));
}

#[test]
fn buckets_of_nanoseconds_are_those_of_the_microsecond_before_them() {
    let table = partitioned("timestamp_ns", "bucket[16]");
    // Murmur3 of -1 and 0 as eight bytes, by Iceberg's appendix B.
    let (before, epoch) = (PrimitiveLiteral::Int(8), PrimitiveLiteral::Int(12));
    for at in [-1, -999, -1_000] {
        assert!(keeps_file(&table, col("at").eq(nanos(at)), before.clone()));
        assert!(!keeps_file(&table, col("at").eq(nanos(at)), epoch.clone()));
    }
    assert!(keeps_file(&table, col("at").eq(nanos(999)), epoch));
}

#[test]
fn partition_values_are_read_as_the_type_that_their_column_has_now() {
    let days = PrimitiveLiteral::Int(2);
    let table = partitioned("timestamp", "identity");
    let two_days = 2 * 86_400_000_000;
    assert!(keeps_file(
        &table,
        col("at").eq(micros(two_days)),
        days.clone()
    ));
    assert!(!keeps_file(&table, col("at").eq(micros(2)), days));
    let table = partitioned("decimal(9, 2)", "identity");
    let money = |cents| lit(ScalarValue::Decimal128(Some(cents), 9, 2));
    // Bytes for which the manifest doesn't say that they are a decimal.
    let bytes = PrimitiveLiteral::Binary(vec![0xff, 0x38]);
    assert!(keeps_file(&table, col("at").eq(money(-200)), bytes.clone()));
    assert!(!keeps_file(&table, col("at").eq(money(200)), bytes));
}

#[test]
fn a_partition_that_cannot_be_judged_decides_nothing() {
    let table = table();
    let of = |filter: Expr| Pruner::new(&table, table.current_schema(), &[filter]);
    let text = PrimitiveLiteral::String("a".into());
    let number = PrimitiveLiteral::Long(1);
    let filter = || col("n").eq(lit(7_i64));
    for odd in [
        vec![number],
        vec![text.clone(), text, PrimitiveLiteral::Boolean(true)],
    ] {
        let odd = one_file(odd);
        let kept = of(filter()).kept(&odd).unwrap();
        assert_eq!(kept.count(1), 1, "rows are still looked at");
        assert!(of(filter()).deciding(&[0]).kept(&odd).is_err());
        let not_decided = of(filter()).deciding(&[0, 1]).kept(&odd).unwrap();
        assert_eq!(not_decided.count(1), 1);
    }
}
