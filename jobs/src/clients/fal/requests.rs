//! What became of a request that FAL has.
//!
//! There is no "failed" at FAL: a failed request is COMPLETED, and only its result tells, by its HTTP status
//! (fal.md 1.5, 1.6). The result call answers with the model's own status, so a 5xx there is mostly the request's
//! end and not a moment's trouble; the two are told apart by the body.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tracing::warn;

use super::{
    Error, Failure, FalClient, Request, Result, body, failure, json, progress, send, succeeded, wire,
};

/// FAL's word for where a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestStatus {
    /// `IN_QUEUE`: waits for a runner, for as long as it takes.
    Queued {
        /// Requests before it.
        position: Option<i32>,
    },
    /// `IN_PROGRESS`.
    Running {
        /// 0 to 99, where the logs tell.
        progress: Option<u8>,
        /// The log line that tells.
        message: Option<String>,
    },
    /// COMPLETED: ended, well or not. Ask for the result.
    Completed,
    /// A word that is not documented; keep polling.
    Unknown(String),
}

/// What the result call says.
#[derive(Debug, Clone, PartialEq)]
pub enum ResultOutcome {
    /// The model's output.
    Succeeded(Value),
    /// The request ended without one.
    Failed(Failure),
    /// It has not ended.
    NotReady,
    /// FAL no longer has it, or never had.
    Gone,
}

/// What became of a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Taken out of the queue before it ran.
    Dequeued,
    /// Told to stop; it may complete all the same, and be billed.
    Requested,
    /// It has ended already.
    TooLate,
    /// FAL does not have it.
    Gone,
}

/// A long training logs a line a step.
const STATUS_LIMIT: usize = 4 << 20;
/// A trainer's result is far below 10 KB.
const RESULT_LIMIT: usize = 4 << 20;

impl FalClient {
    /// Where the request is, and how far.
    pub async fn status(&self, request: &Request) -> Result<RequestStatus> {
        match self.ask_status(request, true).await {
            // The logs outgrew us, the status did not.
            Err(Error::TooLarge { .. }) => self.ask_status(request, false).await,
            answer => answer,
        }
    }

    async fn ask_status(&self, request: &Request, with_logs: bool) -> Result<RequestStatus> {
        const CALL: &str = "status";
        let mut url = self.on_our_queue(&request.status_url)?;
        url.query_pairs_mut()
            .append_pair("logs", if with_logs { "1" } else { "0" });
        // 202 while it waits or runs, 200 afterwards; any success will do.
        let response = succeeded(CALL, send(CALL, self.keyed(Method::GET, url)).await?).await?;
        let answer: wire::Status = json(CALL, response, STATUS_LIMIT).await?;
        Ok(match answer.word.as_str() {
            "IN_QUEUE" => RequestStatus::Queued {
                position: answer.queue_position,
            },
            "IN_PROGRESS" => {
                let progress = progress::of(answer.logs.iter().map(|line| line.message.as_str()));
                let (progress, message) = progress.map(|progress| (progress.percent, progress.line)).unzip();
                RequestStatus::Running { progress, message }
            }
            "COMPLETED" => RequestStatus::Completed,
            word => RequestStatus::Unknown(word.chars().take(100).collect()),
        })
    }

    /// What the model answered.
    pub async fn result(&self, request: &Request) -> Result<ResultOutcome> {
        const CALL: &str = "result";
        let url = self.on_our_queue(&request.response_url)?;
        let response = send(CALL, self.keyed(Method::GET, url)).await?;
        let status = response.status();
        match status {
            StatusCode::ACCEPTED => return Ok(ResultOutcome::NotReady),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(ResultOutcome::Gone),
            status if status.is_success() => {
                return Ok(ResultOutcome::Succeeded(
                    json(CALL, response, RESULT_LIMIT).await?,
                ));
            }
            _ => {}
        }
        let error_type = response
            .headers()
            .get("x-fal-error-type")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = body(CALL, response, RESULT_LIMIT).await?;
        if let Some(failure) = Failure::from_answer(status.as_u16(), error_type.as_deref(), &body) {
            return Ok(ResultOutcome::Failed(failure));
        }
        let detail = failure::describe_body(&body);
        // Of a request's own errors a 400 always has a type or a list; this one is about asking too early.
        if status == StatusCode::BAD_REQUEST {
            return Ok(ResultOutcome::NotReady);
        }
        warn!(fal.request_id = %request.request_id, "FAL answered {status} for the result of {}: {detail}", request.request_id);
        Err(Error::Server {
            call: CALL,
            status: status.as_u16(),
            detail,
        })
    }

    /// Asks FAL to stop.
    pub async fn cancel(&self, request: &Request) -> Result<CancelOutcome> {
        const CALL: &str = "cancel";
        let url = self.on_our_queue(&request.cancel_url)?;
        let response = send(CALL, self.keyed(Method::PUT, url)).await?;
        match response.status() {
            StatusCode::BAD_REQUEST => Ok(CancelOutcome::TooLate),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(CancelOutcome::Gone),
            StatusCode::ACCEPTED => Ok(CancelOutcome::Requested),
            _ => succeeded(CALL, response).await.map(|_| CancelOutcome::Dequeued),
        }
    }
}
