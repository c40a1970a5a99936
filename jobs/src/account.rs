//! The state of our account at FAL, learnt from the answers to any call of any worker.
//!
//! A locked account (key, balance, access) is no training's fault. The job that meets the refusal parks everything
//! that would cost money or upload a file, and no training fails for it before `saga.submit_deadline`. FAL refuses
//! uploads first and then submits; mostly it still answers questions about requests
//! (<https://github.com/fal-ai/fal/issues/1147>). So archives and submits find out separately when they are accepted
//! again; an archive does so by preparing an upload, which costs nothing.
//!
//! # Must stay true
//! * a refused account parks archives before they are built — `a_locked_account_holds_back_archives_before_they_are_built`
//! * … and submits before they are posted                   — `a_locked_account_parks_every_submit_until_a_probe_succeeds`
//! * a refusal of one request's status delays no submit     — `a_status_that_is_refused_does_not_keep_a_submit_from_finding_out`
//!
//! Read next: `store/fal_account.rs`, `clients/fal/meaning.rs`.

use std::time::Duration;

use rand::Rng;
use sqlx::PgConnection;
use tracing::{error, info};

use crate::{
    clients::fal::{self, Call, Error},
    context::Context,
    job::JobError,
    store::fal_account::{self, Admission, GuardedCall},
};

/// Parked jobs come back this long after the probe: they find its result, and do not all come at once.
const SPREAD_MS: std::ops::Range<u64> = 500..3_000;

/// Passes if a submit may be sent: the account is in order, or this submit is the probe.
///
/// # Errors
/// A snooze while FAL refuses us.
pub(crate) async fn admit_submit(cx: &Context) -> Result<(), JobError> {
    if admission(cx, GuardedCall::Submit).await? == Admission::Probe {
        info!("This submit tries whether FAL takes submissions again");
    }
    Ok(())
}

/// Passes if an archive may be uploaded. If this archive is the probe, it
/// prepares an upload here, before it is built.
///
/// # Errors
/// A snooze while FAL refuses us.
pub(crate) async fn admit_upload(cx: &Context) -> Result<(), JobError> {
    if admission(cx, GuardedCall::Upload).await? == Admission::Probe {
        heard(cx, cx.fal.may_upload().await).await??;
        let mut tx = cx.begin().await?;
        answered(&mut tx, Call::Initiate).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn admission(cx: &Context, call: GuardedCall) -> Result<Admission, JobError> {
    let mut tx = cx.begin().await?;
    let admission = fal_account::admit(&mut tx, call, cx.settings.probe_every).await?;
    tx.commit().await?;
    if let Admission::Parked(wait) = admission {
        let spread = Duration::from_millis(cx.chance.draw(|rng| rng.random_range(SPREAD_MS)));
        let why = "FAL refuses our account; uploads and submissions are parked";
        return Err(JobError::snooze(wait + spread, why));
    }
    Ok(admission)
}

/// Records a refusal of our account, and returns every other answer unchanged.
///
/// # Errors
/// A snooze if FAL refused us.
pub(crate) async fn heard<T>(cx: &Context, answer: fal::Result<T>) -> Result<fal::Result<T>, JobError> {
    let (call, why) = match &answer {
        Err(Error::Account { call, status, detail }) => (*call, format!("{status}: {detail}")),
        Err(Error::Moved {
            call: call @ (Call::Initiate | Call::Put),
            status,
            detail,
        }) => (*call, format!("{status} {detail}")),
        _ => return Ok(answer),
    };
    let mut tx = cx.begin().await?;
    refused(&mut tx, cx, call, &why).await?;
    tx.commit().await?;
    Err(JobError::snooze(
        cx.settings.probe_every,
        format_args!("FAL refuses our account at the {call}: {why}"),
    ))
}

/// FAL refused our key or account, or is not where we call it: parks uploads and submits until that has passed.
pub(crate) async fn refused(
    tx: &mut PgConnection,
    cx: &Context,
    call: Call,
    why: &str,
) -> Result<(), JobError> {
    let is_new = fal_account::park(tx, call.as_str(), why, cx.settings.probe_every).await?;
    error!(
        is_new,
        "FAL refuses us at the {call} ({why}): uploads and submissions are parked and fail nobody's training; check key and \
         balance, and the fal.*_url settings if it redirects"
    );
    metrics::counter!("aisha_fal_refusals_total").increment(1);
    metrics::gauge!("aisha_fal_parked").set(1.0);
    Ok(())
}

/// FAL answered this call normally, so the account is in order for it.
pub(crate) async fn answered(tx: &mut PgConnection, call: Call) -> Result<(), JobError> {
    if fal_account::passed(tx, call.as_str()).await? {
        info!("FAL takes our calls again: a {call} passed");
        metrics::gauge!("aisha_fal_parked").set(0.0);
    }
    Ok(())
}
