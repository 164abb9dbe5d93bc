//! Messages of the protocol that arrow-flight does not have yet.

use arrow_flight::sql::{Any, ProstMessageExt};
use bytes::Bytes;
use prost::Message;

/// `ActionCreatePreparedStatementResult` with its fourth field, which tells drivers whether to fetch or to update.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct CreatePreparedStatementResult {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) prepared_statement_handle: Bytes,
    /// An encapsulated IPC schema, or nothing for a statement without rows.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) dataset_schema: Bytes,
    /// An encapsulated IPC schema of the parameters in their order.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) parameter_schema: Bytes,
    #[prost(bool, optional, tag = "4")]
    pub(super) is_update: Option<bool>,
}

impl ProstMessageExt for CreatePreparedStatementResult {
    fn type_url() -> &'static str {
        "type.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementResult"
    }

    fn as_any(&self) -> Any {
        Any {
            type_url: Self::type_url().to_owned(),
            value: self.encode_to_vec().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::ActionCreatePreparedStatementResult;

    use super::*;

    #[test]
    fn a_client_that_does_not_know_the_fourth_field_reads_the_first_three() {
        let ours = CreatePreparedStatementResult {
            prepared_statement_handle: Bytes::from_static(b"h"),
            dataset_schema: Bytes::from_static(b"d"),
            parameter_schema: Bytes::from_static(b"p"),
            is_update: Some(true),
        };
        assert!(ours.as_any().is::<ActionCreatePreparedStatementResult>());
        let theirs =
            ActionCreatePreparedStatementResult::decode(ours.encode_to_vec().as_slice()).unwrap();
        assert_eq!(
            (
                &theirs.prepared_statement_handle[..],
                &theirs.dataset_schema[..]
            ),
            (&b"h"[..], &b"d"[..])
        );
        assert_eq!(&theirs.parameter_schema[..], b"p");
    }
}
