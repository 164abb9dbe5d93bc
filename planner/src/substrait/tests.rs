use substrait::proto::expression::literal::LiteralType;
use substrait::proto::expression::{Literal, RexType, ScalarFunction};
use substrait::proto::extensions::AdvancedExtension;
use substrait::proto::read_rel::{
    ExtensionTable, IcebergTable, LocalFiles, NamedTable, ReadType, VirtualTable,
};
use substrait::proto::rel::RelType;
use substrait::proto::sort_field::SortKind;
use substrait::proto::r#type::{self, Kind, Struct};
use substrait::proto::{
    AggregateFunction, AggregateRel, DynamicParameter, Expression, ExtensionLeafRel, FilterRel,
    FunctionOption, JoinRel, NamedStruct, PlanRel, ProjectRel, ReadRel, Rel, SetRel, SortField,
    SortRel, Type, aggregate_rel, plan_rel,
};

use super::*;
use crate::ErrorKind;

const LONG: usize = 1 << 20;

fn rel(of: RelType) -> Rel {
    Rel { rel_type: Some(of) }
}

fn read(of: ReadType) -> Rel {
    rel(RelType::Read(Box::new(ReadRel {
        base_schema: Some(NamedStruct {
            names: vec!["a".into()],
            r#struct: Some(Struct {
                types: vec![Type {
                    kind: Some(Kind::I64(r#type::I64::default())),
                }],
                ..Struct::default()
            }),
        }),
        read_type: Some(of),
        ..ReadRel::default()
    })))
}

fn table() -> Rel {
    read(ReadType::NamedTable(NamedTable {
        names: vec!["tpch".into(), "orders".into()],
        advanced_extension: None,
    }))
}

fn plan(of: Rel) -> Plan {
    Plan {
        version: Some(Version {
            minor_number: 70,
            producer: "Somebody\n's".into(),
            ..Version::default()
        }),
        relations: vec![PlanRel {
            rel_type: Some(plan_rel::RelType::Rel(of)),
        }],
        ..Plan::default()
    }
}

fn parsed(plan: &Plan) -> Result<Statement> {
    parse(plan.encode_to_vec().into(), LONG)
}

fn refused(of: RelType) -> PlannerError {
    parsed(&plan(rel(of))).unwrap_err()
}

fn with(expr: RexType) -> RelType {
    RelType::Filter(Box::new(FilterRel {
        input: Some(Box::new(table())),
        condition: Some(Box::new(expr_of(expr))),
        ..FilterRel::default()
    }))
}

fn expr_of(expr: RexType) -> Expression {
    Expression {
        rex_type: Some(expr),
    }
}

fn number() -> RexType {
    RexType::Literal(Literal {
        literal_type: Some(LiteralType::I64(1)),
        ..Literal::default()
    })
}

fn any(name: &str) -> pbjson_types::Any {
    pbjson_types::Any {
        type_url: name.into(),
        value: Bytes::new(),
    }
}

#[test]
fn a_plan_of_allowed_parts_is_a_query_and_its_record_tells_no_more_than_its_digest() {
    let plan = plan(rel(with(number())));
    let statement = parsed(&plan).unwrap();
    assert!(!statement.is_update());
    assert_eq!(statement.parameter_count(), 0);
    let text = statement.text().to_owned();
    assert!(text.starts_with("SUBSTRAIT PLAN sha256:"), "{text}");
    assert_eq!(crate::redact(&text, LONG), text);
    assert_eq!(text, substrait_text(&plan.encode_to_vec()));
    let Statement::Query(query) = statement else {
        panic!("a plan is a query")
    };
    assert_eq!(query.substrait().unwrap()[..], plan.encode_to_vec()[..]);
    for other in [format!("{text}0"), text.replace("sha256:", "sha256:x")] {
        assert_ne!(crate::redact(&other, LONG), other);
    }
}

