//! The outside world at the wire: services that our clients, and everybody else's, cannot tell from the real ones.
//!
//! A simulator is an HTTP server with an append-only ledger. It shares no wire type, constant or signature code
//! with the clients in `jobs`: a mistake made once would otherwise be made on both sides and cancel out. The judges
//! of a simulator are the official clients, run unmodified (`tests/official_clients/run`).

pub mod fal;
pub mod telegram;
