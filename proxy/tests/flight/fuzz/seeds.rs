//! Inputs that mean something, for the fuzzing to change.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginTransactionRequest, ActionCancelQueryRequest,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest,
    ActionEndTransactionRequest, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas,
    CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo,
    CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, ProstMessageExt, SubstraitPlan,
};
use arrow_flight::utils::batches_to_flight_data;
use arrow_flight::{
    CancelFlightInfoRequest, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
    RenewFlightEndpointRequest, Ticket,
};
use bytes::Bytes;
use prost::Message;
use substrait::proto::expression::field_reference::{ReferenceType, RootReference, RootType};
use substrait::proto::expression::literal::LiteralType;
use substrait::proto::expression::{
    FieldReference, Literal, ReferenceSegment, RexType, ScalarFunction, reference_segment,
};
use substrait::proto::extensions::SimpleExtensionDeclaration;
use substrait::proto::extensions::simple_extension_declaration::{ExtensionFunction, MappingType};
use substrait::proto::function_argument::ArgType;
use substrait::proto::read_rel::{NamedTable, ReadType};
use substrait::proto::rel::RelType;
use substrait::proto::rel_common::{Emit, EmitKind};
use substrait::proto::sort_field::SortKind;
use substrait::proto::r#type::{I32, Kind, Struct};
use substrait::proto::{
    Expression, FilterRel, FunctionArgument, NamedStruct, Plan, PlanRel, ReadRel, Rel, RelCommon,
    RelRoot, SortField, SortRel, Type, plan_rel,
};

use super::targets::Call;

/// What the prepared statement of the seeds is.
pub(super) const WITH_PARAMETERS: &str = "SELECT CAST($1 AS BIGINT) + 1 AS n, $2 AS s";

