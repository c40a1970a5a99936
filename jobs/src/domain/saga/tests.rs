//! Any order of facts, as a hostile world would deliver them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{prelude::*, sample::select};

use super::*;

/// Every fact there is, with each of its variants.
fn facts() -> Vec<Fact> {
    let mut all = vec![
        Fact::Prepared,
        Fact::ArchiveLost,
        Fact::AttemptCommitted,
        Fact::Accepted,
        Fact::NotTaken,
        Fact::Undecided { resubmit: false },
        Fact::Undecided { resubmit: true },
        Fact::Succeeded,
        Fact::StoppedAtFal,
        Fact::StopSignalled,
        Fact::LostAtFal,
        Fact::Stored,
        Fact::Overdue,
        Fact::WatchOver,
    ];
    all.extend(EndReason::ALL.iter().map(|reason| Fact::EndAsked(*reason)));
    for code in FailureCode::ALL {
        all.extend([Fact::FailedAtFal(*code), Fact::GaveUp(*code)]);
    }
    all
}

/// A life: each fact with the transition it caused.
fn live(facts: &[Fact]) -> Vec<(Saga, Fact, Option<Transition>)> {
    let mut saga = Saga::REQUESTED;
    let mut life = Vec::new();
    for fact in facts {
        let transition = saga.after(*fact);
        life.push((saga, *fact, transition));
        saga = transition.map_or(saga, |transition| transition.to);
    }
    life
}

fn end_of(life: &[(Saga, Fact, Option<Transition>)]) -> Saga {
    life.last().map_or(Saga::REQUESTED, |(before, _, transition)| {
        transition.map_or(*before, |transition| transition.to)
    })
}

/// Long lives of random facts; the likely ones come more often, so that lives get anywhere.
fn lives() -> impl Strategy<Value = Vec<Fact>> {
    let likely = select(vec![
        Fact::Prepared,
        Fact::AttemptCommitted,
        Fact::Accepted,
        Fact::Succeeded,
        Fact::Stored,
    ]);
    prop::collection::vec(prop_oneof![2 => likely, 3 => select(facts())], 0..40)
}

const fn is_ending(tell: Tell) -> bool {
    matches!(tell, Tell::Completed | Tell::Failed(_) | Tell::Cancelled)
}

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::<Utc>::UNIX_EPOCH + TimeDelta::hours(hours)
}

const PATIENCE: Patience = Patience {
    prepare: Duration::from_hours(6),
    submit: Duration::from_hours(168),
    decide: Duration::from_hours(1),
    queue_alarm: Duration::from_hours(2),
    run: Duration::from_hours(12),
    cancel: Duration::from_mins(10),
    store: Duration::from_hours(6),
    archive_lifecycle: Duration::from_hours(168),
};

fn times() -> Times {
    Times {
        status_since: at(0),
        archived_at: None,
        started_at: None,
        end_asked_at: None,
        archive_expires_at: Some(at(168)),
        is_held_by_account: false,
    }
}

