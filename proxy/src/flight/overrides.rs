//! Settings that a request's headers carry. They hold for that request alone, over what its session has: a driver that
//! sends them with every request needs no session at all. JDBC sends properties of its URL that it doesn't know as
//! headers, and ADBC those that its options name.

use landfast_planner::{Asker, Engine, PlannerError, SessionSettings, SettingValue};
use tonic::metadata::{KeyRef, MetadataMap};

use super::fault::Fault;

/// Starts the names of headers that can only be meant as settings.
const PREFIXES: [&str; 2] = ["landfast.", "datafusion."];
/// Headers by the names that the protocol gives these two.
const NAMES: [&str; 2] = ["catalog", "schema"];

/// The settings of one request's headers, checked: keys as they are spelled, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Overrides(Vec<(&'static str, String)>);

impl Overrides {
    /// Reads the headers that are settings.
    ///
    /// # Errors
    /// The first that is no setting, or has a value that it can't have, by its name.
    pub(super) fn read(
        headers: &MetadataMap,
        engine: &Engine,
        asker: &Asker,
    ) -> Result<Self, Fault> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for name in headers.keys() {
            let KeyRef::Ascii(name) = name else { continue };
            let name = name.as_str();
            let meant =
                NAMES.contains(&name) || PREFIXES.iter().any(|start| name.starts_with(start));
            if !meant {
                continue;
            }
            let wrong = |text: String| {
                Fault::from(PlannerError::invalid(format!("the header {name}: {text}")))
            };
            let mut values = headers.get_all(name).iter();
            let value = values
                .next()
                .and_then(|value| value.to_str().ok())
                .ok_or_else(|| wrong("its value is no text".into()))?;
            let mut settings = engine.defaults().clone();
            engine
                .set_option(
                    &mut settings,
                    name,
                    &SettingValue::Text(value.to_owned()),
                    asker,
                )
                .map_err(|error| wrong(error.to_string()))?;
            let key = SessionSettings::canonical_key(name)?;
            if values.next().is_some() || found.iter().any(|(other, _)| *other == key) {
                return Err(wrong(format!("{key} is given more than once")));
            }
            found.push((key, settings.show(key)?));
        }
        Ok(Self(found))
    }

    /// A session's settings with these over them.
    pub(super) fn over(&self, mut settings: SessionSettings) -> Result<SessionSettings, Fault> {
        for (key, value) in &self.0 {
            settings.set(key, value)?;
        }
        Ok(settings)
    }

    /// Refuses a change of the session that these would hide: it would seem to be lost. `before` and `after` are what
    /// holds with these over it.
    pub(super) fn check_seen(
        &self,
        before: &SessionSettings,
        after: &SessionSettings,
    ) -> Result<(), Fault> {
        for (key, value) in &self.0 {
            if after.show(key)? != before.show(key)? {
                return Err(PlannerError::of_kind(
                    landfast_planner::ErrorKind::FailedPrecondition,
                    format!(
                        "{key} can't be changed here: the connection's own header (or URL property) says '{value}' with every request"
                    ),
                )
                .into());
            }
        }
        Ok(())
    }
}
