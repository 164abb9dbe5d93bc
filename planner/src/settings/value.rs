//! Settings as clients hand them over with a type, one key at a time: session options and headers.

use crate::PlannerError;

/// A setting's value as a session option has it.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingValue {
    /// No value: the setting goes back to its default.
    Unset,
    /// A text, as `SET` takes it.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Several texts; no setting takes them.
    Texts(Vec<String>),
}

impl SettingValue {
    /// The value as `SET` would write it; none for no value.
    ///
    /// # Errors
    /// A list is no setting's value.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, KeyError> {
        Ok(Some(match self {
            Self::Unset => return Ok(None),
            Self::Text(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Texts(_) => {
                return Err(KeyError::Value(PlannerError::invalid(format!(
                    "{key} takes one value, not a list"
                ))));
            }
        }))
    }
}

/// Why one key was not set. Each key of several is set or refused by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no such key.
    #[error(transparent)]
    Name(PlannerError),
    /// The key can't have this value.
    #[error(transparent)]
    Value(PlannerError),
}

impl From<KeyError> for PlannerError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Name(error) | KeyError::Value(error) => error,
        }
    }
}