#[test]
fn what_is_not_allowed_is_refused_by_its_name_and_whose_plan_it_is() {
    let leaf = RelType::ExtensionLeaf(ExtensionLeafRel {
        detail: Some(any("my.Leaf")),
        ..ExtensionLeafRel::default()
    });
    let enhanced = RelType::Filter(Box::new(FilterRel {
        advanced_extension: Some(AdvancedExtension {
            enhancement: Some(any("my.Enhancement")),
            ..AdvancedExtension::default()
        }),
        ..FilterRel::default()
    }));
    let optional = RexType::ScalarFunction(ScalarFunction {
        options: vec![FunctionOption {
            name: "overflow".into(),
            preference: vec!["ERROR".into()],
        }],
        ..ScalarFunction::default()
    });
    let partial = RelType::Aggregate(Box::new(AggregateRel {
        input: Some(Box::new(table())),
        measures: vec![aggregate_rel::Measure {
            measure: Some(AggregateFunction {
                phase: 1,
                ..AggregateFunction::default()
            }),
            filter: None,
        }],
        ..AggregateRel::default()
    }));
    let local = read(ReadType::LocalFiles(LocalFiles::default()));
    let virtual_table = read(ReadType::VirtualTable(VirtualTable::default()));
    let extension_table = read(ReadType::ExtensionTable(ExtensionTable {
        detail: Some(any("my.Table")),
    }));
    let iceberg = read(ReadType::IcebergTable(IcebergTable::default()));
    let of_read = |read: Rel| read.rel_type.unwrap();
    for (part, named) in [
        (leaf, "my.Leaf"),
        (enhanced, "my.Enhancement"),
        (with(optional), "overflow"),
        (partial, "AGGREGATION_PHASE_INITIAL_TO_INTERMEDIATE"),
        (of_read(local), "local files"),
        (of_read(virtual_table), "virtual table"),
        (of_read(extension_table), "my.Table"),
        (of_read(iceberg), "Iceberg metadata file"),
        (RelType::Write(Box::default()), "WriteRel"),
        (RelType::Ddl(Box::default()), "DdlRel"),
        (RelType::Update(Box::default()), "UpdateRel"),
        (RelType::HashJoin(Box::default()), "HashJoinRel"),
        (RelType::Exchange(Box::default()), "ExchangeRel"),
        (
            with(RexType::DynamicParameter(DynamicParameter::default())),
            "parameter",
        ),
    ] {
        let error = refused(part);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{named}: {error}");
        let text = error.to_string();
        assert!(text.contains(named), "{named}: {text}");
        assert!(
            text.contains("a plan of Substrait 0.70.0, made by Somebody's"),
            "{text}"
        );
    }
}

#[test]
fn what_is_missing_or_out_of_range_is_malformed_and_nothing_panics() {
    let sort = |kind: Option<SortKind>, expr: Option<Expression>| {
        RelType::Sort(Box::new(SortRel {
            input: Some(Box::new(table())),
            sorts: vec![SortField {
                expr,
                sort_kind: kind,
            }],
            ..SortRel::default()
        }))
    };
    let literal = |of: LiteralType| {
        with(RexType::Literal(Literal {
            literal_type: Some(of),
            ..Literal::default()
        }))
    };
    use substrait::proto::expression::literal::{
        Decimal, IntervalDayToSecond, IntervalYearToMonth,
    };
    for part in [
        RelType::Filter(Box::default()),
        RelType::Project(Box::default()),
        RelType::Join(Box::default()),
        RelType::Join(Box::new(JoinRel {
            r#type: 1,
            ..JoinRel::default()
        })),
        RelType::Set(SetRel::default()),
        RelType::Cross(Box::default()),
        RelType::Read(Box::default()),
        RelType::Set(SetRel {
            inputs: vec![Rel::default()],
            op: 6,
            ..SetRel::default()
        }),
        sort(None, Some(expr_of(number()))),
        sort(Some(SortKind::Direction(99)), Some(expr_of(number()))),
        sort(Some(SortKind::Direction(1)), None),
        with(RexType::SingularOrList(Box::default())),
        with(RexType::Cast(Box::default())),
        with(RexType::Subquery(Box::default())),
        literal(LiteralType::Decimal(Decimal {
            value: vec![0; 16],
            precision: 300,
            scale: -1,
        })),
        literal(LiteralType::IntervalDayToSecond(IntervalDayToSecond {
            seconds: i32::MAX,
            ..IntervalDayToSecond::default()
        })),
        literal(LiteralType::IntervalYearToMonth(IntervalYearToMonth {
            years: i32::MAX,
            months: 1,
        })),
        RelType::Aggregate(Box::new(AggregateRel {
            input: Some(Box::new(table())),
            groupings: vec![aggregate_rel::Grouping {
                expression_references: vec![7],
                ..aggregate_rel::Grouping::default()
            }],
            ..AggregateRel::default()
        })),
    ] {
        let error = refused(part.clone());
        assert_eq!(
            error.kind(),
            ErrorKind::InvalidArgument,
            "{part:?}: {error}"
        );
    }
    assert!(parse(Bytes::new(), LONG).is_err());
    assert!(parse(Bytes::from_static(b"SELECT 1"), LONG).is_err());
}

