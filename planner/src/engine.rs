//! The engine: from a parsed statement to its rows.
//!
//! One [`Engine`] serves a process. Each query gets a state of its own, cheaply: functions, rules, the memory pool and
//! the spill directory are shared, settings and tables are not. All names of a statement are resolved first, one pinned
//! snapshot per table; then it is planned once, without any further question to anybody.

mod catalog_entries;
mod command;
mod comparisons;
mod conform;
mod expansion;
mod explain;
mod functions;
mod inference;
mod information_schema;
mod limited;
mod logical;
mod metadata_tables;
mod names;
mod names_wanted;
mod parameters;
mod planned;
mod plans;
mod policy;
mod receipt;
mod session;
mod show;
mod stack;
mod system;
mod table_columns;
mod tables;
mod target;
mod temporary;
#[cfg(test)]
mod tests;
mod type_names;
mod views;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryPool;
use landfast_catalog::{CatalogName, Namespace, Pin, SchemaName};
use landfast_sites::Sites;

pub use catalog_entries::{CatalogEntries, SYSTEM_CATALOG, TableEntry, TableKind};
pub use command::CommandOutcome;
pub use names_wanted::{NameColumns, NamesWanted};
pub use planned::PlannedQuery;
pub use receipt::{Receipt, SiteReceipt, TableReceipt};
pub use system::SystemTables;
pub use table_columns::TableColumns;
pub use temporary::{IfMissing, IfThere, SessionTables, TEMPORARY_SCHEMA, TemporarySpace, Upload};
pub use type_names::sql_type_name;

use crate::access::{Access, AccessPolicy};
use crate::scan::{DeleteCache, FIRST_LISTING_WAIT, FooterCache};
use crate::settings::SessionSettings;
use crate::sql::statement::{CommandKind, QueryKind, Show};
use crate::sql::{Command, QueryStatement, Statement};
use crate::{Asker, PlannerError, Result};
use logical::Wanted;
use names::Names;
use policy::PolicySwitch;
use stack::with_deep_stack;
use temporary::{Temporary, TemporaryLimits};

/// What an [`Engine`] is built from.
#[derive(Debug, Clone)]
pub struct EngineSpec {
    /// What tables there are.
    pub namespace: Arc<Namespace>,
    /// Where bytes are.
    pub sites: Arc<Sites>,
    /// Memory that all running queries share.
    pub memory_limit_bytes: usize,
    /// Where queries spill when that is not enough; without a directory they don't, and fail instead.
    pub spill_dir: Option<PathBuf>,
    /// How much all queries may spill.
    pub spill_limit_bytes: u64,
    /// Partitions of a plan.
    pub target_partitions: usize,
    /// Rows per batch.
    pub batch_size: usize,
    /// How much memory cached Parquet footers take.
    pub footer_cache_bytes: u64,
    /// How much memory decoded delete files take.
    pub delete_cache_bytes: u64,
    /// How much memory the columns of tables take that listings tell of.
    pub column_cache_bytes: u64,
    /// How many seconds of waiting a US dollar of egress is worth.
    pub seconds_per_usd: f64,
    /// What sessions start with.
    pub defaults: SessionSettings,
    /// How long a statement may be.
    pub statement_bytes_max: usize,
    /// How much of the memory the temporary tables of all sessions may take.
    pub temporary_bytes: usize,
    /// How much of it those of one session may take.
    pub temporary_session_bytes: usize,
}

