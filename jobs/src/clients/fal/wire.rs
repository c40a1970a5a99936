//! FAL's JSON, as much of it as we read. Lenient: what is not needed may be missing or new.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Request;

/// Answer of a submit. Without the URLs it is still an acceptance: they can be built.
#[derive(Deserialize)]
pub(super) struct Submitted {
    pub(super) request_id: String,
    #[serde(default)]
    status_url: Option<String>,
    #[serde(default)]
    response_url: Option<String>,
    #[serde(default)]
    cancel_url: Option<String>,
}

impl From<Submitted> for Request {
    fn from(submitted: Submitted) -> Self {
        Self {
            request_id: submitted.request_id,
            status_url: submitted.status_url.unwrap_or_default(),
            response_url: submitted.response_url.unwrap_or_default(),
            cancel_url: submitted.cancel_url.unwrap_or_default(),
        }
    }
}

/// FAL's ids are UUIDs; the incumbent's test ones were not. What could not stand in a URL or a column is none.
pub(super) fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Answer of a status call.
#[derive(Deserialize)]
pub(super) struct Status {
    #[serde(default, rename = "status")]
    pub(super) word: String,
    #[serde(default)]
    pub(super) queue_position: Option<i32>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) logs: Vec<LogLine>,
}

/// One line of a runner's log.
#[derive(Deserialize)]
pub(super) struct LogLine {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) message: String,
}

/// One page of the request list.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) items: Vec<Listed>,
    #[serde(default)]
    pub(super) next_cursor: Option<String>,
}

/// One request of the list.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) request_id: String,
    /// When it was submitted; absent on some, then `started_at` stands for it.
    #[serde(default)]
    pub(super) sent_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) started_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) json_input: Value,
}

/// What starts an upload.
#[derive(Serialize)]
pub(super) struct Initiate<'a> {
    pub(super) content_type: &'a str,
    pub(super) file_name: &'a str,
}

/// Where to put the bytes, and where they will be.
#[derive(Deserialize)]
pub(super) struct Initiated {
    pub(super) upload_url: String,
    pub(super) file_url: String,
}

/// A part that arrived.
#[derive(Serialize, Deserialize)]
pub(super) struct Part {
    #[serde(rename = "partNumber")]
    pub(super) number: u64,
    pub(super) etag: String,
}

/// What ends a multipart upload.
#[derive(Serialize)]
pub(super) struct Complete<'a> {
    pub(super) parts: &'a [Part],
}

/// FAL's public keys.
#[derive(Deserialize)]
pub(super) struct Jwks {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) keys: Vec<Value>,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
