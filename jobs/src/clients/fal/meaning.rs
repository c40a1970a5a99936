//! Decides what an answer of FAL's that is no success means, once for all calls.
//!
//! | status            | submit       | status  | result             | cancel   | list    | initiate | upload URL  | file    |
//! |-------------------|--------------|---------|--------------------|----------|---------|----------|-------------|---------|
//! | 3xx               | moved        | moved   | moved              | moved    | moved   | moved    | moved       | moved   |
//! | 401 402 403       | account      | account | ended ¹ or account | account  | account | account  | expired ²   | refused |
//! | 404 410           | refused      | denied  | denied ¹           | denied   | denied  | moment   | expired     | denied  |
//! | 400               | refused      | denied  | ended ¹ or not yet | too late | refused | refused  | expired     | refused |
//! | 422               | refused      | denied  | ended              | refused  | refused | refused  | refused     | refused |
//! | other 4xx         | refused or ³ | denied  | ended ¹ or denied  | refused  | refused | refused  | refused     | refused |
//! | 429               | busy         | busy    | ended ¹ or busy    | busy     | busy    | busy     | busy        | busy    |
//! | 499               | unknown      | denied  | ended              | refused  | refused | refused  | refused     | refused |
//! | 408 409 425       | unknown      | moment  | moment             | moment   | moment  | moment   | moment      | moment  |
//! | 500               | unknown      | moment  | ended ¹ or doubtful | moment  | moment  | moment   | moment      | moment  |
//! | 501 to 599        | unknown      | moment  | ended ¹, doubtful ⁴ or moment | moment | moment | moment | moment  | moment  |
//!
//! 1. If the body is the request's own: a list of details or an `error_type`. The result call
//!    answers with the model's own status and body (<https://fal.ai/docs/model-apis/errors>), so a
//!    403 may be a `content_policy_violation`.
//! 2. Unless it is 402, or the body speaks of the account: most storages answer an expired signed URL with 403.
//! 3. 405, 413, 414 and 415 are refused; after any other it is unknown whether FAL accepted the request.
//! 4. If the answer has the header `x-fal-request-id`, which gateways do not set (FAL's own clients check it).
//!
//! A compressed body comes from something in between: then it is a moment,
//! whatever the status, except for 422 and 499.
//!
//! Sources: FAL's documents on errors, the queue and its clients; with a locked account uploads and submits are
//! refused while requests can still be read (<https://github.com/fal-ai/fal/issues/1147>); FAL's command line
//! reported failed requests as possibly still running (<https://github.com/fal-ai/fal/pull/1143>).

use std::fmt;

use reqwest::header::HeaderMap;
use url::Url;

use super::{RequestFailure, encoding, failure};

/// The calls to FAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Posts a request to the queue.
    Submit,
    /// Asks for the state of a request.
    Status,
    /// Asks for the result of a request.
    Result,
    /// Asks FAL to stop a request.
    Cancel,
    /// Asks for the list of requests.
    List,
    /// Asks whether FAL lists a model.
    Catalogue,
    /// Asks FAL to delete what it keeps of a request. What an answer means is as for the list.
    Erase,
    /// Asks for an upload URL.
    Initiate,
    /// Sends the bytes of an upload, to a URL that carries its own permission.
    Put,
    /// Asks whether a file exists; without the key.
    FileCheck,
    /// Fetches a file; without the key.
    Download,
    /// Fetches FAL's public keys.
    Keys,
}

impl Call {
    /// The name in logs, rows and operators' output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Status => "status",
            Self::Result => "result",
            Self::Cancel => "cancel",
            Self::List => "request list",
            Self::Catalogue => "model list",
            Self::Erase => "erasure",
            Self::Initiate | Self::Put => "upload",
            Self::FileCheck => "file check",
            Self::Download => "download",
            Self::Keys => "key set",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An answer that is no success, with the parts that are examined.
#[derive(Debug)]
pub(super) struct ErrorAnswer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) location: Option<Url>,
    /// The start of the body, up to a limit.
    pub(super) body: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Our key or account is refused. The request itself is in order.
    Account,
    /// The URL is not FAL's for this call: nothing was accepted, and an operator has to correct a setting.
    Moved,
    /// Too many calls at once.
    Busy,
    /// It may pass by itself.
    Moment,
    /// It will never succeed, however often it is tried.
    Refused,
    /// FAL may have accepted the request.
    Unknown,
    /// FAL does not know the request, or answers something about it that no document explains.
    Denied,
    /// The request has not ended yet.
    NotReady,
    /// The request has ended already.
    TooLate,
    /// The upload URL has expired; a new one costs nothing.
    Expired,
    /// The request ended without output.
    Ended(RequestFailure),
    /// The request ended without output, or FAL has a moment's trouble.
    Doubtful(RequestFailure),
}

