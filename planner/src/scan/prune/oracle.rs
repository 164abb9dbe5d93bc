//! Pruning file by file, plainly: what pruning over columns must agree with.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use iceberg::spec::{Datum, Literal, PrimitiveLiteral, PrimitiveType, Struct, TableMetadata};
use landfast_catalog::{ColumnMetrics, DataFile, ManifestFiles, WantedColumn};
use landfast_sites::{CanonicalUri, FileId};
use proptest::prelude::*;

use super::question::{Known, Question};
use super::{Pruner, partition_may};
use crate::scan::tests::lake;

impl Pruner {
    /// Whether a file may have rows that pass.
    fn keeps(&self, file: &DataFile) -> bool {
        let fields = self.specs.get(&file.spec_id);
        let fields = fields.map(Vec::as_slice).unwrap_or_default();
        let may = |id: i32, question: &Question| {
            partition_may(fields, &file.partition, id, question) && bounds_may(file, id, question)
        };
        self.tests.iter().all(|test| test.may_hold(&may))
    }
}

fn bounds_may(file: &DataFile, id: i32, question: &Question) -> bool {
    let Some(metrics) = file.column(id) else {
        return true;
    };
    question.may_hold(&Known {
        lower: metrics.lower.as_ref(),
        upper: metrics.upper.as_ref(),
        may_null: metrics.null_count != Some(0),
        only_null: file.rows > 0 && metrics.null_count == Some(file.rows),
        // Asked of every type; it matters only to floating-point questions.
        may_nan: metrics.nan_count != Some(0),
    })
}

fn table() -> TableMetadata {
    let columns = vec![
        lake::column(1, "int", "int"),
        lake::column(2, "long", "long"),
        lake::column(3, "double", "double"),
        lake::column(4, "text", "string"),
        lake::column(5, "money", "decimal(12, 2)"),
        lake::column(6, "flag", "boolean"),
        lake::column(7, "bytes", "binary"),
        lake::column(8, "day", "date"),
    ];
    let spec: &[(i32, &str, &str)] = &[(1, "int", "identity"), (4, "text", "truncate[1]")];
    serde_json::from_value(lake::metadata(columns, &[spec])).unwrap()
}

fn wanted() -> Vec<WantedColumn> {
    let table = table();
    let fields = table.current_schema().as_struct().fields();
    let types = fields.iter().map(|field| {
        let of = field.field_type.as_primitive_type().unwrap();
        (field.id, of.clone())
    });
    types.collect()
}

/// A bound of a column: few different ones, so that they tie; some written before a promotion.
fn bound(id: i32) -> BoxedStrategy<PrimitiveLiteral> {
    let number = -3_i64..4;
    let literal = |datum: Datum| datum.literal().clone();
    match id {
        1 | 8 => (-3_i32..4).prop_map(PrimitiveLiteral::Int).boxed(),
        2 => prop_oneof![
            8 => number.prop_map(PrimitiveLiteral::Long),
            1 => (-3_i32..4).prop_map(PrimitiveLiteral::Int),
            1 => Just(PrimitiveLiteral::Long(i64::MAX)),
        ]
        .boxed(),
        3 => prop_oneof![
            8 => number.prop_map(move |n| literal(Datum::double(n as f64 / 2.0))),
            1 => Just(literal(Datum::double(-0.0))),
            1 => Just(literal(Datum::double(f64::NAN))),
            1 => (-3_i32..4).prop_map(move |n| literal(Datum::float(n as f32))),
        ]
        .boxed(),
        4 => "[a-c]{0,2}".prop_map(PrimitiveLiteral::String).boxed(),
        5 => prop_oneof![
            5 => (-300_i128..300).prop_map(PrimitiveLiteral::Int128),
            1 => Just(PrimitiveLiteral::Int128(i128::from(i64::MAX) * 4)),
        ]
        .boxed(),
        6 => any::<bool>().prop_map(PrimitiveLiteral::Boolean).boxed(),
        _ => proptest::collection::vec(0_u8..3, 0..3)
            .prop_map(PrimitiveLiteral::Binary)
            .boxed(),
    }
}

fn metrics(id: i32, rows: u64) -> impl Strategy<Value = ColumnMetrics> {
    let of = proptest::option::weighted(0.85, bound(id));
    let count = proptest::option::weighted(0.85, 0..=rows);
    let nan = proptest::option::weighted(0.85, prop_oneof![3 => Just(0), 1 => 0..=rows]);
    (of.clone(), of, count, nan).prop_map(move |(lower, upper, null_count, nan_count)| {
        ColumnMetrics {
            lower,
            upper,
            null_count,
            nan_count,
            value_count: Some(rows),
            ..ColumnMetrics::new(id)
        }
    })
}

