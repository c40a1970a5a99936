//! The parts of FAL's JSON that we read. Strict about what matters: a request's id, a status word, the place of
//! a file. Everything else may be missing, new or of any type: a field that we do not need never stops a
//! training. Lists are read item by item.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Call, Error, Request, Result, failure::clean};

/// FAL's ids are UUIDs; the incumbent's test ids were not. An id must fit a URL and a column.
pub(super) fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// The answer to a submit. Without URLs it still counts as accepted: they can be built.
pub(super) fn submitted(answer: &Value) -> std::result::Result<Request, String> {
    let request_id = answer["request_id"].as_str().ok_or("it has no request id")?;
    if !is_request_id(request_id) {
        return Err("its request id is malformed".to_owned());
    }
    let url = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    Ok(Request {
        request_id: request_id.to_owned(),
        status_url: url("status_url"),
        response_url: url("response_url"),
        cancel_url: url("cancel_url"),
    })
}

pub(super) struct Status {
    /// FAL's status word, or the text that stood in its place.
    pub(super) word: String,
    pub(super) queue_position: Option<i32>,
    pub(super) logs: Vec<String>,
}

impl Status {
    pub(super) fn read(answer: &Value) -> Self {
        const LONGEST: usize = 100;
        let word = match &answer["status"] {
            Value::String(word) => clean(word, LONGEST),
            other => clean(&other.to_string(), LONGEST),
        };
        let lines = list(answer, "logs").iter();
        Self {
            word,
            queue_position: position(&answer["queue_position"]),
            logs: lines
                .filter_map(|line| line.as_str().or(line["message"].as_str()))
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// A position in the queue, from a number in any notation.
fn position(value: &Value) -> Option<i32> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let is_place = (0.0..=f64::from(i32::MAX)).contains(&number);
    is_place.then(|| whole(number))
}

#[expect(clippy::cast_possible_truncation, reason = "was found to be in range")]
fn whole(number: f64) -> i32 {
    number as i32
}

pub(super) struct Page {
    pub(super) items: Vec<ListedRequest>,
    pub(super) next_cursor: Option<String>,
}

pub(super) struct ListedRequest {
    /// Not checked yet; empty if it is missing.
    pub(super) request_id: String,
    /// When it was submitted, or if that is missing, started. `None`: neither is readable.
    pub(super) sent_at: Option<DateTime<Utc>>,
    pub(super) json_input: Value,
}

impl Page {
    /// # Errors
    /// The answer has no list: then the requests are unknown, which is not the same as an empty list.
    pub(super) fn read(answer: &Value) -> Result<Self> {
        let items = match answer.get("items") {
            Some(Value::Array(items)) => items.iter().map(ListedRequest::read).collect(),
            Some(Value::Null) => Vec::new(),
            _ => {
                return Err(Error::Garbled {
                    call: Call::List,
                    why: "it has no items".to_owned(),
                });
            }
        };
        let next_cursor = match &answer["next_cursor"] {
            Value::String(cursor) => Some(cursor.clone()),
            Value::Number(cursor) => Some(cursor.to_string()),
            _ => None,
        };
        Ok(Self { items, next_cursor })
    }
}

impl ListedRequest {
    fn read(item: &Value) -> Self {
        Self {
            request_id: item["request_id"].as_str().unwrap_or_default().to_owned(),
            sent_at: time(&item["sent_at"]).or_else(|| time(&item["started_at"])),
            json_input: item["json_input"].clone(),
        }
    }
}

/// A time with or without offset: Python writes UTC times without one.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    let text = value.as_str()?.trim();
    let naive = || {
        let text = text.replace(' ', "T");
        text.parse::<NaiveDateTime>().ok().map(|time| time.and_utc())
    };
    text.parse().ok().or_else(naive)
}

/// The items of a list, which may be missing.
pub(super) fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

/// The body that starts an upload.
#[derive(Serialize)]
pub(super) struct Initiate<'a> {
    pub(super) content_type: &'a str,
    pub(super) file_name: &'a str,
}

