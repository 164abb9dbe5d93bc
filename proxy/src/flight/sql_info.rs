//! What this server says it can do (GetSqlInfo): every code that released drivers read, each of the type they expect,
//! and nothing that is not so.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType,
    SqlSupportedSubqueries, SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert,
    SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use datafusion::logical_expr::ScalarUDF;
use landfast_planner::{SUBSTRAIT_MAX_VERSION, SUBSTRAIT_MIN_VERSION};

use super::dispatch::sql_info_batch;
use super::fault::Fault;
use crate::limits::Limits;

/// The version of the Arrow format that we speak.
const ARROW_VERSION: &str = "1.5.0";

/// Words that are keywords here and not in SQL-92.
const KEYWORDS: &[&str] = &[
    "ANALYZE", "ANTI", "CALL", "CATALOGS", "DESCRIBE", "EXPLAIN", "ILIKE", "LATERAL", "LIMIT",
    "OFFSET", "QUALIFY", "RESET", "SCHEMAS", "SEMI", "SHOW", "TABLES", "TRY_CAST", "UNNEST",
    "WINDOW", "WITHIN",
];

/// Bits of a bitmask: bit `n` stands for the value `n` of its enumeration.
fn bits(values: &[i32]) -> i32 {
    values.iter().fold(0, |mask, value| mask | (1 << value))
}

/// Codes that came to the protocol with Arrow 16. Drivers before that ask for everything, know no name for these two, and
/// fail on them for good, so whoever wants one asks for it.
const ASKED_FOR: [u32; 2] = [
    SqlInfo::FlightSqlServerBulkIngestion as u32,
    SqlInfo::FlightSqlServerIngestTransactionsSupported as u32,
];

/// Everything this server says about itself.
pub(super) struct ServerInfo {
    data: SqlInfoData,
    /// What "everything" is: all codes but [`ASKED_FOR`].
    everything: Vec<u32>,
}

impl ServerInfo {
    /// What holds for a server with these limits.
    pub(super) fn new(limits: &Limits) -> Result<Self, Fault> {
        let mut infos = SqlInfoDataBuilder::new();
        server(&mut infos, limits);
        language(&mut infos);
        names(&mut infos);
        sizes(&mut infos, limits);
        transactions(&mut infos);
        let data = infos.build().map_err(Fault::internal)?;
        let all = data.record_batch(None).map_err(Fault::internal)?;
        let codes = all.column(0).as_primitive::<UInt32Type>().values().iter();
        let everything = codes.copied().filter(|code| !ASKED_FOR.contains(code));
        Ok(Self {
            everything: everything.collect(),
            data,
        })
    }

    /// The asked-for codes, or everything where none is asked for; a code nobody knows has no row.
    pub(super) fn batch(&self, codes: Vec<u32>) -> Result<RecordBatch, Fault> {
        let codes = match codes.is_empty() {
            true => self.everything.clone(),
            false => codes,
        };
        let built = self.data.record_batch(codes).map_err(Fault::internal)?;
        sql_info_batch(&built).map_err(Fault::internal)
    }
}

fn server(infos: &mut SqlInfoDataBuilder, limits: &Limits) {
    infos.append(SqlInfo::FlightSqlServerName, "Landfast");
    infos.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    infos.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_VERSION);
    infos.append(SqlInfo::FlightSqlServerReadOnly, false);
    infos.append(SqlInfo::FlightSqlServerSql, true);
    infos.append(SqlInfo::FlightSqlServerSubstrait, true);
    infos.append(
        SqlInfo::FlightSqlServerSubstraitMinVersion,
        SUBSTRAIT_MIN_VERSION,
    );
    infos.append(
        SqlInfo::FlightSqlServerSubstraitMaxVersion,
        SUBSTRAIT_MAX_VERSION,
    );
    infos.append(
        SqlInfo::FlightSqlServerTransaction,
        SqlSupportedTransaction::None as i32,
    );
    infos.append(SqlInfo::FlightSqlServerCancel, true);
    infos.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    infos.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    infos.append(
        SqlInfo::FlightSqlServerStatementTimeout,
        i32::try_from(limits.prepared_idle.as_millis()).unwrap_or(i32::MAX),
    );
    infos.append(SqlInfo::FlightSqlServerTransactionTimeout, 0i32);
}

