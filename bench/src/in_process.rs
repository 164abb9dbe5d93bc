//! Landfast's engine without Flight: what the wire and the client cost is the difference.

use std::path::Path;

use datafusion::execution::SendableRecordBatchStream;
use landfast_planner::{Asker, PlanRequest, Role, SessionSettings, Statement};
use landfast_proxy::config;
use landfast_proxy::serve::{self, Running};

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
        role: Role::Reader,
        session: None,
    };
    Ok(InProcess {
        running: serve::start(config).await?,
        settings,
        asker,
    })
}

impl Engine for InProcess {
    async fn start(&self, sql: &str) -> anyhow::Result<SendableRecordBatchStream> {
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
                query_id: "bench",
            })
            .await?;
        Ok(planned.execute()?)
    }
}
