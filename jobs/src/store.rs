//! Every SQL statement about people, avatars and trainings; one file a table group.
//!
//! Functions take `&mut PgConnection`, so that the caller owns the transaction. Nothing here decides; it
//! compares and sets, and says whether it did.

pub(crate) mod attempts;
pub(crate) mod avatars;
pub(crate) mod deliveries;
pub(crate) mod fal_account;
pub(crate) mod inbox_history;
pub(crate) mod notifications;
pub(crate) mod photos;
pub(crate) mod training_endings;
pub(crate) mod training_requests;
pub(crate) mod trainings;
pub(crate) mod updates;
pub(crate) mod users;
pub(crate) mod views;
