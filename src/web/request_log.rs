//! One log line and one observation a request: method, route, status, duration. No bodies, and no token: what
//! stands in the query is shown with the token's value masked.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use jobs::trace::{self, TraceContext};
use metrics::{counter, histogram};
use tracing::{Instrument, debug, info, info_span};
use url::form_urlencoded;

/// The middleware. A request is a step of the trace that its `traceparent` header names, or begins one.
pub(super) async fn log(request: Request, next: Next) -> Response {
    let header = request.headers().get("traceparent");
    let caller = header.and_then(|header| TraceContext::parse(header.to_str().ok()?));
    let context = caller.map_or_else(TraceContext::new, |caller| caller.child());
    let span = info_span!("request", trace.id = %context.id());
    trace::scope(context, observe(request, next))
        .instrument(span)
        .await
}

async fn observe(request: Request, next: Next) -> Response {
    // The route's pattern and not the path: a scanner must not make a time series a guess.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let method = request.method().clone();
    let query = masked(request.uri().query().unwrap_or_default());
    let begun = Instant::now();

    let response = next.run(request).await;

    let status = response.status().as_u16();
    let duration = begun.elapsed();
    counter!("aisha_http_requests_total", "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    histogram!("aisha_http_request_seconds", "route" => route.clone()).record(duration);
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if route.starts_with("/api/") {
        info!(http.method = %method, http.query = query, http.status = status, duration_ms, "{method} {route} was answered {status}");
    } else {
        debug!(http.method = %method, http.status = status, duration_ms, "{method} {route} was answered {status}");
    }
    response
}

fn masked(query: &str) -> String {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let pairs = pairs.map(|(name, value)| {
        if name == "token" {
            (name, "***".into())
        } else {
            (name, value)
        }
    });
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn a_token_never_reaches_the_log() {
        assert_eq!(
            masked("training_type=style&token=0123abc"),
            "training_type=style&token=***"
        );
        assert_eq!(masked("%74oken=0123abc"), "token=***");
        assert_eq!(masked(""), "");
    }
}
