//! The user asks for a copy of their data.

use std::time::Duration;

use super::{ProducerError, Turn};
use crate::{enqueue::enqueue_for, payloads::ExportData, store::exports};

impl Turn {
    /// Has a copy of everything that is stored about the user sent to them. `Some`: they asked within a day, and may ask
    /// again after this time.
    pub async fn ask_for_data(&mut self) -> Result<Option<Duration>, ProducerError> {
        let user = self.user()?;
        if let Some(seconds) = exports::wait(&mut self.tx, user).await? {
            return Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or_default()));
        }
        let export = exports::begin(&mut self.tx, user).await?;
        enqueue_for(&mut self.tx, user, &ExportData::new(export)).await?;
        Ok(None)
    }
}
