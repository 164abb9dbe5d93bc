//! What a session can set, and how each setting is written.
//!
//! Settings are plain data: a key and a text each, so that tickets and session stores carry them. A key that nobody
//! knows is an error that lists the nearest keys; nothing is ever lost silently.

mod value;
mod wire;

use std::time::Duration;

use landfast_catalog::{CatalogName, Freshness, Reading, SchemaName};
use landfast_sites::SiteId;

use crate::error::nearest;
use crate::placement::PlacementMode;
use crate::sql::version::Version;
use crate::{PlannerError, Result};

pub use value::{KeyError, SettingValue};
pub use wire::{Compression, WireTypes};

/// The age that `bounded` freshness allows at most: a pointer older than a day is never "fresh enough".
const BOUND_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// More partitions than this only cost memory.
const TARGET_PARTITIONS_MAX: usize = 1024;
/// A batch of more rows than this breaks the memory accounting's assumptions.
const BATCH_ROWS_MAX: usize = 131_072;

/// One setting's key, canonical spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    BatchSize,
    PreferHashJoin,
    TargetPartitions,
    AsOf,
    Catalog,
    Compression,
    Freshness,
    MaxEgressUsd,
    Placement,
    Schema,
    StaleReads,
    TimeZone,
    UseSortOrders,
    WireTypes,
}

const KEYS: [Key; 14] = [
    Key::BatchSize,
    Key::PreferHashJoin,
    Key::TargetPartitions,
    Key::AsOf,
    Key::Catalog,
    Key::Compression,
    Key::Freshness,
    Key::MaxEgressUsd,
    Key::Placement,
    Key::Schema,
    Key::StaleReads,
    Key::TimeZone,
    Key::UseSortOrders,
    Key::WireTypes,
];

/// The key of [`SessionSettings::use_sort_orders`], for errors that it helps against.
pub(crate) const USE_SORT_ORDERS: &str = "landfast.use_sort_orders";

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::BatchSize => "datafusion.execution.batch_size",
            Self::PreferHashJoin => "datafusion.optimizer.prefer_hash_join",
            Self::TargetPartitions => "datafusion.execution.target_partitions",
            Self::AsOf => "landfast.as_of",
            Self::Catalog => "landfast.catalog",
            Self::Compression => "landfast.compression",
            Self::Freshness => "landfast.freshness",
            Self::MaxEgressUsd => "landfast.max_egress_usd",
            Self::Placement => "landfast.placement",
            Self::Schema => "landfast.schema",
            Self::StaleReads => "landfast.stale_reads",
            Self::TimeZone => "landfast.time_zone",
            Self::UseSortOrders => USE_SORT_ORDERS,
            Self::WireTypes => "landfast.wire_types",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::BatchSize => "rows per batch inside the engine",
            Self::PreferHashJoin => "hash joins rather than sort-merge joins: true or false",
            Self::TargetPartitions => "how many partitions a plan runs in",
            Self::AsOf => {
                "'current', 'timestamp 2026-01-31 12:00:00' or 'ref audit': the version of tables that have no AS OF"
            }
            Self::Catalog => "the catalog of names that have none",
            Self::Compression => {
                "'none', 'lz4' or 'zstd': how the batches of results are compressed, for drivers that can read it"
            }
            Self::Freshness => {
                "'strong', or 'bounded 60s': how old the catalog's word on a table may be"
            }
            Self::MaxEgressUsd => {
                "what one query's reads may cost, in US dollars: refused where they are estimated to cost more, stopped once they do; or 'unlimited'"
            }
            Self::Placement => {
                "'nearest' copy of each file, 'origin' to compare, or the name of a site to read first what it has"
            }
            Self::Schema => "the schema of names that have none",
            Self::StaleReads => {
                "'refuse' or 'allow': whether a member that is down may be read past its bound, labelled"
            }
            Self::TimeZone => "the zone that timestamps without one are read and shown in",
            Self::UseSortOrders => {
                "'on' or 'off': whether files that name the order that they are in are not sorted again"
            }
            Self::WireTypes => {
                "'compatible' with every driver; 'zoneless': so, and timestamps with a zone as those of UTC without one; or 'native': views and dictionaries as the engine makes them"
            }
        }
    }

    /// Finds a key by any accepted spelling: in any case, with or without `landfast.`.
    fn parse(written: &str) -> Result<Self> {
        let lower = written.trim().to_ascii_lowercase();
        let wanted = match lower.as_str() {
            "catalog" | "database" => "landfast.catalog",
            "schema" | "current_schema" | "search_path" => "landfast.schema",
            "timezone"
            | "time_zone"
            | "time zone"
            | "landfast.timezone"
            | "datafusion.execution.time_zone" => "landfast.time_zone",
            "as_of" => "landfast.as_of",
            "freshness" => "landfast.freshness",
            "max_egress_usd" => "landfast.max_egress_usd",
            "placement" => "landfast.placement",
            "stale_reads" => "landfast.stale_reads",
            "compression" => "landfast.compression",
            "use_sort_orders" => USE_SORT_ORDERS,
            "wire_types" => "landfast.wire_types",
            other => other,
        };
        KEYS.into_iter()
            .find(|key| key.name() == wanted)
            .ok_or_else(|| {
                let mut near = nearest(wanted, KEYS.iter().map(|key| key.name()));
                if near.is_empty() {
                    near = KEYS.iter().map(|key| key.name().to_string()).collect();
                }
                PlannerError::invalid(format!(
                    "there is no setting {written:?}; nearest: {}",
                    near.join(", ")
                ))
            })
    }
}

