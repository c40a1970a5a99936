//! Why FAL could not do what a request asked for, read from either of its two error shapes (fal.md 1.8).
//!
//! Decided by status, `error_type` and `detail[].type`; never by English text, which changes.

use std::fmt;

use serde_json::Value;

use super::lenient;
use crate::domain::FailureCode;

/// Who caused the failure, and so what is worth doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The input: the same input fails again. The user can change it.
    Input,
    /// FAL: another request may succeed, and this one was not billed.
    Provider,
    /// We asked FAL to stop, and it did.
    Cancelled,
}

/// A request that ended without a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFailure {
    /// Who caused the failure, and so whether a retry helps.
    pub class: FailureClass,
    /// HTTP status of the result. `None`: only a delivery told of the failure.
    pub status: Option<u16>,
    /// FAL's word for the failure, e.g. `file_download_error` or `runner_disconnected`.
    pub error_type: Option<String>,
    /// The failure in words, for operators.
    pub detail: String,
}

impl RequestFailure {
    /// The failure code that is stored with the training.
    pub const fn code(&self) -> FailureCode {
        match self.class {
            FailureClass::Input => FailureCode::RejectedByProvider,
            FailureClass::Provider | FailureClass::Cancelled => FailureCode::ProviderFailed,
        }
    }

    /// Whether another request with the same input may succeed. FAL does not bill failures of its own.
    pub const fn may_be_tried_again(&self) -> bool {
        matches!(self.class, FailureClass::Provider)
    }

    /// Reads an error answer with any body. Also returns the fields of the body,
    /// from which `meaning.rs` tells its author.
    pub(super) fn of_answer(status: u16, error_type_header: Option<&str>, body: &[u8]) -> (Self, ErrorBody) {
        let json = lenient::read(body).unwrap_or_default();
        let mut words = ErrorBody::read(&json);
        words.error_type = error_type_header.map(type_name).or(words.error_type);
        let by_status = match status {
            499 => FailureClass::Cancelled,
            500.. | 429 => FailureClass::Provider,
            _ => FailureClass::Input,
        };
        let named = words.error_type.as_deref().and_then(class_of_type);
        let failure = Self {
            class: named.unwrap_or(by_status),
            status: Some(status),
            error_type: words.error_type.clone(),
            detail: describe_body(body),
        };
        (failure, words)
    }

    /// Reads the payload of a delivery with status ERROR. `None`: the payload is
    /// unclear, and the result call decides.
    pub(super) fn from_payload(error: Option<&str>, payload: &Value) -> Option<Self> {
        let named = ErrorBody::read(payload);
        let class = match named.error_type.as_deref() {
            Some(error_type) => class_of_type(error_type).or(named.is_list.then_some(FailureClass::Input))?,
            None if named.is_list => FailureClass::Input,
            None => return None,
        };
        let detail = match error {
            Some(error) => clipped(&format!("{error}: {}", describe_json(payload))),
            None => describe_json(payload),
        };
        Some(Self {
            class,
            status: None,
            error_type: named.error_type,
            detail,
        })
    }
}

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        if let Some(error_type) = &self.error_type {
            write!(f, "{error_type}: ")?;
        }
        f.write_str(&self.detail)
    }
}

/// `{"detail": "…", "error_type": "…"}` or `{"detail": [{"type": "…", "msg": "…", …}]}`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ErrorBody {
    /// Only models answer with a list.
    pub(super) is_list: bool,
    /// The body's type, the header's, or that of the first detail that has one.
    pub(super) error_type: Option<String>,
}

impl ErrorBody {
    fn read(body: &Value) -> Self {
        // An empty list blames nothing in the input.
        let list = body["detail"].as_array().filter(|list| !list.is_empty());
        let of_list = list.and_then(|list| list.iter().find_map(|item| item["type"].as_str()));
        Self {
            is_list: list.is_some(),
            error_type: body["error_type"].as_str().or(of_list).map(type_name),
        }
    }
}

/// Types of FAL's whose class differs from that of their status. All other types
/// are the model's: the input is to blame.
fn class_of_type(error_type: &str) -> Option<FailureClass> {
    match error_type {
        "client_cancelled" | "client_disconnected" => Some(FailureClass::Cancelled),
        "bad_request" => Some(FailureClass::Input),
        "request_timeout"
        | "startup_timeout"
        | "internal_error"
        | "internal_server_error"
        | "generation_timeout"
        | "downstream_service_error"
        | "downstream_service_unavailable" => Some(FailureClass::Provider),
        other if other.starts_with("runner_") => Some(FailureClass::Provider),
        _ => None,
    }
}

/// A type, fit for a column or a log line: FAL's are short and of letters, but a model may send anything.
fn type_name(text: &str) -> String {
    const LONGEST: usize = 100;
    clean(text, LONGEST)
}

