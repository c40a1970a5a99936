//! Log lines and metrics of the process.
//!
//! Lines go to stderr, so that a verb's own output stays clean. Metrics are kept by the `metrics` facade, which
//! `jobs` writes to as well, and rendered at `/metrics`.

use std::backtrace::Backtrace;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{error, warn};
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// Bucket bounds of every `…_seconds` histogram, in seconds: from a database round trip to a long training.
const SECONDS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0,
];

/// Starts logging. Call it once per process.
pub fn start_logging(settings: &LogSettings) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&settings.filter))
        .with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))?;
    log_panics();
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    Ok(())
}

/// A panic ends one request or one job. The hook logs it, so that a log in JSON has no line that is not JSON.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("no message");
        // Captured only if RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        error!(panic.location = place, panic.backtrace = %backtrace, "Panicked at {place}: {what}");
    }));
}

/// Starts the metrics. Call it once per process.
pub fn start_metrics(role: &'static str) -> anyhow::Result<PrometheusHandle> {
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .context("the histogram's bounds are refused")?
        .install_recorder()
        .context("metrics cannot be started")?;
    metrics::gauge!("aisha_build_info", "version" => env!("CARGO_PKG_VERSION"), "role" => role).set(1.0);
    Ok(metrics)
}
