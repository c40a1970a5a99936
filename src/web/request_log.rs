//! Writes one log line and one metric per request: method, route, status, duration. It logs no bodies and no
//! token: the token's value in the query is masked, and a query is cut after [`QUERY_CHARS`].
//!
//! At the usual level refused requests have no line of their own, since anybody can cause them: see
//! [`super::refusals`].

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use jobs::trace::{self, TraceContext};
use metrics::{counter, histogram};
use tracing::{Instrument, debug, info, info_span};
use url::form_urlencoded;

/// Longest query in a log line, in bytes; our own queries have about a hundred.
const QUERY_CHARS: usize = 256;

/// The middleware. The request continues the trace that its `traceparent` header names, or begins a new one.
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
    // The route's pattern, not the path: otherwise a scanner could add a time series with every guess.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let method = request.method().clone();
    let query = masked(request.uri().query().unwrap_or_default());
    let begun = Instant::now();

    let response = next.run(request).await;

    // [`super::refusals`] logs them together, once a second.
    let is_refused =
        response.status().is_client_error() || response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let status = response.status().as_u16();
    let duration = begun.elapsed();
    counter!("aisha_http_requests_total", "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    histogram!("aisha_http_request_seconds", "route" => route.clone()).record(duration);
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if route.starts_with("/api/") && !is_refused {
        info!(http.method = %method, http.query = query, http.status = status, duration_ms, "{method} {route} was answered {status}");
    } else {
        debug!(http.method = %method, http.query = query, http.status = status, duration_ms, "{method} {route} was answered {status}");
    }
    response
}

fn masked(query: &str) -> String {
    // Cut before it is parsed: a cut value still belongs to its name and is masked.
    let cut = query.len() > QUERY_CHARS;
    let query = query
        .get(..query.floor_char_boundary(QUERY_CHARS))
        .unwrap_or_default();
    let pairs = form_urlencoded::parse(query.as_bytes());
    let pairs = pairs.map(|(name, value)| {
        if name == "token" {
            (name, "***".into())
        } else {
            (name, value)
        }
    });
    let mut shown = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    // Escaping can make three bytes of one, so it is cut again.
    shown.truncate(shown.floor_char_boundary(QUERY_CHARS));
    if cut {
        shown.push('…');
    }
    shown
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

    #[test]
    fn a_query_is_cut_and_its_token_masked_all_the_same() {
        let long = masked(&format!("token={}", "0".repeat(60_000)));
        assert_eq!(long, "token=***…");
        for filler in ["a", "%00", "ф", "+"] {
            let long = masked(&format!("a={}&token=0123abc", filler.repeat(60_000)));
            assert!(
                long.len() < 2 * super::QUERY_CHARS && !long.contains("0123abc"),
                "{long}"
            );
        }
    }
}