impl EngineSpec {
    /// An engine over a namespace with everything else at its default: 1 GiB of memory, no spilling, twice as many
    /// partitions as cores, batches of 8,192 rows, 64 MiB of footers, 64 MiB of deletes, statements of at most 1 MiB,
    /// 256 MiB of temporary tables, 64 MiB of those for each session.
    pub fn new(namespace: Arc<Namespace>) -> Self {
        Self {
            sites: Arc::clone(namespace.sites()),
            namespace,
            memory_limit_bytes: 1 << 30,
            spill_dir: None,
            spill_limit_bytes: 0,
            target_partitions: session::default_partitions(),
            batch_size: session::DEFAULT_BATCH_ROWS,
            footer_cache_bytes: 64 << 20,
            delete_cache_bytes: 64 << 20,
            column_cache_bytes: 64 << 20,
            seconds_per_usd: 0.0,
            defaults: SessionSettings::default(),
            statement_bytes_max: 1 << 20,
            temporary_bytes: 256 << 20,
            temporary_session_bytes: 64 << 20,
        }
    }
}

/// What a statement takes and gives, found out without running it.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// What its batches will have; empty for a statement that changes something.
    pub schema: SchemaRef,
    /// Its parameters in the order of their numbers, each nullable.
    pub parameters: SchemaRef,
    /// Whether it changes something.
    pub is_update: bool,
    /// Whether it reads tables of its asker's session, which no other session has.
    pub reads_temporary: bool,
}

/// A query to plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest<'a> {
    /// The statement.
    pub statement: &'a QueryStatement,
    /// Values of its parameters: one row.
    pub parameters: Option<&'a RecordBatch>,
    /// The session's settings.
    pub settings: &'a SessionSettings,
    /// Who asks.
    pub asker: &'a Asker,
    /// Snapshots to read instead of the newest, from [`PlannedQuery::pins`]; empty means to resolve now.
    pub pins: &'a [Pin],
    /// What `now()` gives, in nanoseconds since 1970, from [`PlannedQuery::now_unix_ns`]; none means the present.
    pub now_unix_ns: Option<i64>,
    /// The query's id, for logs.
    pub query_id: &'a str,
}

