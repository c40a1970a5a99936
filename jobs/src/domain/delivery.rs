//! The outcomes of FAL's deliveries, in the words of the inbox and of `aisha webhooks`.

use std::{fmt, str::FromStr};

use super::avatar::{UnknownName, named};

named!(
    /// The outcome of a delivery, as stored in `fal_deliveries.disposition`. Every delivery gets one.
    Disposition, "disposition", "text", {
        /// It brought the end of its training's request.
        Applied = "applied",
        /// The end was known already, from a poll or another delivery.
        Late = "late",
        /// Its training had ended by our own decision; its model is kept anyway.
        Kept = "kept",
        /// Its content was unclear, so the result is fetched instead.
        LookedUp = "looked_up",
        /// Its training has another request: FAL was asked twice.
        SecondRequest = "second_request",
        /// No training has its request.
        UnknownRequest = "unknown_request",
        /// It is signed, but cannot be read as a delivery.
        Unreadable = "unreadable",
        /// Applying it failed until its job was dead.
        GivenUp = "given_up",
    }
);

impl Disposition {
    /// Whether a replay may still change the outcome: the delivery had no effect, for a reason that may pass. All
    /// other outcomes are settled for good, so that a replay is harmless.
    pub const fn may_be_replayed(self) -> bool {
        matches!(self, Self::UnknownRequest | Self::Unreadable | Self::GivenUp)
    }

    /// The words of the outcomes that a replay may change.
    pub(crate) fn replayable() -> Vec<String> {
        let all = Self::ALL.iter().filter(|one| one.may_be_replayed());
        all.map(|one| one.as_str().to_owned()).collect()
    }
}

/// A filter for operators: deliveries that wait, or those with an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryVerdict {
    /// Stored, but not applied yet: no disposition.
    Pending,
    /// Applied or given up, with this outcome.
    Became(Disposition),
}

/// The word for [`DeliveryVerdict::Pending`]; in the database it is NULL.
pub(crate) const PENDING: &str = "pending";

impl DeliveryVerdict {
    /// The word on the command line and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => PENDING,
            Self::Became(disposition) => disposition.as_str(),
        }
    }
}

impl fmt::Display for DeliveryVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeliveryVerdict {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        if name == PENDING {
            return Ok(Self::Pending);
        }
        name.parse()
            .map(Self::Became)
            .map_err(|unknown: UnknownName| UnknownName {
                what: "verdict",
                known: format!("{PENDING}, {}", unknown.known),
                ..unknown
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_found_by_its_word_and_a_wrong_word_names_them_all() {
        for disposition in Disposition::ALL {
            assert_eq!(
                disposition.as_str().parse(),
                Ok(DeliveryVerdict::Became(*disposition))
            );
        }
        assert_eq!("pending".parse(), Ok(DeliveryVerdict::Pending));
        let error = "aplied".parse::<DeliveryVerdict>().expect_err("no such word");
        assert!(
            error.to_string().contains("use one of pending, applied, late"),
            "{error}"
        );
    }

    #[test]
    fn a_delivery_that_had_an_effect_is_never_replayed() {
        for settled in ["applied", "late", "looked_up", "second_request"] {
            assert!(
                !Disposition::replayable().contains(&settled.to_owned()),
                "{settled}"
            );
        }
    }
}
