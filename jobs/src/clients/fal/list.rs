//! Searches FAL's own list for a request whose submit was never answered (fal.md 6.3).
//!
//! Whether the list shows queued requests, and how late, is not documented. So finding the request
//! is proof, but not finding it is none.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Map, Value};
use tracing::error;

use super::{Call, Error, FalClient, Request, Result, json, send, wire};

/// The submit attempt that is searched for.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    /// The endpoint to which it was posted.
    pub endpoint: &'a str,
    /// When the attempt's row was committed, by our clock.
    pub since: DateTime<Utc>,
    /// The attempt's token, which is in the comment of trainers that have one.
    pub token: &'a str,
    /// What only this order's input has. `None`: the token alone decides.
    pub mark: Option<RequestMark<'a>>,
}

/// What tells the input of one order from all others.
#[derive(Debug, Clone, Copy)]
pub enum RequestMark<'a> {
    /// One of its texts: the archive's URL, which no other training has.
    Text(&'a str),
    /// Its prompt together with its seed, which is drawn at random.
    Seeded {
        /// As it was sent.
        prompt: &'a str,
        /// As it was sent.
        seed: u64,
    },
}

/// In bytes, with the requests' payloads: a training's input is a few hundred bytes.
const PAGE_LIMIT: usize = 8 << 20;
/// Pages of 100 requests. If an endpoint had more submits since the attempt, the search ends with an error.
const MAX_PAGES: usize = 50;

impl FalClient {
    /// The request that the attempt became, if the list has it.
    ///
    /// # Errors
    /// Also if the list is too long to be read to its end: then the answer is unknown.
    pub async fn find_request(&self, query: &ListQuery<'_>) -> Result<Option<Request>> {
        let mut found: Vec<wire::ListedRequest> = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let page = self.list_page(query, cursor.as_deref()).await?;
            for item in page.items.into_iter().filter(|item| query.matches(item)) {
                // It is ours, but cannot be looked up by such an id. It must not be taken for a request that FAL does
                // not have.
                if !wire::is_request_id(&item.request_id) {
                    return Err(Error::Garbled {
                        call: Call::List,
                        why: "the request that is looked for has no usable id".to_owned(),
                    });
                }
                found.push(item);
            }
            match page
                .next_cursor
                .filter(|next| !next.is_empty() && cursor.as_ref() != Some(next))
            {
                Some(next) => cursor = Some(next),
                None => return Ok(self.first_of(query, found)),
            }
        }
        match self.first_of(query, found) {
            None => Err(Error::TooLarge {
                call: Call::List,
                limit: (MAX_PAGES * PAGE_LIMIT) as u64,
            }),
            some => Ok(some),
        }
    }

    async fn list_page(&self, query: &ListQuery<'_>, cursor: Option<&str>) -> Result<wire::Page> {
        const CALL: Call = Call::List;
        // FAL's clock and ours may differ.
        let start = (query.since - TimeDelta::minutes(5)).to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut url = Self::at(&self.api_url, "v1/models/requests/by-endpoint");
        url.query_pairs_mut()
            .append_pair("endpoint_id", query.endpoint)
            .append_pair("start", &start)
            .append_pair("expand", "payloads")
            .append_pair("limit", "100");
        if let Some(cursor) = cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        let response = send(CALL, self.keyed(Method::GET, url)).await?;
        wire::Page::read(&json(CALL, response, PAGE_LIMIT).await?)
    }

    /// The earliest request counts; a second one was paid for in vain.
    fn first_of(&self, query: &ListQuery<'_>, mut found: Vec<wire::ListedRequest>) -> Option<Request> {
        found.sort_by_key(|item| (item.sent_at.is_none(), item.sent_at));
        let mut found = found.into_iter();
        let first = found.next()?;
        for second in found.filter(|item| item.request_id != first.request_id) {
            metrics::counter!("aisha_double_cost_total").increment(1);
            error!(
                fal.request_id = %second.request_id,
                "FAL has a second request for the attempt that became {}: {}", first.request_id, second.request_id
            );
        }
        Some(self.request_urls(query.endpoint, &first.request_id))
    }
}

impl ListQuery<'_> {
    /// Compares all texts of the input, so that no trainer's field names are needed here.
    fn matches(&self, item: &wire::ListedRequest) -> bool {
        let mark = match self.mark {
            Some(RequestMark::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        let is_ours =
            |text: &str| mark == Some(text) || (!self.token.is_empty() && text.contains(self.token));
        match &item.json_input {
            Value::Object(input) => {
                input.values().filter_map(Value::as_str).any(is_ours) || self.has_our_seed(input)
            }
            // The payload may be told as the text that was sent.
            Value::String(text) => {
                is_ours(text)
                    || mark.is_some_and(|mark| text.contains(mark))
                    || serde_json::from_str(text).is_ok_and(|input| self.has_our_seed(&input))
            }
            _ => false,
        }
    }

    fn has_our_seed(&self, input: &Map<String, Value>) -> bool {
        let Some(RequestMark::Seeded { prompt, seed }) = self.mark else {
            return false;
        };
        let is_seed = |value: &Value| match value {
            Value::Number(number) => number.as_u64() == Some(seed),
            Value::String(text) => text.parse() == Ok(seed),
            _ => false,
        };
        input.values().any(is_seed) && input.values().any(|value| value.as_str() == Some(prompt))
    }
}