/// Whether a refusal concerns our account and not the request itself. Not consulted where the status alone
/// decides, since the words may change. All reports contained one of these
/// (<https://github.com/fal-ai/fal/issues/1112>, 1147, 1162, 1168).
pub(super) fn speaks_of_the_account(body: &[u8]) -> bool {
    const WORDS: [&str; 6] = [
        "is locked",
        "exhausted balance",
        "insufficient balance",
        "top up your balance",
        "top_up",
        "admin lock",
    ];
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

/// Any body, in a few words.
pub(super) fn describe_body(body: &[u8]) -> String {
    match lenient::read(body) {
        Ok(json) => describe_json(&json),
        Err(_) => clipped(&String::from_utf8_lossy(body)),
    }
}

fn describe_json(body: &Value) -> String {
    let item = |item: &Value| {
        let place = item["loc"].as_array().map(|loc| {
            loc.iter()
                .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(".")
        });
        let text = item["msg"].as_str().unwrap_or("no message");
        place.map_or_else(|| text.to_owned(), |place| format!("{place}: {text}"))
    };
    let text = match (&body["detail"], &body["error"]) {
        (Value::String(text), _) => text.clone(),
        (Value::Array(list), _) => list.iter().map(item).collect::<Vec<_>>().join("; "),
        (_, Value::Object(error)) => error
            .get("message")
            .map_or_else(|| body.to_string(), ToString::to_string),
        (_, Value::String(text)) => text.clone(),
        _ => body.to_string(),
    };
    clipped(&text)
}

/// Shortens a text for a log line and a column. Control characters could forge a
/// log line, and the column refuses them.
pub(super) fn clipped(text: &str) -> String {
    const LONGEST: usize = 500;
    match text.trim() {
        "" => "(empty)".to_owned(),
        text => clean(text, LONGEST),
    }
}

/// At most `longest` characters, with control characters replaced by spaces.
pub(super) fn clean(text: &str, longest: usize) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(longest)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> RequestFailure {
        RequestFailure::of_answer(status, None, body.to_string().as_bytes()).0
    }

    #[test]
    fn a_list_of_details_is_the_inputs_fault() {
        let body = json!({"detail": [{"loc": ["body", "images_data_url"], "msg": "cannot read", "type": "file_download_error"}]});
        let failure = answer(422, &body);
        assert_eq!(failure.class, FailureClass::Input);
        assert_eq!(failure.code(), FailureCode::RejectedByProvider);
        assert!(!failure.may_be_tried_again());
        assert_eq!(
            failure.to_string(),
            "422 file_download_error: body.images_data_url: cannot read"
        );
    }

    #[test]
    fn infrastructure_is_fals_fault_and_may_be_tried_again() {
        for (status, error_type) in [
            (504, "request_timeout"),
            (503, "runner_disconnected"),
            (500, "internal_error"),
            (400, "downstream_service_error"),
        ] {
            let failure = answer(status, &json!({"detail": "x", "error_type": error_type}));
            assert_eq!(failure.class, FailureClass::Provider, "{error_type}");
            assert!(failure.may_be_tried_again());
        }
        let by_list = answer(
            500,
            &json!({"detail": [{"type": "internal_server_error", "msg": "x"}]}),
        );
        assert_eq!(by_list.class, FailureClass::Provider);
    }

    #[test]
    fn a_type_that_nobody_knows_goes_by_the_status() {
        for (status, class) in [
            (500, FailureClass::Provider),
            (429, FailureClass::Provider),
            (422, FailureClass::Input),
            (403, FailureClass::Input),
            (499, FailureClass::Cancelled),
        ] {
            let failure = answer(status, &json!({"detail": "x", "error_type": "new"}));
            assert_eq!(failure.class, class, "{status}");
        }
    }

    #[test]
    fn no_word_of_fals_is_too_strange_for_a_row() {
        let body = br#"{"detail":[{"loc":["body"],"msg":"a\u0000b\ud800","type":"ty\u0000pe"}],"x":NaN}"#;
        let (failure, words) = RequestFailure::of_answer(422, None, body);
        assert!(words.is_list);
        assert_eq!(failure.error_type.as_deref(), Some("ty\u{fffd}pe"));
        assert_eq!(failure.detail, "body: a\u{fffd}b\u{fffd}");
        let long = json!({"detail": "x", "error_type": format!("a\n{}", "y".repeat(1000))});
        let named = answer(500, &long).error_type.expect("a type");
        assert_eq!((named.len(), named.contains('\n')), (100, false));
        let loc = json!({"detail": [{"loc": ["x".repeat(1000), "\u{7}"], "msg": "y", "type": "z"}]});
        assert_eq!(answer(422, &loc).detail.chars().count(), 500);
    }

    #[test]
    fn only_words_of_the_account_speak_of_it() {
        for text in [
            "{\"detail\":\"User is locked. Reason: Exhausted balance. Top up your balance at fal.ai\"}",
            "User is locked. Reason: TOP_UP",
            "ADMIN LOCK",
        ] {
            assert!(speaks_of_the_account(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "Request has expired",
            "blocked by the content policy",
            "AccessDenied",
            "\u{ff}",
        ] {
            assert!(!speaks_of_the_account(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_description_is_short_and_cannot_forge_a_log_line() {
        let text = describe_body("a\nERROR forged\u{1b}[31m".as_bytes());
        assert_eq!(text, "a ERROR forged [31m");
        assert_eq!(describe_body("x".repeat(10_000).as_bytes()).len(), 500);
        assert_eq!(describe_body(b""), "(empty)");
    }
}
