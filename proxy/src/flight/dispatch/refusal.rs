//! What the dispatcher itself refuses.

use arrow_flight::sql::Any;
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::command::short_name;

/// Why a call never got as far as an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The call breaks the protocol: INVALID_ARGUMENT.
    #[error("{0}")]
    Malformed(String),
    /// A part of the protocol that the backend does not offer: UNIMPLEMENTED.
    #[error("{0}")]
    NotOffered(String),
}

impl Refusal {
    /// The call breaks the protocol, for this reason.
    pub fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }

    /// A part of the protocol that is not offered.
    pub fn not_offered(text: impl Into<String>) -> Self {
        Self::NotOffered(text.into())
    }

    /// What a descriptor's or a ticket's bytes are told that are no command of Flight SQL.
    pub(in crate::flight) fn of_plain(bytes: &Bytes) -> Self {
        if bytes.is_empty() {
            return Self::malformed(
                "no command: Flight SQL wants one in the descriptor or the ticket",
            );
        }
        match Any::decode(bytes.clone()) {
            Ok(any) if !any.type_url.is_empty() => Self::not_offered(format!(
                "the command {} is not offered",
                short_name(&any.type_url)
            )),
            _ => Self::malformed("the command is not one of Flight SQL"),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(text) => Status::invalid_argument(text),
            Refusal::NotOffered(text) => Status::unimplemented(text),
        }
    }
}
