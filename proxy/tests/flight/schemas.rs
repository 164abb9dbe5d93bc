//! A statement has one schema, whichever way it is asked for: names, types, nullability and metadata.

use arrow::datatypes::Schema;
use proptest::prelude::*;
use proptest::sample::select;

use crate::house::{Client, House, KEY, Service, TABLES, prepared, query, tickets};
use crate::redeeming::runner;

/// Where rows come from, and the columns there.
#[derive(Clone, Debug)]
struct Source {
    sql: String,
    columns: Vec<String>,
}

/// Rows that no table holds: literals of many types, with and without nulls.
const MADE: &[&str] = &[
    "(VALUES (1, 'a', 1.5, true), (2, NULL, NULL, false)) AS made(i, s, f, b)",
    "(SELECT value AS i, value % 3 AS g FROM generate_series(1, 20)) AS made",
    "(SELECT CAST(1 AS DECIMAL(12, 3)) AS d, DATE '2024-02-29' AS day, TIMESTAMP '2024-02-29T12:00:00' AS at, \
     INTERVAL '1' DAY AS long, NULL AS nothing, [1, NULL, 3] AS many, X'00ff' AS bin, {'a': 1, 'b': 'x'} AS pair) AS made",
    "(SELECT arrow_cast(1, 'UInt8') AS u, arrow_cast('x', 'Dictionary(Int32, Utf8)') AS d, \
     arrow_cast('x', 'LargeUtf8') AS l, arrow_cast(1.5, 'Float16') AS h, arrow_cast('x', 'Utf8View') AS v, \
     arrow_cast(1, 'Decimal32(9, 2)') AS small, arrow_cast([1], 'LargeList(Int64)') AS large, \
     arrow_cast([1, 2], 'FixedSizeList(2, Int64)') AS two, arrow_cast(1, 'Timestamp(Nanosecond, Some(\"Europe/Oslo\"))') AS at, \
     arrow_cast(1, 'Duration(Second)') AS took, arrow_cast(1, 'Time64(Nanosecond)') AS clock) AS made",
    "landfast.system.tables AS made",
    "information_schema.columns AS made",
];

/// What can be made of a column of any type; `{}` is the column.
const OF_ANY: &[&str] = &[
    "{}",
    "{} AS renamed",
    "{} IS NULL AS missing",
    "coalesce({}, {}) AS present",
    "CASE WHEN {} IS NOT NULL THEN {} END AS cased",
    "CASE WHEN {} IS NULL THEN 1 ELSE 2 END AS numbered",
    "[{}] AS listed",
    "struct({}) AS boxed",
    "named_struct('inner', {}) AS named",
    "nullif({}, {}) AS nothing",
    "lag({}) OVER () AS before",
    "first_value({}) OVER () AS first",
    "row_number() OVER (ORDER BY {}) AS place",
    "arrow_typeof({}) AS typed",
    "CAST({} AS VARCHAR) AS text",
    "(SELECT max({}) FROM one) AS inner_max",
    "EXISTS (SELECT 1 FROM one WHERE {} IS NULL) AS any_missing",
    "1 AS one_more",
    "NULL AS nothing_at_all",
    "'text' AS some_text",
    "now() AS at",
];

/// What can be made of many values of a column of any type.
const OF_MANY: &[&str] = &[
    "count(*) AS rows",
    "count({}) AS there",
    "count(DISTINCT {}) AS different",
    "min({}) AS lowest",
    "max({}) AS highest",
    "first_value({}) AS first",
    "last_value({}) AS last",
    "array_agg({}) AS all_of_them",
    "array_agg(DISTINCT {}) AS each_of_them",
    "sum(CASE WHEN {} IS NULL THEN 1 ELSE 0 END) AS missing",
    "avg(CASE WHEN {} IS NULL THEN 1.0 ELSE 0 END) AS share",
    "bool_and({} IS NULL) AS all_missing",
    "approx_distinct({}) AS about",
    "count({}) FILTER (WHERE {} IS NOT NULL) AS filtered",
];

