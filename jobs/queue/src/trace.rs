//! Passes one id from a tap or a webhook through all jobs that it causes (Q19): W3C trace context.
//!
//! Code that begins something (a request, an update, a tick) runs it in a [`scope`]. Jobs enqueued in it carry the
//! context as a `traceparent` in their rows; a job's run continues it, and so do the jobs that the run enqueues. Log
//! lines show `trace.id` from the span of the request, the turn or the job. We export nothing, but the format is the
//! standard one, so that an exporter, or a proxy before a web role, can join in.

use std::fmt;

use uuid::Uuid;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A trace id and the span that is being worked on. Printed as a `traceparent`
/// header: `00-<trace id>-<span id>-<flags>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    flags: u8,
}

/// The id of a trace as it is logged: 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceContext {
    /// Begins a new trace, for work that nothing in the system caused.
    pub fn new() -> Self {
        let random = Uuid::new_v4();
        Self {
            trace: random.as_u128(),
            // The first span of a trace has no parent that could have named it.
            span: random.as_u64_pair().1,
            flags: 1,
        }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span: new_span(),
            ..*self
        }
    }

    /// Reads a `traceparent`. `None` if the standard calls it invalid, so that a stranger's header
    /// never gets into a row or a log unchecked.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let version = hex(parts.next()?, 2)?;
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more parts; version 255 is forbidden.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span) = (hex(trace, 32)?, hex(span, 16)?);
        if trace == 0 || span == 0 {
            return None;
        }
        Some(Self {
            trace,
            span: u64::try_from(span).ok()?,
            flags: u8::try_from(hex(flags, 2)?).ok()?,
        })
    }

    /// The id of the trace, the same in all its spans.
    pub const fn id(&self) -> TraceId {
        TraceId(self.trace)
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Runs `work` in `context`: jobs that it enqueues carry it on.
pub async fn scope<F: Future>(context: TraceContext, work: F) -> F::Output {
    CURRENT.scope(context, work).await
}

/// The context of the running task, if it is in a [`scope`].
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// Never 0, which would be invalid: each half of a random UUID has bits that are always set.
fn new_span() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}

/// Reads exactly `digits` lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(is_hex) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written_as_the_standard_has_it() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::parse(header).expect("valid");
        assert_eq!(context.to_string(), header);
        assert_eq!(context.id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let child = context.child();
        assert_eq!(child.id(), context.id());
        assert_ne!(child, context);
        assert_eq!(
            TraceContext::parse(&TraceContext::new().to_string()).map(|_| ()),
            Some(())
        );
    }

    #[test]
    fn what_is_no_traceparent_is_not_taken_for_one() {
        for header in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(header), None, "{header}");
        }
    }

    #[tokio::test]
    async fn a_scope_ends_with_its_work() {
        let context = TraceContext::new();
        assert_eq!(scope(context, async { current() }).await, Some(context));
        assert_eq!(current(), None);
    }
}
