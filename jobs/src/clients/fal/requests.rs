//! What became of a request that FAL has.
//!
//! There is no "failed" at FAL: a failed request is COMPLETED, and only its result tells, by its HTTP status
//! (fal.md 1.5, 1.6). The result call answers with the model's own status, so a 5xx there is mostly the request's
//! end and not a moment's trouble; the two are told apart by the body.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tracing::warn;

use super::{
    Call, Error, FalClient, Meaning, Request, RequestFailure, Result, ask, json, progress, send, wire,
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
    /// A word that is not documented, or none: keep polling, and ask for the result if it stays so.
    Unknown(String),
}

/// What the result call says.
#[derive(Debug, Clone, PartialEq)]
pub enum ResultOutcome {
    /// The model's output.
    Succeeded(Value),
    /// The request ended without one.
    Failed(RequestFailure),
    /// It has not ended.
    NotReady,
    /// FAL no longer has it, or never had, or has it again in a moment: believe it when it has said so a few times.
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
        const CALL: Call = Call::Status;
        let mut url = self.on_our_queue(&request.status_url)?;
        url.query_pairs_mut()
            .append_pair("logs", if with_logs { "1" } else { "0" });
        // 202 while it waits or runs, 200 afterwards; any success will do.
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

    /// What a completed request left behind.
    ///
    /// # Errors
    /// [`Error::Doubtful`] when FAL may have failed the request, or may only be in trouble.
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

    /// Asks FAL to stop.
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