fn language(infos: &mut SqlInfoDataBuilder) {
    use datafusion::functions;
    infos.append(SqlInfo::SqlDdlCatalog, false);
    infos.append(SqlInfo::SqlDdlSchema, true);
    // Tables can be dropped and registered, not created.
    infos.append(SqlInfo::SqlDdlTable, false);
    // A table may need what is not built yet, and is listed all the same.
    infos.append(SqlInfo::SqlAllTablesAreSelectable, false);
    infos.append(
        SqlInfo::SqlNullOrdering,
        SqlNullOrdering::SqlNullsSortedHigh as i32,
    );
    infos.append(SqlInfo::SqlKeywords, KEYWORDS);
    infos.append(
        SqlInfo::SqlNumericFunctions,
        function_names(functions::math::functions()),
    );
    let strings = functions::string::functions()
        .into_iter()
        .chain(functions::unicode::functions())
        .collect();
    infos.append(SqlInfo::SqlStringFunctions, function_names(strings));
    infos.append(
        SqlInfo::SqlSystemFunctions,
        function_names(functions::core::functions()),
    );
    infos.append(
        SqlInfo::SqlDatetimeFunctions,
        function_names(functions::datetime::functions()),
    );
    infos.append(SqlInfo::SqlSupportsColumnAliasing, true);
    infos.append(SqlInfo::SqlNullPlusNullIsNull, true);
    infos.append(SqlInfo::SqlSupportsConvert, conversions());
    infos.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    infos.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    infos.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    infos.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    infos.append(
        SqlInfo::SqlSupportedGroupBy,
        bits(&[
            SqlSupportedGroupBy::SqlGroupByUnrelated as i32,
            SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32,
        ]),
    );
    infos.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    infos.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    infos.append(
        SqlInfo::SqlSupportedGrammar,
        bits(&[
            SupportedSqlGrammar::SqlMinimumGrammar as i32,
            SupportedSqlGrammar::SqlCoreGrammar as i32,
        ]),
    );
    // Entry level: value 0 of an enumeration that arrow-flight does not export.
    infos.append(SqlInfo::SqlAnsi92SupportedLevel, bits(&[0]));
    infos.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    infos.append(
        SqlInfo::SqlOuterJoinsSupportLevel,
        bits(&[SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32]),
    );
    infos.append(SqlInfo::SqlSupportedPositionedCommands, 0i32);
    infos.append(SqlInfo::SqlSelectForUpdateSupported, false);
    // CALL works; the escape syntax `{call …}` does not.
    infos.append(SqlInfo::SqlStoredProceduresSupported, false);
    infos.append(
        SqlInfo::SqlSupportedSubqueries,
        bits(&[
            SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
            SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
            SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
        ]),
    );
    infos.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    infos.append(
        SqlInfo::SqlSupportedUnions,
        bits(&[
            SqlSupportedUnions::SqlUnion as i32,
            SqlSupportedUnions::SqlUnionAll as i32,
        ]),
    );
    infos.append(SqlInfo::SqlNamedParametersSupported, false);
    infos.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

fn names(infos: &mut SqlInfoDataBuilder) {
    // An unquoted name matches whatever its case, a quoted one exactly; the protocol has no value for the latter.
    infos.append(
        SqlInfo::SqlIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32,
    );
    infos.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32,
    );
    infos.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    infos.append(SqlInfo::SqlSearchStringEscape, "\\");
    infos.append(SqlInfo::SqlExtraNameCharacters, "");
    infos.append(SqlInfo::SqlSchemaTerm, "schema");
    infos.append(SqlInfo::SqlProcedureTerm, "procedure");
    infos.append(SqlInfo::SqlCatalogTerm, "catalog");
    infos.append(SqlInfo::SqlCatalogAtStart, true);
    infos.append(SqlInfo::SqlSchemasSupportedActions, 0i32);
    infos.append(SqlInfo::SqlCatalogsSupportedActions, 0i32);
}

fn sizes(infos: &mut SqlInfoDataBuilder, limits: &Limits) {
    // Nought means that there is no limit, or none that is known.
    for unlimited in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        infos.append(unlimited, 0i64);
    }
    infos.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
    infos.append(
        SqlInfo::SqlMaxStatementLength,
        i64::try_from(limits.statement_bytes).unwrap_or(i64::MAX),
    );
    infos.append(
        SqlInfo::SqlMaxStatements,
        i64::try_from(limits.prepared_statements).unwrap_or(i64::MAX),
    );
}

