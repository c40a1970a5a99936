//! `[queue]`, `[worker]`, `[inbox.keep]`, and the rates of calls to FAL and Telegram: the settings of a
//! worker's engine.

use std::{process, time::Duration};

use jobs::{
    Retention,
    job::Queue,
    queue::{Keep, Rate, Rates},
    queues,
    worker::WorkerOptions,
};

use super::{
    reader::SettingsReader,
    retention,
    section::all,
    units::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, show_duration},
};

/// Longer than any row is kept.
const YEARS: Duration = Duration::from_hours(24 * 3650);

/// How a worker claims and runs jobs.
pub(super) fn worker(from: &mut SettingsReader<'_>) -> Option<WorkerOptions> {
    let lease = from.duration("queue.lease", SECOND..=10 * MINUTE);
    let beat = from.duration("queue.beat", 100 * MILLISECOND..=5 * MINUTE);
    if let (Some(lease), Some(beat)) = (lease, beat)
        && beat * 3 > lease
    {
        let what = format!(
            "is {}, more than a third of queue.lease ({}): one late beat would lose jobs.",
            show_duration(beat),
            show_duration(lease)
        );
        let fix = format!("Use {} or less, or a longer lease.", show_duration(lease / 3));
        from.refuse("queue.beat", what, fix);
    }
    let slots = slots(from);
    all!(WorkerOptions {
        name: Some(format!("pid-{}", process::id())),
        prefetch: prefetch(from, slots.as_deref().unwrap_or_default()),
        slots,
        lease,
        beat,
        sweep: from.duration("queue.sweep", 100 * MILLISECOND..=5 * MINUTE),
        poll: from.duration("queue.poll", 50 * MILLISECOND..=MINUTE),
        wake: from.truth("queue.wake"),
        grace: grace(from),
        rates: rates(from),
    })
}

/// The grace time, which every role needs that stops gracefully.
pub(super) fn grace(from: &mut SettingsReader<'_>) -> Option<Duration> {
    from.duration("queue.grace", Duration::ZERO..=HOUR)
}

/// `worker.queues`, with the slots of each queue.
fn slots(from: &mut SettingsReader<'_>) -> Option<Vec<(Queue, usize)>> {
    let names = from.parse::<String>("worker.queues", "media,fal")?;
    let mut queues = Vec::new();
    for name in names.split(',').map(str::trim) {
        match queues::named(name) {
            Ok(queue) => queues.push(queue),
            Err(unknown) => {
                from.refuse(
                    "worker.queues",
                    format!("is {names:?}: {unknown}."),
                    "For example: media,fal",
                );
            }
        }
    }
    queues.sort_unstable();
    queues.dedup();
    let known = queues.len();
    let slots = queues.into_iter().filter_map(|queue| {
        let count = from.number(&format!("worker.slots.{queue}"), 1..=1000);
        count.map(|count| (queue, count))
    });
    let slots = slots.collect::<Vec<_>>();
    (slots.len() == known).then_some(slots)
}

/// `[queue.prefetch]` of the queues that run here. The others are checked too, so that a mistake shows before
/// they are used.
fn prefetch(from: &mut SettingsReader<'_>, slots: &[(Queue, usize)]) -> Option<Vec<(Queue, usize)>> {
    let read = queues::ALL.iter().map(|queue| {
        let jobs = from.number(&format!("queue.prefetch.{queue}"), 0..=Queue::MOST_PREFETCHED);
        jobs.map(|jobs| (*queue, jobs))
    });
    // In two steps: a wrong one keeps none from being read.
    let read = read.collect::<Vec<_>>();
    let mut all = read.into_iter().collect::<Option<Vec<_>>>()?;
    all.retain(|(queue, _)| slots.iter().any(|(here, _)| here == queue));
    Some(all)
}

/// How fast jobs that call Telegram or FAL may start, over all workers: all jobs of a queue, and those of one user.
fn rates(from: &mut SettingsReader<'_>) -> Option<Vec<(Queue, Rates)>> {
    let all = rate(from, "telegram.rate", "telegram.burst");
    let one_chat = rate(from, "telegram.chat_rate", "telegram.chat_burst");
    let submits = rate(from, "fal.submit_rate", "fal.submit_burst");
    let (all, one_chat) = (all?, one_chat?);
    if one_chat.per_second > all.per_second {
        from.refuse(
            "telegram.chat_rate",
            "is higher than telegram.rate: one chat cannot have more than all.",
            "Lower the one or raise the other.",
        );
    }
    let notify = Rates {
        queue: Some(all),
        key: Some(one_chat),
    };
    let fal = Rates {
        queue: Some(submits?),
        key: None,
    };
    Some(vec![(queues::NOTIFY, notify), (queues::FAL, fal)])
}

fn rate(from: &mut SettingsReader<'_>, rate: &str, burst: &str) -> Option<Rate> {
    all!(Rate {
        per_second: from.per_second(rate),
        burst: from.number(burst, 1..=1_000),
    })
}

/// How long rows are kept after they have ended.
pub(super) fn retention(from: &mut SettingsReader<'_>) -> Option<Retention> {
    all!(Retention {
        jobs: keep(from),
        // Telegram repeats an update for a day, FAL a delivery for hours. Until then the row makes a
        // repetition harmless.
        updates: from.duration("inbox.keep.updates", 2 * DAY..=YEARS),
        deliveries: from.duration("inbox.keep.deliveries", 2 * DAY..=YEARS),
        media: retention::media(from),
    })
}

fn keep(from: &mut SettingsReader<'_>) -> Option<Keep> {
    all!(Keep {
        done: from.duration("queue.keep.done", MINUTE..=YEARS),
        cancelled: from.duration("queue.keep.cancelled", MINUTE..=YEARS),
        dead: from.duration("queue.keep.dead", HOUR..=YEARS),
    })
}
