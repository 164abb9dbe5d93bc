//! Landfast's engine without Flight: what the wire and the client cost is the difference.

use std::path::Path;

use datafusion::execution::SendableRecordBatchStream;
use landfast_planner::{
    Asker, Groups, PlanRequest, PlannedQuery, Role, SessionSettings, Statement,
};
use landfast_proxy::config;
use landfast_proxy::serve::{self, Running};

use crate::plan::{ALSO_READ, COLUMN, Planner};
use crate::protocol::Engine;

/// A service whose engine is asked directly.
pub(crate) struct InProcess {
    running: Running,
    settings: SessionSettings,
    asker: Asker,
}

/// Puts the service of a configuration together. Flight is served too, and nobody asks there.
pub(crate) async fn open(file: &Path) -> anyhow::Result<InProcess> {
    let config = config::load(file)?;
    let settings = config.defaults.clone();
    let asker = Asker {
        principal: "bench".to_owned(),
        groups: Groups::default(),
        role: Role::Reader,
        session: None,
    };
    Ok(InProcess {
        running: serve::start(config).await?,
        settings,
        asker,
    })
}

impl InProcess {
    /// From a statement's text to its physical plan.
    async fn plan(&self, sql: &str) -> anyhow::Result<PlannedQuery> {
        let engine = &self.running.parts().engine;
        let Statement::Query(statement) = engine.parse(sql)? else {
            anyhow::bail!("not a query: {sql}");
        };
        let planned = engine
            .plan(PlanRequest {
                statement: &statement,
                parameters: None,
                settings: &self.settings,
                asker: &self.asker,
                pins: &[],
                now_unix_ns: None,
                query_id: "bench",
            })
            .await?;
        Ok(planned)
    }

    /// Plans over one table.
    pub(crate) fn planner(self, table: String) -> impl Planner {
        TablePlanner {
            service: self,
            table,
        }
    }
}

impl Engine for InProcess {
    async fn start(&self, sql: &str) -> anyhow::Result<SendableRecordBatchStream> {
        Ok(self.plan(sql).await?.execute()?)
    }
}

struct TablePlanner {
    service: InProcess,
    table: String,
}

impl Planner for TablePlanner {
    async fn plan(&mut self, low: i64, high: i64) -> anyhow::Result<u64> {
        let sql = format!(
            "SELECT {ALSO_READ}, {COLUMN} FROM {} WHERE {COLUMN} >= {low} AND {COLUMN} < {high}",
            self.table
        );
        let planned = self.service.plan(&sql).await?;
        let scans = planned.summaries();
        Ok(scans
            .iter()
            .map(|scan| scan.files_total - scan.files_pruned)
            .sum())
    }

    fn cache_bytes(&self) -> Option<u64> {
        let engine = &self.service.running.parts().engine;
        Some(engine.namespace().cache_stats().bytes)
    }
}
