//! `fal_deliveries`: the inbox of FAL's webhooks. A row is written before FAL gets its 200, and settled once by
//! `apply_fal_delivery`, in the transaction of its effect.
//!
//! The key is the request id and the hash of the body: a repeated delivery is the same row, an
//! ERROR after an OK is another row (K15).

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::StoreError;
use crate::domain::{DeliveryVerdict, Disposition, OrderId, TrainingId};

/// A verified delivery that is about to be stored.
#[derive(Debug)]
pub(crate) struct NewDelivery<'a> {
    pub request_id: &'a str,
    pub body_sha256: &'a str,
    pub body: &'a [u8],
    /// The URL's parameters, as FAL sent them.
    pub training_type: Option<&'a str>,
    pub token: Option<&'a str>,
    pub fal_user_id: &'a str,
    pub signed_at: DateTime<Utc>,
    /// Oddities of the delivery, for operators.
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
    /// NULL: not applied yet.
    pub disposition: Option<String>,
}

impl StoredDelivery {
    /// Whether applying it again cannot change anything.
    pub(crate) fn is_settled(&self) -> bool {
        self.disposition.as_deref().is_some_and(is_settled)
    }
}

/// Whether a delivery with this verdict cannot be replayed. True for the word of a
/// newer version, which knew what it did.
pub(crate) fn is_settled(verdict: &str) -> bool {
    match verdict.parse() {
        Ok(DeliveryVerdict::Pending) => false,
        Ok(DeliveryVerdict::Became(disposition)) => !disposition.may_be_replayed(),
        Err(_) => true,
    }
}

/// Writes a delivery and returns its id. `None`: the same bytes are committed already. If the same delivery comes
/// twice at once, the second waits here for the first one's commit, and is inserted after all if that is rolled back.
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

/// Deletes a delivery about an avatar that was erased before it came. `false`: it is about no such avatar.
pub(crate) async fn drop_erased(tx: &mut PgConnection, id: i64) -> Result<bool, sqlx::Error> {
    let dropped = sqlx::query!(
        r#"
        delete from fal_deliveries d
         where id = $1
           and exists (select from erased_requests
                        where sha256 in (encode(sha256(convert_to(d.request_id, 'UTF8')), 'hex'),
                                         encode(sha256(convert_to(d.token, 'UTF8')), 'hex')))
        "#,
        id
    )
    .execute(tx)
    .await?;
    Ok(dropped.rows_affected() == 1)
}

/// Whether at least `many` deliveries are not applied yet.
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

/// Reads a delivery, and locks it until the transaction ends, so that no other settles it.
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

/// As [`settle`], for a delivery that the caller has locked and found open.
pub(crate) async fn settle_locked(
    tx: &mut PgConnection,
    id: i64,
    disposition: Disposition,
    order: Option<OrderId>,
    flags: &[String],
) -> Result<(), StoreError> {
    if settle(tx, id, disposition, order, flags).await? {
        Ok(())
    } else {
        Err(StoreError::not_one_row("the end of a delivery", &id, 0))
    }
}

/// Records the outcome of a delivery, once; an outcome that a replay may change is changed. `flags` are added to
/// those that it has. `false`: it was settled before, or is gone.
pub(crate) async fn settle(
    tx: &mut PgConnection,
    id: i64,
    disposition: Disposition,
    order: Option<OrderId>,
    flags: &[String],
) -> Result<bool, sqlx::Error> {
    let settled = sqlx::query!(
        r#"
        update fal_deliveries
        set applied_at = now(),
            disposition = $2,
            training_id = $3,
            generation_id = $6,
            flags = array(select distinct flag from unnest(flags || $4::text[]) as flag order by flag)
        where id = $1 and (applied_at is null or disposition = any($5))
        "#,
        id,
        disposition.as_str(),
        order.and_then(OrderId::training).map(|id| id.0),
        flags,
        &Disposition::replayable(),
        order.and_then(OrderId::generation).map(|id| id.0),
    )
    .execute(tx)
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// Selects deliveries for an operator. All given fields must match.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Only these rows. Empty: any.
    pub ids: Vec<i64>,
    /// Only deliveries with this verdict.
    pub verdict: Option<DeliveryVerdict>,
    /// Only deliveries of the request with this id at FAL.
    pub request_id: Option<String>,
    /// Only deliveries of this training, including those that will turn out to be.
    pub training: Option<TrainingId>,
    /// Most deliveries; the newest come first.
    pub limit: u16,
}

/// A delivery without its body, as operators see it.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryView {
    /// Id of the inbox row, as `aisha webhooks` takes it.
    pub id: i64,
    /// The id of the request in FAL's queue.
    pub request_id: String,
    /// `pending`, or the outcome ([`crate::domain::Disposition`]).
    pub verdict: String,
    /// When it arrived, by our clock.
    pub received_at: DateTime<Utc>,
    /// When FAL signed it, by FAL's clock.
    pub signed_at: DateTime<Utc>,
    /// When it was applied. `None` while it is pending.
    pub applied_at: Option<DateTime<Utc>>,
    /// Its training. `None`: no training has its request, so far.
    pub training_id: Option<TrainingId>,
    /// The training type in its URL. `None`: the URL had none.
    pub training_type: Option<String>,
    /// Oddities of the delivery, e.g. a missing training type.
    pub flags: Vec<String>,
    /// Size of its body in bytes.
    pub bytes: i32,
    /// Whether a job will apply it, or is applying it now.
    pub is_queued: bool,
}

/// The newest deliveries that match, newest first.
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

/// A delivery that has had no effect yet.
#[derive(Debug)]
pub(crate) struct UnappliedDelivery {
    pub id: i64,
    /// Whether its URL named a training type, as those of pictures do not.
    pub is_of_training: bool,
}

/// At most `limit` deliveries that were acknowledged and have had no effect for a while. Usually
/// none, since each was stored with its job.
pub(crate) async fn unapplied(
    tx: &mut PgConnection,
    limit: i64,
) -> Result<Vec<UnappliedDelivery>, sqlx::Error> {
    sqlx::query_as!(
        UnappliedDelivery,
        r#"
        select id, training_type is not null as "is_of_training!" from fal_deliveries
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