/// The settings of one session.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionSettings {
    /// The catalog of names that have none.
    pub catalog: Option<CatalogName>,
    /// The schema of names that have none.
    pub schema: Option<SchemaName>,
    /// Which version is read of a table that a statement names without one; none means the current one.
    pub(crate) as_of: Option<Version>,
    /// How old the catalog's word on a table may be.
    pub freshness: Freshness,
    /// Whether a table may be read past its bound while its member is down.
    pub stale_reads_allowed: bool,
    /// What one query's reads may cost, in US dollars; none means whatever they cost.
    pub max_egress_usd: Option<f64>,
    /// Which copies are read.
    pub placement: PlacementMode,
    /// The zone of timestamps without one, as IANA name or offset.
    pub time_zone: String,
    /// Whether files that name the order that they are in are not sorted again.
    pub use_sort_orders: bool,
    /// Which Arrow types results have when they are sent.
    pub wire_types: WireTypes,
    /// How results are compressed when they are sent.
    pub compression: Compression,
    /// How many partitions a plan runs in; none means the engine's default.
    pub target_partitions: Option<usize>,
    /// Rows per batch inside the engine; none means the engine's default.
    pub batch_size: Option<usize>,
    /// Hash joins rather than sort-merge joins.
    pub prefer_hash_join: bool,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            catalog: None,
            schema: None,
            as_of: None,
            freshness: Freshness::Bounded(Duration::from_secs(60)),
            stale_reads_allowed: false,
            max_egress_usd: None,
            placement: PlacementMode::Nearest,
            time_zone: "UTC".to_string(),
            use_sort_orders: true,
            wire_types: WireTypes::default(),
            compression: Compression::default(),
            target_partitions: None,
            batch_size: None,
            prefer_hash_join: true,
        }
    }
}