/// What follows FROM; `{}` is a column.
const AFTER: &[&str] = &[
    "",
    "",
    " WHERE {} IS NOT NULL",
    " WHERE {} IS NULL",
    " WHERE {} = {}",
    " WHERE false",
    " LIMIT 0",
    " LIMIT 2",
    " ORDER BY 1 LIMIT 3",
    " ORDER BY 1 DESC NULLS FIRST",
];

/// What is put around a query; `{}` is the query.
const AROUND: &[&str] = &[
    "{}",
    "{}",
    "SELECT * FROM ({}) AS inside",
    "SELECT * FROM ({}) AS a LEFT JOIN (SELECT 1 AS joined) AS b ON b.joined = 2",
    "SELECT * FROM (SELECT 1 AS joined) AS b FULL JOIN ({}) AS a ON b.joined = 2",
    "{} UNION ALL {}",
    "{} UNION {}",
    "{} INTERSECT {}",
    "SELECT count(*) FROM ({}) AS inside",
    "SELECT DISTINCT * FROM ({}) AS inside",
    "EXPLAIN {}",
];

fn expression(
    forms: &'static [&'static str],
    columns: &[String],
) -> impl Strategy<Value = String> + Clone + use<> {
    (select(forms), select(columns.to_vec())).prop_map(|(form, column)| form.replace("{}", &column))
}

/// A query over one of the sources.
fn statements(sources: Vec<Source>) -> impl Strategy<Value = String> {
    select(sources).prop_flat_map(|source| {
        let each = proptest::collection::vec(expression(OF_ANY, &source.columns), 1..5);
        let many = proptest::collection::vec(expression(OF_MANY, &source.columns), 1..4);
        let group = select(source.columns.clone());
        let after = expression(AFTER, &source.columns);
        let from = source.sql.clone();
        let with = format!("WITH one AS (SELECT * FROM {from} LIMIT 1) ");
        let shape = prop_oneof![
            2 => (each, after.clone()).prop_map({
                let from = from.clone();
                move |(items, after)| format!("SELECT {} FROM {from}{after}", items.join(", "))
            }),
            1 => (many.clone(), group).prop_map({
                let from = from.clone();
                move |(items, group)| {
                    format!("SELECT {group} AS grouped, {} FROM {from} GROUP BY {group}", items.join(", "))
                }
            }),
            1 => many.prop_map({
                let from = from.clone();
                move |items| format!("SELECT {} FROM {from}", items.join(", "))
            }),
            1 => after.prop_map(move |after| format!("SELECT * FROM {from}{after}")),
        ];
        (shape, select(AROUND)).prop_map(move |(query, around)| {
            // The names that an item takes from `one` are found at the top, and the wrapping stays inside.
            match query.contains("FROM one") {
                true => format!("{with}{query}"),
                false => around.replace("{}", &query),
            }
        })
    })
}

async fn sources(client: &mut Client) -> Vec<Source> {
    let tables = TABLES
        .iter()
        .map(|(schema, table)| format!("fixtures.{schema}.{table} AS made"));
    let made = MADE.iter().map(|sql| (*sql).to_owned());
    let mut sources = vec![];
    for sql in tables.chain(made) {
        let all = format!("SELECT * FROM {sql}");
        let schema = client.schema(&query(&all)).await.unwrap();
        let quoted = |field: &arrow::datatypes::FieldRef| format!("\"{}\"", field.name());
        let columns = schema.fields().iter().map(quoted).collect();
        sources.push(Source { sql, columns });
    }
    sources
}

