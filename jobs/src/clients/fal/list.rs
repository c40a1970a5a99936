//! Looking for a request whose submit was never answered, in FAL's own list (fal.md 6.3).
//!
//! Whether the list shows queued requests, and how late, nobody documents. So a find is proof, an absence is none.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::Method;
use serde_json::Value;
use tracing::error;

use super::{Call, Error, FalClient, Request, Result, json, send, wire};

/// Which attempt is looked for.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    /// Endpoint it was posted to.
    pub endpoint: &'a str,
    /// When its row was committed, by our clock.
    pub since: DateTime<Utc>,
    /// Stands in the comment, where the trainer has one.
    pub token: &'a str,
    /// Stands in every body; no other training has it.
    pub archive_url: Option<&'a str>,
}

/// With payloads; a training's input is a few hundred bytes.
const PAGE_LIMIT: usize = 8 << 20;
/// Pages of 100. An endpoint of ours that saw more submits since the attempt is not searched to its end.
const MAX_PAGES: usize = 50;

impl FalClient {
    /// The request that the attempt became, if the list has it.
    ///
    /// # Errors
    /// Also when the list is too long to be read to its end: then nothing is known.
    pub async fn find_request(&self, query: &ListQuery<'_>) -> Result<Option<Request>> {
        let mut found: Vec<wire::ListedRequest> = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let page = self.list_page(query, cursor.as_deref()).await?;
            for item in page.items.into_iter().filter(|item| query.matches(item)) {
                // Ours, but nobody could ask for it: then it must not be taken for one that FAL does not have.
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
        // Their clock and ours differ.
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

    /// The earliest counts; a second one was paid for in vain.
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
    /// By any text of the input, so that no field name of any trainer is needed here.
    fn matches(&self, item: &wire::ListedRequest) -> bool {
        let archive_url = self.archive_url.filter(|url| !url.is_empty());
        let is_ours =
            |text: &str| archive_url == Some(text) || (!self.token.is_empty() && text.contains(self.token));
        match &item.json_input {
            Value::Object(input) => input.values().filter_map(Value::as_str).any(is_ours),
            // A payload that is told as the text that it was.
            Value::String(text) => is_ours(text) || archive_url.is_some_and(|url| text.contains(url)),
            _ => false,
        }
    }
}