#[test]
fn a_plan_that_is_too_long_too_deep_or_has_too_many_fields_is_refused_before_it_takes_memory() {
    let plan = plan(table());
    let length = plan.encoded_len();
    let error = parse(plan.encode_to_vec().into(), length - 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);

    let mut deep = table();
    for _ in 0..200 {
        deep = rel(RelType::Filter(Box::new(FilterRel {
            input: Some(Box::new(deep)),
            condition: Some(Box::new(expr_of(number()))),
            ..FilterRel::default()
        })));
    }
    let error = parsed(&self::plan(deep)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");

    let wide = rel(RelType::Project(Box::new(ProjectRel {
        input: Some(Box::new(table())),
        expressions: vec![Expression::default(); FIELDS_MAX + 1],
        ..ProjectRel::default()
    })));
    let error = parsed(&self::plan(wide)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
}

#[test]
fn a_newer_plan_is_taken_if_all_of_it_is_known_and_an_old_one_is_not() {
    let of = |minor: u32| {
        let mut plan = plan(table());
        plan.version = Some(Version {
            minor_number: minor,
            ..Version::default()
        });
        plan.encode_to_vec()
    };
    for known in [0, 17, 49, 85, 86, 108] {
        parse(of(known).into(), LONG).unwrap();
    }
    let old = parse(of(16).into(), LONG).unwrap_err().to_string();
    assert!(old.contains("older than 0.17.0"), "{old}");
    // Field 999 of the plan, a text.
    let with_more = |minor: u32| {
        let mut bytes = of(minor);
        bytes.extend([0xba, 0x3e, 0x03, b'n', b'e', b'w']);
        Bytes::from(bytes)
    };
    parse(with_more(49), LONG).unwrap();
    let unsaid = parse(with_more(0), LONG).unwrap_err().to_string();
    assert!(unsaid.contains("does not say its version"), "{unsaid}");
    let mut plan = plan(table());
    plan.version = None;
    let mut bytes = plan.encode_to_vec();
    parse(bytes.clone().into(), LONG).unwrap();
    bytes.extend([0xba, 0x3e, 0x03, b'n', b'e', b'w']);
    let unsaid = parse(bytes.into(), LONG).unwrap_err();
    assert_eq!(unsaid.kind(), ErrorKind::Unsupported, "{unsaid}");
    let new = parse(with_more(108), LONG).unwrap_err().to_string();
    assert!(new.contains("newer than 0.85.0"), "{new}");
    assert!(new.contains("a plan of Substrait 0.108.0"), "{new}");
}

#[test]
fn a_plan_that_is_malformed_at_its_end_is_refused_before_it_is_read() {
    let wide = rel(RelType::Project(Box::new(ProjectRel {
        input: Some(Box::new(table())),
        expressions: vec![Expression::default(); FIELDS_MAX + 1],
        ..ProjectRel::default()
    })));
    let mut bytes = plan(wide).encode_to_vec();
    bytes.push(0x00);
    let error = parse(bytes.into(), LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.to_string().contains("no message"), "{error}");
}

#[test]
fn joins_and_sets_whose_meaning_is_not_kept_are_refused_by_name() {
    use substrait::proto::join_rel::JoinType;
    use substrait::proto::set_rel::SetOp;
    let join = |of: JoinType| {
        RelType::Join(Box::new(JoinRel {
            left: Some(Box::new(table())),
            right: Some(Box::new(table())),
            r#type: of as i32,
            ..JoinRel::default()
        }))
    };
    let set = |of: SetOp| {
        RelType::Set(SetRel {
            inputs: vec![table(), table()],
            op: of as i32,
            ..SetRel::default()
        })
    };
    for (part, named) in [
        (join(JoinType::LeftMark), "JOIN_TYPE_LEFT_MARK"),
        (join(JoinType::RightMark), "JOIN_TYPE_RIGHT_MARK"),
        (join(JoinType::LeftSingle), "JOIN_TYPE_LEFT_SINGLE"),
        (join(JoinType::RightSingle), "JOIN_TYPE_RIGHT_SINGLE"),
        (set(SetOp::MinusPrimaryAll), "SET_OP_MINUS_PRIMARY_ALL"),
        (set(SetOp::MinusMultiset), "SET_OP_MINUS_MULTISET"),
        (
            set(SetOp::IntersectionMultisetAll),
            "SET_OP_INTERSECTION_MULTISET_ALL",
        ),
    ] {
        let error = refused(part);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{named}: {error}");
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
    for part in [
        join(JoinType::Outer),
        join(JoinType::RightAnti),
        set(SetOp::UnionAll),
        set(SetOp::MinusPrimary),
        set(SetOp::IntersectionMultiset),
    ] {
        parsed(&plan(rel(part))).unwrap();
    }
}

#[test]
fn values_that_would_be_cut_are_refused() {
    use substrait::proto::expression::literal::interval_day_to_second::PrecisionMode;
    use substrait::proto::expression::literal::{
        IntervalCompound, IntervalDayToSecond, IntervalYearToMonth, PrecisionTime,
    };
    let of = |literal: LiteralType, variation: u32| {
        let literal = Literal {
            literal_type: Some(literal),
            type_variation_reference: variation,
            ..Literal::default()
        };
        parsed(&plan(rel(with(RexType::Literal(literal)))))
    };
    for (value, bits, variation, kept) in [
        (127, 8, 0, true),
        (-128, 8, 0, true),
        (128, 8, 0, false),
        (300, 8, 0, false),
        (-129, 8, 0, false),
        (255, 8, 1, true),
        (256, 8, 1, false),
        (-1, 8, 1, false),
        (32_767, 16, 0, true),
        (32_768, 16, 0, false),
        (65_535, 16, 1, true),
        (65_536, 16, 1, false),
    ] {
        let literal = match bits {
            8 => LiteralType::I8(value),
            _ => LiteralType::I16(value),
        };
        let read = of(literal, variation);
        assert_eq!(read.is_ok(), kept, "{value} in {bits} bits, {variation}");
    }
    let time =
        |precision: i32, value: i64| LiteralType::PrecisionTime(PrecisionTime { precision, value });
    for (precision, value, kept) in [
        (0, 86_399, true),
        (0, 86_400, false),
        (0, (1 << 32) + 5, false),
        (3, 86_399_999, true),
        (3, (1 << 32) + 5, false),
        (6, 86_399_999_999, true),
        (9, -1, false),
        (12, 1, false),
    ] {
        let read = of(time(precision, value), 0);
        assert_eq!(read.is_ok(), kept, "{value} of precision {precision}");
    }
    let interval = |digits: i32, subseconds: i64| IntervalDayToSecond {
        subseconds,
        precision_mode: Some(PrecisionMode::Precision(digits)),
        ..IntervalDayToSecond::default()
    };
    for (digits, subseconds, kept) in [
        (0, 1, true),
        (3, 7, true),
        (6, 7_000, true),
        (6, -7_000, true),
        (6, 7_001, false),
        (9, 7_000_000, true),
        (9, 7_000_001, false),
        (9, -1, false),
    ] {
        let literal = LiteralType::IntervalDayToSecond(interval(digits, subseconds));
        let read = of(literal, 0);
        assert_eq!(read.is_ok(), kept, "{subseconds} of {digits} digits");
    }
    #[expect(deprecated, reason = "older producers write it")]
    let older = IntervalDayToSecond {
        precision_mode: Some(PrecisionMode::Microseconds(1)),
        ..IntervalDayToSecond::default()
    };
    let error = of(LiteralType::IntervalDayToSecond(older), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    // One of months, days and nanoseconds keeps them all.
    let compound = LiteralType::IntervalCompound(IntervalCompound {
        interval_year_to_month: Some(IntervalYearToMonth::default()),
        interval_day_to_second: Some(interval(9, 7_000_001)),
    });
    of(compound, 0).unwrap();
}

#[test]
fn a_cast_to_a_type_that_has_fields_is_refused() {
    use substrait::proto::expression::Cast;
    let cast = |of: Kind| {
        RexType::Cast(Box::new(Cast {
            r#type: Some(Type { kind: Some(of) }),
            input: Some(Box::new(expr_of(number()))),
            ..Cast::default()
        }))
    };
    let of_struct = Kind::Struct(Struct::default());
    let list = Kind::List(Box::new(r#type::List {
        r#type: Some(Box::new(Type {
            kind: Some(of_struct.clone()),
        })),
        ..r#type::List::default()
    }));
    for of in [of_struct, list] {
        let error = refused(with(cast(of)));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("a cast to a struct"), "{error}");
    }
    let number = Kind::I64(r#type::I64::default());
    parsed(&plan(rel(with(cast(number))))).unwrap();
}
