use tonic::Code;

use super::*;

#[tokio::test]
async fn a_password_is_taken_with_and_without_padding_and_gives_a_token_in_header_and_payload() {
    let service = service(Limits::default()).await;
    // base64("bob:bob") = Ym9iOmJvYg==
    for basic in ["Ym9iOmJvYg==", "Ym9iOmJvYg"] {
        let mut client = service
            .nobody()
            .with("authorization", &format!("Basic {basic}"));
        let answer = client.handshake().await.unwrap();
        let header = answer
            .metadata()
            .get("authorization")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let payload = answer
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap()
            .payload;
        assert_eq!(
            header,
            format!("Bearer {}", std::str::from_utf8(&payload).unwrap())
        );
        let mut client = service.nobody().with("authorization", &header);
        assert_eq!(
            column(&client.rows("SELECT 1 AS one").await.unwrap(), "one"),
            ["1"]
        );
    }
}

#[tokio::test]
async fn whoever_is_not_known_gets_in_nowhere() {
    let service = service(Limits::default()).await;
    let mut nobody = service.nobody();
    assert_eq!(
        nobody.handshake().await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(
        nobody.info("SELECT 1").await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(
        nobody.prepare("SELECT 1").await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(
        nobody
            .update("SET landfast.placement = 'origin'")
            .await
            .unwrap_err()
            .code(),
        Code::Unauthenticated
    );
    assert_eq!(
        nobody.get(Ticket::new("x")).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(
        nobody.schema(&query("SELECT 1")).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    // base64("bob:ann")
    let mut wrong = service.nobody().with("authorization", "Basic Ym9iOmFubg==");
    let refused = wrong.handshake().await.unwrap_err();
    // base64("eve:eve")
    let mut unknown = service.nobody().with("authorization", "Basic ZXZlOmV2ZQ==");
    let also = unknown.handshake().await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (also.code(), also.message())
    );
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut guess = service.nobody().with("authorization", "Bearer lfs_0123");
    assert_eq!(
        guess.info("SELECT 1").await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn a_bearer_token_passes_the_handshake_and_a_password_every_request() {
    let service = service(Limits::default()).await;
    let answer = service.robot().handshake().await.unwrap();
    assert_eq!(
        answer.metadata().get("authorization").unwrap(),
        "Bearer robot-token"
    );
    let mut each_time = service.nobody().with("authorization", "Basic Ym9iOmJvYg==");
    assert_eq!(
        column(&each_time.rows("SELECT 1 AS one").await.unwrap(), "one"),
        ["1"]
    );
}
