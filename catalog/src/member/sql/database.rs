//! The database behind a SQL catalog: SQLite or PostgreSQL, with the same statements for both.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use tokio::sync::OnceCell;

use crate::{CatalogError, CatalogName, Result};

/// Connections to one database at most.
const CONNECTIONS_MAX: u32 = 4;

/// A pool's connection is closed when nobody used it for so long.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// The two tables, as PyIceberg 0.12 and Iceberg's JDBC catalog (schema version V1) make them.
const CREATE_TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS iceberg_tables (\
     catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL, \
     metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), iceberg_type VARCHAR(5), \
     PRIMARY KEY (catalog_name, table_namespace, table_name))",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (\
     catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL, property_key VARCHAR(255) NOT NULL, \
     property_value VARCHAR(1000) NOT NULL, \
     PRIMARY KEY (catalog_name, namespace, property_key))",
];

/// One database, connected to when it is first asked.
#[derive(Debug)]
pub(super) struct Database {
    catalog: CatalogName,
    options: Options,
    create_tables: bool,
    timeout: Duration,
    pool: OnceCell<Pool>,
    /// Whether `iceberg_tables` was seen to have its column `iceberg_type`. It can be added later, never removed.
    has_iceberg_type: AtomicBool,
}

enum Options {
    Sqlite {
        options: Box<SqliteConnectOptions>,
        in_memory: bool,
    },
    Postgres(Box<PgConnectOptions>),
}

impl std::fmt::Debug for Options {
    /// Connection options hold the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite { .. } => "Sqlite",
            Self::Postgres(_) => "Postgres",
        })
    }
}

#[derive(Debug)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Runs the same code for either pool: statements use `$1`, which both understand.
macro_rules! on {
    ($pool:expr, $it:ident => $body:expr) => {
        match $pool {
            Pool::Sqlite($it) => $body,
            Pool::Postgres($it) => $body,
        }
    };
}

macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = query.bind(*value);
        }
        query
    }};
}

impl Database {
    pub(super) fn new(
        catalog: CatalogName,
        url: &SecretString,
        create_tables: bool,
        timeout: Duration,
    ) -> Result<Self> {
        let options = options(url.expose_secret())
            .map_err(|reason| CatalogError::invalid(format!("the catalog {catalog}: {reason}")))?;
        Ok(Self {
            catalog,
            options,
            create_tables,
            timeout,
            pool: OnceCell::new(),
            has_iceberg_type: AtomicBool::new(false),
        })
    }

    pub(super) fn kind(&self) -> &'static str {
        match &self.options {
            Options::Sqlite { .. } => "sqlite",
            Options::Postgres(_) => "postgres",
        }
    }

    /// The first column of all rows.
    pub(super) async fn texts(&self, query: &str, values: &[&str]) -> Result<Vec<Option<String>>> {
        let pool = self.pool().await?;
        let rows = on!(pool, it => bound!(sqlx::query_scalar::<_, Option<String>>(query), values).fetch_all(it).await);
        rows.map_err(|error| self.failure(&error, false))
    }

    /// Whether the query finds anything. Its column is the number 1.
    pub(super) async fn rows_exist(&self, query: &str, values: &[&str]) -> Result<bool> {
        let pool = self.pool().await?;
        let rows = on!(pool, it => bound!(sqlx::query_scalar::<_, i32>(query), values).fetch_optional(it).await);
        Ok(rows.map_err(|error| self.failure(&error, false))?.is_some())
    }

    /// Changes rows and says how many; none when a key is taken already.
    pub(super) async fn change(&self, query: &str, values: &[&str]) -> Result<Option<u64>> {
        let pool = self.pool().await?;
        let done = on!(pool, it => bound!(sqlx::query(query), values).execute(it).await.map(|done| done.rows_affected()));
        match done {
            Ok(rows) => Ok(Some(rows)),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
            Err(error) => Err(self.failure(&error, true)),
        }
    }

    /// Whether tables and views are told apart. A database without the column is asked again each time: somebody may
    /// migrate it.
    pub(super) async fn has_iceberg_type(&self) -> Result<bool> {
        if self.has_iceberg_type.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let pool = self.pool().await?;
        let query = "SELECT iceberg_type FROM iceberg_tables LIMIT 0";
        match on!(pool, it => sqlx::query(query).execute(it).await.map(drop)) {
            Ok(()) => {
                self.has_iceberg_type.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(sqlx::Error::Database(error)) if is_missing_column(&*error) => Ok(false),
            Err(error) => Err(self.failure(&error, false)),
        }
    }

    async fn pool(&self) -> Result<&Pool> {
        self.pool.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Pool> {
        let failed = |error: sqlx::Error| self.failure(&error, false);
        let pool = match &self.options {
            Options::Sqlite { options, in_memory } => {
                // A lock is waited for a little shorter than the call, so that the error can say what it was.
                let mut options = options.as_ref().clone().busy_timeout(self.timeout * 4 / 5);
                if self.create_tables && !*in_memory && !options.get_filename().exists() {
                    // A new database lets readers and writers work at once. An existing one stays as it is.
                    options = options
                        .create_if_missing(true)
                        .journal_mode(SqliteJournalMode::Wal);
                }
                let mut pool = SqlitePoolOptions::new().acquire_timeout(self.timeout);
                // Each connection to a database in memory has one of its own.
                pool = if *in_memory {
                    pool.max_connections(1)
                        .min_connections(1)
                        .idle_timeout(None)
                        .max_lifetime(None)
                } else {
                    pool.max_connections(CONNECTIONS_MAX).idle_timeout(IDLE_MAX)
                };
                Pool::Sqlite(pool.connect_with(options).await.map_err(failed)?)
            }
            Options::Postgres(options) => {
                let pool = PgPoolOptions::new()
                    .acquire_timeout(self.timeout)
                    .max_connections(CONNECTIONS_MAX)
                    .idle_timeout(IDLE_MAX);
                Pool::Postgres(
                    pool.connect_with(options.as_ref().clone())
                        .await
                        .map_err(failed)?,
                )
            }
        };
        if self.create_tables {
            for statement in CREATE_TABLES {
                // Two processes that create at once: the second finds the table there.
                let create = || async {
                    on!(&pool, it => sqlx::query(statement).execute(it).await.map(drop))
                };
                if create().await.is_err() {
                    create().await.map_err(failed)?;
                }
            }
        }
        Ok(pool)
    }

    fn failure(&self, error: &sqlx::Error, changes: bool) -> CatalogError {
        let catalog = self.catalog.clone();
        match error {
            sqlx::Error::Database(database) if is_missing_table(&**database) => {
                CatalogError::Invalid {
                    reason: format!(
                        "the catalog {catalog}: its database has no tables iceberg_tables and iceberg_namespace_properties: \
                     set create_tables = true to have them made"
                    ),
                }
            }
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default().into_owned();
                let reason = one_line(database.message());
                match code.as_str() {
                    // PostgreSQL, class 28: invalid authorisation; 42501: insufficient privilege.
                    code if code.starts_with("28") || code == "42501" => {
                        CatalogError::Denied { catalog, reason }
                    }
                    "3D000" => CatalogError::Invalid {
                        reason: format!("the catalog {catalog}: {reason}"),
                    },
                    _ => CatalogError::Unavailable { catalog, reason },
                }
            }
            sqlx::Error::PoolTimedOut => CatalogError::Unavailable {
                catalog,
                reason: "no connection to its database in time".into(),
            },
            sqlx::Error::Configuration(_) => CatalogError::Invalid {
                reason: format!("the catalog {catalog}: its database url can't be right"),
            },
            sqlx::Error::Io(error) if !changes => CatalogError::Unavailable {
                catalog,
                reason: error.to_string(),
            },
            error if changes => CatalogError::Unknown {
                catalog,
                reason: one_line(&error.to_string()),
            },
            error => CatalogError::Unavailable {
                catalog,
                reason: one_line(&error.to_string()),
            },
        }
    }
}

