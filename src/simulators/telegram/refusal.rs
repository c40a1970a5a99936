//! The Bot API's error answers, in its exact words.
//!
//! Clients recognise errors by comparing these words. They are taken from the sources of the real server and
//! of `TDLib`, not from any client.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An answer with `"ok": false`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub code: u16,
    pub description: String,
    /// `retry_after` or `migrate_to_chat_id`.
    pub parameters: Option<Value>,
}

/// An error whose words clients look for. Faults name it in JSON as `chat_not_found` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is its text, in `Known::words`")]
pub enum Known {
    BotBlocked,
    UserDeactivated,
    CantInitiateConversation,
    CantTalkToBots,
    ChatNotFound,
    MessageNotModified,
    MessageToEditNotFound,
    MessageToDeleteNotFound,
    MessageToReplyNotFound,
    MessageCantBeEdited,
    MessageCantBeDeleted,
    CantDeleteForEveryone,
    MessageTextIsEmpty,
    MessageIsTooLong,
    EditedMessageIsTooLong,
    CaptionIsTooLong,
    QueryIsTooOld,
    ButtonDataInvalid,
    ButtonUrlInvalid,
    FileIsTooBig,
    FileIsUnavailable,
    InvalidFileId,
    WrongFileIdOrUrl,
    ImageProcessFailed,
    PhotoInvalidDimensions,
    Unauthorized,
    NotFound,
    MethodNotFound,
    RequestEntityTooLarge,
    WebhookIsActive,
    OtherGetUpdates,
    TerminatedBySetWebhook,
    InternalServerError,
}

impl Known {
    /// Status and text as the real server writes them.
    fn words(self) -> (u16, &'static str) {
        match self {
            Self::BotBlocked => (403, "Forbidden: bot was blocked by the user"),
            Self::UserDeactivated => (403, "Forbidden: user is deactivated"),
            Self::CantInitiateConversation => (403, "Forbidden: bot can't initiate conversation with a user"),
            Self::CantTalkToBots => (403, "Forbidden: bots can't send messages to bots"),
            Self::ChatNotFound => (400, "Bad Request: chat not found"),
            Self::MessageNotModified => (
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly \
                 the same as a current content and reply markup of the message",
            ),
            Self::MessageToEditNotFound => (400, "Bad Request: message to edit not found"),
            Self::MessageToDeleteNotFound => (400, "Bad Request: message to delete not found"),
            Self::MessageToReplyNotFound => (400, "Bad Request: message to be replied not found"),
            Self::MessageCantBeEdited => (400, "Bad Request: message can't be edited"),
            Self::MessageCantBeDeleted => (400, "Bad Request: message can't be deleted"),
            Self::CantDeleteForEveryone => (400, "Bad Request: message can't be deleted for everyone"),
            Self::MessageTextIsEmpty => (400, "Bad Request: message text is empty"),
            Self::MessageIsTooLong => (400, "Bad Request: message is too long"),
            Self::EditedMessageIsTooLong => (400, "Bad Request: MESSAGE_TOO_LONG"),
            Self::CaptionIsTooLong => (400, "Bad Request: message caption is too long"),
            Self::QueryIsTooOld => (
                400,
                "Bad Request: query is too old and response timeout expired or query ID is invalid",
            ),
            Self::ButtonDataInvalid => (400, "Bad Request: BUTTON_DATA_INVALID"),
            Self::ButtonUrlInvalid => (400, "Bad Request: BUTTON_URL_INVALID"),
            Self::FileIsTooBig => (400, "Bad Request: file is too big"),
            Self::FileIsUnavailable => (
                400,
                "Bad Request: wrong file_id or the file is temporarily unavailable",
            ),
            Self::InvalidFileId => (400, "Bad Request: invalid file_id"),
            Self::WrongFileIdOrUrl => (400, "Bad Request: wrong file identifier/HTTP URL specified"),
            Self::ImageProcessFailed => (400, "Bad Request: IMAGE_PROCESS_FAILED"),
            Self::PhotoInvalidDimensions => (400, "Bad Request: PHOTO_INVALID_DIMENSIONS"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::NotFound => (404, "Not Found"),
            Self::MethodNotFound => (404, "Not Found: method not found"),
            Self::RequestEntityTooLarge => (413, "Request Entity Too Large"),
            Self::WebhookIsActive => (
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the \
                 webhook first",
            ),
            Self::OtherGetUpdates => (
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            ),
            Self::TerminatedBySetWebhook => (409, "Conflict: terminated by setWebhook request"),
            Self::InternalServerError => (500, "Internal Server Error"),
        }
    }
}

impl From<Known> for Refusal {
    fn from(known: Known) -> Self {
        let (code, words) = known.words();
        Self {
            code,
            description: words.to_owned(),
            parameters: None,
        }
    }
}

impl Refusal {
    /// `Bad Request: ` and the reason. The real server lowers the reason's first letter unless it is an
    /// acronym.
    pub fn bad_request(reason: impl AsRef<str>) -> Self {
        let reason = reason.as_ref();
        let mut letters = reason.chars();
        let first = letters.next().unwrap_or_default();
        let acronym = letters
            .next()
            .is_some_and(|second| second == '_' || second.is_ascii_uppercase());
        let rest = &reason[first.len_utf8().min(reason.len())..];
        let description = if acronym {
            format!("Bad Request: {reason}")
        } else {
            format!("Bad Request: {}{rest}", first.to_lowercase())
        };
        Self {
            code: 400,
            description,
            parameters: None,
        }
    }

    /// `429`, with the delay in the text and, as almost always, in `parameters`.
    pub fn too_many_requests(seconds: u32, with_parameters: bool) -> Self {
        Self {
            code: 429,
            description: format!("Too Many Requests: retry after {seconds}"),
            parameters: with_parameters.then(|| json!({ "retry_after": seconds })),
        }
    }

    pub fn body(&self) -> Value {
        let mut body = json!({ "ok": false, "error_code": self.code, "description": self.description });
        if let Some(parameters) = &self.parameters {
            body["parameters"] = parameters.clone();
        }
        body
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Json(self.body())).into_response();
        let delay = self
            .parameters
            .as_ref()
            .and_then(|parameters| parameters["retry_after"].as_u64());
        if let Some(seconds) = delay {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
