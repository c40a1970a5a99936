//! One way to ask FAL for something that costs money: submit once, learn the end, stop. Trainings and pictures use it.
//!
//! | file        | does                                                                             |
//! |-------------|----------------------------------------------------------------------------------|
//! | `submit.rs` | the attempt's row, one POST, its outcome                                         |
//! | `poll.rs`   | looks at what FAL has or may have: adopts, decides, judges                       |
//! | `cancel.rs` | tells FAL to stop                                                                |
//! | `rails.rs`  | finds what lost its job or passed its deadline, and puts it back on its rails    |
//!
//! The jobs in `work/` say what is special about each product: what must be ready before its submit, and what is done with
//! its result. FAL's webhooks come in by `work/apply_fal_delivery.rs`. What follows from each fact: `saga.rs`.

mod cancel;
mod poll;
mod rails;
mod submit;

pub(crate) use cancel::{cancel, cancel_is_dead};
pub(crate) use poll::poll;
pub(crate) use rails::{found, reconcile};
pub(crate) use submit::{Posting, submit_is_dead};