/// Reads a database's URL, SQLAlchemy's spellings included. The reason for refusing it never holds it.
fn options(url: &str) -> Result<Options, String> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err("its database url must begin with sqlite: or postgres:".into());
    };
    // SQLAlchemy names the driver: `postgresql+psycopg2://`.
    let scheme = scheme.split('+').next().unwrap_or(scheme);
    match scheme {
        "sqlite" => {
            let options = SqliteConnectOptions::from_str(&format!("sqlite:{rest}"))
                .map_err(|_| "its SQLite url can't be right: it looks like sqlite:///path/to/file.db?mode=rwc")?;
            let in_memory = rest.contains(":memory:") || rest.contains("mode=memory");
            Ok(Options::Sqlite {
                options: Box::new(options),
                in_memory,
            })
        }
        "postgres" | "postgresql" => {
            let options = PgConnectOptions::from_str(&format!("postgres:{}", with_host(rest))).map_err(|_| {
                "its PostgreSQL url can't be right: it looks like postgres://user:password@host/database"
            })?;
            Ok(Options::Postgres(Box::new(options)))
        }
        other => Err(format!(
            "its database url begins with {other:?}: sqlite and postgres are supported"
        )),
    }
}

/// Names a host where libpq's form leaves it out (`postgres://user@/db?host=/run/postgresql`): URLs with a user must have
/// one, and the query's own wins.
fn with_host(rest: &str) -> String {
    let end = rest
        .get(2..)
        .and_then(|authority| authority.find('/'))
        .map(|at| at + 2);
    match end.map(|end| rest.split_at(end)) {
        Some((authority, path)) if authority.ends_with('@') => {
            format!("{authority}localhost{path}")
        }
        _ => rest.to_owned(),
    }
}

fn is_missing_table(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().as_deref() == Some("42P01") || error.message().contains("no such table")
}

fn is_missing_column(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().as_deref() == Some("42703") || error.message().contains("no such column")
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_sqlalchemy_writes_them_are_understood() {
        for url in [
            "sqlite:///tmp/a.db",
            "sqlite:////tmp/a.db",
            "sqlite::memory:",
            "sqlite+pysqlite:///a.db",
        ] {
            assert!(matches!(options(url), Ok(Options::Sqlite { .. })), "{url}");
        }
        for url in [
            "postgres://u:p@h/d",
            "postgresql://u:p@h/d",
            "postgresql+psycopg2://u:p@h:5432/d",
            "postgresql://postgres:@/postgres?host=/tmp/socket",
        ] {
            assert!(matches!(options(url), Ok(Options::Postgres(_))), "{url}");
        }
    }

    #[test]
    fn a_url_that_is_refused_is_not_repeated() {
        for url in [
            "mysql://root:hunter2@h/d",
            "hunter2",
            "postgres://u:hunter2@h:notaport/d",
        ] {
            let reason = options(url).err().unwrap();
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn connection_options_do_not_show_the_password() {
        let url = SecretString::from("postgres://u:hunter2@h/d");
        let database = Database::new(
            CatalogName::new("c").unwrap(),
            &url,
            false,
            Duration::from_secs(1),
        )
        .unwrap();
        assert!(!format!("{database:?}").contains("hunter2"));
    }
}
