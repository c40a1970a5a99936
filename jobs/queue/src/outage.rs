//! Logs a failure that goes on without logging each repetition: the first one, then less and less often, each with
//! the number of failures and the time so far; and at last that it is over, with the total time.
//!
//! Before this, twenty seconds without a database made about a hundred warnings per
//! worker, and the first one was hard to find.

use std::{fmt, time::Duration};

use tokio::time::Instant;

/// Pause between the first log line and the second; doubled after each line.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The state of one loop's dependency: working, or failing since when and how often.
#[derive(Debug, Default)]
pub struct Outage {
    /// `None`: no failure since the last success.
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    failures: u32,
    tell_at: Instant,
    pause: Duration,
}

/// How long an outage lasted, or has lasted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasted {
    /// Time since the first failure.
    pub time: Duration,
    /// Number of failures, the first one included.
    pub failures: u32,
}

/// Printed after the message of a failure that is logged: nothing the first
/// time, then how long the outage has lasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoFar(Lasted);

impl fmt::Display for SoFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.failures {
            1 => Ok(()),
            _ => write!(f, " ({} so far)", self.0),
        }
    }
}

impl fmt::Display for Lasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs();
        let tenths = self.time.subsec_millis() / 100;
        match (seconds, self.failures) {
            (0..10, 1) => write!(f, "{seconds}.{tenths} s"),
            (0..10, failures) => write!(f, "{seconds}.{tenths} s and {failures} failures"),
            (_, failures) => write!(f, "{seconds} s and {failures} failures"),
        }
    }
}

impl Outage {
    /// The initial state: no failure so far.
    pub const fn none() -> Self {
        Self { under_way: None }
    }

    /// Records a failure. `Some`: log it now, with how long the outage has lasted.
    pub fn failed(&mut self) -> Option<SoFar> {
        self.failed_at(Instant::now())
    }

    fn failed_at(&mut self, now: Instant) -> Option<SoFar> {
        let under_way = self.under_way.get_or_insert(UnderWay {
            since: now,
            failures: 0,
            tell_at: now,
            pause: FIRST_PAUSE,
        });
        under_way.failures = under_way.failures.saturating_add(1);
        if now < under_way.tell_at {
            return None;
        }
        under_way.tell_at = now + under_way.pause;
        under_way.pause = (under_way.pause * 2).min(LONGEST_PAUSE);
        Some(SoFar(Lasted {
            time: now - under_way.since,
            failures: under_way.failures,
        }))
    }

    /// Records a success. `Some`: an outage has just ended.
    pub fn over(&mut self) -> Option<Lasted> {
        self.over_at(Instant::now())
    }

    fn over_at(&mut self, now: Instant) -> Option<Lasted> {
        let under_way = self.under_way.take()?;
        Some(Lasted {
            time: now - under_way.since,
            failures: under_way.failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_goes_on_is_told_less_and_less_often_and_its_end_once() {
        let begun = Instant::now();
        let mut outage = Outage::none();
        assert_eq!(outage.over_at(begun), None);
        let first = outage.failed_at(begun).unwrap();
        assert_eq!(first.to_string(), "");
        let second = outage.failed_at(begun + Duration::from_secs(5)).unwrap();
        assert_eq!(second.to_string(), " (5.0 s and 2 failures so far)");
        let mut outage = Outage::none();
        let told: Vec<u64> = (0..300)
            .filter(|second| outage.failed_at(begun + Duration::from_secs(*second)).is_some())
            .collect();
        assert_eq!(told, [0, 5, 15, 35, 75, 135, 195, 255]);
        let over = outage.over_at(begun + Duration::from_mins(5)).unwrap();
        assert_eq!(over.to_string(), "300 s and 300 failures");
        assert_eq!(outage.over_at(begun), None);
        // The next outage starts from zero.
        assert!(outage.failed_at(begun + Duration::from_secs(301)).is_some());
        let short = outage.over_at(begun + Duration::from_millis(301_900)).unwrap();
        assert_eq!(short.to_string(), "0.9 s");
    }
}
