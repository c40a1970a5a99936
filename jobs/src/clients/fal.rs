//! FAL: submits, status, results, its request list, its storage, and its signed deliveries.
//!
//! # Must stay true
//! * the key goes to the configured queue, run, rest and api URLs and nowhere else: never to a CDN or upload URL,
//!   and to a URL that FAL returned only after it was found to lie under the queue's   — `the_key_is_never_sent_to_a_foreign_host`
//! * a submit is sent at most once, and only while its sender may send (K12)          — `submit.rs`
//! * files are fetched from FAL's hosts and put to them, whatever a URL says             — `hosts.rs`
//! * COMPLETED is no success: the result's HTTP status is                               — `requests.rs`
//! * every call ends: each has a deadline, and each answer a largest size
//!
//! Which error means what for a job is decided in `fal/error.rs`, once. Nothing here sleeps or tries again, but for
//! parts of an upload: waiting is the queue's business.
//!
//! Read next: `fal/submit.rs`, `fal/requests.rs`, `fal/storage.rs`, `fal/verifier.rs`, `fal/delivery.rs`.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderValue, RETRY_AFTER},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::cause::describe;
use hosts::FileRule;

mod delivery;
mod error;
mod failure;
mod hosts;
mod keys;
mod list;
mod progress;
mod requests;
mod signature;
mod storage;
mod submit;
mod urls;
mod verifier;
mod wire;

pub use crate::domain::FalRequest as Request;
pub use delivery::{Delivery, Fact, Unreadable};
pub use error::{Error, Result};
pub use failure::{Failure, FailureClass};
pub use hosts::FileHosts;
pub use list::ListQuery;
pub use requests::{CancelOutcome, RequestStatus, ResultOutcome};
pub use signature::{NotSigned, SignedHeaders};
pub use storage::Download;
pub use submit::SubmitOutcome;
pub use verifier::{Verdict, VerifiedDelivery, VerifierSettings, VerifyError, WebhookVerifier};

/// Where FAL is, with which key, and how patient we are.
#[derive(Debug, Clone)]
pub struct FalSettings {
    /// Submit, status, result, cancel: `https://queue.fal.run`.
    pub queue_url: Url,
    /// Synchronous runs: `https://fal.run`. No job makes one yet.
    pub run_url: Url,
    /// Starts uploads: `https://rest.fal.ai`.
    pub rest_url: Url,
    /// Files: `https://v3.fal.media`. Their URLs come from FAL; this one's host may have them also over plain http, or within
    /// our network. It never gets the key.
    pub cdn_url: Url,
    /// Hosts that may have FAL's files.
    pub file_hosts: FileHosts,
    /// The platform, for the request list: `https://api.fal.ai`.
    pub api_url: Url,
    /// `<key id>:<key secret>`.
    pub key: SecretString,
    /// See [`FalTimeouts`].
    pub timeouts: FalTimeouts,
    /// See [`Multipart`].
    pub multipart: Multipart,
}

/// Deadlines. Each covers a call from its start to the last byte of its answer, unless it says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct FalTimeouts {
    /// DNS, TCP and TLS, within each of the others.
    pub connect: Duration,
    /// An ordinary call.
    pub call: Duration,
    /// The submit. A late answer is better than none, which leaves the attempt ambiguous.
    pub submit: Duration,
    /// An archive or a part of it, or a whole model.
    pub transfer: Duration,
    /// Silence within a download.
    pub stall: Duration,
}

impl Default for FalTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            call: Duration::from_secs(30),
            submit: Duration::from_mins(1),
            transfer: Duration::from_mins(5),
            stall: Duration::from_secs(30),
        }
    }
}

/// From which size on a file is uploaded in parts. The defaults are those of FAL's own client.
#[derive(Debug, Clone, Copy)]
pub struct Multipart {
    /// Larger files go up in parts. Bytes.
    pub above: u64,
    /// Size of each part but the last; one is held in memory at a time. Bytes.
    pub part: u64,
    /// How often one part is sent at most.
    pub tries: u32,
}

impl Default for Multipart {
    fn default() -> Self {
        Self {
            above: 90 << 20,
            part: 10 << 20,
            tries: 3,
        }
    }
}

/// FAL, as workers see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FalClient {
    /// Pooled; only [`FalClient::keyed`] makes requests with it.
    calls: Client,
    /// One connection a submit; see `submit.rs`.
    submits: Client,
    /// Has no key: CDN and upload URLs, vetted by `file_rule`.
    files: Client,
    file_rule: Arc<FileRule>,
    /// Has no key: an archive's URL, which is FAL's, vetted when it was stored, or that of our own store.
    archives: Client,
    queue_url: Url,
    rest_url: Url,
    api_url: Url,
    authorization: HeaderValue,
    multipart: Multipart,
}

