//! Files that their writer sorted: a scan that gives rows in that order, where something above it would sort them.
//!
//! - [`order_of`]: in which order the rows of every file are, by the sort order that each file's manifest entry names.
//! - [`chains`]: files one after the other where their bounds don't overlap, and otherwise in streams of their own.
//! - [`SortedScans`]: puts such a scan in the place of the usual one, where the plan has a use for the order.
//! - [`OrderCheck`]: fails the query where a file isn't in the order that its manifest entry names.
//!
//! # Invariants
//! - No file is taken for sorted that has no sort order id, or one that the table doesn't know.
//! - Only columns whose values every writer orders as Arrow does count; the first other one ends the order.

mod chains;
mod check;
mod rule;

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use iceberg::spec::{
    NestedFieldRef, NullOrder, PrimitiveType, SortDirection, SortField, SortOrder, Transform,
};
use landfast_catalog::{DataFile, TableSnapshot};

pub(super) use check::{OrderCheck, keys_left};
pub(super) use rule::SortedScans;

/// The id of the order of files that nobody sorted.
const UNSORTED: i32 = 0;

/// One column of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    /// The column's position among the table's columns.
    at: usize,
    name: String,
    options: SortOptions,
}

/// The order that the rows of each of these files are in: what the orders of all of them begin with.
pub(super) fn order_of(table: &TableSnapshot, files: &[&DataFile]) -> Option<LexOrdering> {
    let mut ids: Vec<Option<i32>> = files.iter().map(|file| file.sort_order_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let fields = table.schema().as_struct().fields();
    let mut common: Option<Vec<Key>> = None;
    for id in ids {
        let id = id.filter(|id| *id != UNSORTED)?;
        let order = table.metadata.sort_order_by_id(i64::from(id))?;
        let keys = keys(order, fields);
        let common = common.get_or_insert_with(|| keys.clone());
        let same = common.iter().zip(&keys).take_while(|(a, b)| a == b);
        common.truncate(same.count());
    }
    LexOrdering::new(common?.into_iter().map(|key| {
        let column = Arc::new(Column::new(&key.name, key.at));
        PhysicalSortExpr::new(column, key.options)
    }))
}

/// The columns that an order begins with.
fn keys(order: &SortOrder, fields: &[NestedFieldRef]) -> Vec<Key> {
    let keys = order.fields.iter().map_while(|field| key(field, fields));
    keys.collect()
}

fn key(sorted: &SortField, fields: &[NestedFieldRef]) -> Option<Key> {
    if sorted.transform != Transform::Identity {
        return None;
    }
    let at = fields
        .iter()
        .position(|field| field.id == sorted.source_id)?;
    let of = fields[at].field_type.as_primitive_type()?;
    ordered_alike(of).then(|| Key {
        at,
        name: fields[at].name.clone(),
        options: SortOptions {
            descending: sorted.direction == SortDirection::Descending,
            nulls_first: sorted.null_order == NullOrder::First,
        },
    })
}

/// Whether all writers order the values as Arrow does. For floats the zeros and NaN differ, for uuids, and for bytes
/// without a character set, the sign. A promotion keeps the order of what was written before it.
fn ordered_alike(of: &PrimitiveType) -> bool {
    use PrimitiveType as T;
    match of {
        T::Boolean
        | T::Int
        | T::Long
        | T::Decimal { .. }
        | T::Date
        | T::Time
        | T::Timestamp
        | T::Timestamptz
        | T::TimestampNs
        | T::TimestamptzNs
        | T::String => true,
        T::Float | T::Double | T::Uuid | T::Fixed(_) | T::Binary => false,
    }
}
