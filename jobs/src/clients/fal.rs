//! FAL: submits, status, results, its request list, its storage, and its signed deliveries.
//!
//! # Must stay true
//! * the key goes to the configured queue, rest and api URLs and nowhere else: never to a CDN or upload URL,
//!   and to a URL that FAL returned only after it was found to lie under the queue's   — `the_key_is_never_sent_to_a_foreign_host`
//! * a submit is sent at most once, and only while its sender still holds the lease (K12)    — `submit.rs`
//! * files are fetched from and uploaded to FAL's hosts only, whatever a URL says    — `hosts.rs`
//! * COMPLETED does not mean success: the HTTP status of the result decides          — `requests.rs`
//! * every call ends: each has a deadline, and each answer a size limit
//!
//! `fal/meaning.rs` decides what an answer means, once for all calls; `fal/error.rs` decides what an error means for
//! a job. Nothing here sleeps or retries, except for parts of an upload: waiting is the queue's task.
//!
//! Read next: `fal/meaning.rs`, `fal/submit.rs`, `fal/requests.rs`, `fal/storage.rs`, `fal/verifier.rs`, `fal/delivery.rs`.

use std::{sync::Arc, time::Duration};

use chrono::DateTime;
use reqwest::{
    Client, Method, RequestBuilder, Response,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
    },
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::cause::describe;
use hosts::FileRule;

mod catalogue;
mod delivery;
mod erase;
mod error;
mod failure;
mod hosts;
mod keys;
mod lenient;
mod list;
mod meaning;
mod progress;
mod requests;
mod signature;
mod storage;
mod submit;
mod urls;
mod verifier;
mod wire;

pub use crate::domain::FalRequest as Request;
pub use catalogue::Listing;
pub use delivery::{Delivery, DeliveryReport, Unreadable};
pub use erase::Erased;
pub use error::{Error, Result};
pub use failure::{FailureClass, RequestFailure};
pub use hosts::FileHosts;
pub use list::{ListQuery, RequestMark};
pub use meaning::Call;
use meaning::{ErrorAnswer, Meaning};
pub use requests::{CancelOutcome, RequestStatus, ResultOutcome};
pub use signature::{NotSigned, SignedHeaders};
pub use storage::Download;
pub use submit::SubmitOutcome;
pub use verifier::{Rejection, VerifiedDelivery, VerifierSettings, VerifyError, WebhookVerifier};

/// FAL's addresses, our key, and how long we wait.
#[derive(Debug, Clone)]
pub struct FalSettings {
    /// For submit, status, result and cancel: `https://queue.fal.run`.
    pub queue_url: Url,
    /// For the start of an upload: `https://rest.fal.ai`.
    pub rest_url: Url,
    /// FAL's file server: `https://v3.fal.media`. The URLs of files come from FAL; on this one's host they may also
    /// use plain http, or lie within our network. It never gets the key.
    pub cdn_url: Url,
    /// The other hosts that may have FAL's files.
    pub file_hosts: FileHosts,
    /// The platform API, for the request list: `https://api.fal.ai`.
    pub api_url: Url,
    /// Our key, as `<key id>:<key secret>`. Never printed.
    pub key: SecretString,
    /// How long each kind of call may take.
    pub timeouts: FalTimeouts,
    /// When and how large files are uploaded in parts.
    pub multipart: Multipart,
}

/// Deadlines. Unless noted otherwise, each covers a call from its start to the last byte of its answer.
#[derive(Debug, Clone, Copy)]
pub struct FalTimeouts {
    /// DNS, TCP and TLS together, within each of the other deadlines.
    pub connect: Duration,
    /// Any call that is not named below.
    pub call: Duration,
    /// A submit. A late answer is better than none, since without one the attempt is ambiguous.
    pub submit: Duration,
    /// The upload of an archive or one of its parts, or the download of a model.
    pub transfer: Duration,
    /// Longest silence within a download.
    pub stall: Duration,
}

