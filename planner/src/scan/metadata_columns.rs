//! Columns that every table has and `*` leaves out: which file a row is in, where, and its lineage.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

/// The data file that a row is in, as its metadata names it.
pub const FILE: &str = "_file";
/// The row's position in its file, from zero.
pub const POS: &str = "_pos";
/// The row's id (format v3), which stays its own while it moves between files; null in tables without row lineage.
pub const ROW_ID: &str = "_row_id";
/// The sequence number of the commit that last changed the row (format v3); null in tables without row lineage.
pub const LAST_UPDATED_SEQUENCE_NUMBER: &str = "_last_updated_sequence_number";

/// The metadata columns, in the order in which they follow a table's own.
pub static METADATA_COLUMNS: LazyLock<[FieldRef; 4]> = LazyLock::new(|| {
    let field = |name: &str, of, nullable| Arc::new(Field::new(name, of, nullable));
    [
        field(FILE, DataType::Utf8View, false),
        field(POS, DataType::Int64, false),
        field(ROW_ID, DataType::Int64, true),
        field(LAST_UPDATED_SEQUENCE_NUMBER, DataType::Int64, true),
    ]
});

/// A table's columns, and after them those metadata columns whose name none of its own has.
pub fn with_metadata_columns(own: &Schema) -> SchemaRef {
    let more = METADATA_COLUMNS
        .iter()
        .filter(|field| own.column_with_name(field.name()).is_none());
    let fields: Vec<FieldRef> = own.fields().iter().chain(more).cloned().collect();
    Arc::new(Schema::new_with_metadata(fields, own.metadata().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_columns_follow_the_tables_own_and_give_way_to_them() {
        let own = Schema::new(vec![
            Field::new("_pos", DataType::Utf8, true),
            Field::new("a", DataType::Int64, true),
        ]);
        let all = with_metadata_columns(&own);
        let names: Vec<&str> = all.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(
            names,
            ["_pos", "a", FILE, ROW_ID, LAST_UPDATED_SEQUENCE_NUMBER]
        );
        assert_eq!(*all.field(0).data_type(), DataType::Utf8);
    }
}