impl SessionSettings {
    /// Every key there is, sorted.
    pub fn keys() -> Vec<&'static str> {
        KEYS.iter().map(|key| key.name()).collect()
    }

    /// What the key means, in a few words.
    pub fn describe(key: &str) -> Result<&'static str> {
        Key::parse(key).map(Key::description)
    }

    /// The canonical spelling of a key, or an error that lists the nearest ones.
    pub fn canonical_key(key: &str) -> Result<&'static str> {
        Key::parse(key).map(Key::name)
    }

    /// Sets one setting from its text. On an error nothing has changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let value = value.trim();
        match Key::parse(key)? {
            Key::AsOf => self.as_of = parse_as_of(value)?,
            Key::Catalog => {
                self.catalog = optional(value)
                    .map(CatalogName::new)
                    .transpose()
                    .map_err(bad(key))?;
            }
            Key::Schema => {
                self.schema = optional(value)
                    .map(SchemaName::new)
                    .transpose()
                    .map_err(bad(key))?;
            }
            Key::Freshness => self.freshness = parse_freshness(value)?,
            Key::MaxEgressUsd => self.max_egress_usd = parse_max_egress(value)?,
            Key::StaleReads => {
                self.stale_reads_allowed =
                    one_of(key, value, &[("refuse", false), ("allow", true)])?;
            }
            Key::Placement => {
                self.placement = parse_placement(value)?;
            }
            Key::TimeZone => self.time_zone = parse_time_zone(value)?,
            Key::WireTypes => self.wire_types = one_of(key, value, &WireTypes::ALL)?,
            Key::Compression => self.compression = one_of(key, value, &Compression::ALL)?,
            Key::TargetPartitions => {
                self.target_partitions = optional(value)
                    .map(|text| number(key, text, 1, TARGET_PARTITIONS_MAX))
                    .transpose()?;
            }
            Key::BatchSize => {
                self.batch_size = optional(value)
                    .map(|text| number(key, text, 1, BATCH_ROWS_MAX))
                    .transpose()?;
            }
            Key::UseSortOrders => self.use_sort_orders = one_of(key, value, &ON_OR_OFF)?,
            Key::PreferHashJoin => self.prefer_hash_join = one_of(key, value, &ON_OR_OFF)?,
        }
        Ok(())
    }

    /// Sets one setting from a session option; no value gives it what `defaults` has. On an error nothing has changed.
    pub fn set_option(
        &mut self,
        key: &str,
        value: &SettingValue,
        defaults: &SessionSettings,
    ) -> Result<(), KeyError> {
        let key = Key::parse(key).map_err(KeyError::Name)?.name();
        let done = match value.text(key)? {
            Some(text) => self.set(key, &text),
            None => self.reset(key, defaults),
        };
        done.map_err(KeyError::Value)
    }

    /// Every setting as a session option, sorted by key; `catalog` and `schema` go by the names that the protocol gives
    /// them. What has no value is left out.
    pub fn to_options(&self) -> Vec<(&'static str, SettingValue)> {
        KEYS.into_iter()
            .filter_map(|key| {
                let name = match key {
                    Key::Catalog => "catalog",
                    Key::Schema => "schema",
                    key => key.name(),
                };
                let text = |text: &str| SettingValue::Text(text.to_string());
                let whole = |number: usize| i64::try_from(number).ok().map(SettingValue::Int);
                let value = match key {
                    Key::Catalog => self.catalog.as_ref().map(|name| text(name.as_str())),
                    Key::Schema => self.schema.as_ref().map(|name| text(name.as_str())),
                    Key::PreferHashJoin => Some(SettingValue::Bool(self.prefer_hash_join)),
                    Key::UseSortOrders => Some(SettingValue::Bool(self.use_sort_orders)),
                    Key::TargetPartitions => self.target_partitions.and_then(whole),
                    Key::BatchSize => self.batch_size.and_then(whole),
                    Key::MaxEgressUsd => self.max_egress_usd.map(SettingValue::Float),
                    key => Some(text(&self.text(key))),
                };
                Some((name, value?))
            })
            .collect()
    }

    /// Gives one setting the value that `defaults` has.
    pub fn reset(&mut self, key: &str, defaults: &SessionSettings) -> Result<()> {
        let value = defaults.show(key)?;
        self.set(key, &value)
    }

    /// One setting's value as text; what [`Self::set`] takes.
    pub fn show(&self, key: &str) -> Result<String> {
        Ok(self.text(Key::parse(key)?))
    }

    /// Every setting as key and text, sorted by key.
    pub fn to_pairs(&self) -> Vec<(String, String)> {
        KEYS.into_iter()
            .map(|key| (key.name().to_string(), self.text(key)))
            .collect()
    }

    /// Settings from keys and texts; keys that are not there keep their defaults.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut settings = Self::default();
        for (key, value) in pairs {
            settings.set(key, value)?;
        }
        Ok(settings)
    }

    /// How the catalog is to be read under these settings.
    pub fn reading(&self) -> Reading {
        Reading {
            freshness: self.freshness,
            stale_allowed: self.stale_reads_allowed,
        }
    }

    fn text(&self, key: Key) -> String {
        match key {
            Key::AsOf => match &self.as_of {
                None => "current".to_string(),
                Some(Version::Snapshot(id)) => format!("snapshot {id}"),
                Some(Version::Ref(name)) => format!("ref {name}"),
                Some(Version::Time(text)) => format!("timestamp {text}"),
            },
            Key::Catalog => self
                .catalog
                .as_ref()
                .map(|name| name.to_string())
                .unwrap_or_default(),
            Key::Schema => self
                .schema
                .as_ref()
                .map(|name| name.to_string())
                .unwrap_or_default(),
            Key::Freshness => freshness_text(self.freshness),
            Key::StaleReads => if self.stale_reads_allowed {
                "allow"
            } else {
                "refuse"
            }
            .to_string(),
            Key::MaxEgressUsd => self
                .max_egress_usd
                .map_or_else(|| UNLIMITED.to_string(), |usd| usd.to_string()),
            Key::Placement => self.placement.to_string(),
            Key::TimeZone => self.time_zone.clone(),
            Key::UseSortOrders => if self.use_sort_orders { "on" } else { "off" }.to_string(),
            Key::WireTypes => self.wire_types.as_str().to_string(),
            Key::Compression => self.compression.as_str().to_string(),
            Key::TargetPartitions => self
                .target_partitions
                .map(|n| n.to_string())
                .unwrap_or_default(),
            Key::BatchSize => self.batch_size.map(|n| n.to_string()).unwrap_or_default(),
            Key::PreferHashJoin => self.prefer_hash_join.to_string(),
        }
    }
}

