//! Which command a descriptor or a ticket holds.
//!
//! Bytes that are no `Any` of Flight SQL's package are a plain flight's: what they mean, the backend knows.

use arrow_flight::FlightDescriptor;
use arrow_flight::sql::{
    Any, Command, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
    CommandStatementIngest, CommandStatementQuery, CommandStatementSubstraitPlan,
    CommandStatementUpdate, TicketStatementQuery,
};
use bytes::Bytes;
use prost::Message;

use super::refusal::Refusal;
use super::shapes::not_a_listing;

/// What every message of Flight SQL is named under.
const PACKAGE: &str = "type.googleapis.com/arrow.flight.protocol.sql.";

/// What a descriptor asks about (GetFlightInfo, PollFlightInfo, GetSchema).
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    Statement(CommandStatementQuery),
    Substrait(CommandStatementSubstraitPlan),
    Prepared(CommandPreparedStatementQuery),
    /// One of the commands that list what there is.
    Listing(Command),
    Plain,
}

/// What a ticket fetches.
#[derive(Debug, PartialEq)]
pub(super) enum Fetched {
    Statement(TicketStatementQuery),
    Prepared(CommandPreparedStatementQuery),
    /// One of the commands that list what there is: their descriptors are their tickets.
    Listing(Command),
    Plain,
}

/// What is put.
#[derive(Debug, PartialEq)]
pub(super) enum Putting {
    Update(CommandStatementUpdate),
    Substrait(CommandStatementSubstraitPlan),
    PreparedQuery(CommandPreparedStatementQuery),
    PreparedUpdate(CommandPreparedStatementUpdate),
    Ingest(CommandStatementIngest),
    Plain,
}

pub(super) fn asked(descriptor: &FlightDescriptor) -> Result<Asked, Refusal> {
    Ok(match described(descriptor)? {
        None => Asked::Plain,
        Some(Command::CommandStatementQuery(query)) => Asked::Statement(query),
        Some(Command::CommandStatementSubstraitPlan(plan)) => Asked::Substrait(plan),
        Some(Command::CommandPreparedStatementQuery(query)) => Asked::Prepared(query),
        Some(command) => Asked::Listing(listing(command)?),
    })
}

pub(super) fn fetched(ticket: &Bytes) -> Result<Fetched, Refusal> {
    Ok(match command(ticket)? {
        None => Fetched::Plain,
        Some(Command::TicketStatementQuery(ticket)) => Fetched::Statement(ticket),
        Some(Command::CommandPreparedStatementQuery(query)) => Fetched::Prepared(query),
        Some(command) => Fetched::Listing(listing(command)?),
    })
}

pub(super) fn putting(descriptor: &FlightDescriptor) -> Result<Putting, Refusal> {
    Ok(match described(descriptor)? {
        None => Putting::Plain,
        Some(Command::CommandStatementUpdate(update)) => Putting::Update(update),
        Some(Command::CommandStatementSubstraitPlan(plan)) => Putting::Substrait(plan),
        Some(Command::CommandPreparedStatementQuery(query)) => Putting::PreparedQuery(query),
        Some(Command::CommandPreparedStatementUpdate(update)) => Putting::PreparedUpdate(update),
        Some(Command::CommandStatementIngest(ingest)) => Putting::Ingest(ingest),
        Some(other) => {
            let name = short_name(other.type_url());
            return Err(Refusal::malformed(format!("{name} is not put")));
        }
    })
}

/// The command of a descriptor; nothing if it is a plain flight's.
fn described(descriptor: &FlightDescriptor) -> Result<Option<Command>, Refusal> {
    if !descriptor.cmd.is_empty() && !descriptor.path.is_empty() {
        return Err(Refusal::malformed(
            "the descriptor has a command and a path: it is one or the other",
        ));
    }
    command(&descriptor.cmd)
}

