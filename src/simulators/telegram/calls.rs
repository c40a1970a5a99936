//! What happens to one Bot API call: it enters the ledger, a fault may strike it, its method runs, and it is
//! answered.
//!
//! If the client disconnects on the way (its process was killed while the call was held), this future is
//! dropped. Effects that happened stay, later ones never happen, and the ledger says `abandoned`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;

use super::core::Core;
use super::faults::{FaultAction, HoldPoint};
use super::ledger::{LedgerEntry, Outcome};
use super::methods;
use super::refusal::Refusal;
use super::request::Call;

/// Longer than any test waits. A held call ends when it is released, its client disconnects, or the simulator
/// stops.
const FOR_EVER: Duration = Duration::from_hours(365 * 24);

/// How a call is answered over the wire.
pub(super) enum Reply {
    Answer {
        status: u16,
        body: Value,
        refusal: Option<Refusal>,
    },
    Html(u16),
    /// No answer: the connection is cut.
    Cut(Outcome),
}

impl Reply {
    fn refused(refusal: Refusal) -> Self {
        Self::Answer {
            status: refusal.code,
            body: refusal.body(),
            refusal: Some(refusal),
        }
    }

    /// The HTTP answer; `None` when the connection must be cut instead.
    pub fn into_response(self) -> Option<Response> {
        match self {
            Self::Answer {
                refusal: Some(refusal),
                ..
            } => Some(refusal.into_response()),
            Self::Answer { body, .. } => Some(Json(body).into_response()),
            Self::Html(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                let title = status.canonical_reason().unwrap_or("Error");
                let page = format!(
                    "<html>\r\n<head><title>{0} {title}</title></head>\r\n<body>\r\n<center><h1>{0} {title}</h1>\
                     </center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
                    status.as_u16()
                );
                Some((status, Html(page)).into_response())
            }
            Self::Cut(_) => None,
        }
    }
}

pub(super) async fn serve(core: &Arc<Core>, call: Call) -> Reply {
    let record = Record::open(core, &call);
    let fault = core.write(|state| {
        let struck = state.faults.strike(&call);
        if let (Some((id, _)), Some(entry)) = (&struck, state.ledger.entry(record.seq)) {
            entry.fault = Some(*id);
        }
        struck.map(|(_, action)| action)
    });
    let reply = answer(core, &call, &record, fault).await;
    record.close(&reply);
    reply
}

/// Answers a call whose parameters could not be read.
pub(super) fn refuse(core: &Arc<Core>, method: &str, refusal: Refusal) -> Reply {
    let record = Record::open(core, &Call::unread(method));
    let reply = Reply::refused(refusal);
    record.close(&reply);
    reply
}

async fn answer(core: &Arc<Core>, call: &Call, record: &Record, fault: Option<FaultAction>) -> Reply {
    match &fault {
        Some(FaultAction::RetryAfter { seconds, parameters }) => {
            return Reply::refused(Refusal::too_many_requests(*seconds, *parameters));
        }
        Some(FaultAction::Refuse { error }) => return Reply::refused((*error).into()),
        Some(FaultAction::Error {
            code,
            description,
            parameters,
        }) => {
            return Reply::refused(Refusal {
                code: *code,
                description: description.clone(),
                parameters: parameters.clone(),
            });
        }
        Some(FaultAction::Html { status }) => return Reply::Html(*status),
        Some(FaultAction::Drop) => return Reply::Cut(Outcome::Dropped),
        Some(FaultAction::Delay { seconds }) => {
            tokio::time::sleep(Duration::try_from_secs_f64(*seconds).unwrap_or_default()).await;
        }
        Some(FaultAction::Hold {
            when: HoldPoint::Before,
        }) => {
            if Hold::wait(core, call, record.seq, HoldPoint::Before)
                .await
                .is_none()
            {
                return Reply::Cut(Outcome::Dropped);
            }
        }
        Some(
            FaultAction::Hold {
                when: HoldPoint::After,
            }
            | FaultAction::LoseAnswer,
        )
        | None => {}
    }
    let reply = match methods::run(core, call).await {
        Ok(body) => Reply::Answer {
            status: 200,
            body,
            refusal: None,
        },
        Err(refusal) => Reply::refused(refusal),
    };
    record.accept(&reply);
    match fault {
        Some(FaultAction::LoseAnswer) => Reply::Cut(Outcome::Lost),
        Some(FaultAction::Hold {
            when: HoldPoint::After,
        }) => match Hold::wait(core, call, record.seq, HoldPoint::After).await {
            Some(()) => reply,
            None => Reply::Cut(Outcome::Lost),
        },
        _ => reply,
    }
}

/// The call's entry in the ledger. If it is dropped before it was closed, the entry says `abandoned`.
struct Record {
    core: Arc<Core>,
    seq: u64,
}

impl Record {
    fn open(core: &Arc<Core>, call: &Call) -> Self {
        let at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let params = call.to_json();
        let seq = core.write(|state| state.ledger.open(at, &call.method, call.chat_id(), params));
        Self {
            core: Arc::clone(core),
            seq,
        }
    }

    fn change(&self, change: impl FnOnce(&mut LedgerEntry)) {
        self.core.write(|state| {
            if let Some(entry) = state.ledger.entry(self.seq) {
                change(entry);
            }
        });
    }

    fn accept(&self, reply: &Reply) {
        self.change(|entry| {
            if let Reply::Answer { status, body, .. } = reply {
                entry.accepted = *status == 200;
                entry.answer = Some(body.clone());
            }
        });
    }

    fn close(&self, reply: &Reply) {
        self.change(|entry| match reply {
            Reply::Answer { status, body, .. } => {
                entry.status = Some(*status);
                entry.answer = Some(body.clone());
                entry.outcome = Outcome::Answered;
            }
            Reply::Html(status) => {
                entry.status = Some(*status);
                entry.outcome = Outcome::Answered;
            }
            Reply::Cut(outcome) => entry.outcome = *outcome,
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.change(|entry| {
            if entry.outcome == Outcome::Pending {
                entry.outcome = Outcome::Abandoned;
            }
        });
    }
}

/// A held call. It leaves the list of held calls when it continues, and when its client disconnects.
struct Hold<'a> {
    core: &'a Core,
    id: u64,
}

impl<'a> Hold<'a> {
    /// `None` when the simulator stops before the call was released.
    async fn wait(core: &'a Core, call: &Call, seq: u64, when: HoldPoint) -> Option<()> {
        let id = core.write(|state| state.faults.hold(seq, call, when));
        let hold = Self { core, id };
        let released = |held: &super::faults::HeldCall| held.released.then_some(());
        core.until(FOR_EVER, |state| {
            state.faults.held.get(&hold.id).and_then(released)
        })
        .await
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.core.write(|state| drop(state.faults.held.remove(&self.id)));
    }
}
