//! `fal_deliveries`: the inbox of FAL's webhooks. A row is written before FAL gets its 200, and settled once by
//! `apply_fal_delivery` in the transaction of its effect.
//!
//! The key is (request id, hash of the body): a resend is the same row, an ERROR after an OK is another (K15).

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::StoreError;
use crate::domain::{DeliveryVerdict, Disposition, TrainingId};

/// A verified delivery, about to be stored.
#[derive(Debug)]
pub(crate) struct NewDelivery<'a> {
    pub request_id: &'a str,
    pub body_sha256: &'a str,
    pub body: &'a [u8],
    /// The URL's parameters, as sent.
    pub training_type: Option<&'a str>,
    pub token: Option<&'a str>,
    pub fal_user_id: &'a str,
    pub signed_at: DateTime<Utc>,
    /// What is odd about it, for operators.
    pub flags: &'a [String],
}

/// A row of the inbox, as `apply_fal_delivery` needs it.
#[derive(Debug, Clone)]
pub(crate) struct StoredDelivery {
    pub id: i64,
    pub request_id: String,
    pub body: Vec<u8>,
    pub training_type: Option<String>,
    pub token: Option<String>,
    pub received_at: DateTime<Utc>,
    /// NULL: still to be applied.
    pub disposition: Option<String>,
}

impl StoredDelivery {
    /// Nothing more may come of it, however often it is applied.
    pub(crate) fn is_settled(&self) -> bool {
        self.disposition.as_deref().is_some_and(is_settled)
    }
}

/// Whether a delivery of this verdict is beyond replaying. A word of a newer version's is: that knew what it did.
pub(crate) fn is_settled(verdict: &str) -> bool {
    match verdict.parse() {
        Ok(DeliveryVerdict::Pending) => false,
        Ok(DeliveryVerdict::Became(disposition)) => !disposition.may_be_replayed(),
        Err(_) => true,
    }
}

/// Writes a delivery and answers its id; `None` when the same bytes are committed already. Of two that come at
/// once, the second waits here for the first one's commit, and inserts after all if that is rolled back.
pub(crate) async fn insert(tx: &mut PgConnection, new: &NewDelivery<'_>) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into fal_deliveries (request_id, body_sha256, body, training_type, token, fal_user_id, signed_at, flags)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict on constraint fal_deliveries_once do nothing
        returning id
        "#,
        new.request_id,
        new.body_sha256,
        new.body,
        new.training_type,
        new.token,
        new.fal_user_id,
        new.signed_at,
        new.flags,
    )
    .fetch_optional(tx)
    .await
}

/// Whether at least `many` deliveries wait for their effect.
pub(crate) async fn are_open(tx: &mut PgConnection, many: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) >= $1 as "are_open!"
          from (select from fal_deliveries where applied_at is null limit $1) as open
        "#,
        many
    )
    .fetch_one(tx)
    .await
}

/// Reads a delivery and keeps others from settling it until the transaction ends.
pub(crate) async fn lock(tx: &mut PgConnection, id: i64) -> Result<Option<StoredDelivery>, sqlx::Error> {
    sqlx::query_as!(
        StoredDelivery,
        r#"
        select id, request_id, body, training_type, token, received_at, disposition
        from fal_deliveries
        where id = $1
        for update
        "#,
        id,
    )
    .fetch_optional(tx)
    .await
}

/// As [`settle`], of a delivery that the caller has locked and found open.
pub(crate) async fn settle_locked(
    tx: &mut PgConnection,
    id: i64,
    disposition: Disposition,
    training: Option<TrainingId>,
    flags: &[String],
) -> Result<(), StoreError> {
    if settle(tx, id, disposition, training, flags).await? {
        Ok(())
    } else {
        Err(StoreError::not_one_row("the end of a delivery", &id, 0))
    }
}

/// Records what became of a delivery, once; what a replay may still change is changed. `flags` join those that it has.
/// `false`: it was settled before, or is gone.
pub(crate) async fn settle(
    tx: &mut PgConnection,
    id: i64,
    disposition: Disposition,
    training: Option<TrainingId>,
    flags: &[String],
) -> Result<bool, sqlx::Error> {
    let settled = sqlx::query!(
        r#"
        update fal_deliveries
        set applied_at = now(),
            disposition = $2,
            training_id = $3,
            flags = array(select distinct flag from unnest(flags || $4::text[]) as flag order by flag)
        where id = $1 and (applied_at is null or disposition = any($5))
        "#,
        id,
        disposition.as_str(),
        training.map(|training| training.0),
        flags,
        &Disposition::replayable(),
    )
    .execute(tx)
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// Which deliveries an operator means; all that is given must fit.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// These rows. Empty: any.
    pub ids: Vec<i64>,
    /// What became of them.
    pub verdict: Option<DeliveryVerdict>,
    /// FAL's queue id.
    pub request_id: Option<String>,
    /// Deliveries of this training, also those that will turn out to be its.
    pub training: Option<TrainingId>,
    /// The newest so many.
    pub limit: u16,
}

/// A delivery as operators see it, without its body.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryView {
    /// The inbox row.
    pub id: i64,
    /// FAL's queue id.
    pub request_id: String,
    /// `pending`, or what became of it ([`crate::domain::Disposition`]).
    pub verdict: String,
    /// By our clock.
    pub received_at: DateTime<Utc>,
    /// By FAL's.
    pub signed_at: DateTime<Utc>,
    /// `None` while it is pending.
    pub applied_at: Option<DateTime<Utc>>,
    /// Whose it is. `None`: no training has its request, so far.
    pub training_id: Option<TrainingId>,
    /// What the URL said.
    pub training_type: Option<String>,
    /// What is odd about it.
    pub flags: Vec<String>,
    /// Of its body.
    pub bytes: i32,
    /// A job will apply it, or does at the moment.
    pub is_queued: bool,
}

/// The newest deliveries that fit, newest first.
pub(crate) async fn list(
    tx: &mut PgConnection,
    filter: &DeliveryFilter,
) -> Result<Vec<DeliveryView>, sqlx::Error> {
    sqlx::query_file_as!(
        DeliveryView,
        "src/store/sql/deliveries_list.sql",
        &filter.ids,
        filter.verdict.map(DeliveryVerdict::as_str),
        filter.request_id.as_deref(),
        filter.training.map(|training| training.0),
        i64::from(filter.limit),
    )
    .fetch_all(tx)
    .await
}

/// Deliveries that were acknowledged and have had no effect for a while, at most `limit`. Usually none: each was stored
/// with its job.
pub(crate) async fn unapplied(tx: &mut PgConnection, limit: i64) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id from fal_deliveries
         where applied_at is null and received_at between now() - interval '1 day' and now() - interval '1 minute'
         order by received_at
         limit $1
        "#,
        limit
    )
    .fetch_all(tx)
    .await
}

/// The bytes of a delivery, as FAL signed them.
pub(crate) async fn body(tx: &mut PgConnection, id: i64) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("select body from fal_deliveries where id = $1", id)
        .fetch_optional(tx)
        .await
}