/// When a file is uploaded in parts. The defaults are those of FAL's own client.
#[derive(Debug, Clone, Copy)]
pub struct Multipart {
    /// Files larger than this go up in parts. In bytes.
    pub above: u64,
    /// Size in bytes of each part but the last. One part is held in memory at a time.
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

/// The FAL client of workers. Clones share connections.
#[derive(Debug, Clone)]
pub struct FalClient {
    /// With connection pool. Only [`FalClient::keyed`] makes requests with it.
    calls: Client,
    /// Opens a connection for each submit; see `submit.rs`.
    submits: Client,
    /// Without the key, for CDN and upload URLs that `file_rule` has checked.
    files: Client,
    file_rule: Arc<FileRule>,
    /// Without the key, for an archive's URL: either FAL's, which was checked when it was stored, or our own store's.
    archives: Client,
    queue_url: Url,
    rest_url: Url,
    api_url: Url,
    authorization: HeaderValue,
    multipart: Multipart,
}

impl FalClient {
    /// # Errors
    /// The key has characters that an HTTP header cannot carry, or TLS cannot be set up.
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
                .default_headers(uncompressed())
                .connect_timeout(timeouts.connect)
                // A redirect could carry the key to another host, or repeat a POST there.
                .redirect(redirect::Policy::none())
                // A signed URL gives access to its file, so it must not be sent as a referer.
                .referer(false)
                // All calls share one HTTP/2 connection, and abandoning a call does not close it: a silent connection
                // would take one call after the other with it.
                .http2_keep_alive_interval(timeouts.connect)
                .http2_keep_alive_timeout(timeouts.connect)
                .http2_keep_alive_while_idle(true)
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

    /// A request with the key. The caller has built `url` from a configured base, or checked it against one.
    fn keyed(&self, method: Method, url: Url) -> RequestBuilder {
        self.calls
            .request(method, url)
            .header(AUTHORIZATION, self.authorization.clone())
    }
}

/// Sends a request and returns a success. Any other answer becomes an error, by the table in `meaning.rs`.
async fn send(call: Call, request: RequestBuilder) -> Result<Response> {
    let (answer, meaning) = match ask(call, request).await? {
        Ok(response) => return Ok(response),
        Err(refused) => refused,
    };
    Err(answer.into_error(call, meaning))
}

/// For calls that expect error answers. The outer error means that there was no answer.
async fn ask(
    call: Call,
    request: RequestBuilder,
) -> Result<std::result::Result<Response, (ErrorAnswer, Meaning)>> {
    let response = request
        .send()
        .await
        .map_err(|error| Error::unreachable(call, &error))?;
    Ok(refused(call, response).await)
}

/// Reads an answer that is not a success. Its status and headers count even if its body cannot be read.
async fn refused(call: Call, response: Response) -> std::result::Result<Response, (ErrorAnswer, Meaning)> {
    const READ: usize = 64 << 10;
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let location = headers
        .get(LOCATION)
        .and_then(|place| response.url().join(place.to_str().ok()?).ok());
    let body = match encoding(&headers) {
        Some(_) => Vec::new(),
        None => start_of_body(response, READ).await,
    };
    let answer = ErrorAnswer {
        status,
        headers,
        location,
        body,
    };
    let meaning = answer.meaning(call);
    Err((answer, meaning))
}

/// Asks for uncompressed answers: without this header a server may send any encoding.
fn uncompressed() -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))])
}

/// How an answer is compressed. `None`: not at all.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let named = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_lowercase())
        .filter(|name| !matches!(name.as_str(), "" | "identity"));
    named
        .reduce(|all, next| format!("{all}, {next}"))
        .map(|names| failure::clipped(&names))
}

/// Passes if the body is not compressed.
fn plain(call: Call, response: &Response) -> Result<()> {
    match encoding(response.headers()) {
        Some(encoding) => Err(Error::Encoded { call, encoding }),
        None => Ok(()),
    }
}

impl ErrorAnswer {
    fn into_error(self, call: Call, meaning: Meaning) -> Error {
        if let (Meaning::Moment, Some(encoding)) = (&meaning, encoding(&self.headers)) {
            return Error::Encoded { call, encoding };
        }
        let (status, detail) = (self.status, self.detail());
        match meaning {
            Meaning::Account => Error::Account { call, status, detail },
            Meaning::Moved => Error::Moved { call, status, detail },
            Meaning::Busy => Error::Busy {
                retry_after: retry_after(&self.headers),
            },
            Meaning::Denied => Error::Missing {
                call,
                detail: format!("{status}: {detail}"),
            },
            Meaning::Expired => Error::Expired { call, status, detail },
            Meaning::Doubtful(failure) => Error::Doubtful(failure),
            Meaning::Moment | Meaning::NotReady | Meaning::Unknown => Error::Server { call, status, detail },
            Meaning::Refused | Meaning::TooLate | Meaning::Ended(_) => {
                Error::Refused { call, status, detail }
            }
        }
    }
}

