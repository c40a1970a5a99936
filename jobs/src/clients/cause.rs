//! HTTP errors in words, for logs and rows.

use std::error::Error;

/// An error with all its causes. reqwest's own first line is replaced: it holds the URL,
/// which may be signed, and not the reason.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = match error.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_timeout() => "timed out".to_owned(),
        Some(error) if error.is_connect() => "could not connect".to_owned(),
        Some(_) => "the connection broke".to_owned(),
        None => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