impl FalClient {
    /// # Errors
    /// The key has characters that no HTTP header can carry, or TLS cannot be set up.
    pub fn new(settings: FalSettings) -> Result<Self> {
        let FalSettings {
            queue_url,
            rest_url,
            cdn_url,
            file_hosts,
            api_url,
            key,
            timeouts,
            multipart,
            ..
        } = settings;
        let file_rule = FileRule::new(file_hosts, &[&cdn_url, &rest_url]);
        let mut authorization =
            HeaderValue::from_str(&format!("Key {}", key.expose_secret())).map_err(|_| {
                Error::Settings(
                    "the FAL key has characters that a header cannot carry: use <id>:<secret>".into(),
                )
            })?;
        authorization.set_sensitive(true);
        let base = || {
            Client::builder()
                .user_agent(concat!("aisha/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(timeouts.connect)
                // A redirect would carry the key, or repeat a POST, where nobody said it should go.
                .redirect(redirect::Policy::none())
                // A signed URL is a key to what it names.
                .referer(false)
        };
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| Error::Settings(describe(&error)))
        };
        Ok(Self {
            calls: build(base().timeout(timeouts.call))?,
            submits: build(submit::configure(base()).timeout(timeouts.submit))?,
            files: build(
                base()
                    .redirect(file_rule.redirects())
                    .dns_resolver(Arc::clone(&file_rule))
                    .timeout(timeouts.transfer)
                    .read_timeout(timeouts.stall),
            )?,
            file_rule,
            archives: build(
                base()
                    .redirect(redirect::Policy::limited(5))
                    .timeout(timeouts.call),
            )?,
            queue_url,
            rest_url,
            api_url,
            authorization,
            multipart,
        })
    }

    /// A request with the key. The caller has made `url` from a configured base, or checked it against one.
    fn keyed(&self, method: Method, url: Url) -> RequestBuilder {
        self.calls
            .request(method, url)
            .header(AUTHORIZATION, self.authorization.clone())
    }
}

/// Sends, and turns statuses that speak of us or of the moment (not of a request) into errors.
async fn send(call: &'static str, request: RequestBuilder) -> Result<Response> {
    let response = request
        .send()
        .await
        .map_err(|error| Error::unreachable(call, &error))?;
    match response.status() {
        StatusCode::UNAUTHORIZED => Err(Error::Unauthorized {
            detail: detail(response).await,
        }),
        StatusCode::FORBIDDEN => Err(Error::Locked {
            detail: detail(response).await,
        }),
        StatusCode::TOO_MANY_REQUESTS => Err(Error::Busy {
            retry_after: retry_after(&response),
        }),
        _ => Ok(response),
    }
}

/// For calls that have no other answer than success: everything else is an error.
async fn succeeded(call: &'static str, response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let detail = detail(response).await;
    Err(match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Error::Missing { call, detail },
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => Error::Server {
            call,
            status: status.as_u16(),
            detail,
        },
        status if status.is_server_error() => Error::Server {
            call,
            status: status.as_u16(),
            detail,
        },
        status => Error::Refused {
            call,
            status: status.as_u16(),
            detail,
        },
    })
}

/// The body of an answer, up to `limit` bytes.
async fn body(call: &'static str, mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Error::unreachable(call, &error))?
    {
        if body.len() + chunk.len() > limit {
            return Err(Error::TooLarge {
                call,
                limit: limit as u64,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn json<T: serde::de::DeserializeOwned>(
    call: &'static str,
    response: Response,
    limit: usize,
) -> Result<T> {
    let body = body(call, response, limit).await?;
    serde_json::from_slice(&body).map_err(|error| Error::Garbled {
        call,
        why: error.to_string(),
    })
}

/// What an error answer says, for operators; never fails and never long.
async fn detail(response: Response) -> String {
    const READ: usize = 64 << 10;
    match body("error body", response, READ).await {
        Ok(body) => failure::describe_body(&body),
        Err(error) => error.to_string(),
    }
}

/// Seconds of `Retry-After`, within reason; FAL documents none, so half a minute when there is none.
fn retry_after(response: &Response) -> Duration {
    const UNSAID: u64 = 30;
    const LONGEST: u64 = 3600;
    let seconds = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    Duration::from_secs(seconds.unwrap_or(UNSAID).clamp(1, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that is never connected.
    pub(super) fn client(queue_url: &str) -> FalClient {
        let url = |text: &str| Url::parse(text).expect("a URL");
        FalClient::new(FalSettings {
            queue_url: url(queue_url),
            run_url: url("https://fal.run"),
            rest_url: url("https://rest.fal.ai"),
            cdn_url: url("https://v3.fal.media"),
            file_hosts: FileHosts::default(),
            api_url: url("https://api.fal.ai"),
            key: "id:secret".into(),
            timeouts: FalTimeouts::default(),
            multipart: Multipart::default(),
        })
        .expect("a client")
    }

    #[test]
    fn the_key_is_not_in_what_is_printed() {
        let printed = format!("{:?}", client("https://queue.fal.run"));
        assert!(!printed.contains("secret"), "{printed}");
    }
}