proptest! {
    #[test]
    fn a_final_status_is_never_left(facts in lives()) {
        for (before, fact, transition) in live(&facts) {
            let Some(transition) = transition else { continue };
            if before.status.is_final() {
                prop_assert_eq!((before.status, before.failure), (transition.to.status, transition.to.failure), "{:?}", fact);
            } else if before.status != transition.to.status {
                prop_assert!(before.status.may_become(transition.to.status), "{:?} → {:?}", before.status, transition.to.status);
            }
            prop_assert_eq!(transition.to.status == OrderStatus::Failed, transition.to.failure.is_some());
        }
    }

    #[test]
    fn a_training_ends_once_and_its_owner_is_told_once(facts in lives()) {
        let life = live(&facts);
        let told = |wanted: fn(Tell) -> bool| {
            life.iter().filter_map(|(_, _, transition)| transition.and_then(|transition| transition.tell)).filter(|tell| wanted(*tell)).count()
        };
        let end = end_of(&life);
        prop_assert_eq!(told(is_ending), usize::from(end.status.is_final()));
        prop_assert!(told(|tell| tell == Tell::CameLate) <= 1);
        for (_, _, transition) in &life {
            if let Some(Transition { tell: Some(tell), to, .. }) = transition {
                prop_assert!(is_ending(*tell) <= to.status.is_final());
            }
        }
    }

    #[test]
    fn nothing_is_ever_stuck(facts in lives()) {
        for (before, fact, transition) in live(&facts) {
            let Some(transition) = transition else { continue };
            let Transition { to: saga, jobs, .. } = transition;
            if !saga.status.is_final() {
                prop_assert!(saga.carried_by().is_some());
                prop_assert!(saga.deadline(&times(), &PATIENCE).is_some());
                // Whatever else happens, passing its deadline twice ends it: once asks FAL to stop, once gives that up.
                let once = saga.after(Fact::Overdue).expect("a live training can be overdue").to;
                let end = once.after(Fact::Overdue).map_or(once, |transition| transition.to);
                prop_assert!(end.status.is_final(), "{:?}", saga);
            }
            // The job that carries the new state on is enqueued by the transition that makes it necessary.
            if let Some(job) = saga.carried_by().filter(|job| before.carried_by() != Some(*job)) {
                prop_assert!(jobs.contains(&job), "{:?} by {:?} needs {:?}", saga, fact, job);
            }
            if saga.late == Some(LateModel::Watched) {
                prop_assert!(saga.after(Fact::WatchOver).is_some_and(|transition| transition.to.carried_by().is_none()));
            }
        }
    }

    #[test]
    fn no_attempt_begins_while_another_may_be_at_fal(facts in lives()) {
        for (before, fact, transition) in live(&facts) {
            if fact == Fact::AttemptCommitted && transition.is_some() {
                prop_assert_eq!(before.at_fal, AtFal::No);
            }
            // Only a proof, or the risk that an operator took, makes an attempt possible again.
            if let Some(transition) = transition && before.at_fal != AtFal::No && transition.to.at_fal == AtFal::No {
                prop_assert!(matches!(fact, Fact::NotTaken | Fact::Undecided { resubmit: true }), "{:?}", fact);
            }
        }
    }

    #[test]
    fn a_model_that_comes_late_is_kept_once(facts in lives()) {
        let end = end_of(&live(&facts));
        if end.at_fal == AtFal::Yes && end.may_come_late() && matches!(end.late, None | Some(LateModel::Watched)) {
            let kept = end.after(Fact::Succeeded).expect("it is kept").to;
            prop_assert_eq!(kept.status, end.status);
            prop_assert_eq!(kept.after(Fact::Succeeded), None);
            let settled = kept.after(Fact::Stored).expect("it is verified");
            prop_assert_eq!(settled.tell, Some(Tell::CameLate));
            prop_assert_eq!(settled.to.after(Fact::Stored), None);
        }
        if end.status == OrderStatus::Completed {
            for fact in super::tests::facts() {
                prop_assert_eq!(end.after(fact), None, "{:?}", fact);
            }
        }
    }
}

fn reached(facts: &[Fact]) -> Saga {
    let life = live(facts);
    for (before, fact, transition) in &life {
        assert!(transition.is_some(), "{fact:?} does nothing in {before:?}");
    }
    end_of(&life)
}

const AT_FAL: [Fact; 3] = [Fact::Prepared, Fact::AttemptCommitted, Fact::Accepted];

#[test]
fn the_first_terminal_fact_wins() {
    let failed = reached(&[&AT_FAL[..], &[Fact::FailedAtFal(FailureCode::RejectedByProvider)]].concat());
    assert_eq!(
        failed.after(Fact::Succeeded),
        None,
        "OK after FAL's own ERROR is recorded and nothing else"
    );
    let trained = reached(&[&AT_FAL[..], &[Fact::Succeeded]].concat());
    assert_eq!(
        trained.after(Fact::FailedAtFal(FailureCode::ProviderFailed)),
        None,
        "ERROR after OK"
    );
}

#[test]
fn a_request_that_fal_lost_fails_and_its_model_is_kept_if_it_comes_all_the_same() {
    let lost = reached(&[&AT_FAL[..], &[Fact::LostAtFal]].concat());
    assert_eq!(
        (lost.status, lost.failure, lost.late),
        (
            OrderStatus::Failed,
            Some(FailureCode::ProviderFailed),
            Some(LateModel::Watched)
        )
    );
    let kept = lost.after(Fact::Succeeded).expect("it is kept").to;
    assert_eq!(kept.late, Some(LateModel::Kept));
    assert!(
        lost.after(Fact::LostAtFal).is_none(),
        "it is watched all the same"
    );
}

