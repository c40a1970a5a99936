//! FAL's deliveries as operators see them: what came, what became of it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::Reader;
use crate::{
    domain::{DeliveryVerdict, TrainingId},
    store::deliveries::{self, Listed, Which},
};

/// Which deliveries; all that is given must fit.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// These rows. Empty: any.
    pub ids: Vec<i64>,
    /// What became of them.
    pub verdict: Option<DeliveryVerdict>,
    /// FAL's queue id.
    pub request_id: Option<String>,
    /// Deliveries of this training, applied or not.
    pub training: Option<TrainingId>,
    /// The newest so many.
    pub limit: u16,
}

impl DeliveryFilter {
    pub(crate) fn which(&self) -> Which<'_> {
        Which {
            ids: &self.ids,
            verdict: self.verdict.map(DeliveryVerdict::as_str),
            request_id: self.request_id.as_deref(),
            training: self.training,
            limit: i64::from(self.limit),
        }
    }
}

/// One delivery, without its body.
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
    /// A job is going to apply it.
    pub is_queued: bool,
}

/// One delivery with its body.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryDetail {
    /// The row.
    #[serde(flatten)]
    pub view: DeliveryView,
    /// As JSON; as text if it is none.
    pub body: Value,
}

impl Reader {
    /// The newest deliveries that fit, newest first.
    pub async fn fal_deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryView>, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let listed = deliveries::list(&mut db, &filter.which()).await?;
        Ok(listed.into_iter().map(DeliveryView::from).collect())
    }

    /// One delivery with what it said. `None`: there is no such row.
    pub async fn fal_delivery(&self, id: i64) -> Result<Option<DeliveryDetail>, sqlx::Error> {
        let filter = DeliveryFilter {
            ids: vec![id],
            limit: 1,
            ..DeliveryFilter::default()
        };
        let mut db = self.pool.acquire().await?;
        let listed = deliveries::list(&mut db, &filter.which()).await?;
        let (Some(listed), Some(body)) = (listed.into_iter().next(), deliveries::body(&mut db, id).await?)
        else {
            return Ok(None);
        };
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        Ok(Some(DeliveryDetail {
            view: listed.into(),
            body: serde_json::from_slice(&body).unwrap_or_else(|_| text()),
        }))
    }
}

impl From<Listed> for DeliveryView {
    fn from(listed: Listed) -> Self {
        let Listed {
            id,
            request_id,
            verdict,
            received_at,
            signed_at,
            applied_at,
            training_id,
            training_type,
            flags,
            bytes,
            is_queued,
        } = listed;
        Self {
            id,
            request_id,
            verdict,
            received_at,
            signed_at,
            applied_at,
            training_id,
            training_type,
            flags,
            bytes,
            is_queued,
        }
    }
}