/// A command of Flight SQL; nothing if the bytes are a plain flight's.
fn command(bytes: &Bytes) -> Result<Option<Command>, Refusal> {
    let Ok(any) = Any::decode(bytes.clone()) else {
        return Ok(None);
    };
    if !any.type_url.starts_with(PACKAGE) {
        return Ok(None);
    }
    match Command::try_from(any) {
        Ok(Command::Unknown(any)) => Err(Refusal::not_offered(format!(
            "the command {} is not offered",
            short_name(&any.type_url)
        ))),
        Ok(command) => Ok(Some(command)),
        Err(error) => Err(Refusal::malformed(format!(
            "the command can't be read: {error}"
        ))),
    }
}

/// Lets the commands through that list what there is.
fn listing(command: Command) -> Result<Command, Refusal> {
    match command {
        Command::CommandGetCatalogs(_)
        | Command::CommandGetDbSchemas(_)
        | Command::CommandGetTables(_)
        | Command::CommandGetTableTypes(_)
        | Command::CommandGetPrimaryKeys(_)
        | Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_)
        | Command::CommandGetXdbcTypeInfo(_)
        | Command::CommandGetSqlInfo(_) => Ok(command),
        other => Err(not_a_listing(&other)),
    }
}

/// A message's name without the address in front of it.
pub(super) fn short_name(type_url: &str) -> &str {
    type_url.rsplit(['/', '.']).next().unwrap_or(type_url)
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::{CommandGetCatalogs, DoPutUpdateResult, ProstMessageExt};

    use super::*;

    fn descriptor(message: &impl ProstMessageExt) -> FlightDescriptor {
        FlightDescriptor::new_cmd(message.as_any().encode_to_vec())
    }

    #[test]
    fn what_is_no_command_of_flight_sql_is_a_plain_flight() {
        for plain in ["", "ordered", "1", "\n\u{3}abc"] {
            assert_eq!(
                asked(&FlightDescriptor::new_cmd(plain)),
                Ok(Asked::Plain),
                "{plain}"
            );
            assert_eq!(fetched(&Bytes::from(plain)), Ok(Fetched::Plain), "{plain}");
        }
        let path = FlightDescriptor::new_path(vec!["a".into()]);
        assert_eq!(putting(&path), Ok(Putting::Plain));
    }

    #[test]
    fn a_command_in_the_wrong_place_is_malformed_and_an_unknown_one_not_offered() {
        let update = descriptor(&CommandStatementUpdate::default());
        assert!(matches!(asked(&update), Err(Refusal::Malformed(_))));
        assert!(matches!(fetched(&update.cmd), Err(Refusal::Malformed(_))));
        let catalogs = descriptor(&CommandGetCatalogs {});
        assert!(matches!(asked(&catalogs), Ok(Asked::Listing(_))));
        assert!(matches!(putting(&catalogs), Err(Refusal::Malformed(_))));
        let result = descriptor(&DoPutUpdateResult { record_count: 1 });
        assert!(matches!(asked(&result), Err(Refusal::Malformed(_))));
        let tomorrow = Any {
            type_url: format!("{PACKAGE}CommandOfTomorrow"),
            value: Bytes::new(),
        };
        let tomorrow = FlightDescriptor::new_cmd(tomorrow.encode_to_vec());
        assert_eq!(
            asked(&tomorrow),
            Err(Refusal::not_offered(
                "the command CommandOfTomorrow is not offered"
            ))
        );
    }

    #[test]
    fn a_descriptor_with_a_command_and_a_path_is_malformed() {
        for mut both in [
            descriptor(&CommandGetCatalogs {}),
            descriptor(&CommandStatementUpdate::default()),
            FlightDescriptor::new_cmd("plain"),
        ] {
            both.path = vec!["x".repeat(1 << 20)];
            assert!(matches!(asked(&both), Err(Refusal::Malformed(_))));
            assert!(matches!(putting(&both), Err(Refusal::Malformed(_))));
        }
    }

    #[test]
    fn a_command_that_is_cut_off_is_malformed() {
        let cut = Any {
            type_url: CommandStatementQuery::type_url().to_owned(),
            value: Bytes::from_static(b"\n\x20SELECT"),
        };
        let cut = FlightDescriptor::new_cmd(cut.encode_to_vec());
        assert!(matches!(asked(&cut), Err(Refusal::Malformed(_))));
    }
}
