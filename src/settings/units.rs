//! The units of values: reads and prints durations (`15s`) and reads rates (`25/s`).

use std::time::Duration;

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// Reads a duration such as `15s`. `None` for anything else, also for more than a [`Duration`] can hold.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let milliseconds_each = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(milliseconds_each)
        .map(Duration::from_millis)
}

/// Prints a duration as [`parse_duration`] reads it, in the largest unit that divides it. Fractions of a
/// millisecond are cut off.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let whole = |(_, each): &(&str, u128)| milliseconds >= *each && milliseconds.is_multiple_of(*each);
    match units.iter().find(|unit| whole(unit)) {
        Some((unit, each)) => format!("{}{unit}", milliseconds / each),
        None => format!("{milliseconds}ms"),
    }
}

/// Reads a rate such as `25/s`, as a number per second.
pub(super) fn parse_rate(text: &str) -> Option<f64> {
    let (count, unit) = text.split_once('/')?;
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let count = count
        .parse::<u32>()
        .ok()
        .filter(|count| (1..=100_000).contains(count))?;
    Some(f64::from(count) / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_unit_and_nothing_else() {
        for (text, per_second) in [("25/s", 25.0), ("30/m", 0.5), ("36/h", 0.01)] {
            assert_eq!(parse_rate(text), Some(per_second), "{text}");
        }
        for text in [
            "", "25", "/s", "0/s", "-1/s", "1.5/s", "25/sec", "25 /s", "100001/s",
        ] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_is_written() {
        for text in ["500ms", "15s", "90s", "5m", "1h", "36h", "7d", "0ms"] {
            assert_eq!(parse_duration(text).map(show_duration).as_deref(), Some(text));
        }
        assert_eq!(show_duration(Duration::from_secs(1) / 3), "333ms");
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit_and_nothing_else() {
        let cases = [
            ("500ms", 500),
            ("15s", 15_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "15",
            "s",
            "-1s",
            "1.5s",
            "15 s",
            "15sec",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
