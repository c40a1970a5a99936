//! One call to the Bot API: typed on its way out, read by hand on its way back.
//!
//! teloxide types what a method takes. The answers contain more than last year's typed client knows, and we need
//! only a number, a path or nothing of them; so an answer is JSON of limited size, and a refusal is its code,
//! text and parameters ([`super::error`]).
//!
//! The token is part of every URL. No redirect is followed and no `Referer` is sent, so that only the server of
//! `telegram.api_url` sees the token; errors are stripped of their URLs.
//!
//! No connection can stay silent for long: a call has a limit in total, a download has one for each silence, and an
//! HTTP/2 connection that does not answer pings is replaced.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use reqwest::{RequestBuilder, Response, header::RETRY_AFTER, multipart::Form, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use teloxide::requests::Payload;
use url::Url;

use super::{
    TelegramError,
    error::{self, HttpAnswer},
};
use crate::clients::cause::describe;

/// Time limit for a connection to Telegram.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence before the first piece of a file and between two pieces; less if a whole call may take less.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// Pause between two pings of an HTTP/2 connection, and the time limit for the answer to one.
const PING: Duration = Duration::from_secs(10);
/// In bytes. A hundred updates with everything that Telegram allows in them come to a few megabytes.
const LARGEST_ANSWER: usize = 32 << 20;

#[derive(Debug, Clone)]
pub(super) struct Wire {
    calls: reqwest::Client,
    /// Limits each silence, not the whole, since the duration of a download is unknown.
    files: reqwest::Client,
    api_url: Url,
    token: SecretString,
    timeout: Duration,
}

impl Wire {
    pub(super) fn new(
        token: &SecretString,
        api_url: &Url,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let client = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .redirect(Policy::none())
                .referer(false)
                .tcp_nodelay(true)
                // All calls share one HTTP/2 connection, and abandoning a call does not close it: a silent connection
                // would take one call after the other with it.
                .http2_keep_alive_interval(PING)
                .http2_keep_alive_timeout(PING)
                .http2_keep_alive_while_idle(true)
        };
        Ok(Self {
            calls: client().build()?,
            files: client().read_timeout(timeout.min(LONGEST_SILENCE)).build()?,
            api_url: api_url.clone(),
            token: token.clone(),
            timeout,
        })
    }

    /// Calls a method and returns its `result`. `None`: Telegram carried the call out, but its answer was cut off.
    pub(super) async fn call<P: Payload + Serialize>(
        &self,
        payload: &P,
    ) -> Result<Option<Value>, TelegramError> {
        error::result(&self.post(self.timeout, payload).await?)
    }

    /// Calls a method and returns the raw answer. `limit` is for the whole call.
    pub(super) async fn post<P: Payload + Serialize>(
        &self,
        limit: Duration,
        payload: &P,
    ) -> Result<HttpAnswer, TelegramError> {
        let call = self
            .calls
            .post(self.url(&[], [P::NAME]))
            .timeout(limit)
            .json(payload);
        answer(call).await
    }

    /// Calls a method with files among its parameters. As [`Wire::call`] otherwise; `limit` is for the whole upload.
    pub(super) async fn call_form(
        &self,
        method: &str,
        form: Form,
        limit: Duration,
    ) -> Result<Option<Value>, TelegramError> {
        let call = self
            .calls
            .post(self.url(&[], [method]))
            .timeout(limit)
            .multipart(form);
        error::result(&answer(call).await?)
    }

    /// The bytes of a file, by the path that Telegram gave for it. A refusal is returned with its HTTP status.
    pub(super) async fn file(
        &self,
        path: &str,
    ) -> Result<Result<impl Stream<Item = Result<Bytes, String>> + use<>, u16>, TelegramError> {
        let url = self.url(&["file"], path.split('/'));
        let response = self.files.get(url).send().await.map_err(lost)?;
        if !response.status().is_success() {
            return Ok(Err(response.status().as_u16()));
        }
        let chunks = response.bytes_stream();
        Ok(Ok(chunks.map(|chunk| chunk.map_err(|error| describe(&error)))))
    }

    /// `<api url>[/<before>]/bot<token>/<after>`. A path's slashes stay slashes: a self-hosted server need not accept
    /// `%2F` instead. `.` and `..` are left out, so that no path leaves the bot's own.
    fn url<'a>(&self, before: &[&str], after: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.api_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(before)
                .push(&format!("bot{}", self.token.expose_secret()))
                .extend(after);
        }
        url
    }
}

async fn answer(call: RequestBuilder) -> Result<HttpAnswer, TelegramError> {
    let response = call.send().await.map_err(lost)?;
    let header = response.headers().get(RETRY_AFTER);
    Ok(HttpAnswer {
        status: response.status().as_u16(),
        retry_after: header.and_then(|value| value.to_str().ok()?.parse().ok()),
        body: read(response, LARGEST_ANSWER).await?,
    })
}

/// The error for a call whose answer did not come.
fn lost(error: reqwest::Error) -> TelegramError {
    let error = error.without_url();
    if error.is_connect() {
        TelegramError::NotSent(describe(&error))
    } else {
        TelegramError::Ambiguous(describe(&error))
    }
}

/// The whole body, if it is no longer than `limit`.
async fn read(mut response: Response, limit: usize) -> Result<Bytes, TelegramError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > limit {
            return Err(TelegramError::Ambiguous(format!(
                "the answer is longer than {limit} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests;
