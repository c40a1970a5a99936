//! FAL's list of models: whether an endpoint that we submit to still stands in it.

use reqwest::Method;
use serde_json::Value;

use super::{Call, Error, FalClient, Result, json, send};

/// What FAL's catalogue says of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// It stands there, with this status: FAL's own word, `active` or `deprecated`.
    Listed(String),
    /// It does not stand there (any more).
    Unlisted,
}

/// One model with its metadata, without its schema.
const ANSWER_LIMIT: usize = 1 << 20;

impl FalClient {
    /// Asks for one endpoint. Costs nothing.
    ///
    /// # Errors
    /// FAL could not be asked, or its answer could not be read.
    pub async fn listing(&self, endpoint: &str) -> Result<Listing> {
        const CALL: Call = Call::Catalogue;
        let mut url = Self::at(&self.api_url, "v1/models");
        url.query_pairs_mut().append_pair("endpoint_id", endpoint);
        let answer = match send(CALL, self.keyed(Method::GET, url)).await {
            Ok(response) => json(CALL, response, ANSWER_LIMIT).await?,
            Err(Error::Missing { .. }) => return Ok(Listing::Unlisted),
            Err(error) => return Err(error),
        };
        let Some(models) = answer["models"].as_array() else {
            let why = "it holds no list of models".to_owned();
            return Err(Error::Garbled { call: CALL, why });
        };
        let found = models.iter().find(|model| model["endpoint_id"] == endpoint);
        Ok(found.map_or(Listing::Unlisted, |model| {
            let status = model.pointer("/metadata/status").and_then(Value::as_str);
            Listing::Listed(status.unwrap_or("active").to_owned())
        }))
    }
}