/// Statements of every kind, over the tables there are.
pub(super) const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT * FROM fixtures.pyiceberg.all_types",
    "SELECT t.*, row_number() OVER (PARTITION BY 1 ORDER BY 2) FROM fixtures.spark.types AS t WHERE 1 = 1 LIMIT 3 OFFSET 1",
    "SELECT count(*), max(n) FILTER (WHERE n > 1) FROM (VALUES (1, 'a'), (2, NULL)) AS t(n, s) GROUP BY s HAVING count(*) > 0 ORDER BY 1 DESC NULLS LAST",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT sum(n) FROM r",
    "WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a JOIN b ON a.x = b.y - 1 LEFT JOIN a AS c USING (x)",
    "SELECT * FROM fixtures.spark.nested AS a CROSS JOIN fixtures.java.uuid_time_fixed AS b",
    "SELECT CASE WHEN value % 2 = 0 THEN 'even' ELSE NULL END, value BETWEEN 1 AND 3 FROM generate_series(1, 10)",
    "SELECT CAST('2024-02-29' AS DATE) + INTERVAL '1' MONTH, date_trunc('month', now()), extract(year FROM current_date)",
    "SELECT [1, 2, 3][1], {'a': 1}['a'], make_array(1, NULL), map(['k'], [1]), struct(1, 'x')",
    "SELECT unnest([1, 2, 3]) AS u, unnest(make_array('a', 'b'))",
    "SELECT lower('X') || upper('y'), substr('abc', 2, 1), lpad('a', 5, 'b'), regexp_replace('abc', 'b+', 'x', 'g'), split_part('a,b', ',', 1)",
    "SELECT sum(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING), lag(n, 1, 0) OVER w FROM (VALUES (1), (2)) AS t(n) WINDOW w AS (ORDER BY n DESC)",
    "SELECT a, b, sum(c) FROM (VALUES (1, 2, 3)) AS t(a, b, c) GROUP BY GROUPING SETS ((a), (b), ()), ROLLUP (a), CUBE (b)",
    "SELECT * FROM (SELECT 1 AS a UNION SELECT 2 INTERSECT SELECT 2 EXCEPT SELECT 3) AS t WHERE a IN (SELECT 1) AND EXISTS (SELECT a) AND a NOT IN (5, 6)",
    "SELECT * FROM fixtures.spark.position_deletes FOR VERSION AS OF 1",
    "SELECT * FROM fixtures.spark.schema_evolution FOR TIMESTAMP AS OF TIMESTAMP '2024-01-01T00:00:00Z'",
    "SELECT * FROM fixtures.spark.schema_evolution.snapshots",
    "SELECT * FROM fixtures.spark.\"position_deletes$files\"",
    "SELECT * FROM information_schema.columns WHERE table_name LIKE 't%' AND column_name ILIKE '_A%'",
    "SELECT * FROM landfast.system.queries WHERE state = 'running'",
    "SELECT * FROM generate_series(1, $1) AS t(n) WHERE n = $2 OR n IN ($3, $4) LIMIT $5",
    "SELECT ? + 1, ? LIKE 'a%'",
    "VALUES (1, 'x'), (2, NULL)",
    "FROM fixtures.spark.floats",
    "SELECT arrow_cast(1, 'Decimal128(10, 2)'), 1::smallint, '1'::double, TRY_CAST('x' AS INT), CAST(NULL AS TIMESTAMP)",
    "SELECT approx_distinct(n), median(n), stddev(n), corr(n, n), percentile_cont(0.5) WITHIN GROUP (ORDER BY n), string_agg(s, ',' ORDER BY s), array_agg(DISTINCT n) FROM (VALUES (1, 'a')) AS t(n, s)",
    "SELECT DISTINCT ON (a) a, b FROM (VALUES (1, 2), (1, 3)) AS t(a, b) ORDER BY a, b",
    "SELECT * EXCLUDE (a) FROM (SELECT 1 AS a, 2 AS b) AS t",
    "SELECT a.x FROM (SELECT 1 AS x) AS a, LATERAL (SELECT a.x + 1 AS y) AS b NATURAL JOIN (SELECT 2 AS y) AS c",
    "SELECT 'ab' ~ 'a.', 'ab' SIMILAR TO 'a_', 5 & 3 | 2 # 1, 1 << 3, -(-1), NOT true IS NOT FALSE, 1 IS DISTINCT FROM NULL",
    "SELECT (SELECT max(value) FROM generate_series(1, 3) WHERE value > t.n) FROM (VALUES (1)) AS t(n)",
    "SELECT encode('a', 'hex'), md5('x'), sha256('y'), to_timestamp('2024-01-01'), date_bin(INTERVAL '1 hour', now()), power(2, 10), round(1.5, 1), atan2(1, 2)",
    "EXPLAIN SELECT * FROM fixtures.spark.types",
    "EXPLAIN ANALYZE VERBOSE SELECT count(*) FROM fixtures.spark.types",
    "SHOW CATALOGS",
    "SHOW TABLES FROM fixtures.spark LIKE '%e%'",
    "SHOW COLUMNS FROM fixtures.spark.types",
    "SHOW SCHEMAS IN fixtures",
    "SHOW ALL",
    "SHOW landfast.freshness",
    "DESCRIBE fixtures.spark.types",
    "DESCRIBE SELECT 1 AS a",
    "SET landfast.freshness = 'strong'",
    "SET TIME ZONE 'Europe/Oslo'",
    "RESET landfast.freshness",
    "USE fixtures.spark",
    "CALL landfast.register_table('fixtures.a.b', 'gs://fixtures/x')",
    "CREATE SCHEMA IF NOT EXISTS fixtures.made",
    "DROP TABLE IF EXISTS fixtures.spark.types",
    "DROP SCHEMA fixtures.spark",
    "-- a remark\nSELECT /* another */ 'it''s', \"Column\" FROM (SELECT 1 AS \"Column\") AS t;",
    "SELECT $$dollars$$, E'\\n', U&'\\0061', N'n', X'00ff', B'01', 1e3, .5, 0x1F",
];

/// Calls of every kind. `handle` is that of a prepared statement with two parameters.
pub(super) fn calls(handle: &Bytes) -> Vec<Vec<u8>> {
    let mut calls = vec![];
    for body in commands(handle) {
        for rpc in [0, 1, 2, 5] {
            calls.push(Call {
                rpc,
                body: body.clone(),
                ..Call::default()
            });
        }
    }
    calls.extend(actions(handle).into_iter().map(|(action, body)| Call {
        rpc: 3,
        action: action.to_owned(),
        body,
        data: vec![],
    }));
    calls.extend(puts(handle).into_iter().flat_map(|data| {
        [4, 7].map(|rpc| Call {
            rpc,
            data: data.clone(),
            ..Call::default()
        })
    }));
    for rpc in [6, 8] {
        calls.push(Call {
            rpc,
            body: b"anything".to_vec(),
            ..Call::default()
        });
    }
    calls.iter().map(Message::encode_to_vec).collect()
}

fn packed(message: &impl ProstMessageExt) -> Vec<u8> {
    message.as_any().encode_to_vec()
}

