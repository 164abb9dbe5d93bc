//! TPC-H rows from `tpchgen`, in batches.

use arrow::datatypes::SchemaRef;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow,
    RecordBatchIterator, RegionArrow, SupplierArrow,
};

use super::TpchTable;

/// Rows of one batch: enough that a month's share of it is worth a call of the writer.
const BATCH_ROWS: usize = 64 * 1024;

/// The rows of part `part` (from 1) of `parts`.
pub(super) fn batches(
    table: TpchTable,
    scale_factor: f64,
    part: i32,
    parts: i32,
) -> Box<dyn RecordBatchIterator> {
    let sf = scale_factor;
    match table {
        TpchTable::Lineitem => Box::new(
            LineItemArrow::new(LineItemGenerator::new(sf, part, parts)).with_batch_size(BATCH_ROWS),
        ),
        TpchTable::Orders => Box::new(
            OrderArrow::new(OrderGenerator::new(sf, part, parts)).with_batch_size(BATCH_ROWS),
        ),
        TpchTable::Partsupp => Box::new(
            PartSuppArrow::new(PartSuppGenerator::new(sf, part, parts)).with_batch_size(BATCH_ROWS),
        ),
        TpchTable::Part => Box::new(
            PartArrow::new(PartGenerator::new(sf, part, parts)).with_batch_size(BATCH_ROWS),
        ),
        TpchTable::Customer => Box::new(
            CustomerArrow::new(CustomerGenerator::new(sf, part, parts)).with_batch_size(BATCH_ROWS),
        ),
        TpchTable::Supplier => Box::new(
            SupplierArrow::new(SupplierGenerator::new(sf, part, parts)).with_batch_size(BATCH_ROWS),
        ),
        TpchTable::Nation => Box::new(NationArrow::new(NationGenerator::new(sf, part, parts))),
        TpchTable::Region => Box::new(RegionArrow::new(RegionGenerator::new(sf, part, parts))),
    }
}

/// The columns that the batches have.
pub(super) fn schema(table: TpchTable) -> SchemaRef {
    // No row is made before the first batch is asked for.
    SchemaRef::clone(batches(table, 0.001, 1, 1).schema())
}