/// Plans and runs statements.
pub struct Engine {
    namespace: Arc<Namespace>,
    sites: Arc<Sites>,
    footers: Arc<FooterCache>,
    deletes: Arc<DeleteCache>,
    columns: Arc<TableColumns>,
    names: Names,
    policy: PolicySwitch,
    template: SessionState,
    pool: Arc<dyn MemoryPool>,
    memory_limit_bytes: usize,
    seconds_per_usd: f64,
    defaults: SessionSettings,
    statement_bytes_max: usize,
    temporary: Arc<TemporarySpace>,
    system: OnceLock<Arc<dyn SystemTables>>,
    /// Itself, for tables whose rows it makes while they are planned.
    me: Weak<Engine>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Builds an engine: the function registry, the memory pool and the spill directory. Until it gets a policy, everybody
    /// may what their role gives.
    ///
    /// # Errors
    /// `InvalidArgument` when the spill directory can't be made.
    pub fn new(spec: EngineSpec) -> Result<Arc<Self>> {
        let (template, pool) = session::template(&spec)?;
        let temporary = TemporaryLimits {
            session_bytes_max: spec.temporary_session_bytes,
            bytes_max: spec.temporary_bytes,
        };
        let temporary = TemporarySpace::new(temporary, &pool);
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            names: Names::new(Arc::clone(&spec.namespace)),
            policy: PolicySwitch::new(AccessPolicy::of_roles()),
            footers: Arc::new(FooterCache::new(spec.footer_cache_bytes)),
            deletes: Arc::new(DeleteCache::new(spec.delete_cache_bytes)),
            columns: TableColumns::new(Arc::clone(&spec.namespace), spec.column_cache_bytes),
            namespace: spec.namespace,
            sites: spec.sites,
            template,
            pool,
            temporary,
            memory_limit_bytes: spec.memory_limit_bytes,
            seconds_per_usd: spec.seconds_per_usd,
            defaults: spec.defaults,
            statement_bytes_max: spec.statement_bytes_max,
            system: OnceLock::new(),
        }))
    }

    /// Hands the engine the tables of `landfast.system`; the first call counts.
    pub fn set_system_tables(&self, tables: Arc<dyn SystemTables>) {
        // A second call would swap tables under running queries.
        let _ = self.system.set(tables);
    }

    /// The namespace that names are resolved in.
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// The sites that bytes are read from.
    pub fn sites(&self) -> &Arc<Sites> {
        &self.sites
    }

    /// What sessions start with.
    pub fn defaults(&self) -> &SessionSettings {
        &self.defaults
    }

    /// The tables that sessions have for themselves.
    pub fn temporary_tables(&self) -> &Arc<TemporarySpace> {
        &self.temporary
    }

    /// The tables of the asker's session as they are now.
    fn temporary_of(&self, asker: &Asker) -> Temporary {
        self.temporary.now(asker.session.as_deref())
    }

    /// Bytes that running queries and temporary tables hold of the memory pool.
    pub fn memory_used(&self) -> usize {
        self.pool.reserved()
    }

    /// Bytes that running queries may hold together.
    pub fn memory_limit(&self) -> usize {
        self.memory_limit_bytes
    }

    /// Bytes that queries have spilled to disk and still hold there.
    pub fn spill_used(&self) -> u64 {
        self.template.runtime_env().disk_manager.used_disk_space()
    }

    /// The footers of Parquet files that are kept in memory.
    pub fn footers(&self) -> &Arc<FooterCache> {
        &self.footers
    }

    /// The delete files that are kept decoded in memory.
    pub fn deletes(&self) -> &Arc<DeleteCache> {
        &self.deletes
    }

    /// The columns of tables that are kept for listings.
    pub fn table_columns(&self) -> &Arc<TableColumns> {
        &self.columns
    }

    /// Parses exactly one statement of the allow-list.
    ///
    /// # Errors
    /// `InvalidArgument` with a position, `Unsupported` naming what is refused, `ResourceExhausted` for a statement
    /// that is too long or nests too deep.
    pub fn parse(&self, sql: &str) -> Result<Statement> {
        crate::sql::parse::parse(sql, self.statement_bytes_max)
    }

    /// Reads a Substrait plan, which is a query, and allows every part of it. Looks no name up.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no plan, `Unsupported` naming what is refused, `ResourceExhausted` for a plan that is
    /// too large.
    pub fn parse_substrait(&self, plan: Bytes) -> Result<Statement> {
        crate::substrait::parse(plan, self.statement_bytes_max)
    }

    /// What a statement takes and gives. Runs nothing.
    ///
    /// # Errors
    /// What planning it would give: unknown names, wrong types, what is not granted.
    pub async fn describe(
        &self,
        statement: &Statement,
        settings: &SessionSettings,
        asker: &Asker,
    ) -> Result<Described> {
        let access = self.access(asker);
        let temporary = self.temporary_of(asker);
        match statement {
            Statement::Query(query) if query.deep => {
                with_deep_stack(self.describe_rows(query, settings, &access, &temporary)).await
            }
            Statement::Query(query) => {
                self.describe_rows(query, settings, &access, &temporary)
                    .await
            }
            Statement::Command(command) => {
                command::check_granted(command, &access, &temporary)?;
                Ok(Described {
                    schema: Arc::new(Schema::empty()),
                    parameters: parameters::texts(command.parameters),
                    is_update: true,
                    reads_temporary: false,
                })
            }
        }
    }

    async fn describe_rows(
        &self,
        query: &QueryStatement,
        settings: &SessionSettings,
        access: &Access,
        temporary: &Temporary,
    ) -> Result<Described> {
        let wanted = match &query.kind {
            QueryKind::Rows(ast)
            | QueryKind::Explain { query: ast, .. }
            | QueryKind::Show(Show::ColumnsOf(ast)) => Wanted::Sql(ast),
            QueryKind::Substrait(plan) => Wanted::Substrait(plan),
            QueryKind::Show(show) => {
                return Ok(Described {
                    schema: show::schema(show),
                    parameters: parameters::texts(query.parameters),
                    is_update: false,
                    reads_temporary: false,
                });
            }
        };
        let (logical, reads_temporary) = self
            .describe_query(wanted, query.parameters, settings, access, temporary)
            .await?;
        Ok(Described {
            schema: match &query.kind {
                QueryKind::Explain { .. } => explain::schema(),
                QueryKind::Show(show) => show::schema(show),
                QueryKind::Rows(_) | QueryKind::Substrait(_) => logical.schema,
            },
            parameters: parameters::schema(&logical.parameters),
            is_update: false,
            reads_temporary,
        })
    }

    /// Plans a query, pinning one snapshot per table.
    ///
    /// # Errors
    /// Unknown names, wrong types or parameters, tables that can't be read, members and sites out of reach.
    pub async fn plan(&self, request: PlanRequest<'_>) -> Result<PlannedQuery> {
        if request.statement.deep {
            return with_deep_stack(self.plan_here(request)).await;
        }
        self.plan_here(request).await
    }

    async fn plan_here(&self, request: PlanRequest<'_>) -> Result<PlannedQuery> {
        match &request.statement.kind {
            QueryKind::Rows(ast) => self.plan_rows(Wanted::Sql(ast), &request).await,
            QueryKind::Substrait(plan) => self.plan_rows(Wanted::Substrait(plan), &request).await,
            QueryKind::Explain {
                analyze,
                verbose,
                query,
            } => self.plan_explain(query, *analyze, *verbose, &request).await,
            QueryKind::Show(show) => {
                // Of before any row: rows of a policy that has changed meanwhile must not pass for the new one's.
                let access = self.access(request.asker);
                let rows = self.show(show, &request).await?;
                Ok(PlannedQuery::of_rows(
                    show::schema(show),
                    vec![rows],
                    access,
                    Arc::clone(&self.sites),
                ))
            }
        }
    }

    /// Runs a command. It changes something: run it once.
    ///
    /// # Errors
    /// `PermissionDenied` for what is not granted, and whatever the catalog says.
    pub async fn run(
        &self,
        command: &Command,
        parameters: Option<&RecordBatch>,
        settings: &SessionSettings,
        asker: &Asker,
    ) -> Result<CommandOutcome> {
        let access = self.access(asker);
        let temporary = self.temporary_of(asker);
        command::check_granted(command, &access, &temporary)?;
        let arguments = parameters::texts_of(parameters, command.parameters)?;
        match &command.kind {
            CommandKind::Set { key, value } => self.set(key, value, settings, &access),
            CommandKind::Reset { key } => self.reset(key.as_deref(), settings),
            CommandKind::Use { name } => self.use_name(name, settings, &access).await,
            CommandKind::CancelQuery { query } => {
                self.cancel_query(query, &arguments, asker, &access).await
            }
            CommandKind::DropTable { name, .. } if temporary.named(name)?.is_some() => {
                self.drop_temporary(name, &temporary, asker)
            }
            kind => {
                self.change_catalog(kind, &arguments, settings, &access)
                    .await
            }
        }
    }

    /// The catalog that a name without one is looked up in: the session's, else the only one that the asker sees.
    fn default_catalog(&self, settings: &SessionSettings, access: &Access) -> Option<CatalogName> {
        settings.catalog.clone().or_else(|| {
            let mut all = self.namespace.catalogs();
            all.retain(|catalog| access.sees_catalog(catalog));
            if all.len() == 1 { all.pop() } else { None }
        })
    }

    /// The schema that a name without one is looked up in.
    fn default_schema(&self, settings: &SessionSettings) -> Option<SchemaName> {
        settings.schema.clone()
    }

    fn system_tables(&self) -> Option<&Arc<dyn SystemTables>> {
        self.system.get()
    }

    fn first_listing_wait() -> std::time::Duration {
        FIRST_LISTING_WAIT
    }
}

/// Names of things that don't exist, as errors.
fn no_such(what: &str, name: &str, nearest: Vec<String>) -> PlannerError {
    PlannerError::not_found(format!("there is no {what} {name}"), nearest)
}
