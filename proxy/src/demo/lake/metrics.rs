//! What a manifest says about a data file, taken from the Parquet footer that was just written.

use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, PrimitiveType,
    Schema, Struct,
};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

/// Bounds of text are cut to this many letters, as Iceberg's writers do by default.
const TEXT_BOUND_LETTERS: usize = 16;

/// The manifest's entry for a file of `bytes` bytes at `uri`, with the counts and bounds of its footer: of integers, dates,
/// times, decimals in 64 bits and text. The columns stand in the file as in `schema`, and none is nested; `month` is its
/// partition, if the table has any.
///
/// # Errors
/// When a bound in the footer is none of the column's type.
pub fn data_file(
    uri: &str,
    bytes: u64,
    month: Option<i32>,
    schema: &Schema,
    footer: &ParquetMetaData,
) -> iceberg::Result<DataFile> {
    let mut sizes = std::collections::HashMap::new();
    let mut values = std::collections::HashMap::new();
    let mut nulls = std::collections::HashMap::new();
    let mut lowers = std::collections::HashMap::new();
    let mut uppers = std::collections::HashMap::new();
    for (index, field) in schema.as_struct().fields().iter().enumerate() {
        let Some(primitive) = field.field_type.as_primitive_type() else {
            continue;
        };
        let mut range: Option<Range> = None;
        let mut known = true;
        for group in footer.row_groups() {
            let chunk = group.column(index);
            *sizes.entry(field.id).or_insert(0) += to_u64(chunk.compressed_size());
            *values.entry(field.id).or_insert(0) += to_u64(group.num_rows());
            let statistics = chunk.statistics();
            *nulls.entry(field.id).or_insert(0) += statistics
                .and_then(Statistics::null_count_opt)
                .unwrap_or_default();
            match statistics.and_then(Range::of) {
                Some(found) => range = Some(found.union(range)),
                None => known = false,
            }
        }
        if let (true, Some(range)) = (known, range) {
            let (lower, upper) = range.bounds(primitive)?;
            lowers.insert(field.id, lower);
            if let Some(upper) = upper {
                uppers.insert(field.id, upper);
            }
        }
    }
    let partition = match month {
        Some(month) => Struct::from_iter([Some(Literal::int(month))]),
        None => Struct::empty(),
    };
    let split_offsets = footer
        .row_groups()
        .iter()
        .map(|group| group.column(0).byte_range().0)
        .map(|offset| i64::try_from(offset).unwrap_or(i64::MAX))
        .collect();
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(uri.to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(partition)
        .partition_spec_id(0)
        .record_count(to_u64(footer.file_metadata().num_rows()))
        .file_size_in_bytes(bytes)
        .column_sizes(sizes)
        .value_counts(values)
        .null_value_counts(nulls)
        .lower_bounds(lowers)
        .upper_bounds(uppers)
        .split_offsets(Some(split_offsets))
        .sort_order_id(0)
        .build()
        .map_err(|e| iceberg::Error::new(iceberg::ErrorKind::Unexpected, e.to_string()))
}

fn to_u64(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// The least and the greatest value of a column, as Parquet has them.
enum Range {
    Int(i32, i32),
    Long(i64, i64),
    Text(Vec<u8>, Vec<u8>),
}

impl Range {
    fn of(statistics: &Statistics) -> Option<Self> {
        match statistics {
            Statistics::Int32(s) => Some(Self::Int(*s.min_opt()?, *s.max_opt()?)),
            Statistics::Int64(s) => Some(Self::Long(*s.min_opt()?, *s.max_opt()?)),
            Statistics::ByteArray(s) => Some(Self::Text(
                s.min_opt()?.data().to_vec(),
                s.max_opt()?.data().to_vec(),
            )),
            _ => None,
        }
    }

    fn union(self, other: Option<Self>) -> Self {
        match (self, other) {
            (Self::Int(a, b), Some(Self::Int(c, d))) => Self::Int(a.min(c), b.max(d)),
            (Self::Long(a, b), Some(Self::Long(c, d))) => Self::Long(a.min(c), b.max(d)),
            (Self::Text(a, b), Some(Self::Text(c, d))) => Self::Text(a.min(c), b.max(d)),
            (this, _) => this,
        }
    }

    /// The lower bound, and the upper one unless none can be written.
    fn bounds(self, primitive: &PrimitiveType) -> iceberg::Result<(Datum, Option<Datum>)> {
        let datum = |bytes: &[u8]| Datum::try_from_bytes(bytes, primitive.clone());
        Ok(match self {
            Self::Int(low, high) => (
                datum(&low.to_le_bytes())?,
                Some(datum(&high.to_le_bytes())?),
            ),
            // A decimal is an integer in Parquet, and big-endian in a manifest.
            Self::Long(low, high) if matches!(primitive, PrimitiveType::Decimal { .. }) => (
                datum(&low.to_be_bytes())?,
                Some(datum(&high.to_be_bytes())?),
            ),
            Self::Long(low, high) => (
                datum(&low.to_le_bytes())?,
                Some(datum(&high.to_le_bytes())?),
            ),
            Self::Text(low, high) => {
                let low = String::from_utf8_lossy(&low);
                let high = String::from_utf8_lossy(&high);
                (
                    Datum::string(text_lower(&low)),
                    text_upper(&high).map(Datum::string),
                )
            }
        })
    }
}

/// At most as great as `text`, and short.
fn text_lower(text: &str) -> String {
    text.chars().take(TEXT_BOUND_LETTERS).collect()
}

/// At least as great as `text`, and short; none if no such text exists.
fn text_upper(text: &str) -> Option<String> {
    if text.chars().count() <= TEXT_BOUND_LETTERS {
        return Some(text.to_owned());
    }
    let mut letters: Vec<char> = text.chars().take(TEXT_BOUND_LETTERS).collect();
    while let Some(last) = letters.pop() {
        if let Some(next) = successor(last) {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

/// The next letter; what lies between U+D7FF and U+E000 is none.
fn successor(letter: char) -> Option<char> {
    (u32::from(letter) + 1..=u32::from(char::MAX)).find_map(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::{text_lower, text_upper};

    #[test]
    fn a_short_text_is_its_own_bound() {
        assert_eq!(text_lower("AIR"), "AIR");
        assert_eq!(text_upper("AIR").as_deref(), Some("AIR"));
    }

    #[test]
    fn a_long_upper_bound_is_cut_and_raised() {
        assert_eq!(text_lower("abcdefghijklmnopqr"), "abcdefghijklmnop");
        assert_eq!(
            text_upper("abcdefghijklmnopqr").as_deref(),
            Some("abcdefghijklmnoq")
        );
        assert!(*"abcdefghijklmnoq" > *"abcdefghijklmnopqr");
    }

    #[test]
    fn the_greatest_letters_carry_over_and_may_leave_no_bound() {
        let greatest = char::MAX.to_string();
        let carried = format!("a{}x", greatest.repeat(15));
        assert_eq!(text_upper(&carried).as_deref(), Some("b"));
        assert_eq!(text_upper(&greatest.repeat(17)), None);
        assert_eq!(
            text_upper(&format!("{}\u{d7ff}xx", "a".repeat(15))).as_deref(),
            Some(format!("{}\u{e000}", "a".repeat(15)).as_str())
        );
    }
}
