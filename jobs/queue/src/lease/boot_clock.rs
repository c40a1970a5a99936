//! The clock that measures leases: it runs on while the process is stopped, and while the machine is suspended.
//!
//! [`std::time::Instant`] stands still while the machine is suspended (Linux's `CLOCK_MONOTONIC`). A lease that ended
//! meanwhile would look held to a run that is about to start an effect that cannot be taken back.

use std::{ops::Add, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Linux and Android count suspended time on this clock only.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
/// macOS counts suspended time on this clock. Where no clock does, the fence in the database is the only guard.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A moment, as the time since the machine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootInstant(Duration);

impl BootInstant {
    pub(crate) fn now() -> Self {
        let now = clock_gettime(CLOCK);
        let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
        Self(Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0)))
    }

    /// The time that has passed since this moment.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// As a number for an atomic. Moments beyond `u64::MAX` become `u64::MAX`.
    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The inverse of [`BootInstant::nanos`].
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }
}

impl Add<Duration> for BootInstant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    /// The test below runs this one in a process of its own; it also runs by itself.
    #[test]
    fn the_present_moment_is_the_time_since_the_machine_started() {
        let now = BootInstant::now();
        println!("moment {}", now.0.as_secs());
        let uptime = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
        let seconds: f64 = uptime
            .split(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .expect("a number");
        assert!((now.0.as_secs_f64() - seconds).abs() < 5.0, "{now:?} {uptime}");
    }

    /// In such a namespace the machine seems to have been suspended for a day, which `CLOCK_MONOTONIC` does not
    /// count. Skipped where no namespace can be made.
    #[test]
    fn the_time_that_a_machine_was_suspended_counts() {
        // Without the crate's name, as the test binary lists it.
        let (_, module) = module_path!().split_once("::").expect("a module of this crate");
        let test = format!("{module}::the_present_moment_is_the_time_since_the_machine_started");
        let child = Command::new("unshare")
            .args(["--map-root-user", "--time", "--boottime", "86400", "--fork", "--"])
            .arg(std::env::current_exe().expect("this test"))
            .args(["--exact", &test, "--nocapture"])
            .output();
        let said = child.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let moment = said.as_ref().ok().and_then(|said| said.split("moment ").nth(1));
        let Some(moment) = moment.and_then(|text| text.split_whitespace().next()?.parse().ok()) else {
            eprintln!("skipped: no time namespace can be made here: {said:?}");
            return;
        };
        let ahead = Duration::from_secs(moment).saturating_sub(BootInstant::now().0);
        assert!(ahead > Duration::from_secs(86_000), "{ahead:?}");
    }
}