/// How what is either on or off may be written.
const ON_OR_OFF: [(&str, bool); 4] = [
    ("on", true),
    ("off", false),
    ("true", true),
    ("false", false),
];

/// How [`SessionSettings::max_egress_usd`] is written where there is none.
const UNLIMITED: &str = "unlimited";

/// `nearest`, `origin`, or a site's name; whether there is such a site, the engine knows.
fn parse_placement(value: &str) -> Result<PlacementMode> {
    match value.to_ascii_lowercase().as_str() {
        "nearest" => Ok(PlacementMode::Nearest),
        "origin" => Ok(PlacementMode::Origin),
        site => SiteId::new(site).map(PlacementMode::Site).map_err(|_| {
            PlannerError::invalid(format!(
                "landfast.placement can't be {value:?}: it is 'nearest', 'origin' or the name of a site"
            ))
        }),
    }
}

fn parse_max_egress(value: &str) -> Result<Option<f64>> {
    let Some(value) = optional(value).filter(|value| !value.eq_ignore_ascii_case(UNLIMITED)) else {
        return Ok(None);
    };
    match value.parse::<f64>() {
        // Not -0, which would be shown as such.
        Ok(usd) if usd.is_finite() && usd >= 0.0 => Ok(Some(usd.abs())),
        _ => Err(PlannerError::invalid(format!(
            "landfast.max_egress_usd can't be {value:?}: it is a number of US dollars from 0, such as 0.25, or '{UNLIMITED}'"
        ))),
    }
}

/// An empty text, or `default`, takes a setting back to none.
fn optional(value: &str) -> Option<&str> {
    (!value.is_empty() && !value.eq_ignore_ascii_case("default")).then_some(value)
}

fn bad<E: std::fmt::Display>(key: &str) -> impl Fn(E) -> PlannerError + '_ {
    move |error| PlannerError::invalid(format!("{key}: {error}"))
}

