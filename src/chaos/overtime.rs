//! Lets the run go on until each kind of the profile has struck often enough. How many calls a fault can
//! strike in a minute depends on the machine, but a run on a busy machine must not prove less.

use std::{collections::BTreeMap, iter::repeat_n, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{task::JoinSet, time::Instant};

use super::{
    injector::{Injector, Tally},
    schedule::{FaultKind, LEAST_OF_A_KIND, Planned, Profile},
    workload::{Visit, latecomers},
};

/// The longest extension of a run. Kinds that have not struck often enough by then are reported as a
/// shortfall.
const MOST: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(250);
/// Separates this random sequence from those of the schedule and the workload.
const OTHER_DICE: u64 = 0x5eed_0f9e_091e_0003;

/// Injects faults again that struck too seldom, and lets more people arrive meanwhile. Returns how long it
/// took.
pub(super) async fn play(
    (seed, profile, arrivals): (u64, Profile, u32),
    injector: &Injector,
    under_way: &mut JoinSet<()>,
    mut let_in: impl FnMut(Visit),
) -> Duration {
    let began = Instant::now();
    let mut dice = StdRng::seed_from_u64(seed ^ OTHER_DICE);
    let mut late = latecomers(seed, MOST, arrivals).into_iter().peekable();
    while let Some(again) = lacking(profile, &injector.tally()) {
        let passed = began.elapsed();
        if passed >= MOST {
            break;
        }
        for kind in again {
            let fault = Planned {
                at: passed,
                kind,
                pick: dice.random(),
            };
            injector.bring_about(fault, under_way);
        }
        while let Some(visit) = late.next_if(|visit| visit.at <= passed) {
            let_in(visit);
        }
        tokio::time::sleep(LOOK).await;
    }
    began.elapsed()
}

/// The kinds to inject again, each as often as it is listed; `None`: every kind has struck often enough.
fn lacking(profile: Profile, tally: &BTreeMap<FaultKind, Tally>) -> Option<Vec<FaultKind>> {
    let (mut again, mut enough) = (Vec::new(), true);
    for kind in profile.kinds() {
        let Tally { struck, under_way } = tally.get(&kind).copied().unwrap_or_default();
        enough &= struck >= LEAST_OF_A_KIND;
        let missing = LEAST_OF_A_KIND.saturating_sub(struck.saturating_add(under_way));
        again.extend(repeat_n(kind, missing as usize));
    }
    (!enough).then_some(again)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(struck: u32) -> BTreeMap<FaultKind, Tally> {
        let tally = Tally { struck, under_way: 0 };
        Profile::Pr.kinds().map(|kind| (kind, tally)).collect()
    }

    #[test]
    fn what_struck_too_seldom_is_brought_about_again_unless_it_is_under_way() {
        let mut tally = all(LEAST_OF_A_KIND);
        assert_eq!(lacking(Profile::Pr, &tally), None);
        let seldom = Tally {
            struck: 1,
            under_way: 1,
        };
        tally.insert(FaultKind::FailpointStop, seldom);
        assert_eq!(
            lacking(Profile::Pr, &tally),
            Some(vec![FaultKind::FailpointStop; LEAST_OF_A_KIND as usize - 2])
        );
        let nearly = Tally {
            struck: 1,
            under_way: LEAST_OF_A_KIND,
        };
        tally.insert(FaultKind::FailpointStop, nearly);
        assert_eq!(
            lacking(Profile::Pr, &tally),
            Some(Vec::new()),
            "it may strike yet, so the storm goes on"
        );
    }

    #[test]
    fn a_kind_of_the_nightly_profile_alone_is_not_waited_for() {
        let mut tally = all(LEAST_OF_A_KIND);
        tally.remove(&FaultKind::RollingRestart);
        assert_eq!(lacking(Profile::Pr, &tally), None);
        assert!(lacking(Profile::Nightly, &tally).is_some());
    }
}
