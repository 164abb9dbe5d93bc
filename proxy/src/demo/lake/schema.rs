//! The eight tables of TPC-H: names, columns and partitioning.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use iceberg::spec::{NestedField, PrimitiveType, Schema, Transform, Type, UnboundPartitionSpec};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::generate;

/// A table of TPC-H, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TpchTable {
    /// Order lines; partitioned by the month of `l_shipdate`.
    Lineitem,
    /// Orders; partitioned by the month of `o_orderdate`.
    Orders,
    /// Which supplier sells which part.
    Partsupp,
    /// Parts.
    Part,
    /// Customers.
    Customer,
    /// Suppliers.
    Supplier,
    /// Nations.
    Nation,
    /// Regions.
    Region,
}

/// All eight, the largest first.
pub const TPCH_TABLES: [TpchTable; 8] = [
    TpchTable::Lineitem,
    TpchTable::Orders,
    TpchTable::Partsupp,
    TpchTable::Part,
    TpchTable::Customer,
    TpchTable::Supplier,
    TpchTable::Nation,
    TpchTable::Region,
];

impl TpchTable {
    /// The table's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lineitem => "lineitem",
            Self::Orders => "orders",
            Self::Partsupp => "partsupp",
            Self::Part => "part",
            Self::Customer => "customer",
            Self::Supplier => "supplier",
            Self::Nation => "nation",
            Self::Region => "region",
        }
    }

    /// The date whose month a row's partition is.
    pub(super) fn partition_column(self) -> Option<&'static str> {
        match self {
            Self::Lineitem => Some("l_shipdate"),
            Self::Orders => Some("o_orderdate"),
            _ => None,
        }
    }

    /// About how many rows there are; exact for all but `lineitem`.
    pub fn rows(self, scale_factor: f64) -> u64 {
        let at_one: u32 = match self {
            Self::Lineitem => 6_001_215,
            Self::Orders => 1_500_000,
            Self::Partsupp => 800_000,
            Self::Part => 200_000,
            Self::Customer => 150_000,
            Self::Supplier => 10_000,
            Self::Nation => return 25,
            Self::Region => return 5,
        };
        (f64::from(at_one) * scale_factor) as u64
    }

    /// The columns as Arrow has them, each with its Iceberg field id (from 1, in order).
    pub(super) fn arrow_schema(self) -> SchemaRef {
        let generated = generate::schema(self);
        let fields: Vec<Field> = generated
            .fields()
            .iter()
            .zip(1..)
            .map(|(field, id): (_, i32)| {
                field.as_ref().clone().with_metadata(HashMap::from([(
                    PARQUET_FIELD_ID_META_KEY.to_owned(),
                    id.to_string(),
                )]))
            })
            .collect();
        Arc::new(ArrowSchema::new(fields))
    }

    /// The columns as Iceberg has them.
    pub(super) fn iceberg_schema(self) -> iceberg::Result<Schema> {
        let fields = self
            .arrow_schema()
            .fields()
            .iter()
            .zip(1..)
            .map(|(field, id)| {
                let primitive = primitive(field.data_type())?;
                Ok(Arc::new(NestedField::required(
                    id,
                    field.name(),
                    Type::Primitive(primitive),
                )))
            })
            .collect::<iceberg::Result<Vec<_>>>()?;
        Schema::builder()
            .with_schema_id(0)
            .with_fields(fields)
            .build()
    }

    /// How rows fall into partitions.
    pub(super) fn partition_spec(self, schema: &Schema) -> iceberg::Result<UnboundPartitionSpec> {
        let builder = UnboundPartitionSpec::builder().with_spec_id(0);
        let Some(column) = self.partition_column() else {
            return Ok(builder.build());
        };
        let source = schema.field_id_by_name(column).ok_or_else(|| {
            iceberg::Error::new(
                iceberg::ErrorKind::Unexpected,
                format!("no column {column}"),
            )
        })?;
        Ok(builder
            .add_partition_field(source, format!("{column}_month"), Transform::Month)?
            .build())
    }
}

fn primitive(data_type: &DataType) -> iceberg::Result<PrimitiveType> {
    Ok(match data_type {
        DataType::Int32 => PrimitiveType::Int,
        DataType::Int64 => PrimitiveType::Long,
        DataType::Date32 => PrimitiveType::Date,
        DataType::Utf8View => PrimitiveType::String,
        DataType::Decimal128(precision, scale) => PrimitiveType::Decimal {
            precision: u32::from(*precision),
            scale: u32::from(scale.unsigned_abs()),
        },
        other => {
            return Err(iceberg::Error::new(
                iceberg::ErrorKind::FeatureUnsupported,
                format!("TPC-H has no {other}"),
            ));
        }
    })
}

impl fmt::Display for TpchTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