#[test]
fn a_training_that_waits_for_our_account_has_the_time_of_a_submit() {
    let deadline = |is_held_by_account| {
        let times = Times {
            is_held_by_account,
            ..times()
        };
        Saga::REQUESTED.deadline(&times, &PATIENCE)
    };
    assert_eq!(deadline(false), Some(at(6)));
    assert_eq!(deadline(true), Some(at(168)));
}

#[test]
fn a_wish_to_stop_is_kept_until_there_is_a_request_to_stop() {
    let wished = reached(&[
        Fact::Prepared,
        Fact::AttemptCommitted,
        Fact::EndAsked(EndReason::User),
    ]);
    assert_eq!(wished.status, OrderStatus::Submitting);
    let found = wished.after(Fact::Accepted).expect("it is adopted");
    assert!(found.jobs.contains(&NextJob::Cancel));
    let stopped = found.to.after(Fact::StoppedAtFal).expect("FAL says so");
    assert_eq!(
        (stopped.to.status, stopped.tell),
        (OrderStatus::Cancelled, Some(Tell::Cancelled))
    );
    assert_eq!(stopped.to.late, None, "FAL said that nothing will come");
    let refused = wished.after(Fact::NotTaken).expect("no request").to;
    assert_eq!(
        refused.status,
        OrderStatus::Cancelled,
        "nothing is posted again for somebody who wants to stop"
    );
}

#[test]
fn a_result_that_comes_in_spite_of_a_cancel_is_kept() {
    let asked = reached(
        &[
            &AT_FAL[..],
            &[Fact::EndAsked(EndReason::User), Fact::StopSignalled],
        ]
        .concat(),
    );
    assert_eq!(
        asked
            .after(Fact::Succeeded)
            .map(|transition| transition.to.status),
        Some(OrderStatus::Made)
    );
    let given_up = asked.after(Fact::Overdue).expect("FAL does not stop").to;
    assert_eq!(
        (given_up.status, given_up.late),
        (OrderStatus::Cancelled, Some(LateModel::Watched))
    );
    assert_eq!(
        given_up.after(Fact::Succeeded).map(|transition| transition.jobs),
        Some(&[NextJob::Store][..])
    );
}

#[test]
fn attempts_that_run_out_never_fail_what_fal_may_have() {
    for saga in [reached(&AT_FAL[..2]), reached(&AT_FAL)] {
        assert_eq!(saga.after(Fact::GaveUp(FailureCode::Internal)), None, "{saga:?}");
    }
}

#[test]
fn fals_queue_ends_one_day_before_the_archive_does() {
    let queued = reached(&AT_FAL);
    assert_eq!(queued.deadline(&times(), &PATIENCE), Some(at(144)));
    assert!(!queued.is_long_in_queue(&times(), at(1), &PATIENCE));
    assert!(
        queued.is_long_in_queue(&times(), at(2), &PATIENCE),
        "the alarm comes first"
    );
    let running = Times {
        started_at: Some(at(100)),
        ..times()
    };
    assert_eq!(queued.deadline(&running, &PATIENCE), Some(at(112)));
    assert!(!queued.is_long_in_queue(&running, at(143), &PATIENCE));
    let asked = Saga {
        end_asked: Some(EndReason::User),
        ..queued
    };
    let times = Times {
        end_asked_at: Some(at(3)),
        ..times()
    };
    assert_eq!(
        asked.deadline(&times, &PATIENCE),
        Some(at(3) + TimeDelta::minutes(10))
    );
}

#[test]
fn an_unknown_submit_is_decided_after_its_time_and_not_before() {
    let submitting = reached(&AT_FAL[..2]);
    let attempted_at = at(5);
    assert!(!submitting.is_undecided(attempted_at, at(6) - TimeDelta::seconds(1), &PATIENCE));
    assert!(submitting.is_undecided(attempted_at, at(6), &PATIENCE));
    let given_up = submitting
        .after(Fact::Undecided { resubmit: false })
        .expect("it is decided");
    assert_eq!(
        given_up.tell,
        Some(Tell::Failed(FailureCode::SubmitOutcomeUnknown))
    );
    assert_eq!(
        given_up.to.late,
        Some(LateModel::Watched),
        "a result that comes later is adopted"
    );
    let resubmitted = submitting
        .after(Fact::Undecided { resubmit: true })
        .expect("it is decided");
    assert_eq!(
        (resubmitted.to.status, resubmitted.jobs),
        (OrderStatus::Prepared, &[NextJob::Submit][..])
    );
}
