//! FAL's deliveries for operators: their content and their outcome.

use serde::Serialize;
use serde_json::Value;

use super::Reader;
use crate::store::deliveries;
pub use crate::store::deliveries::{DeliveryFilter, DeliveryView};

/// One delivery with its body, for `aisha webhooks show`.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryDetail {
    /// Everything but the body.
    #[serde(flatten)]
    pub view: DeliveryView,
    /// The body as JSON, or as a text if it is no JSON.
    pub body: Value,
}

impl Reader {
    /// The deliveries that match, newest first.
    pub async fn fal_deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryView>, sqlx::Error> {
        let mut db = self.database.read().await?;
        deliveries::list(&mut db, filter).await
    }

    /// One delivery with its body. `None`: there is no such row.
    pub async fn fal_delivery(&self, id: i64) -> Result<Option<DeliveryDetail>, sqlx::Error> {
        let filter = DeliveryFilter {
            ids: vec![id],
            limit: 1,
            ..DeliveryFilter::default()
        };
        let mut db = self.database.read().await?;
        let listed = deliveries::list(&mut db, &filter).await?;
        let (Some(listed), Some(body)) = (listed.into_iter().next(), deliveries::body(&mut db, id).await?)
        else {
            return Ok(None);
        };
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        Ok(Some(DeliveryDetail {
            view: listed,
            body: serde_json::from_slice(&body).unwrap_or_else(|_| text()),
        }))
    }
}
