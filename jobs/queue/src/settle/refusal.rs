//! Decides whether an error of the database may pass, so that the same statement is worth another try.
//!
//! Waiting helps after an outage, a full disk, a lock or a race. It does not help with a value that the server cannot
//! store or a constraint that a row violates: that would be a wait for ever, with a connection and a slot occupied.

/// Classes of `SQLSTATE` that may pass by themselves.
const PASSING: [&str; 8] = [
    "08", // connection exceptions
    "25", // the server has become read-only; a transaction that timed out
    "40", // serialization failures and deadlocks
    "53", // disk, memory or connections used up
    "55", // a lock that could not be taken
    "57", // a server that stops or starts, a statement that took too long
    "58", // errors of the server's system
    "72", // a snapshot that is too old
];
/// `unique_violation`: a row of the same key was inserted between our read and our write; the next try sees it.
const RACE: &str = "23505";

/// Whether it is worth trying the same statement again.
pub(crate) fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(refusal) => refusal
            .code()
            .is_some_and(|code| code == RACE || PASSING.iter().any(|class| code.starts_with(class))),
        sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound
        | sqlx::Error::InvalidArgument(_) => false,
        _ => true,
    }
}