fn commands(handle: &Bytes) -> Vec<Vec<u8>> {
    let fixtures = Some("fixtures".to_owned());
    let spark = Some("spark".to_owned());
    let table = "types".to_owned();
    vec![
        packed(&CommandStatementQuery {
            query: "SELECT * FROM fixtures.spark.types WHERE 1 = 1".to_owned(),
            transaction_id: None,
        }),
        packed(&CommandStatementQuery {
            query: "SHOW CATALOGS".to_owned(),
            transaction_id: Some(Bytes::from_static(b"none")),
        }),
        packed(&CommandPreparedStatementQuery {
            prepared_statement_handle: handle.clone(),
        }),
        packed(&CommandStatementSubstraitPlan {
            plan: Some(plan()),
            transaction_id: None,
        }),
        packed(&CommandGetCatalogs {}),
        packed(&CommandGetDbSchemas {
            catalog: fixtures.clone(),
            db_schema_filter_pattern: Some("s%".to_owned()),
        }),
        packed(&CommandGetTables {
            catalog: fixtures.clone(),
            db_schema_filter_pattern: Some("%a_k".to_owned()),
            table_name_filter_pattern: Some("t%s".to_owned()),
            table_types: vec!["TABLE".to_owned(), "VIEW".to_owned()],
            include_schema: true,
        }),
        packed(&CommandGetTableTypes {}),
        packed(&CommandGetSqlInfo {
            info: vec![0, 1, 2, 8, 508, 70_000],
        }),
        packed(&CommandGetSqlInfo { info: vec![] }),
        packed(&CommandGetXdbcTypeInfo { data_type: Some(4) }),
        packed(&CommandGetPrimaryKeys {
            catalog: fixtures.clone(),
            db_schema: spark.clone(),
            table: table.clone(),
        }),
        packed(&CommandGetExportedKeys {
            catalog: fixtures.clone(),
            db_schema: spark.clone(),
            table: table.clone(),
        }),
        packed(&CommandGetImportedKeys {
            catalog: fixtures.clone(),
            db_schema: spark.clone(),
            table: table.clone(),
        }),
        packed(&CommandGetCrossReference {
            pk_catalog: fixtures.clone(),
            pk_db_schema: spark.clone(),
            pk_table: table.clone(),
            fk_catalog: fixtures,
            fk_db_schema: spark,
            fk_table: table,
        }),
    ]
}

/// `SELECT id, s FROM fixtures.spark.types WHERE id > 1 ORDER BY id` as a plan.
fn plan() -> SubstraitPlan {
    let column = |of| Type { kind: Some(of) };
    let read = ReadRel {
        base_schema: Some(NamedStruct {
            names: vec!["id".to_owned(), "s".to_owned()],
            r#struct: Some(Struct {
                types: vec![
                    column(Kind::I32(I32::default())),
                    column(Kind::String(Default::default())),
                ],
                ..Struct::default()
            }),
        }),
        read_type: Some(ReadType::NamedTable(NamedTable {
            names: ["fixtures", "spark", "types"].map(str::to_owned).to_vec(),
            advanced_extension: None,
        })),
        ..ReadRel::default()
    };
    let value = |rex| Expression {
        rex_type: Some(rex),
    };
    let id = value(RexType::Selection(Box::new(FieldReference {
        reference_type: Some(ReferenceType::DirectReference(ReferenceSegment {
            reference_type: Some(reference_segment::ReferenceType::StructField(Box::default())),
        })),
        root_type: Some(RootType::RootReference(RootReference {})),
    })));
    let one = value(RexType::Literal(Literal {
        literal_type: Some(LiteralType::I32(1)),
        ..Literal::default()
    }));
    let argument = |value| FunctionArgument {
        arg_type: Some(ArgType::Value(value)),
    };
    let above = value(RexType::ScalarFunction(ScalarFunction {
        function_reference: 7,
        arguments: vec![argument(id.clone()), argument(one)],
        ..ScalarFunction::default()
    }));
    let rel = |of| Rel { rel_type: Some(of) };
    let filter = rel(RelType::Filter(Box::new(FilterRel {
        input: Some(Box::new(rel(RelType::Read(Box::new(read))))),
        condition: Some(Box::new(above)),
        ..FilterRel::default()
    })));
    let sort = rel(RelType::Sort(Box::new(SortRel {
        common: Some(RelCommon {
            emit_kind: Some(EmitKind::Emit(Emit {
                output_mapping: vec![0, 1],
            })),
            ..RelCommon::default()
        }),
        input: Some(Box::new(filter)),
        sorts: vec![SortField {
            expr: Some(id),
            sort_kind: Some(SortKind::Direction(1)),
        }],
        ..SortRel::default()
    })));
    let plan = Plan {
        version: Some(substrait::version::version_with_producer("seed")),
        extensions: vec![SimpleExtensionDeclaration {
            mapping_type: Some(MappingType::ExtensionFunction(ExtensionFunction {
                function_anchor: 7,
                name: "gt:any_any".to_owned(),
                ..ExtensionFunction::default()
            })),
        }],
        relations: vec![PlanRel {
            rel_type: Some(plan_rel::RelType::Root(RelRoot {
                input: Some(sort),
                names: vec!["id".to_owned(), "s".to_owned()],
            })),
        }],
        ..Plan::default()
    };
    SubstraitPlan {
        plan: plan.encode_to_vec().into(),
        version: "0.85.0".to_owned(),
    }
}