fn transactions(infos: &mut SqlInfoDataBuilder) {
    // The protocol's text says int32, its Java builder and the JDBC driver int64.
    infos.append(
        SqlInfo::SqlDefaultTransactionIsolation,
        SqlTransactionIsolationLevel::SqlTransactionNone as i64,
    );
    infos.append(SqlInfo::SqlTransactionsSupported, false);
    infos.append(
        SqlInfo::SqlSupportedTransactionsIsolationLevels,
        bits(&[SqlTransactionIsolationLevel::SqlTransactionNone as i32]),
    );
    infos.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    infos.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    infos.append(
        SqlInfo::SqlSupportedResultSetTypes,
        bits(&[SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32]),
    );
    let read_only =
        bits(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]);
    infos.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified,
        0i32,
    );
    infos.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly,
        read_only,
    );
    infos.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        0i32,
    );
    infos.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
        0i32,
    );
    infos.append(SqlInfo::SqlBatchUpdatesSupported, true);
    infos.append(SqlInfo::SqlSavepointsSupported, false);
    infos.append(SqlInfo::SqlLocatorsUpdateCopy, false);
}

fn function_names(functions: Vec<Arc<ScalarUDF>>) -> Vec<String> {
    let mut names: Vec<String> = functions
        .iter()
        .map(|function| function.name().to_uppercase())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What CAST turns into what.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as C;
    let numbers = [
        C::SqlConvertBigint,
        C::SqlConvertDecimal,
        C::SqlConvertFloat,
        C::SqlConvertInteger,
        C::SqlConvertReal,
        C::SqlConvertSmallint,
        C::SqlConvertTinyint,
    ];
    let texts = [C::SqlConvertVarchar];
    let times = [C::SqlConvertDate, C::SqlConvertTimestamp];
    let mut map = BTreeMap::new();
    let mut allow = |from: C, to: &[&[C]]| {
        map.insert(
            from as i32,
            to.iter()
                .copied()
                .flatten()
                .map(|to| *to as i32)
                .collect::<Vec<_>>(),
        );
    };
    for number in numbers {
        allow(number, &[&numbers, &texts, &[C::SqlConvertBit]]);
    }
    allow(
        C::SqlConvertBit,
        &[
            &[C::SqlConvertBit],
            &[C::SqlConvertInteger, C::SqlConvertBigint],
            &texts,
        ],
    );
    allow(
        C::SqlConvertVarchar,
        &[
            &numbers,
            &texts,
            &times,
            &[C::SqlConvertBit, C::SqlConvertTime, C::SqlConvertVarbinary],
        ],
    );
    allow(C::SqlConvertDate, &[&times, &texts]);
    allow(
        C::SqlConvertTimestamp,
        &[&times, &texts, &[C::SqlConvertTime]],
    );
    allow(C::SqlConvertTime, &[&[C::SqlConvertTime], &texts]);
    allow(C::SqlConvertVarbinary, &[&[C::SqlConvertVarbinary], &texts]);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ServerInfo {
        ServerInfo::new(&Limits::default()).unwrap()
    }

    /// The child of the union that each code's value stands in, as the JDBC driver reads it.
    fn expected_child(code: u32) -> i8 {
        match code {
            0..=2 | 6 | 7 | 504 | 513 | 514 | 529..=531 => 0,
            3..=5
            | 9..=11
            | 500..=502
            | 506
            | 515
            | 516
            | 518..=521
            | 523
            | 524
            | 527
            | 532
            | 536
            | 537
            | 539 => 1,
            556 | 563 | 565 | 566 | 572..=576 => 1,
            541..=555 | 557..=562 => 2,
            508..=512 => 4,
            517 => 5,
            _ => 3,
        }
    }

    #[test]
    fn every_code_of_the_protocol_is_answered_with_the_type_that_drivers_read() {
        let all = info().batch(vec![]).unwrap();
        let codes = all.column(0).as_primitive::<UInt32Type>();
        let values = all.column(1).as_union();
        let answered: Vec<u32> = codes.values().to_vec();
        for code in (0..=9).chain(100..=101).chain(500..=576) {
            assert!(answered.contains(&code), "code {code}");
        }
        for code in ASKED_FOR {
            assert!(!answered.contains(&code), "code {code} breaks JDBC 15");
            assert_eq!(info().batch(vec![code]).unwrap().num_rows(), 1);
        }
        for row in 0..all.num_rows() {
            assert_eq!(
                values.type_id(row),
                expected_child(codes.value(row)),
                "code {}",
                codes.value(row)
            );
        }
        assert_eq!(answered.len(), all.num_rows());
        assert!(
            answered.iter().all(|code| *code <= 576),
            "a vendor's code would break the JDBC driver"
        );
    }

    #[test]
    fn asking_for_some_codes_gives_those_and_an_unknown_one_gives_none() {
        let some = info().batch(vec![8, 0]).unwrap();
        assert_eq!(
            some.column(0)
                .as_primitive::<UInt32Type>()
                .values()
                .to_vec(),
            [0, 8]
        );
        assert_eq!(info().batch(vec![10_000]).unwrap().num_rows(), 0);
    }
}