/// How many of a statement's ways agreed; nothing where all of them refused it.
async fn compared(client: &mut Client, sql: &str) -> Result<Option<Schema>, TestCaseError> {
    let told = client.schema(&query(sql)).await;
    let handle = client.prepare(sql).await;
    let told = match told {
        Ok(told) => told,
        Err(refused) => {
            // What can't be described can't be prepared or planned either.
            prop_assert_eq!(handle.map(drop).unwrap_err().code(), refused.code());
            let planned = client.info(&query(sql)).await.map(drop);
            prop_assert_eq!(planned.unwrap_err().code(), refused.code());
            let polled = client.poll(&query(sql)).await.map(drop);
            prop_assert_eq!(polled.unwrap_err().code(), refused.code());
            return Ok(None);
        }
    };
    let handle = handle.unwrap();
    let dataset = arrow_ipc::convert::try_schema_from_ipc_buffer(&handle.dataset_schema).unwrap();
    prop_assert_eq!(&dataset, &told, "Prepare");
    let by_handle = prepared(&handle.prepared_statement_handle);
    let again = client.schema(&by_handle).await.unwrap();
    prop_assert_eq!(&again, &told, "GetSchema of the prepared statement");
    let mut ran = true;
    for command in [query(sql), by_handle] {
        let info = match client.info(&command).await {
            Ok(info) => info,
            // Planning works constants out, and some can't be; some subqueries have no plan where they stand.
            Err(refused) => {
                ran = false;
                let clear = [tonic::Code::InvalidArgument, tonic::Code::Unimplemented];
                prop_assert!(clear.contains(&refused.code()), "{}", refused);
                let polled = client.poll(&command).await.map(drop);
                prop_assert_eq!(polled.unwrap_err().code(), refused.code());
                continue;
            }
        };
        let tickets = tickets(&info);
        prop_assert_eq!(&info.try_decode_schema().unwrap(), &told, "GetFlightInfo");
        let polled = client.poll(&command).await.unwrap();
        let told_there = polled.clone().try_decode_schema().unwrap();
        prop_assert_eq!(&told_there, &told, "PollFlightInfo");
        prop_assert_eq!(polled.endpoint.is_empty(), tickets.is_empty());
        for ticket in tickets {
            // Once from the plan that waits, and once planned again from the ticket.
            for _ in 0..2 {
                let (stream, batches) = match client.fetch(ticket.clone()).await {
                    Ok(fetched) => fetched,
                    Err(failed) => {
                        ran = false;
                        prop_assert_ne!(failed.code(), tonic::Code::Internal, "{}", failed);
                        continue;
                    }
                };
                prop_assert_eq!(&*stream, &told, "DoGet");
                for batch in &batches {
                    prop_assert_eq!(&*batch.schema(), &told, "a batch");
                }
            }
        }
    }
    Ok(ran.then_some(told))
}

async fn started() -> (House, Service, Client, Vec<Source>) {
    let house = House::new();
    let service = house.serve(KEY, "target_partitions = 2").await;
    let mut client = service.client("ann").await;
    let sources = sources(&mut client).await;
    (house, service, client, sources)
}

#[test]
fn every_path_tells_the_same_schema_of_random_queries() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_house, _service, client, sources) = runtime.block_on(started());
    let cases: u32 = std::env::var("LANDFAST_PROPERTY_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(64);
    let agreed = std::cell::Cell::new(0);
    runner(cases)
        .run(&statements(sources), |sql| {
            let told = runtime.block_on(compared(&mut client.clone(), &sql))?;
            agreed.set(agreed.get() + u32::from(told.is_some()));
            Ok(())
        })
        .unwrap();
    let agreed = agreed.get();
    assert!(
        agreed * 2 > cases,
        "only {agreed} of {cases} queries ran: the others prove little"
    );
}

#[test]
fn every_column_of_every_table_has_the_same_schema_on_every_path() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_house, _service, mut client, sources) = runtime.block_on(started());
    for source in sources {
        let sql = format!("SELECT * FROM {}", source.sql);
        let told = runtime.block_on(compared(&mut client, &sql)).unwrap();
        assert!(told.is_some(), "{sql}");
    }
}