fn actions(handle: &Bytes) -> Vec<(&'static str, Vec<u8>)> {
    let prepare = |sql: &str| {
        packed(&ActionCreatePreparedStatementRequest {
            query: sql.to_owned(),
            transaction_id: None,
        })
    };
    let info = FlightInfo::new()
        .with_descriptor(FlightDescriptor::new_cmd("command"))
        .with_app_metadata("00000000-0000-7000-8000-000000000000")
        .with_endpoint(FlightEndpoint::new().with_ticket(Ticket::new("ticket")));
    let cancel = ActionCancelQueryRequest {
        info: info.encode_to_vec().into(),
    };
    let renewed = FlightEndpoint::new().with_ticket(Ticket::new("ticket"));
    // One option, a text: {"landfast.freshness": "strong"}.
    let option = b"\x0a\x1e\x0a\x12landfast.freshness\x12\x08\x0a\x06strong";
    vec![
        ("CreatePreparedStatement", prepare(WITH_PARAMETERS)),
        (
            "CreatePreparedStatement",
            prepare("SELECT * FROM fixtures.spark.nested"),
        ),
        (
            "CreatePreparedStatement",
            prepare("SET landfast.freshness = 'strong'"),
        ),
        (
            "CreatePreparedSubstraitPlan",
            packed(&ActionCreatePreparedSubstraitPlanRequest {
                plan: Some(plan()),
                transaction_id: None,
            }),
        ),
        (
            "ClosePreparedStatement",
            packed(&ActionClosePreparedStatementRequest {
                prepared_statement_handle: handle.slice(1..),
            }),
        ),
        (
            "BeginTransaction",
            packed(&ActionBeginTransactionRequest {}),
        ),
        (
            "EndTransaction",
            packed(&ActionEndTransactionRequest {
                transaction_id: Bytes::from_static(b"one"),
                action: 1,
            }),
        ),
        (
            "BeginSavepoint",
            packed(&ActionBeginSavepointRequest {
                transaction_id: Bytes::from_static(b"one"),
                name: "here".to_owned(),
            }),
        ),
        (
            "EndSavepoint",
            packed(&ActionEndSavepointRequest {
                savepoint_id: Bytes::from_static(b"here"),
                action: 1,
            }),
        ),
        ("CancelQuery", packed(&cancel)),
        (
            "CancelFlightInfo",
            CancelFlightInfoRequest { info: Some(info) }.encode_to_vec(),
        ),
        (
            "RenewFlightEndpoint",
            RenewFlightEndpointRequest {
                endpoint: Some(renewed),
            }
            .encode_to_vec(),
        ),
        ("SetSessionOptions", option.to_vec()),
        ("GetSessionOptions", vec![]),
        ("CloseSession", vec![]),
        ("no such action", vec![1, 2, 3]),
    ]
}

/// DoPuts: updates, parameters and rows.
fn puts(handle: &Bytes) -> Vec<Vec<FlightData>> {
    let update = CommandStatementUpdate {
        query: "SET landfast.freshness = 'strong'".to_owned(),
        transaction_id: None,
    };
    let bound = CommandPreparedStatementQuery {
        prepared_statement_handle: handle.clone(),
    };
    let ran = CommandPreparedStatementUpdate {
        prepared_statement_handle: handle.clone(),
    };
    let ingest = CommandStatementIngest {
        table: "made".to_owned(),
        temporary: true,
        ..CommandStatementIngest::default()
    };
    let columns: [(&str, ArrayRef); 2] = [
        ("1", Arc::new(Int64Array::from(vec![1, 2]))),
        ("2", Arc::new(StringArray::from(vec![Some("x"), None]))),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, of)| (name, of, true)));
    let rows = rows.unwrap();
    let with_rows = |command: Vec<u8>| {
        let mut messages = batches_to_flight_data(&rows.schema(), vec![rows.clone()]).unwrap();
        messages[0].flight_descriptor = Some(FlightDescriptor::new_cmd(command));
        messages
    };
    let alone = FlightData::new().with_descriptor(FlightDescriptor::new_cmd(packed(&update)));
    vec![
        vec![alone],
        with_rows(packed(&bound)),
        with_rows(packed(&ran)),
        with_rows(packed(&ingest)),
    ]
}
