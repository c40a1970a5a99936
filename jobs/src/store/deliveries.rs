//! `fal_deliveries`: the inbox of FAL's webhooks. A row is written before FAL gets its 200, and settled once by
//! `apply_fal_delivery` in the transaction of its effect.
//!
//! The key is (request id, hash of the body): a resend is the same row, an ERROR after an OK is another (K15).

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::TrainingId;

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
    pub applied_at: Option<DateTime<Utc>>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// It brought the terminal fact.
    Applied,
    /// Somebody else had brought one before.
    Late,
    /// It had nothing to say; the result is fetched instead.
    LookedUp,
    /// No training has its request, and none will.
    UnknownRequest,
    /// Its training has another request: FAL was asked twice.
    SecondRequest,
    /// Signed, but no delivery that we can read.
    Unreadable,
}

impl Disposition {
    /// The word in the database and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Late => "late",
            Self::LookedUp => "looked_up",
            Self::UnknownRequest => "unknown_request",
            Self::SecondRequest => "second_request",
            Self::Unreadable => "unreadable",
        }
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

/// Reads a delivery and keeps others from settling it until the transaction ends.
pub(crate) async fn lock(tx: &mut PgConnection, id: i64) -> Result<Option<StoredDelivery>, sqlx::Error> {
    sqlx::query_as!(
        StoredDelivery,
        r#"
        select id, request_id, body, training_type, token, received_at, applied_at
        from fal_deliveries
        where id = $1
        for update
        "#,
        id,
    )
    .fetch_optional(tx)
    .await
}

/// Records what became of a delivery, once. `flags` join those that it has.
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
        where id = $1 and applied_at is null
        "#,
        id,
        disposition.as_str(),
        training.map(|training| training.0),
        flags,
    )
    .execute(tx)
    .await?;
    Ok(settled.rows_affected() == 1)
}
