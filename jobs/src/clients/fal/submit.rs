//! The one call that costs money.
//!
//! FAL has no idempotency key: two equal submits are two paid runs. So the POST is sent at most once, on a connection
//! of its own (a stale pooled connection looks like a reset after the write). Its outcomes are told apart as finely
//! as the wire allows (fal.md 6.2, K12), by the table in `meaning.rs` if there is an answer.
//!
//! # The gate
//! The caller's check (do we still hold the lease?) runs at the last moment at which nothing was sent: as the first
//! poll of the request's body. DNS, TCP and TLS are done by then. hyper (HTTP/1 only, see [`configure`]) has put the
//! head into its buffer, asks for the body's first chunk, and writes both to the socket in the same poll of the same
//! task; between the check and the `write` there is no await point, no timer and no other task. If the check says no,
//! the body fails, hyper drops the connection with its buffer unwritten, and FAL sees a connection that closed
//! without a byte. Only the gap between the check's return and the system call remains, which no program can close.
//! Proven by `a_withheld_submit_puts_no_byte_on_the_wire`.
//!
//! The gate also tells the outcomes apart: any error while the gate is shut is [`SubmitOutcome::NotSent`]; once it is
//! open, everything but a clear answer is [`SubmitOutcome::Unknown`].

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use reqwest::{
    Body, ClientBuilder, Response,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde_json::{Value, json};

use super::{
    Call, FalClient, Meaning, Request, describe, json, refused, retry_after, storage::readable, wire,
};

/// The outcome of a submit, as far as the wire tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// FAL has the request.
    Accepted(Request),
    /// The submit certainly never reached FAL; with the reason: DNS, refused, TLS, or
    /// withheld by the gate. It may be tried again.
    NotSent(String),
    /// FAL did not accept it, and will not accept the same bytes later.
    Refused {
        /// HTTP status of the answer.
        status: u16,
        /// Text of the answer's body, shortened.
        detail: String,
    },
    /// 401, 402 or 403: FAL accepts nothing from this account until an operator acts. Submissions are parked.
    Locked(String),
    /// A redirect: `fal.queue_url` is not FAL's queue, and a redirecting server has
    /// accepted nothing. Submissions are parked.
    Moved(String),
    /// 429: not accepted; try again later.
    Busy {
        /// How long FAL asks us to wait.
        retry_after: Duration,
    },
    /// FAL may have the request; with the reason for the doubt. Never repeat it blindly.
    Unknown(String),
}

/// One connection per submit, never reused, and no retry inside the HTTP client.
pub(super) fn configure(builder: ClientBuilder) -> ClientBuilder {
    builder
        .http1_only()
        .pool_max_idle_per_host(0)
        .retry(reqwest::retry::never())
}

impl FalClient {
    /// Posts `input` to `endpoint`, once. Calls `may_send` immediately before the first byte;
    /// if it returns `false`, nothing is sent.
    pub async fn submit(
        &self,
        endpoint: &str,
        input: &Value,
        webhook_url: Option<&str>,
        may_send: impl FnOnce() -> bool + Send + 'static,
    ) -> SubmitOutcome {
        let mut url = Self::at(&self.queue_url, endpoint);
        if let Some(webhook) = webhook_url {
            url.query_pairs_mut().append_pair("fal_webhook", webhook);
        }
        let input = Bytes::from(input.to_string());
        let gate = Gate::shut();
        let sent = self
            .submits
            .post(url)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            // We know the length, but a streamed body does not; without it the POST would be chunked.
            .header(CONTENT_LENGTH, input.len())
            .header(
                "X-Fal-Object-Lifecycle-Preference",
                json!({"initial_acl": readable()}).to_string(),
            )
            .body(gate.guard(input, may_send))
            .send()
            .await;
        match sent {
            Ok(response) => self.classify(endpoint, response).await,
            Err(error) if gate.close() => SubmitOutcome::NotSent(describe(&error)),
            Err(error) => SubmitOutcome::Unknown(describe(&error)),
        }
    }

    async fn classify(&self, endpoint: &str, response: Response) -> SubmitOutcome {
        let (answer, meaning) = match refused(Call::Submit, response).await {
            Ok(response) => return self.accepted(endpoint, response).await,
            Err(refused) => refused,
        };
        let (status, detail) = (answer.status, answer.detail());
        match meaning {
            Meaning::Account => SubmitOutcome::Locked(format!("{status}: {detail}")),
            Meaning::Moved => SubmitOutcome::Moved(format!("{status} {detail}")),
            Meaning::Refused => SubmitOutcome::Refused { status, detail },
            Meaning::Busy => SubmitOutcome::Busy {
                retry_after: retry_after(&answer.headers),
            },
            _ => SubmitOutcome::Unknown(format!("FAL answered {status}: {detail}")),
        }
    }

    async fn accepted(&self, endpoint: &str, response: Response) -> SubmitOutcome {
        const LIMIT: usize = 256 << 10;
        let status = response.status().as_u16();
        let read = match json(Call::Submit, response, LIMIT).await {
            Ok(answer) => wire::submitted(&answer),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(request) => SubmitOutcome::Accepted(self.vetted(endpoint, &request)),
            Err(why) => {
                SubmitOutcome::Unknown(format!("FAL answered {status} but not in its own words: {why}"))
            }
        }
    }
}

const SHUT: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

/// Knows on which side of the first byte an error lies. It opens or closes once, for good: if a deadline comes while
/// the connection's task is about to ask, "not sent" must not be reported of bytes that are then sent.
#[derive(Debug)]
struct Gate(Arc<AtomicU8>);

impl Gate {
    fn shut() -> Self {
        Self(Arc::new(AtomicU8::new(SHUT)))
    }

    /// A body whose first poll calls `may_send`.
    fn guard(&self, input: Bytes, may_send: impl FnOnce() -> bool + Send + 'static) -> Body {
        let gate = Arc::clone(&self.0);
        Body::wrap_stream(stream::once(async move {
            let to = if may_send() { OPEN } else { CLOSED };
            let turned = gate
                .compare_exchange(SHUT, to, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok();
            if turned && to == OPEN {
                Ok(input)
            } else {
                Err(io::Error::other("withheld: the sender may no longer send"))
            }
        }))
    }

    /// Closes the gate. `true`: nothing was sent, and nothing will be.
    fn close(&self) -> bool {
        self.0
            .compare_exchange(SHUT, CLOSED, Ordering::SeqCst, Ordering::SeqCst)
            != Err(OPEN)
    }
}

/// If a run is cancelled while it connects, nothing is sent afterwards.
impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
    }
}