impl ErrorAnswer {
    #[expect(
        clippy::match_same_arms,
        reason = "rows of a table, the first that fits counts; merged arms would be in no order"
    )]
    pub(super) fn meaning(&self, call: Call) -> Meaning {
        use Call as C;
        use Meaning as M;
        match (call, self.status) {
            (_, ..=399) => M::Moved,
            (C::Result, _) => self.meaning_of_result(),
            (C::FileCheck | C::Download, 404 | 410) => M::Denied,
            (C::FileCheck | C::Download, 400..=403) => M::Refused,
            (C::Put, 402) => M::Account,
            (C::Put, 403) if failure::speaks_of_the_account(&self.body) => M::Account,
            (C::Put, 400 | 401 | 403 | 404 | 410) => M::Expired,
            (_, 401..=403) => M::Account,
            (_, 429) => M::Busy,
            (C::Submit, 400 | 404 | 405 | 410 | 413 | 414 | 415 | 422) => M::Refused,
            (C::Submit, _) => M::Unknown,
            (_, 408 | 409 | 425 | 500..) | (C::Initiate, 404 | 405 | 410) => M::Moment,
            (C::Status, _) | (_, 404 | 410) => M::Denied,
            (C::Cancel, 400) => M::TooLate,
            _ => M::Refused,
        }
    }

    /// The status and body of a result are either the model's own, or FAL's about the call.
    fn meaning_of_result(&self) -> Meaning {
        use Meaning as M;
        let (failure, words) =
            RequestFailure::of_answer(self.status, self.header("x-fal-error-type"), &self.body);
        let is_own = words.is_list || words.error_type.is_some();
        match self.status {
            422 | 499 => M::Ended(failure),
            // The body decides, but it cannot be read.
            _ if encoding(&self.headers).is_some() => M::Moment,
            // A list of details is the model's; it may repeat what the user wrote. A locked account is reported as a
            // text, and so is "no such request", even if it carries a type.
            401..=404 | 410 | 429 if words.is_list => M::Ended(failure),
            401..=403 if is_own && !failure::speaks_of_the_account(&self.body) => M::Ended(failure),
            401..=403 => M::Account,
            404 | 410 => M::Denied,
            429 => M::Busy,
            _ if is_own => M::Ended(failure),
            400 => M::NotReady,
            500 => M::Doubtful(failure),
            501.. if self.header("x-fal-request-id").is_some() => M::Doubtful(failure),
            408 | 409 | 425 | 501.. => M::Moment,
            _ => M::Denied,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The text of the body, for operators.
    pub(super) fn detail(&self) -> String {
        let text = match encoding(&self.headers) {
            Some(encoding) => format!("what it says is encoded as {encoding}, which nobody asked for"),
            None => failure::describe_body(&self.body),
        };
        match &self.location {
            Some(place) if self.status < 400 => failure::clipped(&format!("to {place}: {text}")),
            _ => text,
        }
    }

    /// The same answer without its text, which may be a stranger's.
    pub(super) fn in_silence(self) -> Self {
        Self {
            body: b"what it says is not kept".to_vec(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    const KEYED: [Call; 7] = [
        Call::Submit,
        Call::Status,
        Call::Result,
        Call::Cancel,
        Call::List,
        Call::Catalogue,
        Call::Initiate,
    ];
    const LOCKED: &str =
        r#"{"detail":"User is locked. Reason: Exhausted balance. Top up at fal.ai/dashboard."}"#;

    fn answer(status: u16, body: &str) -> ErrorAnswer {
        ErrorAnswer {
            status,
            headers: HeaderMap::new(),
            location: None,
            body: body.as_bytes().to_vec(),
        }
    }

    fn meaning(call: Call, status: u16, body: &str) -> Meaning {
        answer(status, body).meaning(call)
    }

    #[test]
    fn key_and_account_are_refused_in_the_same_words_whatever_was_asked_for() {
        for call in KEYED {
            for status in [401, 402, 403] {
                for body in ["", "<html>", LOCKED, r#"{"detail":"Payment required"}"#] {
                    assert_eq!(
                        meaning(call, status, body),
                        Meaning::Account,
                        "{call} {status} {body}"
                    );
                }
            }
        }
        assert_eq!(meaning(Call::Put, 403, LOCKED), Meaning::Account);
        assert_eq!(meaning(Call::Put, 402, ""), Meaning::Account);
    }

    #[test]
    fn a_redirect_took_nothing() {
        for call in KEYED {
            for status in [300, 301, 302, 303, 304, 307, 308] {
                assert_eq!(meaning(call, status, ""), Meaning::Moved, "{call} {status}");
            }
        }
        let mut moved = answer(301, "");
        moved.location = Url::parse("https://queue.fal.run/x").ok();
        assert!(moved.detail().contains("https://queue.fal.run/x"));
    }

    #[test]
    fn an_upload_url_that_is_too_old_is_not_our_account() {
        for (status, body) in [
            (403, "Request has expired"),
            (403, "<Error><Code>AccessDenied</Code></Error>"),
            (400, "<Error><Code>ExpiredToken</Code></Error>"),
            (404, ""),
            (410, ""),
            (401, ""),
        ] {
            assert_eq!(
                meaning(Call::Put, status, body),
                Meaning::Expired,
                "{status} {body}"
            );
        }
        assert_eq!(meaning(Call::Put, 413, ""), Meaning::Refused);
        assert_eq!(meaning(Call::Put, 429, ""), Meaning::Busy);
        assert_eq!(meaning(Call::Initiate, 413, ""), Meaning::Refused);
        assert_eq!(meaning(Call::Initiate, 404, ""), Meaning::Moment);
    }

    #[test]
    fn the_models_own_statuses_end_a_request() {
        let own = json!({"detail": [{"loc": ["body"], "msg": "no", "type": "content_policy_violation"}]});
        let typed = json!({"detail": "no", "error_type": "bad_request"});
        let own_ends = [
            400, 401, 402, 403, 404, 405, 410, 418, 422, 429, 499, 500, 502, 503, 504,
        ];
        for status in own_ends {
            let ended = meaning(Call::Result, status, &own.to_string());
            assert!(matches!(ended, Meaning::Ended(_)), "{status}: {ended:?}");
        }
        for status in [400, 403, 422, 499, 500, 503] {
            let ended = meaning(Call::Result, status, &typed.to_string());
            assert!(matches!(ended, Meaning::Ended(_)), "{status}: {ended:?}");
        }
        for body in ["", "<html>422</html>", "null", "[]", r#"{"detail":{}}"#] {
            for status in [422, 499] {
                let ended = meaning(Call::Result, status, body);
                assert!(matches!(ended, Meaning::Ended(_)), "{status} {body}: {ended:?}");
            }
        }
    }

    #[test]
    fn an_error_that_a_gateway_may_have_sent_is_doubted() {
        let fastapi = r#"{"detail":"Internal Server Error"}"#;
        for body in [fastapi, "Internal Server Error", ""] {
            assert!(
                matches!(meaning(Call::Result, 500, body), Meaning::Doubtful(_)),
                "{body}"
            );
        }
        for status in [502, 503, 504] {
            assert_eq!(meaning(Call::Result, status, "<html>nginx"), Meaning::Moment);
            let mut own = answer(status, fastapi);
            own.headers
                .insert("x-fal-request-id", HeaderValue::from_static("id"));
            assert!(
                matches!(own.meaning(Call::Result), Meaning::Doubtful(_)),
                "{status}"
            );
        }
        let early = r#"{"detail":"Request is still in progress"}"#;
        assert_eq!(meaning(Call::Result, 400, early), Meaning::NotReady);
        for body in [
            "",
            r#"{"status":"NOT_FOUND"}"#,
            r#"{"detail":"Request not found","error_type":"not_found"}"#,
        ] {
            assert_eq!(meaning(Call::Result, 404, body), Meaning::Denied, "{body}");
        }
    }

    #[test]
    fn a_submit_is_unknown_unless_fal_said_that_it_did_not_take_it() {
        for status in [400, 404, 405, 413, 414, 415, 422] {
            assert_eq!(meaning(Call::Submit, status, "x"), Meaning::Refused, "{status}");
        }
        for status in [408, 409, 418, 499, 500, 502, 503, 504, 520, 599] {
            assert_eq!(meaning(Call::Submit, status, "x"), Meaning::Unknown, "{status}");
        }
        assert_eq!(meaning(Call::Submit, 429, "x"), Meaning::Busy);
    }

    #[test]
    fn no_answer_ends_a_poll_but_by_the_result() {
        for status in 300..=599 {
            for call in [Call::Status, Call::Result] {
                let meaning = meaning(call, status, "x");
                assert!(
                    !matches!(
                        meaning,
                        Meaning::Refused | Meaning::TooLate | Meaning::Unknown | Meaning::Expired
                    ),
                    "{call} {status}: {meaning:?}"
                );
            }
        }
    }
}
