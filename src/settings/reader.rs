//! From text to typed values. A value that does not fit becomes a [`Problem`] and `None`; the section goes on
//! with its other keys, so that all problems are found in one go.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use secrecy::SecretString;
use url::Url;

use super::{
    Layers, Origin, Problem,
    layers::{Value, is_secret, names_of},
};

/// Reads keys and remembers what was wrong with them.
#[derive(Debug)]
pub struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            problems: Vec::new(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The text of `config/trainers.toml` and where it came from.
    pub(super) fn trainers(&self) -> (&'a str, &'a Origin) {
        (&self.layers.trainers.text, &self.layers.trainers.origin)
    }

    /// What may stay as it is and should not.
    pub(super) fn warnings(&self) -> Vec<String> {
        let Layers { warnings, risks, .. } = self.layers;
        warnings.iter().chain(risks).cloned().collect()
    }

    /// Whether people depend on what runs here.
    pub(super) fn is_production(&self) -> bool {
        self.layers.environment_name == "production"
    }

    /// Adds a problem that only the section can see, such as two keys that contradict one another.
    pub(super) fn refuse(&mut self, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        let problem = Problem::new(key, what, fix);
        // Two sections may share a key.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Adds a problem with the value of a key.
    pub(super) fn reject(&mut self, key: &str, what: &str, fix: &str) {
        if let Some(value) = self.layers.get(key) {
            self.wrong(key, value, what, fix);
        }
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, key: &str, example: &str) -> Option<String> {
        self.required(key, example).map(|value| value.text.clone())
    }

    /// A text that may be missing.
    pub(super) fn optional_text(&self, key: &str) -> Option<String> {
        self.layers.get(key).map(|value| value.text.clone())
    }

    /// A value of a type that says itself what is wrong with a text.
    pub(super) fn parse<T: FromStr<Err: Display>>(&mut self, key: &str, example: &str) -> Option<T> {
        let value = self.required(key, example)?;
        match value.text.parse::<T>() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.wrong(key, value, &error.to_string(), &format!("For example: {example}"));
                None
            }
        }
    }

    /// As [`Reader::parse`], for a value that may be missing: `Some(None)`.
    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    pub(super) fn optional<T: FromStr<Err: Display>>(
        &mut self,
        key: &str,
        example: &str,
    ) -> Option<Option<T>> {
        if self.layers.get(key).is_none() {
            Some(None)
        } else {
            self.parse(key, example).map(Some)
        }
    }

    /// `true` or `false`, also `1` or `0`.
    pub(super) fn truth(&mut self, key: &str) -> Option<bool> {
        self.choice(
            key,
            &[("true", true), ("false", false), ("1", true), ("0", false)],
        )
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let value = self.required(key, &known)?;
        let found = words.iter().find(|(word, _)| *word == value.text);
        if found.is_none() {
            self.wrong(
                key,
                value,
                "it is none of the words that are known",
                &format!("Use one of: {known}."),
            );
        }
        found.map(|(_, chosen)| *chosen)
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&mut self, key: &str, range: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let (low, high) = (*range.start(), *range.end());
        let value = self.required(key, &low.to_string())?;
        let number = value
            .text
            .replace('_', "")
            .parse()
            .ok()
            .filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(
                key,
                value,
                "it is no number within bounds",
                &format!("Use a whole number from {low} to {high}."),
            );
        }
        number
    }

    /// A duration within bounds.
    pub(super) fn duration(&mut self, key: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let value = self.required(key, "15s")?;
        let Some(duration) = parse_duration(&value.text) else {
            self.wrong(
                key,
                value,
                "it is no duration",
                "Write a number and a unit, such as 500ms, 15s, 5m, 1h or 7d.",
            );
            return None;
        };
        if !range.contains(&duration) {
            let fix = format!(
                "Use something from {} to {}.",
                show_duration(*range.start()),
                show_duration(*range.end())
            );
            self.wrong(key, value, "it is out of bounds", &fix);
            return None;
        }
        Some(duration)
    }

    /// A rate, such as `25/s`, as so many a second.
    pub(super) fn per_second(&mut self, key: &str) -> Option<f64> {
        let value = self.required(key, "25/s")?;
        let rate = parse_rate(&value.text);
        if rate.is_none() {
            self.wrong(
                key,
                value,
                "it is no rate",
                "Write a whole number from 1 to 100000 and a unit, such as 25/s, 20/m or 100/h.",
            );
        }
        rate
    }

    /// An http or https URL.
    pub(super) fn url(&mut self, key: &str, example: &str) -> Option<Url> {
        let value = self.required(key, example)?;
        let fix = format!("For example: {example}");
        match value.text.parse::<Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return Some(url),
            Ok(_) => self.wrong(key, value, "it is no http or https URL with a host", &fix),
            Err(error) => self.wrong(key, value, &error.to_string(), &fix),
        }
        None
    }

    /// As [`Reader::url`], for one that may be missing: `Some(None)`.
    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    pub(super) fn optional_url(&mut self, key: &str, example: &str) -> Option<Option<Url>> {
        if self.layers.get(key).is_none() {
            Some(None)
        } else {
            self.url(key, example).map(Some)
        }
    }

    /// A secret that must be there. `check` says what is wrong with its form, without repeating it.
    pub(super) fn secret(
        &mut self,
        key: &str,
        example: &str,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Option<SecretString> {
        let value = self.required(key, example)?;
        match check(&value.text) {
            Ok(()) => Some(SecretString::from(value.text.clone())),
            Err(what) => {
                self.wrong(key, value, what, &format!("For example: {example}"));
                None
            }
        }
    }

    fn required(&mut self, key: &str, example: &str) -> Option<&'a Value> {
        let value = self.layers.get(key);
        if value.is_none() {
            self.refuse(
                key,
                "is missing.",
                format!("Set {}, for example to {example}", names_of(key)),
            );
        }
        value
    }

    fn wrong(&mut self, key: &str, value: &Value, what: &str, fix: &str) {
        let shown = if is_secret(key) {
            "(hidden)".to_owned()
        } else {
            format!("{:?}", value.text)
        };
        self.refuse(key, format!("is {shown} ({}): {what}.", value.origin), fix);
    }
}

/// `15s` and the like. `None` for anything else, also for what does not fit a [`Duration`].
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

/// As [`parse_duration`] reads it, in the largest unit that divides it; less than a millisecond is cut off.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let whole = |(_, each): &(&str, u128)| milliseconds >= *each && milliseconds.is_multiple_of(*each);
    match units.iter().find(|unit| whole(unit)) {
        Some((unit, each)) => format!("{}{unit}", milliseconds / each),
        None => format!("{milliseconds}ms"),
    }
}

/// `25/s` and the like, as so many a second.
fn parse_rate(text: &str) -> Option<f64> {
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
