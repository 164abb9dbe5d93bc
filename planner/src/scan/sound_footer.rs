//! What of a Parquet footer can be believed.
//!
//! The Arrow reader takes minima and maxima as they stand. Old writers (parquet-mr before 1.10, Impala, Hive) compared
//! bytes as signed numbers, in fields that are deprecated for that reason; and where a file doesn't say in which order
//! its columns are, the specification has readers ignore the bounds of everything but plain numbers. Such bounds would
//! leave rows out, so they are dropped when a footer is loaded, once for all queries.
//!
//! Likewise it reads columns annotated as JSON as text without a look at their bytes. Annotated as plain text, they are
//! checked.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, SortOrder, Type as PhysicalType};
use parquet::errors::Result;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataBuilder, RowGroupMetaData,
};
use parquet::file::statistics::Statistics;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

/// The metadata without bounds that may be wrong (null counts stay), and with all text checked.
pub(super) fn sound(metadata: ParquetMetaData) -> Result<ParquetMetaData> {
    let metadata = without_doubtful_bounds(metadata)?;
    let columns = metadata.file_metadata().schema_descr().columns();
    if !columns.iter().any(|column| is_json(column.self_type())) {
        return Ok(metadata);
    }
    let file = metadata.file_metadata();
    let schema = with_text_for_json(file.schema_descr().root_schema())?;
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(ToOwned::to_owned),
        file.key_value_metadata().cloned(),
        Arc::new(SchemaDescriptor::new(schema)),
        file.column_orders().cloned(),
    );
    let builder = ParquetMetaDataBuilder::new(file)
        .set_row_groups(metadata.row_groups().to_vec())
        .set_column_index(metadata.column_index().cloned())
        .set_offset_index(metadata.offset_index().cloned());
    Ok(builder.build())
}

fn is_json(of: &Type) -> bool {
    let info = of.get_basic_info();
    of.is_primitive()
        && (info.converted_type() == ConvertedType::JSON
            || info.logical_type_ref() == Some(&LogicalType::Json))
}

fn with_text_for_json(of: &Type) -> Result<TypePtr> {
    let info = of.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if is_json(of) {
        let text = Type::primitive_type_builder(of.name(), PhysicalType::BYTE_ARRAY)
            .with_repetition(info.repetition())
            .with_logical_type(Some(LogicalType::String))
            .with_id(id);
        return Ok(Arc::new(text.build()?));
    }
    if of.is_primitive() {
        return Ok(Arc::new(of.clone()));
    }
    let fields = of.get_fields().iter();
    let fields: Result<Vec<TypePtr>> = fields.map(|field| with_text_for_json(field)).collect();
    let mut group = Type::group_type_builder(of.name())
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_fields(fields?)
        .with_id(id);
    // The root has none.
    if info.has_repetition() {
        group = group.with_repetition(info.repetition());
    }
    Ok(Arc::new(group.build()?))
}

fn without_doubtful_bounds(metadata: ParquetMetaData) -> Result<ParquetMetaData> {
    let ordered = metadata.file_metadata().column_orders().is_some();
    let doubtful = metadata.row_groups().iter().any(|group| {
        group
            .columns()
            .iter()
            .any(|column| is_doubtful(column, ordered))
    });
    if !doubtful {
        return Ok(metadata);
    }
    let mut builder: ParquetMetaDataBuilder = metadata.into_builder();
    let groups = builder.take_row_groups();
    let groups: Result<Vec<RowGroupMetaData>> = groups
        .into_iter()
        .map(|group| without_doubtful(group, ordered))
        .collect();
    builder = builder.set_row_groups(groups?);
    if !ordered {
        // Pages' bounds are in the columns' orders as well.
        builder = builder.set_column_index(None);
    }
    Ok(builder.build())
}

fn without_doubtful(group: RowGroupMetaData, ordered: bool) -> Result<RowGroupMetaData> {
    let mut builder = group.into_builder();
    let columns = builder.take_columns().into_iter().map(|column| {
        if is_doubtful(&column, ordered) {
            without_bounds(column)
        } else {
            Ok(column)
        }
    });
    let columns: Result<Vec<ColumnChunkMetaData>> = columns.collect();
    builder.set_column_metadata(columns?).build()
}

/// Whether the column has bounds in an order that nobody knows.
fn is_doubtful(column: &ColumnChunkMetaData, ordered: bool) -> bool {
    let Some(known) = column.statistics() else {
        return false;
    };
    let bounded = known.min_bytes_opt().is_some() || known.max_bytes_opt().is_some();
    let number = match column.column_type() {
        PhysicalType::BOOLEAN | PhysicalType::FLOAT | PhysicalType::DOUBLE => true,
        PhysicalType::INT32 | PhysicalType::INT64 => {
            column.column_descr().sort_order() == SortOrder::SIGNED
        }
        PhysicalType::INT96 | PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY => {
            false
        }
    };
    bounded && !number && (known.is_min_max_deprecated() || !ordered)
}

fn without_bounds(column: ColumnChunkMetaData) -> Result<ColumnChunkMetaData> {
    let Some(known) = column.statistics() else {
        return Ok(column);
    };
    let (distinct, nulls) = (known.distinct_count_opt(), known.null_count_opt());
    let kept = match known {
        Statistics::Int32(_) => Statistics::int32(None, None, distinct, nulls, false),
        Statistics::Int64(_) => Statistics::int64(None, None, distinct, nulls, false),
        Statistics::Int96(_) => Statistics::int96(None, None, distinct, nulls, false),
        Statistics::FixedLenByteArray(_) => {
            Statistics::fixed_len_byte_array(None, None, distinct, nulls, false)
        }
        Statistics::ByteArray(_) => Statistics::byte_array(None, None, distinct, nulls, false),
        Statistics::Boolean(_) | Statistics::Float(_) | Statistics::Double(_) => {
            return Ok(column);
        }
    };
    column.into_builder().set_statistics(kept).build()
}
