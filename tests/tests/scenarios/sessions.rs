use std::collections::HashMap;

use landfast_proxy::flight::dispatch::messages::{
    CloseSessionRequest, CloseSessionResult, CloseStatus, GetSessionOptionsRequest,
    GetSessionOptionsResult, OptionValue, SessionOptionFault, SessionOptionValue,
    SetSessionOptionsRequest, SetSessionOptionsResult, StringList,
};
use landfast_tests::scenarios::Scenario;
use prost::Message;
use tonic::Code;

use crate::client::{Client, client};

type Values = HashMap<String, Option<OptionValue>>;

/// An action whose cookie is kept, as a client with a cookie jar does.
async fn act<M: Message + Default>(client: &mut Client, name: &str, body: &impl Message) -> M {
    let answer = client.act(name, body.encode_to_vec()).await.unwrap();
    if let Some(cookie) = answer.metadata().get("set-cookie") {
        client.headers.insert("cookie", cookie.clone());
    }
    let [body] = &answer.get_ref()[..] else {
        panic!("{name} gives one result");
    };
    M::decode(body.clone()).unwrap()
}

async fn set(client: &mut Client, values: Values) -> HashMap<String, SessionOptionFault> {
    let session_options = values
        .into_iter()
        .map(|(name, option_value)| (name, SessionOptionValue { option_value }))
        .collect();
    let request = SetSessionOptionsRequest { session_options };
    let result: SetSessionOptionsResult = act(client, "SetSessionOptions", &request).await;
    let errors = result.errors.into_iter();
    errors.map(|(name, error)| (name, error.value())).collect()
}

async fn get(client: &mut Client) -> Values {
    let request = GetSessionOptionsRequest {};
    let result: GetSessionOptionsResult = act(client, "GetSessionOptions", &request).await;
    let options = result.session_options.into_iter();
    options
        .map(|(name, value)| (name, value.option_value))
        .collect()
}

#[tokio::test]
async fn options_are_set_told_taken_back_and_gone_with_the_session() {
    let mut client = client(Scenario::SessionOptions).await;
    assert!(get(&mut client).await.is_empty());
    let list = ["a", "b", "sea", "dee", " ", "  ", "geee", "(づ｡◕‿‿◕｡)づ"];
    let valid: Values = [
        ("foolong", OptionValue::Int64(123)),
        ("bardouble", OptionValue::Double(456.0)),
        (
            "big_ol_string_list",
            OptionValue::StringList(StringList {
                values: list.map(str::to_owned).into(),
            }),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), Some(value)))
    .into();
    let text = |text: &str| Some(OptionValue::String(text.to_owned()));
    let mut all = valid.clone();
    all.insert("lol_invalid".into(), text("this won't get set"));
    all.insert("key_with_invalid_value".into(), text("lol_invalid"));
    let errors = set(&mut client, all).await;
    let expected: HashMap<String, SessionOptionFault> = [
        ("lol_invalid", SessionOptionFault::InvalidName),
        ("key_with_invalid_value", SessionOptionFault::InvalidValue),
    ]
    .map(|(name, fault)| (name.to_owned(), fault))
    .into();
    assert_eq!(errors, expected);
    assert_eq!(get(&mut client).await, valid);
    let taken_back = Values::from([("foolong".to_owned(), None)]);
    assert!(set(&mut client, taken_back).await.is_empty());
    let mut left = valid;
    left.remove("foolong");
    assert_eq!(get(&mut client).await, left);
    let cookie = client.headers.clone();
    let request = CloseSessionRequest {};
    let closed: CloseSessionResult = act(&mut client, "CloseSession", &request).await;
    assert_eq!(closed.status(), CloseStatus::Closed);
    client.headers = cookie;
    let gone = client.act("GetSessionOptions", "").await.unwrap_err();
    assert_eq!(gone.code(), Code::Unauthenticated);
}