fn one_of<T: Copy>(key: &str, value: &str, choices: &[(&str, T)]) -> Result<T> {
    choices
        .iter()
        .find(|(name, _)| value.eq_ignore_ascii_case(name))
        .map(|(_, choice)| *choice)
        .ok_or_else(|| {
            let names: Vec<String> = choices
                .iter()
                .map(|(name, _)| format!("'{name}'"))
                .collect();
            PlannerError::invalid(format!(
                "{key} can't be {value:?}: it is one of {}",
                names.join(", ")
            ))
        })
}

fn number(key: &str, value: &str, least: usize, most: usize) -> Result<usize> {
    value
        .parse()
        .ok()
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| {
            PlannerError::invalid(format!(
                "{key} can't be {value:?}: it is a whole number from {least} to {most}"
            ))
        })
}

/// `strong`, or `bounded` and a duration such as `500ms`, `60s`, `5m`, `2h`, `1d`; several may follow one another.
pub(crate) fn parse_freshness(value: &str) -> Result<Freshness> {
    let lower = value.to_ascii_lowercase();
    if lower == "strong" {
        return Ok(Freshness::Strong);
    }
    let duration = lower
        .strip_prefix("bounded")
        .map(|rest| rest.trim_matches(|c: char| c.is_whitespace() || c == '(' || c == ')'))
        .and_then(parse_duration);
    match duration {
        Some(bound) if bound <= BOUND_MAX => Ok(Freshness::Bounded(bound)),
        Some(_) => Err(PlannerError::invalid(
            "landfast.freshness is bounded by 24 h at most",
        )),
        None => Err(PlannerError::invalid(format!(
            "landfast.freshness can't be {value:?}: it is 'strong' or 'bounded' and a duration, such as 'bounded 60s'"
        ))),
    }
}

/// `current`, `timestamp` and a time, or `ref` and the name of a branch or tag.
fn parse_as_of(value: &str) -> Result<Option<Version>> {
    let Some(value) = optional(value).filter(|value| !value.eq_ignore_ascii_case("current")) else {
        return Ok(None);
    };
    let (word, rest) = value
        .split_once(|c: char| c.is_whitespace() || c == ':')
        .unwrap_or((value, ""));
    let rest = rest.trim();
    let quoted = rest
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    let rest = quoted.unwrap_or(rest);
    match word.to_ascii_lowercase().as_str() {
        "timestamp" => Version::at_time(rest).map(Some),
        "ref" if !rest.is_empty() => Ok(Some(Version::Ref(rest.to_string()))),
        _ => Err(PlannerError::invalid(format!(
            "landfast.as_of can't be {value:?}: it is 'current', 'timestamp 2026-01-31 12:00:00', or 'ref' and the \
             name of a branch or tag, such as 'ref audit'"
        ))),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit_ms: u64 = match &rest[..letters] {
            "ms" | "milliseconds" | "millisecond" => 1,
            "s" | "sec" | "second" | "seconds" => 1000,
            "m" | "min" | "minute" | "minutes" => 60_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
        rest = rest[letters..].trim_start();
    }
    Some(total)
}

fn freshness_text(freshness: Freshness) -> String {
    match freshness {
        Freshness::Strong => "strong".to_string(),
        Freshness::Bounded(bound) => {
            let ms = bound.as_millis();
            if ms % 1000 == 0 {
                format!("bounded {}s", ms / 1000)
            } else {
                format!("bounded {ms}ms")
            }
        }
    }
}

fn parse_time_zone(value: &str) -> Result<String> {
    let value = if value.eq_ignore_ascii_case("utc") || value.eq_ignore_ascii_case("z") {
        "UTC"
    } else {
        value
    };
    value
        .parse::<arrow::array::timezone::Tz>()
        .map(|_| value.to_string())
        .map_err(|_| {
            PlannerError::invalid(format!(
                "landfast.time_zone can't be {value:?}: it is a name such as 'Europe/Berlin' or an offset such as '+02:00'"
            ))
        })
}

#[cfg(test)]
mod tests;
