//! SetSessionOptions and GetSessionOptions: the settings that `SET` changes, by their names, with types.

use landfast_planner::{KeyError, SettingValue};

use super::Core;
use super::caller::Caller;
use super::dispatch::messages::{
    GetSessionOptionsResult, OptionValue, SessionOptionError, SessionOptionFault,
    SessionOptionValue, SetSessionOptionsRequest, SetSessionOptionsResult, StringList,
};
use super::fault::Fault;
use crate::session::SessionRef;

impl Core {
    /// Sets each option by itself: what can't be set is told, and the rest is. A client without a session gets one, whose
    /// cookie it has to send from then on.
    pub(super) fn set_options(
        &self,
        caller: &mut Caller,
        request: SetSessionOptionsRequest,
    ) -> Result<SetSessionOptionsResult, Fault> {
        let sessions = &self.reception.sessions;
        if caller.session == SessionRef::None {
            caller.session = sessions.fresh();
        }
        let before = sessions.settings(&caller.session);
        let mut after = before.clone();
        let mut result = SetSessionOptionsResult::default();
        let asker = caller.asker();
        let mut options: Vec<_> = request.session_options.into_iter().collect();
        options.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, value) in options {
            let value = setting_value(value);
            let resets = matches!(value, SettingValue::Unset);
            // What a header of every request says, no option can change.
            let shown = caller.overrides.over(after.clone())?;
            let mut hidden = shown.clone();
            let mut changed = after.clone();
            let set = self
                .engine
                .set_option(&mut hidden, &name, &value, &asker)
                .and_then(|()| self.engine.set_option(&mut changed, &name, &value, &asker));
            let fault = match set {
                Ok(()) if !resets && caller.overrides.check_seen(&shown, &hidden).is_err() => {
                    SessionOptionFault::Error
                }
                Ok(()) => {
                    after = changed;
                    continue;
                }
                Err(KeyError::Name(_)) => SessionOptionFault::InvalidName,
                Err(KeyError::Value(_)) => SessionOptionFault::InvalidValue,
            };
            let value = fault as i32;
            result.errors.insert(name, SessionOptionError { value });
        }
        if after != before {
            let cookie = sessions.change(&caller.session, &caller.principal, &before, &after)?;
            caller.set_cookie = cookie.or(caller.set_cookie.take());
        }
        Ok(result)
    }

    /// Every option that has a value. Asking for them begins no session: not even a cookie is handed out.
    pub(super) fn options(&self, caller: &mut Caller) -> GetSessionOptionsResult {
        caller.set_cookie = None;
        let settings = self.reception.sessions.settings(&caller.session);
        let options = settings.to_options().into_iter();
        GetSessionOptionsResult {
            session_options: options
                .map(|(name, value)| (name.to_owned(), option_value(value)))
                .collect(),
        }
    }
}

fn setting_value(option: SessionOptionValue) -> SettingValue {
    match option.option_value {
        None => SettingValue::Unset,
        Some(OptionValue::String(text)) => SettingValue::Text(text),
        Some(OptionValue::Bool(value)) => SettingValue::Bool(value),
        Some(OptionValue::Int64(value)) => SettingValue::Int(value),
        Some(OptionValue::Double(value)) => SettingValue::Float(value),
        Some(OptionValue::StringList(list)) => SettingValue::Texts(list.values),
    }
}

fn option_value(setting: SettingValue) -> SessionOptionValue {
    let option_value = match setting {
        SettingValue::Unset => None,
        SettingValue::Text(text) => Some(OptionValue::String(text)),
        SettingValue::Bool(value) => Some(OptionValue::Bool(value)),
        SettingValue::Int(value) => Some(OptionValue::Int64(value)),
        SettingValue::Float(value) => Some(OptionValue::Double(value)),
        SettingValue::Texts(values) => Some(OptionValue::StringList(StringList { values })),
    };
    SessionOptionValue { option_value }
}
