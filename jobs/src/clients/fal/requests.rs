//! Asks for the fate of a request that FAL has.
//!
//! FAL has no status "failed": a failed request is COMPLETED, and only the HTTP status of its result tells (fal.md
//! 1.5, 1.6). The result call answers with the model's own status, so a 5xx there usually means the request's end and
//! not a moment's trouble; the body tells the two apart.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tracing::warn;

use super::{
    Call, Error, FalClient, Meaning, Request, RequestFailure, Result, ask, json, progress, send, wire,
};

/// FAL's word for the state of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestStatus {
    /// `IN_QUEUE`: waits for a runner, with no time limit.
    Queued {
        /// How many requests are before it, if FAL says so.
        position: Option<i32>,
    },
    /// `IN_PROGRESS`: a runner works on it.
    Running {
        /// In percent, 0 to 99. `None`: the logs do not tell.
        progress: Option<u8>,
        /// The log line that tells the progress.
        message: Option<String>,
    },
    /// COMPLETED: it has ended, well or not. Ask for the result.
    Completed,
    /// An undocumented word, or none: go on polling, and ask for the result if it stays so.
    Unknown(String),
}

/// What the result call tells of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum ResultOutcome {
    /// It succeeded, with this output of the model.
    Succeeded(Value),
    /// It ended without output, for this reason.
    Failed(RequestFailure),
    /// It has not ended yet.
    NotReady,
    /// FAL does not have it: no longer, not ever, or only for a moment. Believe it after several such answers.
    Gone,
}

/// What FAL did with a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It took the request out of the queue before it ran.
    Dequeued,
    /// It will tell the runner to stop; the request may still complete, and be billed.
    Requested,
    /// The request had ended already.
    TooLate,
    /// FAL does not have the request.
    Gone,
}

/// In bytes. A long training logs one line per step.
const STATUS_LIMIT: usize = 4 << 20;
/// In bytes. A trainer's result is far below 10 KB.
const RESULT_LIMIT: usize = 4 << 20;

impl FalClient {
    /// The state of the request, and its progress.
    pub async fn status(&self, request: &Request) -> Result<RequestStatus> {
        match self.ask_status(request, true).await {
            // The logs exceeded the limit; the status alone does not.
            Err(Error::TooLarge { .. }) => self.ask_status(request, false).await,
            answer => answer,
        }
    }

    async fn ask_status(&self, request: &Request, with_logs: bool) -> Result<RequestStatus> {
        const CALL: Call = Call::Status;
        let mut url = self.on_our_queue(&request.status_url)?;
        url.query_pairs_mut()
            .append_pair("logs", if with_logs { "1" } else { "0" });
        // 202 while it waits or runs, 200 afterwards; any success is accepted.
        let response = send(CALL, self.keyed(Method::GET, url)).await?;
        let answer = wire::Status::read(&json(CALL, response, STATUS_LIMIT).await?);
        Ok(match answer.word.as_str() {
            "IN_QUEUE" => RequestStatus::Queued {
                position: answer.queue_position,
            },
            "IN_PROGRESS" => {
                let progress = progress::of(answer.logs.iter().map(String::as_str));
                let (progress, message) = progress.map(|seen| (seen.percent, seen.line)).unzip();
                RequestStatus::Running { progress, message }
            }
            "COMPLETED" => RequestStatus::Completed,
            _ => RequestStatus::Unknown(answer.word),
        })
    }

    /// The result of a completed request.
    ///
    /// # Errors
    /// [`Error::Doubtful`] if FAL may have failed the request, or may only be in trouble.
    pub async fn result(&self, request: &Request) -> Result<ResultOutcome> {
        const CALL: Call = Call::Result;
        let url = self.on_our_queue(&request.response_url)?;
        let (answer, meaning) = match ask(CALL, self.keyed(Method::GET, url)).await? {
            Ok(response) if response.status() == StatusCode::ACCEPTED => return Ok(ResultOutcome::NotReady),
            Ok(response) => {
                return Ok(ResultOutcome::Succeeded(
                    json(CALL, response, RESULT_LIMIT).await?,
                ));
            }
            Err(refused) => refused,
        };
        match meaning {
            Meaning::Ended(failure) => Ok(ResultOutcome::Failed(failure)),
            Meaning::NotReady => Ok(ResultOutcome::NotReady),
            Meaning::Denied => Ok(ResultOutcome::Gone),
            meaning => {
                let error = answer.into_error(CALL, meaning);
                warn!(fal.request_id = %request.request_id, "The result of {} cannot be had: {error}", request.request_id);
                Err(error)
            }
        }
    }

    /// Asks FAL to stop the request.
    pub async fn cancel(&self, request: &Request) -> Result<CancelOutcome> {
        const CALL: Call = Call::Cancel;
        let url = self.on_our_queue(&request.cancel_url)?;
        match ask(CALL, self.keyed(Method::PUT, url)).await? {
            Ok(response) if response.status() == StatusCode::ACCEPTED => Ok(CancelOutcome::Requested),
            Ok(_) => Ok(CancelOutcome::Dequeued),
            Err((_, Meaning::TooLate)) => Ok(CancelOutcome::TooLate),
            Err((_, Meaning::Denied)) => Ok(CancelOutcome::Gone),
            Err((answer, meaning)) => Err(answer.into_error(CALL, meaning)),
        }
    }
}
