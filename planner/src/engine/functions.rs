//! The functions that a query may call.
//!
//! DataFusion's own scalar, aggregate and window functions compute on their arguments; the few that tell of the process
//! are left out. Of its table functions only those that make rows from nothing are there.

use std::sync::Arc;

use datafusion::catalog::TableFunction;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::ScalarUDF;

use crate::sql::TABLE_FUNCTIONS;

/// Scalar functions that say something about the server or its files rather than about their arguments.
const LEFT_OUT: [&str; 3] = ["file_row_index", "input_file_name", "version"];

pub(super) fn scalar() -> Vec<Arc<ScalarUDF>> {
    let mut all = SessionStateDefaults::default_scalar_functions();
    all.retain(|function| !LEFT_OUT.contains(&function.name()));
    all
}

pub(super) fn table() -> Vec<Arc<TableFunction>> {
    let mut all = SessionStateDefaults::default_table_functions();
    all.retain(|function| TABLE_FUNCTIONS.contains(&function.name()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_reads_files_or_the_environment() {
        let forbidden = [
            "file", "env", "read_", "glob", "load", "secret", "parquet_", "csv", "http", "exec",
            "system",
        ];
        let names: Vec<String> = scalar()
            .iter()
            .map(|function| function.name().to_string())
            .chain(table().iter().map(|function| function.name().to_string()))
            .collect();
        assert!(names.len() > 100);
        for name in &names {
            assert!(!forbidden.iter().any(|part| name.contains(part)), "{name}");
        }
    }

    #[test]
    fn the_table_functions_are_those_that_statements_may_name() {
        let names: Vec<String> = table()
            .iter()
            .map(|function| function.name().to_string())
            .collect();
        for name in &names {
            assert!(TABLE_FUNCTIONS.contains(&name.as_str()));
        }
        assert!(
            names.contains(&"generate_series".to_string()) && names.contains(&"range".to_string())
        );
    }
}