/// The receipt of an uploaded part.
#[derive(Serialize, Deserialize)]
pub(super) struct UploadedPart {
    #[serde(rename = "partNumber")]
    pub(super) number: u64,
    pub(super) etag: String,
}

/// The body that ends a multipart upload.
#[derive(Serialize)]
pub(super) struct Complete<'a> {
    pub(super) parts: &'a [UploadedPart],
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn odd_fields_beside_it_never_hide_the_status_word() {
        for odd in [
            json!({"logs": ["step 1/10"]}),
            json!({"logs": {}}),
            json!({"logs": "text"}),
            json!({"logs": [{"message": 5}, null, 7, {"message": "step 2/10"}]}),
            json!({"queue_position": 0.0}),
            json!({"queue_position": "0"}),
            json!({"queue_position": 3_000_000_000_u64}),
            json!({"queue_position": -1, "metrics": 5, "error": {}}),
        ] {
            let mut answer = odd.clone();
            answer["status"] = json!("COMPLETED");
            assert_eq!(Status::read(&answer).word, "COMPLETED", "{odd}");
        }
        let logs = |logs: Value| Status::read(&json!({"status": "IN_PROGRESS", "logs": logs})).logs;
        assert_eq!(
            logs(json!(["step 1/10", {"message": "step 2/10"}, 3])),
            ["step 1/10", "step 2/10"]
        );
        let at = |position: Value| Status::read(&json!({"queue_position": position})).queue_position;
        assert_eq!([at(json!(2)), at(json!(2.0)), at(json!("2"))], [Some(2); 3]);
        assert_eq!(
            [at(json!(-1)), at(json!(1e300)), at(json!("x")), at(json!(null))],
            [None; 4]
        );
    }

    #[test]
    fn a_missing_word_is_told_as_what_stood_there() {
        for (answer, word) in [
            (json!({"status": null}), "null"),
            (json!({}), "null"),
            (json!({"status": 7}), "7"),
            (json!([]), "null"),
            (json!({"status": "a\nb"}), "a b"),
        ] {
            assert_eq!(Status::read(&answer).word, word);
        }
        assert_eq!(Status::read(&json!({"status": "x".repeat(5000)})).word.len(), 100);
    }

    #[test]
    fn one_odd_item_of_a_list_hides_no_other() {
        let page = Page::read(&json!({"items": [
            {"request_id": "a", "sent_at": "2026-11-29T21:59:00.123456", "json_input": {}},
            {"request_id": "b", "sent_at": 7, "started_at": "2026-11-29 21:59:00"},
            {"request_id": "c", "sent_at": "yesterday"},
            {"sent_at": "2026-11-29T21:59:00+02:00"},
            {"request_id": 5},
            null,
            "text",
        ], "next_cursor": 3}));
        let page = page.expect("a page");
        let ids: Vec<_> = page.items.iter().map(|item| item.request_id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c", "", "", "", ""]);
        let read: Vec<_> = page.items.iter().map(|item| item.sent_at.is_some()).collect();
        assert_eq!(read, [true, true, false, true, false, false, false]);
        assert_eq!(page.next_cursor.as_deref(), Some("3"));
    }

    #[test]
    fn an_answer_without_a_list_is_not_an_empty_list() {
        assert!(Page::read(&json!({})).is_err());
        assert!(Page::read(&json!({"items": "none"})).is_err());
        assert!(Page::read(&json!({"items": []})).is_ok_and(|page| page.items.is_empty()));
    }

    #[test]
    fn a_submit_is_accepted_by_its_id_alone() {
        let accepted = submitted(&json!({"request_id": "id-1", "status_url": 5, "queue_position": "x"}));
        assert_eq!(accepted.map(|request| request.request_id), Ok("id-1".to_owned()));
        for answer in [
            json!({}),
            json!({"request_id": 5}),
            json!({"request_id": "../x"}),
            json!([]),
        ] {
            assert!(submitted(&answer).is_err(), "{answer}");
        }
    }
}
