//! Has FAL delete what it keeps of a request: its input and output as it lists them, and the files that it made.
//!
//! Files that we uploaded are not among them: those expire by the lifecycle that they were uploaded with. FAL wants the key of
//! an administrator of the account for this call and no other, so a refusal says nothing about the account.

use reqwest::Method;

use super::{Call, Error, FalClient, Result, send, wire};

/// What FAL did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased {
    /// It keeps nothing of the request any more.
    Yes,
    /// It has no such request, or has forgotten it.
    Unknown,
}

impl FalClient {
    /// Has FAL delete the payloads of the request with this id. Repeating it is harmless.
    ///
    /// # Errors
    /// [`Error::Account`] if the key may not do that, or [`Error::Refused`]: neither will pass by itself.
    pub async fn erase(&self, request_id: &str) -> Result<Erased> {
        const CALL: Call = Call::Erase;
        if !wire::is_request_id(request_id) {
            return Ok(Erased::Unknown);
        }
        let url = Self::at(
            &self.api_url,
            &format!("v1/models/requests/{request_id}/payloads"),
        );
        match send(CALL, self.keyed(Method::DELETE, url)).await {
            Ok(_) => Ok(Erased::Yes),
            Err(Error::Missing { .. }) => Ok(Erased::Unknown),
            Err(error) => Err(error),
        }
    }
}
