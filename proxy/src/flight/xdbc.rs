//! The type catalogue (GetXdbcTypeInfo), by the names that `DESCRIBE` uses.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

use super::fault::Fault;

/// What a row of the catalogue says beyond what all rows say.
struct Row {
    name: &'static str,
    data_type: XdbcDataType,
    column_size: Option<i32>,
    quoted: Option<(&'static str, &'static str)>,
    params: &'static [&'static str],
    scales: Option<(i32, i32)>,
    radix: Option<i32>,
    unsigned: Option<bool>,
    /// The verbose type, where it is not `data_type`, and the subcode beneath it.
    datetime: Option<XdbcDatetimeSubcode>,
}

impl Row {
    const fn new(name: &'static str, data_type: XdbcDataType, column_size: Option<i32>) -> Self {
        Self {
            name,
            data_type,
            column_size,
            quoted: None,
            params: &[],
            scales: None,
            radix: None,
            unsigned: None,
            datetime: None,
        }
    }

    const fn integer(name: &'static str, data_type: XdbcDataType, digits: i32) -> Self {
        Self {
            scales: Some((0, 0)),
            radix: Some(10),
            unsigned: Some(false),
            ..Self::new(name, data_type, Some(digits))
        }
    }

    const fn float(name: &'static str, data_type: XdbcDataType, bits: i32) -> Self {
        Self {
            radix: Some(2),
            unsigned: Some(false),
            ..Self::new(name, data_type, Some(bits))
        }
    }

    const fn time(
        name: &'static str,
        data_type: XdbcDataType,
        characters: i32,
        prefix: &'static str,
        subcode: XdbcDatetimeSubcode,
    ) -> Self {
        Self {
            quoted: Some((prefix, "'")),
            datetime: Some(subcode),
            ..Self::new(name, data_type, Some(characters))
        }
    }
}

const ROWS: &[Row] = &[
    Row::new("BOOLEAN", XdbcDataType::XdbcBit, Some(1)),
    Row::integer("INTEGER", XdbcDataType::XdbcInteger, 10),
    Row::integer("BIGINT", XdbcDataType::XdbcBigint, 19),
    Row::float("REAL", XdbcDataType::XdbcReal, 24),
    Row::float("DOUBLE", XdbcDataType::XdbcDouble, 53),
    Row {
        params: &["precision", "scale"],
        scales: Some((0, 38)),
        radix: Some(10),
        unsigned: Some(false),
        ..Row::new("DECIMAL", XdbcDataType::XdbcDecimal, Some(38))
    },
    Row {
        quoted: Some(("'", "'")),
        ..Row::new("VARCHAR", XdbcDataType::XdbcVarchar, None)
    },
    Row {
        quoted: Some(("X'", "'")),
        ..Row::new("VARBINARY", XdbcDataType::XdbcVarbinary, None)
    },
    Row::time(
        "DATE",
        XdbcDataType::XdbcDate,
        10,
        "DATE '",
        XdbcDatetimeSubcode::XdbcSubcodeYear,
    ),
    Row {
        scales: Some((0, 6)),
        ..Row::time(
            "TIME",
            XdbcDataType::XdbcTime,
            15,
            "TIME '",
            XdbcDatetimeSubcode::XdbcSubcodeTime,
        )
    },
    Row {
        scales: Some((0, 9)),
        ..Row::time(
            "TIMESTAMP",
            XdbcDataType::XdbcTimestamp,
            29,
            "TIMESTAMP '",
            XdbcDatetimeSubcode::XdbcSubcodeTimestamp,
        )
    },
];

static CATALOGUE: LazyLock<Result<XdbcTypeInfoData, String>> = LazyLock::new(|| {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for row in ROWS {
        builder.append(XdbcTypeInfo {
            type_name: row.name.to_owned(),
            data_type: row.data_type,
            column_size: row.column_size,
            literal_prefix: row.quoted.map(|(prefix, _)| prefix.to_owned()),
            literal_suffix: row.quoted.map(|(_, suffix)| suffix.to_owned()),
            create_params: (!row.params.is_empty())
                .then(|| row.params.iter().map(|&name| name.to_owned()).collect()),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: row.data_type == XdbcDataType::XdbcVarchar,
            searchable: if row.data_type == XdbcDataType::XdbcVarchar {
                Searchable::Full
            } else {
                Searchable::Basic
            },
            unsigned_attribute: row.unsigned,
            fixed_prec_scale: false,
            auto_increment: None,
            local_type_name: Some(row.name.to_owned()),
            minimum_scale: row.scales.map(|(least, _)| least),
            maximum_scale: row.scales.map(|(_, most)| most),
            sql_data_type: if row.datetime.is_some() {
                XdbcDataType::XdbcDatetime
            } else {
                row.data_type
            },
            datetime_subcode: row.datetime,
            num_prec_radix: row.radix,
            interval_precision: None,
        });
    }
    builder.build().map_err(|error| error.to_string())
});

/// The catalogue, or its rows of one type.
pub(super) fn type_info(data_type: Option<i32>) -> Result<RecordBatch, Fault> {
    let catalogue = CATALOGUE.as_ref().map_err(Fault::internal)?;
    catalogue.record_batch(data_type).map_err(Fault::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_every_type_once_and_can_be_asked_for_one() {
        assert_eq!(type_info(None).unwrap().num_rows(), ROWS.len());
        let one = type_info(Some(XdbcDataType::XdbcBigint as i32)).unwrap();
        assert_eq!(one.num_rows(), 1);
        assert_eq!(type_info(Some(4_711)).unwrap().num_rows(), 0);
        assert_eq!(one.num_columns(), 19);
    }
}
