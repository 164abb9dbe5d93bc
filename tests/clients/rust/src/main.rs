//! What a Rust program does with ADBC's driver manager and the Flight SQL driver's shared library. Prints one line a
//! finding: a name, a tab, a value.
//!
//! Arguments: the library, a URI, a user, a password, a PEM file of roots.

use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;

use adbc_core::options::{AdbcVersion, InfoCode, ObjectDepth, OptionDatabase, OptionValue};
use adbc_core::{Connection, Database, Driver, Statement};
use adbc_driver_manager::{ManagedConnection, ManagedDriver};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchReader, StructArray};
use arrow_schema::{DataType, Field, Schema};

type Found<T> = Result<T, Box<dyn Error>>;

fn say(name: &str, value: impl Display) {
    println!("{name}\t{}", value.to_string().replace(['\n', '\t'], " "));
}

fn tried(name: &str, found: Result<impl Display, impl Display>) {
    match found {
        Ok(value) => say(name, value),
        Err(refused) => say(name, format!("refused: {refused}")),
    }
}

fn connect(arguments: &[String], password: &str) -> Found<ManagedConnection> {
    let roots = std::fs::read_to_string(&arguments[4])?;
    let mut driver =
        ManagedDriver::load_dynamic_from_filename(&arguments[0], None, AdbcVersion::V110)?;
    let options = [
        (OptionDatabase::Uri, arguments[1].as_str()),
        (OptionDatabase::Username, &arguments[2]),
        (OptionDatabase::Password, password),
        (
            OptionDatabase::Other("adbc.flight.sql.client_option.tls_root_certs".into()),
            &roots,
        ),
    ];
    let options = options.map(|(key, value)| (key, OptionValue::from(value)));
    Ok(driver.new_database_with_opts(options)?.new_connection()?)
}

fn batches(reader: impl RecordBatchReader) -> Found<Vec<RecordBatch>> {
    Ok(reader.collect::<Result<_, _>>()?)
}

fn query(connection: &mut ManagedConnection, sql: &str) -> Found<Vec<RecordBatch>> {
    let mut statement = connection.new_statement()?;
    statement.set_sql_query(sql)?;
    batches(statement.execute()?)
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// The texts of the column of this name.
fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let columns = batches
        .iter()
        .filter_map(|batch| batch.column_by_name(column));
    let texts = columns.flat_map(|column| {
        let texts = column.as_string::<i32>().iter();
        texts
            .map(|text| text.unwrap_or("NULL").to_owned())
            .collect::<Vec<_>>()
    });
    texts.collect()
}

fn bound(connection: &mut ManagedConnection) -> Found<String> {
    let mut statement = connection.new_statement()?;
    statement
        .set_sql_query("select n_name from lake.tpch.nation where n_nationkey = ? order by 1")?;
    statement.prepare()?;
    say(
        "parameters",
        statement.get_parameter_schema()?.fields().len(),
    );
    let schema = Schema::new(vec![Field::new("1", DataType::Int64, true)]);
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![3, 7]));
    statement.bind(RecordBatch::try_new(Arc::new(schema), vec![keys])?)?;
    Ok(texts(&batches(statement.execute()?)?, "n_name").join(" "))
}

/// How many rows, and the sum of their keys.
fn keys(batches: &[RecordBatch]) -> Found<String> {
    let mut sum = 0;
    for batch in batches {
        let keys = batch.column_by_name("o_orderkey").ok_or("no o_orderkey")?;
        sum += keys
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .sum::<i64>();
    }
    Ok(format!("{} {sum}", rows(batches)))
}

fn partitions(connection: &mut ManagedConnection, sql: &str) -> Found<String> {
    let mut statement = connection.new_statement()?;
    statement.set_sql_query(sql)?;
    let result = statement.execute_partitions()?;
    let mut read = vec![];
    for partition in &result.partitions {
        read.extend(batches(connection.read_partition(partition)?)?);
    }
    let count = match result.partitions.len() {
        0 | 1 => "one",
        _ => "several",
    };
    Ok(format!("{} {count}", keys(&read)?))
}

