//! Watches the database's clock, which counts leases, delays and ticks. It can jump like any other: an administrator
//! sets it, NTP corrects it after a wrong start, a failover brings a server with another clock.
//!
//! A clock that ran ahead for a moment leaves values as far ahead as it was: a job put off for a month, a dead
//! worker's lease, a rate used up until then. Each such value has the moment at which it was written beside it; a
//! value that was written in the future is not believed.
//!
//! # Must stay true
//! * Values that a jump left behind are believed for no longer than one interval of their own kind — `q28_a_delay_counted_from_the_future_is_counted_from_now`,
//!   `q28_a_lease_that_ends_in_a_month_is_one_of_two_leases`,
//!   `q28_a_rate_used_up_and_a_silence_asked_for_in_the_future_are_mended`,
//!   `q28_a_silence_of_all_is_never_believed_for_more_than_a_minute`
//! * Just after a jump ahead every lease looks like a dead worker's. No lease is ended
//!   before its worker had time to renew it.
//!
//! # If the process dies here
//! Nothing is lost: every worker looks when it starts, and from time to time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use crate::{
    claim::governed::PROBE_AFTER,
    database::{self, Database},
    lease::boot_clock::BootInstant,
};

/// A smaller step back is an ordinary correction by NTP.
const TOLERANCE: Duration = Duration::from_mins(1);
/// Searches for values from the future pause for this many times their duration: they read every scheduled job.
const AT_LEAST: u32 = 20;

/// The database's clock as one worker has seen it, beside the machine's own clock, which nobody sets.
#[derive(Default)]
pub(crate) struct DatabaseClock {
    seen: Option<(BootInstant, DateTime<Utc>)>,
    /// Until then an expired lease proves nothing. `None`: it always does.
    unsure_until: Option<BootInstant>,
    /// When to search for values from the future. `None`: now.
    mend_at: Option<BootInstant>,
}

impl DatabaseClock {
    /// Looks at the clock and repairs values that it left in the future. Returns whether an
    /// expired lease means that its worker is gone.
    pub(crate) async fn look(&mut self, database: &Database, lease: Duration) -> Result<bool, sqlx::Error> {
        let mut db = database.read().await?;
        let now = database::now(&mut db).await?;
        drop(db);
        let at = BootInstant::now();
        self.judge(at, now, lease);
        if self.mend_at.is_none_or(|due| at >= due) {
            mend(database, lease).await?;
            self.mend_at = Some(BootInstant::now() + lease.max(at.elapsed() * AT_LEAST));
        }
        Ok(self.unsure_until.is_none_or(|until| at >= until))
    }

    fn judge(&mut self, at: BootInstant, now: DateTime<Utc>, lease: Duration) {
        let Some((then, was)) = self.seen.replace((at, now)) else {
            return;
        };
        let passed = TimeDelta::from_std(at.since(then)).unwrap_or(TimeDelta::MAX);
        let drift = (now - was).checked_sub(&passed).unwrap_or(TimeDelta::MIN);
        let ahead = drift.to_std().unwrap_or_default();
        let behind = drift.abs().to_std().unwrap_or_default().saturating_sub(ahead);
        if ahead > lease / 3 {
            warn!(
                "The database's clock has jumped ahead by {ahead:?}: no lease is taken for over within {lease:?}"
            );
            self.unsure_until = Some(at + lease);
        } else if behind > TOLERANCE {
            warn!("The database's clock was set back by {behind:?}");
            self.mend_at = None;
        }
    }
}

async fn mend(database: &Database, lease: Duration) -> Result<(), sqlx::Error> {
    let tolerance = TOLERANCE.as_secs_f64();
    // Each by itself: none keeps rows locked while the next one looks.
    let mut tx = database.begin().await?;
    let delays = sqlx::query_file!("src/sql/mend_delays.sql", tolerance)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let mut tx = database.begin().await?;
    let leases = sqlx::query_file!("src/sql/mend_leases.sql", lease.as_secs_f64())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let mut tx = database.begin().await?;
    let buckets = sqlx::query_file!("src/sql/mend_buckets.sql", tolerance, PROBE_AFTER.as_secs_f64())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    for (count, what) in [
        (delays.rows_affected(), "delays of jobs"),
        (leases.rows_affected(), "leases"),
        (buckets.rows_affected(), "rates or silences"),
    ] {
        if count > 0 {
            metrics::counter!("aisha_dated_ahead_total", "what" => what).increment(count);
            warn!(
                "{count} {what} were counted from the future, when the database's clock ran ahead: they are counted from now"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    /// Feeds readings, in seconds by the machine's clock and by the database's. Returns whether leases can be judged,
    /// and whether values from the future are searched for.
    fn after(looks: &[(u64, i64)]) -> (bool, bool) {
        let mut clock = DatabaseClock::default();
        let moment = |seconds| BootInstant::from_nanos(seconds * 1_000_000_000);
        for &(at, now) in looks {
            clock.mend_at = Some(moment(1_000_000));
            clock.judge(
                moment(at),
                DateTime::UNIX_EPOCH + Duration::from_secs(now.unsigned_abs()),
                LEASE,
            );
        }
        let last = looks.last().map_or(0, |look| look.0);
        (
            clock.unsure_until.is_none_or(|until| moment(last) >= until),
            clock.mend_at.is_none(),
        )
    }

    #[test]
    fn a_clock_that_goes_as_it_should_is_believed() {
        assert_eq!(after(&[(10, 1000)]), (true, false));
        assert_eq!(after(&[(10, 1000), (15, 1005), (100, 1090)]), (true, false));
        // A clock that NTP slews, and a suspended machine: both clocks have gone on.
        assert_eq!(
            after(&[(10, 1000), (15, 1007), (100_000, 100_992)]),
            (true, false)
        );
    }

    #[test]
    fn after_a_jump_ahead_no_lease_is_judged_for_a_lease() {
        assert_eq!(after(&[(10, 1000), (15, 1011)]), (false, false));
        assert_eq!(
            after(&[(10, 1000), (15, 2_600_000), (20, 2_600_005)]),
            (false, false)
        );
        assert_eq!(
            after(&[(10, 1000), (15, 2_600_000), (30, 2_600_015)]),
            (true, false)
        );
    }

    #[test]
    fn a_clock_that_was_set_back_has_left_marks() {
        assert_eq!(after(&[(10, 2_600_000), (15, 1000)]), (true, true));
        assert_eq!(after(&[(10, 1000), (200, 1001)]), (true, true));
    }
}
