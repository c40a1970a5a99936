//! Answers of the server, over a real connection and through teloxide, and the error that each becomes.

use std::time::Duration;

use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};

use super::{
    super::{DownloadError, Sent, TelegramClient},
    TelegramError,
};
use crate::{job::JobError, texts::Rendered};

/// A server that gives one request exactly `answer`.
async fn telegram_that_answers(answer: String) -> TelegramClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 8192];
        let _ = socket.read(&mut request).await;
        let _ = socket.write_all(answer.as_bytes()).await;
    });
    TelegramClient::new(&SecretString::from("1:TEST"), &url, Duration::from_secs(20)).unwrap()
}

fn http(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn refusal(status: u16, description: &str) -> String {
    http(
        status,
        &serde_json::json!({"ok": false, "error_code": status, "description": description}).to_string(),
    )
}

/// An answer to a call that was carried out, whose end is missing.
const CUT_OFF: &str = r#"{"ok":true,"result":{"message_id":4"#;

fn hello() -> Rendered {
    Rendered {
        html: "hello".into(),
        buttons: Vec::new(),
    }
}

async fn sending(answer: String) -> TelegramError {
    telegram_that_answers(answer)
        .await
        .send(7, &hello(), None, false)
        .await
        .expect_err("the answer is a failure")
}

async fn editing(answer: String) -> Result<(), TelegramError> {
    telegram_that_answers(answer).await.edit(7, 8, &hello()).await
}

#[tokio::test]
async fn an_unreachable_user_is_recognised_in_each_of_telegrams_wordings() {
    for (status, text) in [
        (403, "Forbidden: bot was blocked by the user"),
        (403, "Forbidden: user is deactivated"),
        (403, "Forbidden: bot can't initiate conversation with a user"),
        (403, "Forbidden: bots can't send messages to bots"),
        (400, "Bad Request: chat not found"),
        (400, "Bad Request: USER_IS_BLOCKED"),
        (400, "Bad Request: PEER_ID_INVALID"),
        (400, "Bad Request: INPUT_USER_DEACTIVATED"),
        (400, "Bad Request: USER_DEACTIVATED_BAN"),
        (400, "Bad Request: invalid user_id specified"),
        (400, "Bad Request: bot was blocked by the user"),
        (400, "USER_IS_BLOCKED"),
        (403, "USER_IS_BLOCKED"),
    ] {
        let failure = sending(refusal(status, text)).await;
        assert!(
            matches!(failure, TelegramError::Unreachable(_)),
            "{text}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn an_edit_that_changes_nothing_is_told_from_one_that_has_no_message() {
    let same = "Bad Request: message is not modified: specified new message content and reply markup are exactly \
                the same as a current content and reply markup of the message";
    assert_eq!(editing(refusal(400, same)).await, Ok(()));
    for text in [
        "Bad Request: message to edit not found",
        "Bad Request: message can't be edited",
        "Bad Request: MESSAGE_ID_INVALID",
    ] {
        let edited = editing(refusal(400, text)).await;
        assert!(
            matches!(edited, Err(TelegramError::MessageGone(_))),
            "{text}: {edited:?}"
        );
    }
    let picture = "Bad Request: there is no text in the message to edit";
    assert!(matches!(
        editing(refusal(400, picture)).await,
        Err(TelegramError::NoText(_))
    ));
}

#[tokio::test]
async fn a_message_refused_for_its_content_is_refused_for_good() {
    for (status, text) in [
        (400, "Bad Request: message is too long"),
        (400, "Bad Request: can't parse entities: Unsupported start tag"),
        (400, "Bad Request: message can't be deleted for everyone"),
        (400, "Bad Request: something that no version of teloxide knows"),
        (413, "Request Entity Too Large"),
    ] {
        let failure = sending(refusal(status, text)).await;
        assert!(
            matches!(failure, TelegramError::Rejected(_)),
            "{text}: {failure:?}"
        );
        assert!(matches!(JobError::from(failure), JobError::GiveUp(_)));
    }
}

#[tokio::test]
async fn a_429_is_waited_for_exactly_and_costs_no_attempt() {
    let body = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 3","parameters":{"retry_after":3}}"#;
    for answer in [
        http(429, body),
        refusal(429, "Too Many Requests: retry after 3"),
        refusal(400, "Bad Request: FLOOD_WAIT_3"),
        refusal(420, "FLOOD_WAIT_3"),
        refusal(400, "Bad Request: SLOWMODE_WAIT_3"),
        http(
            429,
            r#"{"ok":false,"error_code":429,"description":"","parameters":{"retry_after":"3"}}"#,
        ),
        http(
            429,
            r#"{"ok":false,"error_code":429,"description":"","parameters":{"retry_after":2.5}}"#,
        ),
        "HTTP/1.1 429 X\r\nretry-after: 3\r\ncontent-length: 4\r\nconnection: close\r\n\r\nslow".to_owned(),
    ] {
        let failure = sending(answer).await;
        assert_eq!(failure, TelegramError::Busy(Duration::from_secs(3)));
        assert!(
            matches!(JobError::from(failure), JobError::Snooze { after, .. } if after == Duration::from_secs(3))
        );
    }
}

#[tokio::test]
async fn a_429_without_a_sane_number_is_waited_for_a_moment_and_never_for_ever() {
    for (number, seconds) in [
        ("null", 1),
        ("0", 1),
        ("-5", 1),
        ("[]", 1),
        ("1e300", 604_800),
        ("99999999999", 604_800),
    ] {
        let body = format!(
            r#"{{"ok":false,"error_code":429,"description":"x","parameters":{{"retry_after":{number}}}}}"#
        );
        assert_eq!(
            sending(http(429, &body)).await,
            TelegramError::Busy(Duration::from_secs(seconds)),
            "{number}"
        );
    }
}

#[tokio::test]
async fn a_refused_token_is_the_operators_and_costs_no_attempt() {
    for (status, text) in [(401, "Unauthorized"), (404, "Not Found")] {
        let failure = sending(refusal(status, text)).await;
        assert!(
            matches!(failure, TelegramError::Misconfigured(_)),
            "{text}: {failure:?}"
        );
        assert!(matches!(JobError::from(failure), JobError::Snooze { .. }));
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_ambiguous_and_an_unreachable_server_is_not() {
    let dropped = sending(String::new()).await;
    assert!(matches!(dropped, TelegramError::Ambiguous(_)), "{dropped:?}");
    let page = sending(http(200, "<html>gateway</html>")).await;
    assert!(matches!(page, TelegramError::Ambiguous(_)), "{page:?}");

    // Bound, and nobody listens: a port that is only free may be another test's server a moment later.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let closed_port = closed.local_addr().unwrap();
    let nobody = TelegramClient::new(
        &SecretString::from("1:TEST"),
        &format!("http://{closed_port}").parse().unwrap(),
        Duration::from_secs(20),
    )
    .unwrap();
    let refused = nobody
        .send(7, &hello(), None, false)
        .await
        .expect_err("nobody listens");
    assert!(matches!(refused, TelegramError::NotSent(_)), "{refused:?}");
    assert!(matches!(JobError::from(refused), JobError::Retry { .. }));
}

#[tokio::test]
async fn a_server_error_is_transient() {
    let json = sending(refusal(500, "Internal Server Error")).await;
    let html = sending(http(502, "<html>Bad Gateway</html>")).await;
    assert!(matches!(json, TelegramError::Ambiguous(_)), "{json:?}");
    assert!(matches!(html, TelegramError::Ambiguous(_)), "{html:?}");
}

#[tokio::test]
async fn a_message_that_was_taken_is_not_sent_again_for_an_unreadable_answer() {
    let strange = r#"{"ok":true,"result":{"message_id":41,"shape":"of the future"}}"#;
    for (body, message_id) in [
        (strange, Some(41)),
        (r#"{"ok":true}"#, None),
        (r#"{"ok":true,"result":{"message_id":"?"}}"#, None),
        (CUT_OFF, None),
    ] {
        let telegram = telegram_that_answers(http(200, body)).await;
        assert_eq!(
            telegram.send(7, &hello(), None, false).await,
            Ok(Sent { message_id }),
            "{body}"
        );
    }
    assert_eq!(editing(http(200, CUT_OFF)).await, Ok(()));
}

#[tokio::test]
async fn a_file_whose_path_was_cut_off_is_asked_for_again() {
    let telegram = telegram_that_answers(http(200, CUT_OFF)).await;
    match telegram.download("f", 10).await {
        Err(DownloadError::Failed(failure @ TelegramError::Ambiguous(_))) => {
            assert!(matches!(JobError::from(failure), JobError::Retry { .. }));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_for_a_person_never_follows_a_move_to_a_group() {
    let moved = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001}}"#;
    // The server answers one call, so a second one to the group would fail.
    let failure = sending(http(400, moved)).await;
    assert!(matches!(failure, TelegramError::Rejected(_)), "{failure:?}");
}

#[tokio::test]
async fn a_redirect_is_followed_nowhere_and_named() {
    let elsewhere =
        "HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let failure = sending(elsewhere.to_owned()).await;
    assert!(
        matches!(&failure, TelegramError::Misconfigured(why) if why.contains("302")),
        "{failure:?}"
    );
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_it() {
    let huge = http(
        200,
        &format!(r#"{{"ok":true,"result":"{}"}}"#, "x".repeat(33 << 20)),
    );
    let failure = sending(huge).await;
    assert!(
        matches!(&failure, TelegramError::Ambiguous(why) if why.contains("longer")),
        "{failure:?}"
    );
}

#[tokio::test]
async fn no_failure_shows_the_token() {
    for answer in [
        String::new(),
        http(200, "<html>gateway</html>"),
        refusal(401, "Unauthorized"),
    ] {
        let failure = sending(answer).await;
        assert!(!format!("{failure} {failure:?}").contains("1:TEST"), "{failure}");
    }
}