/// The body of an answer, if it has at most `limit` bytes.
async fn body(call: Call, mut response: Response, limit: usize) -> Result<Vec<u8>> {
    plain(call, &response)?;
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

/// As much of a body as arrived, and at most `limit` bytes.
async fn start_of_body(mut response: Response, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < limit {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(limit);
    body
}

/// The JSON of a success, read leniently. `wire.rs` checks the fields that matter.
async fn json(call: Call, response: Response, limit: usize) -> Result<Value> {
    let body = body(call, response, limit).await?;
    lenient::read(&body).map_err(|error| Error::Garbled {
        call,
        why: failure::clipped(&error.to_string()),
    })
}

/// The seconds of `Retry-After`, which may also be a date, within reasonable bounds. FAL documents none, so half a
/// minute if it is missing. A date is compared with the answer's own `Date`, so that no clock has to be right.
fn retry_after(headers: &HeaderMap) -> Duration {
    const UNSAID: u64 = 30;
    const LONGEST: u64 = 3600;
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let date = |text: &str| DateTime::parse_from_rfc2822(text).ok();
    let asked = text(RETRY_AFTER).and_then(|asked| {
        asked.parse::<u64>().ok().or_else(|| {
            let wait = date(asked)? - date(text(DATE)?)?;
            Some(u64::try_from(wait.num_seconds()).unwrap_or(0))
        })
    });
    Duration::from_secs(asked.unwrap_or(UNSAID).clamp(1, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_MOMENT: Duration = Duration::from_secs(1);

    pub(super) fn client(queue_url: &str) -> FalClient {
        let url = |text: &str| Url::parse(text).expect("a URL");
        FalClient::new(FalSettings {
            queue_url: url(queue_url),
            rest_url: url("https://rest.fal.ai"),
            cdn_url: url("https://v3.fal.media"),
            file_hosts: "*.fal.media".parse().expect("a name of hosts"),
            api_url: url("https://api.fal.ai"),
            key: "id:secret".into(),
            timeouts: FalTimeouts {
                connect: A_MOMENT,
                call: A_MOMENT,
                submit: A_MOMENT,
                transfer: A_MOMENT,
                stall: A_MOMENT,
            },
            multipart: Multipart::default(),
        })
        .expect("a client")
    }

    #[test]
    fn retry_after_is_read_in_both_of_its_forms_and_within_reason() {
        let wait = |headers: &[(reqwest::header::HeaderName, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
                .collect();
            retry_after(&headers).as_secs()
        };
        assert_eq!(wait(&[]), 30);
        assert_eq!(wait(&[(RETRY_AFTER, "17")]), 17);
        for odd in ["-5", "soon", "", "1e3", "18446744073709551616"] {
            assert_eq!(wait(&[(RETRY_AFTER, odd)]), 30, "{odd}");
        }
        assert_eq!(wait(&[(RETRY_AFTER, "0")]), 1);
        assert_eq!(wait(&[(RETRY_AFTER, "86400")]), 3600);
        let date = (DATE, "Mon, 30 Nov 2026 10:00:00 GMT");
        for (asked, seconds) in [
            ("Mon, 30 Nov 2026 10:02:00 GMT", 120),
            ("Mon, 30 Nov 2026 09:00:00 GMT", 1),
            ("Tue, 01 Dec 2026 10:00:00 GMT", 3600),
        ] {
            assert_eq!(wait(&[date.clone(), (RETRY_AFTER, asked)]), seconds, "{asked}");
        }
    }

    #[test]
    fn the_key_is_not_in_what_is_printed() {
        let printed = format!("{:?}", client("https://queue.fal.run"));
        assert!(!printed.contains("secret"), "{printed}");
    }
}
