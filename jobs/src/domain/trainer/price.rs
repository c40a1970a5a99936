//! What FAL bills for a training, as its pages say it. Shown to people; the bill is FAL's.

use std::fmt;

/// US dollars.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Dollars(pub f64);

/// How FAL counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Price {
    /// So much for each step.
    PerStep {
        /// For one step.
        dollars: Dollars,
        /// A shorter run is billed as one of so many steps. 1: none is.
        least_steps: u64,
    },
    /// The same for each run.
    PerRun(Dollars),
}

impl Price {
    /// For a run of so many steps.
    #[expect(
        clippy::cast_precision_loss,
        reason = "steps are at most some ten thousand; f64 holds them exactly"
    )]
    pub fn of(self, steps: u64) -> Dollars {
        match self {
            Self::PerStep { dollars, least_steps } => Dollars(dollars.0 * steps.max(least_steps) as f64),
            Self::PerRun(dollars) => dollars,
        }
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.2}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_below_the_least_steps_is_billed_as_one_of_so_many() {
        let price = Price::PerStep {
            dollars: Dollars(0.0024),
            least_steps: 1000,
        };
        let billed = [1, 1000, 2500].map(|steps| price.of(steps).to_string());
        assert_eq!(billed, ["$2.40", "$2.40", "$6.00"]);
        assert_eq!(Price::PerRun(Dollars(2.0)).of(7), Dollars(2.0));
    }
}
