//! The shapes of what the listing commands give.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, RecordBatch, UnionArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UnionFields};
use arrow::error::ArrowError;
use arrow_flight::sql::Command;
use arrow_flight::sql::metadata::{SqlInfoDataBuilder, XdbcTypeInfoDataBuilder};

use super::command::short_name;
use super::refusal::Refusal;

/// The shape of GetPrimaryKeys. The protocol's text has the last two columns the other way round; every
/// implementation of Arrow's own, and their common tests, have them so.
pub(in crate::flight) static PRIMARY_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("key_name", DataType::Utf8, true),
    ]))
});

/// The shape of GetExportedKeys, GetImportedKeys and GetCrossReference.
pub(in crate::flight) static FOREIGN_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
});

/// The shape of GetSqlInfo: as `arrow-flight` has it, but that no member of the union is nullable.
static SQL_INFO: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields = SqlInfoDataBuilder::schema().fields().iter();
    let fields = fields.map(|field| match field.data_type() {
        DataType::Union(members, mode) => {
            let members = DataType::Union(not_nullable(members), *mode);
            Arc::new(field.as_ref().clone().with_data_type(members))
        }
        _ => FieldRef::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
});

fn not_nullable(members: &UnionFields) -> UnionFields {
    let members = members.iter();
    members
        .map(|(id, member)| (id, Arc::new(member.as_ref().clone().with_nullable(false))))
        .collect()
}

/// What `arrow-flight` builds for GetSqlInfo, in the shape that [`listing_schema`] tells.
///
/// # Errors
/// When the batch is another.
pub fn sql_info_batch(built: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = built.columns().iter().map(|column| {
        let Some(union) = column.as_any().downcast_ref::<UnionArray>() else {
            return Ok(Arc::clone(column));
        };
        let (members, kinds, offsets, children) = union.clone().into_parts();
        let union = UnionArray::try_new(not_nullable(&members), kinds, offsets, children)?;
        Ok(Arc::new(union) as _)
    });
    RecordBatch::try_new(
        SQL_INFO.clone(),
        columns.collect::<Result<_, ArrowError>>()?,
    )
}

/// The shape of what a command gives that lists what there is; a command of another kind is refused.
pub fn listing_schema(command: &Command) -> Result<SchemaRef, Refusal> {
    Ok(match command {
        Command::CommandGetCatalogs(command) => command.into_builder().schema(),
        Command::CommandGetDbSchemas(command) => command.clone().into_builder().schema(),
        Command::CommandGetTables(command) => command.clone().into_builder().schema(),
        Command::CommandGetTableTypes(command) => command.into_builder().schema(),
        Command::CommandGetSqlInfo(_) => SQL_INFO.clone(),
        Command::CommandGetXdbcTypeInfo(_) => XdbcTypeInfoDataBuilder::new().schema(),
        Command::CommandGetPrimaryKeys(_) => PRIMARY_KEYS.clone(),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => FOREIGN_KEYS.clone(),
        other => return Err(not_a_listing(other)),
    })
}

/// Refuses a command that is no listing one where one is wanted.
pub(in crate::flight) fn not_a_listing(command: &Command) -> Refusal {
    Refusal::malformed(format!(
        "{} is not fetched as a flight",
        short_name(command.type_url())
    ))
}
