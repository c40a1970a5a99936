//! Telling of a failure that goes on, without telling it each time: the first one, then less and less often, each with how
//! often and how long so far; and that it is over, after how long.
//!
//! Twenty seconds without a database were about a hundred warnings of one worker, in which nobody found the first.

use std::{fmt, time::Duration};

use tokio::time::Instant;

/// From the first telling to the second; doubled after each.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What one loop knows of the failures of what it depends on.
#[derive(Debug, Default)]
pub struct Outage {
    /// `None`: all is well.
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    failures: u32,
    tell_at: Instant,
    pause: Duration,
}

/// How long an outage has lasted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasted {
    /// Time since the first failure.
    pub time: Duration,
    /// Number of failures, the first one included.
    pub failures: u32,
}

/// How a failure that is told follows what it says: nothing the first time, then how long it has lasted.
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
    /// All is well so far.
    pub const fn none() -> Self {
        Self { under_way: None }
    }

    /// It failed, again or for the first time. `Some`: say so now, and for how long it has.
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

    /// It works. `Some`: it did not before.
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
        // The next one begins anew.
        assert!(outage.failed_at(begun + Duration::from_secs(301)).is_some());
        let short = outage.over_at(begun + Duration::from_millis(301_900)).unwrap();
        assert_eq!(short.to_string(), "0.9 s");
    }
}
