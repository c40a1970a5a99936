//! Looking for a request whose submit was never answered, in FAL's own list (fal.md 6.3).
//!
//! Whether the list shows queued requests, and how late, nobody documents. So a find is proof, an absence is none.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::Method;
use serde_json::Value;
use tracing::error;

use super::{Error, FalClient, Request, Result, json, send, succeeded, wire};

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
        const CALL: &str = "request list";
        let mut found: Vec<wire::Listed> = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let page = self.list_page(query, cursor.as_deref()).await?;
            found.extend(page.items.into_iter().filter(|item| query.matches(item)));
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
                call: CALL,
                limit: (MAX_PAGES * PAGE_LIMIT) as u64,
            }),
            some => Ok(some),
        }
    }

    async fn list_page(&self, query: &ListQuery<'_>, cursor: Option<&str>) -> Result<wire::Page> {
        const CALL: &str = "request list";
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
        let response = succeeded(CALL, send(CALL, self.keyed(Method::GET, url)).await?).await?;
        json(CALL, response, PAGE_LIMIT).await
    }

    /// The earliest counts; a second one was paid for in vain.
    fn first_of(&self, query: &ListQuery<'_>, mut found: Vec<wire::Listed>) -> Option<Request> {
        found.sort_by_key(|item| item.sent_at.or(item.started_at));
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
    fn matches(&self, item: &wire::Listed) -> bool {
        let Value::Object(input) = &item.json_input else {
            return false;
        };
        let is_ours = |text: &str| {
            Some(text) == self.archive_url.filter(|url| !url.is_empty())
                || (!self.token.is_empty() && text.contains(self.token))
        };
        wire::is_request_id(&item.request_id) && input.values().filter_map(Value::as_str).any(is_ours)
    }
}
