//! The state that a query is planned and run with.

use std::num::NonZeroUsize;
use std::sync::Arc;

use chrono::DateTime;
use datafusion::common::config::{ConfigNonZeroUsize, Dialect};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, SessionStateDefaults};
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::registry::FunctionRegistry as _;
use datafusion::prelude::SessionConfig;

use super::EngineSpec;
use super::comparisons::ComparedAlike;
use super::functions;
use crate::scan::{keep_sound_dynamic_filters, physical_rules};
use crate::settings::SessionSettings;
use crate::{PlannerError, Result};

/// How many of the largest consumers an out-of-memory error names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// Rows per batch, unless told otherwise.
pub(super) const DEFAULT_BATCH_ROWS: usize = 8192;

/// The state that all queries' states are copies of.
pub(super) fn template(spec: &EngineSpec) -> Result<(SessionState, Arc<dyn MemoryPool>)> {
    let pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(
        FairSpillPool::new(spec.memory_limit_bytes),
        CONSUMERS_NAMED,
    ));
    let disk = match &spec.spill_dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|error| {
                PlannerError::invalid(format!(
                    "the spill directory can't be made: {}",
                    error.kind()
                ))
            })?;
            DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::Directories(vec![dir.clone()]))
                .with_max_temp_directory_size(spec.spill_limit_bytes)
        }
        None => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::clone(&pool))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let mut state = SessionStateBuilder::new()
        .with_config(config(spec))
        .with_runtime_env(runtime)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(functions::scalar())
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_table_function_list(functions::table())
        .with_physical_optimizer_rules(physical_rules())
        .build();
    state.register_function_rewrite(Arc::new(ComparedAlike))?;
    Ok((state, pool))
}

fn config(spec: &EngineSpec) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(spec.target_partitions.max(1))
        .with_batch_size(spec.batch_size.max(1))
        .with_collect_statistics(true);
    let options = config.options_mut();
    options.sql_parser.dialect = Dialect::Generic;
    // Names were resolved before: what reaches the planner means exactly what it says.
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.map_string_types_to_utf8view = true;
    options.execution.parquet.schema_force_view_types = true;
    options.execution.enable_file_stream_work_stealing = true;
    // A join's keys that are a list prune files and are evaluated while a file is read; look-ups in its hash table cost
    // the reader more than they save. Measured: lists pay up to about this many keys.
    options
        .optimizer
        .hash_join_inlist_pushdown_max_distinct_values = 2000;
    keep_sound_dynamic_filters(options);
    config
}

/// Twice the cores: readers wait for bytes as much as they decode them.
pub(super) fn default_partitions() -> usize {
    2 * std::thread::available_parallelism().map_or(4, NonZeroUsize::get)
}

/// A state for one query under these settings. Its `now()` is the present, or else `now_unix_ns`.
pub(super) fn for_query(
    template: &SessionState,
    settings: &SessionSettings,
    now_unix_ns: Option<i64>,
) -> SessionState {
    let mut state = template.clone();
    let options = state.config_mut().options_mut();
    options.execution.time_zone = Some(settings.time_zone.clone());
    options.optimizer.prefer_hash_join = settings.prefer_hash_join;
    if let Some(partitions) = settings.target_partitions {
        options.execution.target_partitions = partitions;
    }
    if let Some(Ok(rows)) = settings.batch_size.map(ConfigNonZeroUsize::try_new) {
        options.execution.batch_size = rows;
    }
    if settings.time_zone != SessionSettings::default().time_zone {
        tell_functions_of_options(&mut state);
    }
    // Functions such as now() have one answer in a query, and a fresh one in the next.
    state.mark_start_execution();
    if let Some(now) = now_unix_ns {
        state.execution_props_mut().query_execution_start_time =
            Some(DateTime::from_timestamp_nanos(now));
    }
    state
}

/// Functions such as now() and to_timestamp() know their time zone from when they were registered.
fn tell_functions_of_options(state: &mut SessionState) {
    let options = Arc::clone(state.config_options());
    let functions = state.scalar_functions().values();
    let updated = functions.filter_map(|known| known.inner().with_updated_config(&options));
    let updated: Vec<ScalarUDF> = updated.collect();
    for function in updated {
        // Only a registry that can't be changed refuses, and this one can.
        drop(state.register_udf(Arc::new(function)));
    }
}
