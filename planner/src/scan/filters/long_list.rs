//! A list of many values that a column is looked for in.
//!
//! Whatever is done with a filter before it is evaluated goes over all of its nodes, several times for each file, and each
//! value of a list is one. Here there is none but the column: the list is of use for nothing but being evaluated.

use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

/// `column IN (…)`, with the column as its only child.
#[derive(Debug)]
pub(super) struct LongList {
    column: Arc<dyn PhysicalExpr>,
    /// The list as the engine knows it: its children are the column and the values.
    list: Arc<dyn PhysicalExpr>,
}

impl LongList {
    /// `list` is about `column`.
    pub(super) fn new(column: &Arc<dyn PhysicalExpr>, list: &Arc<dyn PhysicalExpr>) -> Self {
        Self {
            column: Arc::clone(column),
            list: Arc::clone(list),
        }
    }
}

impl Display for LongList {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let values = self.list.children().len().saturating_sub(1);
        write!(f, "{} IN ({values} values)", self.column)
    }
}

impl PartialEq for LongList {
    fn eq(&self, other: &Self) -> bool {
        self.list.eq(&other.list)
    }
}

impl Eq for LongList {}

impl Hash for LongList {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
    }
}

impl PhysicalExpr for LongList {
    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.list.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.list.nullable(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.list.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [column] = children.as_slice() else {
            return internal_err!("a list is about exactly one column");
        };
        let own = self.list.children().into_iter().skip(1);
        let all = std::iter::once(column).chain(own).map(Arc::clone);
        let list = Arc::clone(&self.list).with_new_children(all.collect())?;
        Ok(Arc::new(Self::new(column, &list)))
    }

    fn fmt_sql(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.list.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use datafusion::common::cast::as_boolean_array;
    use datafusion::physical_expr::expressions::{Column, in_list, lit};

    use super::*;

    #[test]
    fn a_list_has_its_column_as_its_only_child_and_follows_it_to_another_place() {
        let numbers = |of: [Option<i64>; 4]| Arc::new(Int64Array::from(of.to_vec())) as ArrayRef;
        let batch = RecordBatch::try_from_iter([
            ("a", numbers([Some(1), Some(2), None, Some(40)])),
            ("b", numbers([Some(40), None, Some(1), Some(2)])),
        ])
        .unwrap();
        let column = |at| Arc::new(Column::new(["a", "b"][at], at)) as Arc<dyn PhysicalExpr>;
        let values = (0..30_i64).map(|n| lit(n * 2)).collect();
        let list = in_list(column(0), values, &false, &batch.schema()).unwrap();
        let list = Arc::new(LongList::new(&column(0), &list));
        assert_eq!(list.children(), [&column(0)]);
        assert_eq!(list.to_string(), "a@0 IN (30 values)");

        let found = |list: &dyn PhysicalExpr| {
            let found = list.evaluate(&batch).unwrap().into_array(4).unwrap();
            let found = as_boolean_array(&found).unwrap();
            found.iter().collect::<Vec<_>>()
        };
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(found(list.as_ref()), [no, yes, None, yes]);
        let moved = list.with_new_children(vec![column(1)]).unwrap();
        assert_eq!(found(moved.as_ref()), [yes, None, no, yes]);
        assert_eq!(moved.children(), [&column(1)]);
    }
}
