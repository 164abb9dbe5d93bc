//! Queries that come as Substrait plans instead of SQL.
//!
//! A plan is a relation tree somebody else's planner made. It is read within bounds, and [allowed](allow) part by part:
//! what is not known to be harmless and understood is refused by its name before anything else looks at the plan. Its
//! tables are resolved as those of a statement are; then DataFusion's consumer makes a logical plan of it, over those
//! tables and this engine's functions alone. From there on it is a query like any other.

mod allow;
mod consume;
mod fields;
mod sets;

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use substrait::proto::{Plan, Version};

pub(crate) use consume::{PlanTable, consume};

use crate::sql::statement::QueryKind;
use crate::sql::{QueryStatement, Statement};
use crate::{PlannerError, Result};

/// The oldest version of Substrait whose plans are taken: since then a plan says its version.
pub const SUBSTRAIT_MIN_VERSION: &str = "0.17.0";
/// The newest version of Substrait that is known whole. A plan of a newer one is taken if it has nothing that is new.
pub const SUBSTRAIT_MAX_VERSION: &str = "0.85.0";

const MIN: (u32, u32) = (0, 17);
const MAX: (u32, u32) = (0, 85);

/// How many fields the messages of one plan may have: each could be a hundred times as large in memory as it is sent.
const FIELDS_MAX: usize = 50_000;
/// The stack that reading gets: Protobuf's messages nest at most a hundred deep, with large frames in debug builds.
const READER_STACK_BYTES: usize = 64 << 20;
/// How much of a producer's name errors repeat.
const PRODUCER_CHARS_MAX: usize = 60;

/// A plan of which every part is allowed.
#[derive(Clone)]
pub(crate) struct SubstraitPlan {
    bytes: Bytes,
    plan: Plan,
    /// The names of the tables that it reads, each way of writing once.
    tables: Vec<Vec<String>>,
}

impl std::fmt::Debug for SubstraitPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubstraitPlan")
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl SubstraitPlan {
    /// The plan as it was sent.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The names of the tables that it reads, each way of writing once.
    pub(crate) fn tables(&self) -> &[Vec<String>] {
        &self.tables
    }

    /// The names of the columns that it expects of the table of this name; of nested ones the names within, too.
    pub(crate) fn columns_of(&self, table: &[String]) -> Vec<&str> {
        allow::columns_of(&self.plan, table)
    }

    /// An error of this plan says whose plan it is.
    pub(crate) fn explain(&self, error: PlannerError) -> PlannerError {
        error.with_note(&told(self.plan.version.as_ref()))
    }
}

/// Reads a plan of at most `bytes_max` bytes, and allows each part of it.
pub(crate) fn parse(bytes: Bytes, bytes_max: usize) -> Result<Statement> {
    if bytes.len() > bytes_max {
        return Err(PlannerError::exhausted(format!(
            "the Substrait plan is {} bytes long, and {bytes_max} are allowed",
            bytes.len()
        )));
    }
    // Reading, allowing and dropping a plan take stack by its depth.
    let plan = stacker::grow(READER_STACK_BYTES, || parse_here(bytes))?;
    Ok(Statement::Query(QueryStatement {
        text: Arc::from(substrait_text(&plan.bytes)),
        kind: QueryKind::Substrait(Arc::new(plan)),
        parameters: 0,
        deep: true,
    }))
}

fn parse_here(bytes: Bytes) -> Result<SubstraitPlan> {
    let Some(fields) = fields::at_most(&bytes) else {
        return Err(PlannerError::invalid(
            "the Substrait plan can't be read: it is cut off, or no message of Protobuf at all",
        ));
    };
    if fields > FIELDS_MAX {
        return Err(PlannerError::exhausted(format!(
            "the Substrait plan has {fields} fields, and {FIELDS_MAX} are allowed"
        )));
    }
    let plan = Plan::decode(bytes.clone()).map_err(|error| {
        PlannerError::invalid(format!("the Substrait plan can't be read: {error}"))
    })?;
    let version = plan.version.as_ref();
    check_version(&plan, bytes.len())?;
    let tables = allow::allow(&plan).map_err(|error| error.with_note(&told(version)))?;
    Ok(SubstraitPlan {
        bytes,
        plan,
        tables,
    })
}

/// Refuses a plan of a version that means something else by what it says.
fn check_version(plan: &Plan, bytes: usize) -> Result<()> {
    let version = plan.version.as_ref();
    let said = version.map_or((0, 0), |said| (said.major_number, said.minor_number));
    // Whoever leaves the numbers out says nothing.
    let unsaid = said == (0, 0);
    // What is not known is not kept, so that a plan of known parts alone is as long as it was.
    let whole = || plan.encoded_len() == bytes;
    if (MIN..=MAX).contains(&said) || ((unsaid || said > MAX) && whole()) {
        return Ok(());
    }
    let text = if unsaid {
        format!(
            "the Substrait plan does not say its version and has parts that are not known here: have it made for \
             {SUBSTRAIT_MAX_VERSION} or an older version, and say which"
        )
    } else if said > MAX {
        format!(
            "the Substrait plan is newer than {SUBSTRAIT_MAX_VERSION} and has parts that are not known here: have it \
             made for that version or an older one"
        )
    } else {
        format!("a Substrait plan older than {SUBSTRAIT_MIN_VERSION} is not supported")
    };
    Err(PlannerError::unsupported(text).with_note(&told(version)))
}

/// Who made the plan, for errors.
fn told(version: Option<&Version>) -> String {
    let Some(version) = version else {
        return "a plan that does not say its version".to_string();
    };
    let shown = |c: &char| !c.is_control();
    let producer: String = version.producer.chars().filter(shown).collect();
    let producer = match producer.trim() {
        "" => "somebody who does not say who",
        producer => match producer.char_indices().nth(PRODUCER_CHARS_MAX) {
            Some((cut, _)) => &producer[..cut],
            None => producer,
        },
    };
    format!(
        "a plan of Substrait {}.{}.{}, made by {producer}",
        version.major_number, version.minor_number, version.patch_number
    )
}

/// What stands for a Substrait plan in records: nothing of it but its digest.
pub fn substrait_text(bytes: &[u8]) -> String {
    let mut text = String::from(TEXT_START);
    for byte in Sha256::digest(bytes) {
        // Writing into a text can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

const TEXT_START: &str = "SUBSTRAIT PLAN sha256:";

/// Whether a text is what stands for a plan, and nothing else.
pub(crate) fn stands_for_a_plan(text: &str) -> bool {
    text.strip_prefix(TEXT_START).is_some_and(|digest| {
        digest.len() == 64
            && digest
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests;
