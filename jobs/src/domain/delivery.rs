//! What became of a delivery of FAL's, in the words of the inbox and of `aisha webhooks`.

use std::{fmt, str::FromStr};

use super::avatar::{UnknownName, named};

named!(
    /// Where a delivery ended. Stored in `fal_deliveries.disposition`; every delivery gets one.
    Disposition, "disposition", "text", {
        /// It brought the terminal fact.
        Applied = "applied",
        /// Somebody else had brought one before.
        Late = "late",
        /// Its training had ended by our own decision; the model that came all the same is kept.
        Kept = "kept",
        /// It had nothing to say; the result is fetched instead.
        LookedUp = "looked_up",
        /// Its training has another request: FAL was asked twice.
        SecondRequest = "second_request",
        /// No training has its request.
        UnknownRequest = "unknown_request",
        /// Signed, but no delivery that we can read.
        Unreadable = "unreadable",
        /// Applying it failed until its job was dead.
        GivenUp = "given_up",
    }
);

impl Disposition {
    /// Whether a replay may still change it: it had no effect, for a reason that may pass. The others are settled
    /// for good, so that a replay of them is harmless.
    pub const fn may_be_replayed(self) -> bool {
        matches!(self, Self::UnknownRequest | Self::Unreadable | Self::GivenUp)
    }

    /// The words of those that a replay may change.
    pub(crate) fn replayable() -> Vec<String> {
        let all = Self::ALL.iter().filter(|one| one.may_be_replayed());
        all.map(|one| one.as_str().to_owned()).collect()
    }
}

/// A delivery as operators filter for it: still to be applied, or what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryVerdict {
    /// Stored, not applied yet.
    Pending,
    /// Applied, or given up.
    Became(Disposition),
}

/// The word for [`DeliveryVerdict::Pending`]; the database has NULL.
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
    fn what_had_an_effect_is_never_replayed() {
        for settled in ["applied", "late", "looked_up", "second_request"] {
            assert!(
                !Disposition::replayable().contains(&settled.to_owned()),
                "{settled}"
            );
        }
    }
}
