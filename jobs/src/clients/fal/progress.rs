//! Reads a training's progress from its runner's logs.
//!
//! FAL's API has no progress, only log lines in the words of the runner: `step 120/1000`,
//! ` 45%|████▌     | 450/1000 [05:10<06:19]`, `Training: 45.2 %`. Other things count up too (downloads, captions),
//! so a line that speaks of steps is preferred.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggedProgress {
    /// In percent, 0 to 99: only a result means 100.
    pub(super) percent: u8,
    /// The line that says so, for operators and the progress message.
    pub(super) line: String,
}

/// The latest progress in the logs, oldest line first. `None`: no line tells any.
pub(super) fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Option<LoggedProgress> {
    let mut latest = None;
    let mut latest_step = None;
    for line in lines {
        let Some(percent) = percent(line) else { continue };
        let progress = LoggedProgress {
            percent,
            line: clipped(line),
        };
        if line.to_ascii_lowercase().contains("step") {
            latest_step = Some(progress);
        } else {
            latest = Some(progress);
        }
    }
    latest_step.or(latest)
}

/// The first plausible percentage or fraction in a line.
fn percent(line: &str) -> Option<u8> {
    let numbers = numbers(line);
    let of_sign = numbers.iter().find(|number| {
        number.value <= 100.0
            && line[number.end..].trim_start_matches(' ').starts_with('%')
            && !number.touches_slash(line)
    });
    if let Some(number) = of_sign {
        return Some(below_100(number.value));
    }
    numbers.windows(2).enumerate().find_map(|(at, pair)| {
        let [done, total] = pair else { return None };
        let is_slash = line[done.end..total.start].trim() == "/";
        // `2026/11/20` is a date, and `/a/1/2` a path.
        let has_third = numbers
            .get(at + 2)
            .is_some_and(|next| line[total.end..next.start].trim() == "/");
        let follows_slash = line[..done.start].trim_end().ends_with('/');
        let fits =
            is_slash && !has_third && !follows_slash && total.value >= 1.0 && done.value <= total.value;
        fits.then(|| below_100(100.0 * done.value / total.value))
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=99 before"
)]
fn below_100(percent: f64) -> u8 {
    percent.clamp(0.0, 99.0) as u8
}

struct Number {
    value: f64,
    start: usize,
    end: usize,
}

impl Number {
    fn touches_slash(&self, line: &str) -> bool {
        line[..self.start].ends_with('/')
    }
}

/// Unsigned decimals with their positions. A number after a letter (`v3`) is a name, and left out.
fn numbers(line: &str) -> Vec<Number> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(offset) = line[rest..].find(|char: char| char.is_ascii_digit()) {
        let start = rest + offset;
        let length = line[start..]
            .find(|char: char| !char.is_ascii_digit() && char != '.')
            .unwrap_or(line.len() - start);
        let text = line[start..start + length].trim_end_matches('.');
        rest = start + length;
        let is_name =
            line[..start].ends_with(|char: char| char.is_alphanumeric() || char == '.' || char == '_');
        if let (false, Ok(value)) = (is_name, text.parse()) {
            found.push(Number {
                value,
                start,
                end: start + text.len(),
            });
        }
    }
    found
}

fn clipped(line: &str) -> String {
    line.trim()
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn percent_of(lines: &[&str]) -> Option<u8> {
        of(lines.iter().copied()).map(|progress| progress.percent)
    }

    #[test]
    fn progress_is_read_from_the_words_that_runners_use() {
        for (line, percent) in [
            ("step 120/1000", Some(12)),
            ("Steps: 5 / 500, loss 0.031", Some(1)),
            (" 45%|████▌     | 450/1000 [05:10<06:19,  1.45it/s]", Some(45)),
            ("Training: 45.9 % done", Some(45)),
            ("step 1000/1000", Some(99)),
            ("epoch 3/10 (step 300/1000)", Some(30)),
            ("loaded 20 images", None),
            ("started at 2026/11/20 10:30", None),
            ("saved to /data/1/2", None),
            ("step 12/0", None),
            ("step 900/100", None),
            ("lr 2e-4, v3/4", None),
            ("250% of budget", None),
            ("", None),
        ] {
            assert_eq!(percent_of(&[line]), percent, "{line}");
        }
    }

    #[test]
    fn the_latest_step_counts_and_other_counters_do_not_overtake_it() {
        assert_eq!(
            percent_of(&["download 100%", "step 10/100", "step 20/100", "caption 19/20"]),
            Some(20)
        );
        assert_eq!(percent_of(&["download 50%", "download 70%"]), Some(70));
        assert_eq!(percent_of(&[]), None);
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in ".{0,200}") {
            prop_assert!(percent_of(&[&line]).is_none_or(|percent| percent < 100));
        }

        #[test]
        fn every_step_has_its_percent(total in 1_u32..100_000, done in 0_u32..100_000) {
            prop_assume!(done <= total);
            let expected = (u64::from(done) * 100 / u64::from(total)).min(99);
            let read = percent_of(&[&format!("step {done}/{total}")]).map(u64::from);
            prop_assert!(read.is_some_and(|read| read.abs_diff(expected) <= 1));
        }
    }
}
