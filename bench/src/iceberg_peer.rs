//! iceberg-rust's own planning, on a table that it keeps open with its cache of manifests.

use futures::TryStreamExt as _;
use iceberg::TableIdent;
use iceberg::expr::Reference;
use iceberg::io::FileIO;
use iceberg::spec::Datum;
use iceberg::table::{StaticTable, Table};

use crate::plan::{ALSO_READ, COLUMN, Planner};

pub(crate) struct IcebergPeer {
    metadata: String,
    table: Option<Table>,
}

impl IcebergPeer {
    pub(crate) fn new(metadata: String) -> Self {
        Self {
            metadata,
            table: None,
        }
    }
}

impl Planner for IcebergPeer {
    async fn plan(&mut self, low: i64, high: i64) -> anyhow::Result<u64> {
        let table = match &mut self.table {
            Some(table) => table,
            none => {
                let name = TableIdent::from_strs(["bench", "table"])?;
                let io = FileIO::new_with_fs();
                let opened = StaticTable::from_metadata_file(&self.metadata, name, io).await?;
                none.insert(opened.into_table())
            }
        };
        let range = Reference::new(COLUMN)
            .greater_than_or_equal_to(Datum::long(low))
            .and(Reference::new(COLUMN).less_than(Datum::long(high)));
        let scan = table
            .scan()
            .select([ALSO_READ, COLUMN])
            .with_filter(range)
            .build()?;
        let tasks = scan.plan_files().await?;
        Ok(tasks
            .try_fold(0, |count, _| async move { Ok(count + 1) })
            .await?)
    }

    fn cache_bytes(&self) -> Option<u64> {
        None
    }
}