/// The names that objects have, down to some depth, joined by dots.
fn objects(connection: &ManagedConnection, depth: ObjectDepth) -> Found<String> {
    let schema = (depth != ObjectDepth::Catalogs).then_some("tpch");
    let table = matches!(depth, ObjectDepth::All).then_some("nation");
    let reader = connection.get_objects(depth, Some("lake"), schema, table, None, None)?;
    let mut found = vec![];
    for batch in batches(reader)? {
        names(&StructArray::from(batch), "", &mut found);
    }
    Ok(found.join(" "))
}

/// A level of objects has names in its first column, and the next level as lists in one that is named for it.
fn names(level: &StructArray, above: &str, found: &mut Vec<String>) {
    const BELOW: [&str; 3] = ["catalog_db_schemas", "db_schema_tables", "table_columns"];
    let below = BELOW.iter().find_map(|name| level.column_by_name(name));
    for row in 0..level.len() {
        let name = format!("{above}{}", level.column(0).as_string::<i32>().value(row));
        match below.filter(|lists| lists.is_valid(row)) {
            Some(lists) => names(
                lists.as_list::<i32>().value(row).as_struct(),
                &format!("{name}."),
                found,
            ),
            None => found.push(name),
        }
    }
}

/// A result that never ends, cancelled from another thread's handle once its first batch is there.
fn cancelled(connection: &mut ManagedConnection) -> Found<String> {
    let mut statement = connection.new_statement()?;
    statement.set_sql_query("select value from generate_series(1, 1000000000000) -- from rust")?;
    let handle = statement.get_cancel_handle();
    let mut reader = statement.execute()?;
    reader.next().ok_or("no first batch")??;
    std::thread::spawn(move || handle.try_cancel())
        .join()
        .map_err(|_| "the canceller panicked")??;
    let ended = reader.find_map(Result::err).ok_or("it came to its end")?;
    Ok(ended.to_string())
}

fn main() -> Found<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut connection = connect(&arguments, &arguments[3])?;
    let nations = query(
        &mut connection,
        "select n_name from lake.tpch.nation order by 1",
    )?;
    say("nations", rows(&nations));
    say("first nation", &texts(&nations, "n_name")[0]);
    tried("bound", bound(&mut connection));
    let all = "select * from lake.tpch.orders";
    tried("partitions", partitions(&mut connection, all));
    say("orders", keys(&query(&mut connection, all)?)?);
    let ordered = query(&mut connection, &format!("{all} order by o_orderkey"))?;
    say("ordered", keys(&ordered)?);
    let typed = query(
        &mut connection,
        "select * from lake.types.pyiceberg_all_types order by id",
    )?;
    let types = typed[0].schema();
    let types: Vec<String> = types
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    say("types", types.join(" "));
    say("rows of every type", rows(&typed));

    let mut statement = connection.new_statement()?;
    statement.set_sql_query("set landfast.placement = 'origin'")?;
    statement.execute_update()?;
    let shown = query(&mut connection, "show landfast.placement")?;
    say("set", texts(&shown, "value").join(" "));

    for (name, depth) in [
        ("catalogs", ObjectDepth::Catalogs),
        ("schemas", ObjectDepth::Schemas),
        ("tables", ObjectDepth::Tables),
        ("all", ObjectDepth::All),
    ] {
        tried(&format!("objects {name}"), objects(&connection, depth));
    }
    let table = connection.get_table_schema(Some("lake"), Some("tpch"), "nation")?;
    say(
        "table schema",
        format!("{} of {}", table.field(1).name(), table.fields().len()),
    );
    let kinds = batches(connection.get_table_types()?)?;
    say("table types", texts(&kinds, "table_type").join(" "));
    let vendor = batches(connection.get_info(Some([InfoCode::VendorName].into()))?)?;
    say("info", rows(&vendor));

    tried("cancelled", cancelled(&mut connection));
    tried(
        "unknown",
        query(&mut connection, "select * from lake.tpch.nations").map(|found| rows(&found)),
    );
    let stranger =
        connect(&arguments, "wrong").and_then(|mut stranger| query(&mut stranger, "select 1"));
    tried("wrong password", stranger.map(|found| rows(&found)));
    Ok(())
}