fn file() -> impl Strategy<Value = DataFile> {
    (0_u64..4).prop_flat_map(|rows| {
        let columns: Vec<_> = (1..=8)
            .map(|id| proptest::option::weighted(0.8, metrics(id, rows)))
            .collect();
        let partition = (
            proptest::option::of(-3_i32..4),
            proptest::option::of("[a-c]"),
        );
        (columns, partition).prop_map(move |(columns, (int, text))| {
            let partition = Struct::from_iter([
                int.map(|n| Literal::Primitive(PrimitiveLiteral::Int(n))),
                text.map(|text| Literal::Primitive(PrimitiveLiteral::String(text))),
            ]);
            let id = FileId::new(CanonicalUri::new("gs://lake/f.parquet"), Some(9));
            let mut file = DataFile::new(id, rows, 0, partition);
            file.columns = columns.into_iter().flatten().collect();
            file
        })
    })
}

fn value(id: i32) -> BoxedStrategy<Expr> {
    match id {
        1 => (-4_i32..5).prop_map(lit).boxed(),
        2 => prop_oneof![6 => -4_i64..5, 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
            .prop_map(lit)
            .boxed(),
        3 => (-4_i32..5).prop_map(|n| lit(f64::from(n) / 2.0)).boxed(),
        4 => "[a-c]{0,2}".prop_map(lit).boxed(),
        5 => (-400_i128..400)
            .prop_map(|n| lit(ScalarValue::Decimal128(Some(n), 12, 2)))
            .boxed(),
        6 => any::<bool>().prop_map(lit).boxed(),
        7 => proptest::collection::vec(0_u8..3, 0..3)
            .prop_map(|bytes| lit(ScalarValue::Binary(Some(bytes))))
            .boxed(),
        _ => (-4_i32..5)
            .prop_map(|n| lit(ScalarValue::Date32(Some(n))))
            .boxed(),
    }
}

const NAMES: [&str; 8] = [
    "int", "long", "double", "text", "money", "flag", "bytes", "day",
];

fn question() -> impl Strategy<Value = Expr> {
    (1_i32..=8).prop_flat_map(|id| {
        let column = move || col(NAMES[id as usize - 1]);
        let list = proptest::collection::vec(value(id), 0..5);
        prop_oneof![
            6 => (value(id), 0..6).prop_map(move |(value, op)| match op {
                0 => column().eq(value),
                1 => column().not_eq(value),
                2 => column().lt(value),
                3 => column().lt_eq(value),
                4 => column().gt(value),
                _ => value.lt(column()),
            }),
            2 => (list, any::<bool>()).prop_map(move |(list, not)| column().in_list(list, not)),
            1 => Just(column().is_null()),
            1 => Just(column().is_not_null()),
            1 => "[a-c]{0,2}%".prop_map(|pattern| col("text").like(lit(pattern))),
        ]
    })
}

fn filter() -> impl Strategy<Value = Expr> {
    question().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left.and(right)),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left.or(right)),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

/// As its manifest gives it back, with bounds of the types that the columns have today.
fn rows_of(manifest: &ManifestFiles) -> Vec<DataFile> {
    (0..manifest.len())
        .map(|at| manifest.file(at, &wanted()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn columns_keep_the_files_that_are_kept_one_by_one(
        files in proptest::collection::vec(file(), 0..70),
        filters in proptest::collection::vec(filter(), 1..3),
    ) {
        let table = table();
        let pruner = Pruner::new(&table, table.current_schema(), &filters);
        let id = FileId::new(CanonicalUri::new("gs://lake/m.avro"), None);
        let manifest = ManifestFiles::new(id, 0, files);
        let one_by_one: Vec<usize> = rows_of(&manifest)
            .iter()
            .enumerate()
            .filter_map(|(at, file)| pruner.keeps(file).then_some(at))
            .collect();
        let kept = pruner.kept(&manifest).unwrap();
        let positions: Vec<usize> = kept.positions(manifest.len()).collect();
        prop_assert_eq!(kept.count(manifest.len()), positions.len());
        prop_assert_eq!(positions, one_by_one);
    }

    #[test]
    fn files_come_back_from_columns_with_bounds_of_the_type_of_today(
        files in proptest::collection::vec(file(), 0..40),
    ) {
        let id = FileId::new(CanonicalUri::new("gs://lake/m.avro"), None);
        let back = rows_of(&ManifestFiles::new(id, 0, files.clone()));
        prop_assert_eq!(back.len(), files.len());
        for (back, file) in back.iter().zip(&files) {
            prop_assert_eq!(&back.id, &file.id);
            prop_assert_eq!((back.rows, &back.partition), (file.rows, &file.partition));
            for (id, of) in wanted() {
                let (back, file) = (back.column(id), file.column(id));
                let counts = |metrics: Option<&ColumnMetrics>| {
                    metrics.map(|m| (m.value_count, m.null_count, m.nan_count))
                };
                prop_assert_eq!(counts(back), counts(file));
                if let (Some(back), Some(file)) = (back, file)
                    && !matches!(of, PrimitiveType::Long | PrimitiveType::Double)
                {
                    prop_assert_eq!(&back.lower, &file.lower);
                    prop_assert_eq!(&back.upper, &file.upper);
                }
            }
        }
    }
}
