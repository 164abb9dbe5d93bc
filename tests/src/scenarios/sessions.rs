//! `session_options`: options that live in a session, which a cookie names.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use landfast_proxy::flight::dispatch::messages::{
    CloseStatus, GetSessionOptionsResult, OptionValue, SessionOptionError, SessionOptionFault,
    SessionOptionValue, SetSessionOptionsRequest, SetSessionOptionsResult,
};
use landfast_proxy::flight::dispatch::{ActionKind, Answer, Backend, Refusal};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Extensions, Response, Status};

const COOKIE: &str = "arrow_flight_session_id";
/// Can't be set, as a name or as a value.
const INVALID: &str = "lol_invalid";

type Settings = HashMap<String, SessionOptionValue>;

/// Sessions by their number; the next one's number comes first.
#[derive(Default)]
pub(super) struct Options {
    open: Mutex<(u64, HashMap<u64, Settings>)>,
}

/// A caller's session, and the cookie to send if it is new or gone.
pub(super) struct InSession {
    number: u64,
    set_cookie: Option<String>,
}

impl Options {
    fn open(&self) -> MutexGuard<'_, (u64, HashMap<u64, Settings>)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InSession {
    fn write(&self, headers: &mut MetadataMap) {
        let cookie = self.set_cookie.as_deref().map(MetadataValue::try_from);
        if let Some(Ok(cookie)) = cookie {
            headers.insert("set-cookie", cookie);
        }
    }

    fn answer<T>(&self, body: T) -> Response<T> {
        let mut response = Response::new(body);
        self.write(response.metadata_mut());
        response
    }
}

fn session_number(headers: &MetadataMap) -> Option<u64> {
    let cookies = headers.get_all("cookie").iter();
    let mut cookies = cookies.filter_map(|header| header.to_str().ok());
    cookies.find_map(|header| {
        let mut pairs = header
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == COOKIE)?;
        value.trim_matches('"').parse().ok()
    })
}

#[tonic::async_trait]
impl Backend for Options {
    type Caller = InSession;

    async fn receive(&self, headers: &MetadataMap, _: &Extensions) -> Result<InSession, Status> {
        let (next, open) = &mut *self.open();
        if let Some(number) = session_number(headers) {
            return match open.contains_key(&number) {
                true => Ok(InSession {
                    number,
                    set_cookie: None,
                }),
                false => Err(Status::unauthenticated("the session is closed")),
            };
        }
        let number = *next;
        *next += 1;
        open.insert(number, Settings::new());
        Ok(InSession {
            number,
            set_cookie: Some(format!("{COOKIE}={number}")),
        })
    }

    fn refuse(&self, caller: &InSession, refusal: Refusal) -> Status {
        let mut status = Status::from(refusal);
        caller.write(status.metadata_mut());
        status
    }

    fn actions(&self) -> &[ActionKind] {
        &[
            ActionKind::SetSessionOptions,
            ActionKind::GetSessionOptions,
            ActionKind::CloseSession,
        ]
    }

    async fn set_session_options(
        &self,
        caller: InSession,
        request: SetSessionOptionsRequest,
    ) -> Answer<SetSessionOptionsResult> {
        let mut open = self.open();
        let settings = open.1.entry(caller.number).or_default();
        let mut errors = HashMap::new();
        for (name, value) in request.session_options {
            let invalid = OptionValue::String(INVALID.to_owned());
            let fault = match &value.option_value {
                _ if name == INVALID => SessionOptionFault::InvalidName,
                Some(value) if *value == invalid => SessionOptionFault::InvalidValue,
                Some(_) => {
                    settings.insert(name, value);
                    continue;
                }
                None => {
                    settings.remove(&name);
                    continue;
                }
            };
            let error = SessionOptionError {
                value: fault.into(),
            };
            errors.insert(name, error);
        }
        Ok(caller.answer(SetSessionOptionsResult { errors }))
    }

    async fn session_options(&self, caller: InSession) -> Answer<GetSessionOptionsResult> {
        let settings = self.open().1.get(&caller.number).cloned();
        Ok(caller.answer(GetSessionOptionsResult {
            session_options: settings.unwrap_or_default(),
        }))
    }

    async fn close_session(&self, mut caller: InSession) -> Answer<CloseStatus> {
        self.open().1.remove(&caller.number);
        caller.set_cookie = Some(format!("{COOKIE}={}; Max-Age=0", caller.number));
        Ok(caller.answer(CloseStatus::Closed))
    }
}
