//! The outside world: concrete clients with an injected base URL and timeouts, whose errors say permanent or
//! transient by their type.

pub mod telegram;
