//! What is done with the batches of one file once the reader has given them.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner};
use futures::StreamExt;
use futures::stream::BoxStream;

/// What becomes of each batch.
pub(super) trait BatchStep: Send + Sync {
    /// What is left of a batch.
    ///
    /// # Errors
    /// The query fails.
    fn step(&self, batch: RecordBatch) -> Result<RecordBatch>;
}

/// Plans what another planner plans, and takes a step with each batch of it.
pub(super) struct Stepped {
    pub(super) planner: Box<dyn MorselPlanner>,
    pub(super) step: Arc<dyn BatchStep>,
}

impl Debug for Stepped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stepped").field(&self.planner).finish()
    }
}

impl MorselPlanner for Stepped {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { planner, step } = *self;
        let Some(mut plan) = planner.plan()? else {
            return Ok(None);
        };
        let stepped = |planner, step: &Arc<dyn BatchStep>| -> Box<dyn MorselPlanner> {
            let step = Arc::clone(step);
            Box::new(Self { planner, step })
        };
        let morsels = plan.take_morsels().into_iter();
        let morsels = morsels.map(|morsel| -> Box<dyn Morsel> {
            let step = Arc::clone(&step);
            Box::new(SteppedMorsel { morsel, step })
        });
        let planners = plan.take_ready_planners().into_iter();
        let planners = planners.map(|planner| stepped(planner, &step));
        let mut outer = MorselPlan::new()
            .with_morsels(morsels.collect())
            .with_planners(planners.collect());
        if let Some(pending) = plan.take_pending_planner() {
            outer.set_pending_planner(async move { Ok(stepped(pending.await?, &step)) });
        }
        Ok(Some(outer))
    }
}

struct SteppedMorsel {
    morsel: Box<dyn Morsel>,
    step: Arc<dyn BatchStep>,
}

impl Debug for SteppedMorsel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SteppedMorsel").field(&self.morsel).finish()
    }
}

impl Morsel for SteppedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { morsel, step } = *self;
        let stepped = morsel.into_stream().map(move |batch| step.step(batch?));
        // A batch of which nothing is left would cost whoever gets it more than it is worth.
        let left = |batch: &Result<RecordBatch>| match batch {
            Ok(batch) => batch.num_rows() > 0,
            Err(_) => true,
        };
        stepped
            .filter(move |batch| std::future::ready(left(batch)))
            .boxed()
    }
}
