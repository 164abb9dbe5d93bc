//! Messages of the protocol that arrow-flight does not have yet.

use std::collections::HashMap;

use arrow_flight::sql::{Any, ProstMessageExt};
use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

/// `ActionCreatePreparedStatementResult` with its fourth field, which tells drivers whether to fetch or to update.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CreatePreparedStatementResult {
    /// Names the statement from now on.
    #[prost(bytes = "bytes", tag = "1")]
    pub prepared_statement_handle: Bytes,
    /// An encapsulated IPC schema, or nothing for a statement without rows.
    #[prost(bytes = "bytes", tag = "2")]
    pub dataset_schema: Bytes,
    /// An encapsulated IPC schema of the parameters in their order.
    #[prost(bytes = "bytes", tag = "3")]
    pub parameter_schema: Bytes,
    /// Whether it is to be executed as an update.
    #[prost(bool, optional, tag = "4")]
    pub is_update: Option<bool>,
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

/// One option's value. No value at all takes the option back to its default.
#[derive(Clone, PartialEq, Message)]
pub struct SessionOptionValue {
    /// The value, by its type.
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub option_value: Option<OptionValue>,
}

/// The types that an option's value can have.
#[derive(Clone, PartialEq, Oneof)]
#[allow(missing_docs, reason = "each holds what its name says")]
pub enum OptionValue {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    StringList(StringList),
}

/// Several strings, in their order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StringList {
    /// The strings.
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

/// The request of SetSessionOptions.
#[derive(Clone, PartialEq, Message)]
pub struct SetSessionOptionsRequest {
    /// What to set, by name.
    #[prost(map = "string, message", tag = "1")]
    pub session_options: HashMap<String, SessionOptionValue>,
}

/// The result of SetSessionOptions.
#[derive(Clone, PartialEq, Message)]
pub struct SetSessionOptionsResult {
    /// What was not set, and why; options that are not here were set.
    #[prost(map = "string, message", tag = "1")]
    pub errors: HashMap<String, SessionOptionError>,
}

/// Why an option was not set.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct SessionOptionError {
    /// One of [`SessionOptionFault`].
    #[prost(enumeration = "SessionOptionFault", tag = "1")]
    pub value: i32,
}

/// The reasons for which an option is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum SessionOptionFault {
    /// Something that this protocol did not know when it was written.
    Unspecified = 0,
    /// There is no such option.
    InvalidName = 1,
    /// The option can't have this value.
    InvalidValue = 2,
    /// The option can't be set for another reason.
    Error = 3,
}

/// The request of GetSessionOptions.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetSessionOptionsRequest {}

/// The result of GetSessionOptions.
#[derive(Clone, PartialEq, Message)]
pub struct GetSessionOptionsResult {
    /// The session's options, by name.
    #[prost(map = "string, message", tag = "1")]
    pub session_options: HashMap<String, SessionOptionValue>,
}

/// The request of CloseSession.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CloseSessionRequest {}

/// The result of CloseSession.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CloseSessionResult {
    /// One of [`CloseStatus`].
    #[prost(enumeration = "CloseStatus", tag = "1")]
    pub status: i32,
}

/// What became of a session that was to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum CloseStatus {
    /// Something that this protocol did not know when it was written.
    Unspecified = 0,
    /// It is closed; sending its cookie again is an error.
    Closed = 1,
    /// It will be closed soon.
    Closing = 2,
    /// It can't be closed.
    NotCloseable = 3,
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

    #[test]
    fn session_options_read_and_write_the_bytes_that_the_protocol_gives() {
        // Written by hand from Flight.proto: {"n": sfixed64 5} and {"l": ["a"]}.
        let number = b"\x0a\x0e\x0a\x01n\x12\x09\x19\x05\0\0\0\0\0\0\0";
        let list = b"\x0a\x0a\x0a\x01l\x12\x05\x2a\x03\x0a\x01a";
        for (bytes, name, value) in [
            (&number[..], "n", OptionValue::Int64(5)),
            (
                &list[..],
                "l",
                OptionValue::StringList(StringList {
                    values: vec!["a".into()],
                }),
            ),
        ] {
            let read = SetSessionOptionsRequest::decode(bytes).unwrap();
            assert_eq!(
                read.session_options[name].option_value.as_ref(),
                Some(&value)
            );
            assert_eq!(read.encode_to_vec(), bytes);
        }
        let errors = SetSessionOptionsResult {
            errors: HashMap::from([(
                "x".to_owned(),
                SessionOptionError {
                    value: SessionOptionFault::InvalidValue.into(),
                },
            )]),
        };
        assert_eq!(errors.encode_to_vec(), b"\x0a\x07\x0a\x01x\x12\x02\x08\x02");
    }
}
