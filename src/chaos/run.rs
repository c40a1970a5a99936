//! One seed, from start to verdict.

use std::{collections::BTreeSet, convert::Infallible, io::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use sqlx::PgConnection;
use tokio::{task::JoinSet, time::Instant};

use super::{
    RunArgs,
    evidence::{Evidence, Ledgers, unrest},
    injector::{Injected, Injector},
    invariants::{self, Deeds, Unwinnable, Violation},
    neighbours, overtime, person,
    processes::Fleet,
    report::{self, SeedReport, StormSummary},
    say,
    schedule::{FaultKind, FaultSchedule, LEAST_OF_A_KIND, Profile},
    site::Site,
    workload,
};
use crate::{settings::Given, simulators::telegram::LedgerFilter};

/// Pause between checks of the invariants that hold at any time.
const WATCH: Duration = Duration::from_secs(2);
/// The system is at rest after so many quiet looks in a row: one look can miss a job that starts just after
/// another ended.
const QUIET_LOOKS: u32 = 3;
const LOOK: Duration = Duration::from_millis(500);
/// Number of looks between two messages of people who were unreachable.
const ASK_AGAIN: u32 = 10;

/// Runs a seed. An error means that there is no verdict; a broken invariant is part of the report.
pub(super) async fn one_seed(seed: u64, args: &RunArgs, given: &Given) -> anyhow::Result<SeedReport> {
    let schedule = FaultSchedule::of(seed, args.plan.duration, args.plan.profile);
    if !args.json {
        say(&schedule.to_string());
    }
    let aisha = std::env::current_exe().context("this binary cannot be found")?;
    let home = tempfile::Builder::new()
        .prefix("aisha-chaos-")
        .tempdir()
        .context("no temporary directory")?;
    let site = Arc::new(Site::start(&aisha, home.path(), given).await?);
    let fleet = Fleet::start(&aisha, home.path(), site.environment.clone(), site.web).await?;
    let began = Instant::now();
    let played = play(&schedule, args, &site, &fleet).await;
    let wall = began.elapsed();
    fleet.stop().await;
    let report = match played {
        Ok(played) => Ok(judge(seed, args, played, wall)),
        Err(error) => Err(error),
    };
    let red = report.as_ref().map_or(true, |report| !report.holds());
    if red {
        let telegram = site.telegram.control().ledger(&LedgerFilter::default());
        let ledgers = serde_json::json!({ "fal": site.fal.ledger(), "telegram": telegram });
        let kept = home.keep();
        // The reason why the run failed matters more than a failure to write this file.
        drop(std::fs::write(kept.join("ledgers.json"), ledgers.to_string()));
        let where_to = format!("Logs and ledgers of seed {seed}: {}", kept.display());
        drop(writeln!(std::io::stderr(), "{where_to}"));
    }
    if let Ok(site) = Arc::try_unwrap(site) {
        site.stop().await;
    }
    report
}

struct Played {
    evidence: Evidence,
    injected: Injected,
    deeds: Deeds,
    seen_running: BTreeSet<Violation>,
    summary: StormSummary,
}

async fn play(
    schedule: &FaultSchedule,
    args: &RunArgs,
    site: &Arc<Site>,
    fleet: &Fleet,
) -> anyhow::Result<Played> {
    let mut db = site.database().await?;
    sqlx::raw_sql(include_str!("audit.sql")).execute(&mut db).await?;
    drop(db);
    let injector = Injector::new(Arc::clone(site), fleet.clone());
    let mut people = JoinSet::new();
    let mut seen_running = BTreeSet::new();
    let (overtime, under_way) = tokio::select! {
        stormed = storm(schedule, args, site, &injector, &mut people) => stormed?,
        never = watch(site, &mut seen_running) => match never {},
    };
    let last_fault = Instant::now();
    injector.calm(under_way).await;
    let unrest = come_to_rest(site, &injector, &mut people, Instant::now() + args.rest).await?;
    let rested_after = last_fault.elapsed();
    people.shutdown().await;
    let (unrest, served) = match unrest {
        None => {
            let served = neighbours::visit(site).await?;
            let until = Instant::now() + args.rest;
            let unrest = come_to_rest(site, &injector, &mut people, until).await?;
            (unrest, served)
        }
        // In a system that stands still, waiting strangers prove nothing more.
        unrest => (unrest, Vec::new()),
    };

    let mut db = site.database().await?;
    let mut evidence = Evidence::gather(Ledgers::of(site), &mut db).await?;
    evidence.look_closer(site, &mut db).await?;
    let chronicle = fleet.chronicle().await;
    let injected = injector.injected();
    let count = |kind: FaultKind| injected.count.get(&kind).map_or(0, |times| *times as usize);
    let deeds = Deeds {
        unwinnable: Unwinnable {
            refused: count(FaultKind::FalRefuses),
            spoilt: 0,
            pictureless: count(FaultKind::FalNoPictures) + count(FaultKind::FalSpoilsPicture),
        },
        forged_answers: injected
            .forgeries
            .iter()
            .map(|forgery| forgery.http_status)
            .collect(),
        killed: chronicle
            .killed
            .iter()
            .map(|death| (death.pid, death.at))
            .collect(),
        unrest,
        served,
    };
    let summary = StormSummary {
        overtime_seconds: overtime.as_secs_f64(),
        rested_after_seconds: rested_after.as_secs_f64(),
        starts: chronicle.starts,
        refused_starts: chronicle.refused_starts,
        broke_down: chronicle.broke_down,
    };
    Ok(Played {
        evidence,
        injected,
        deeds,
        seen_running,
        summary,
    })
}

/// Injects faults and lets people come, for the planned duration and then until each kind has struck often
/// enough. Returns the length of the extension, and the faults that may still strike.
async fn storm(
    schedule: &FaultSchedule,
    args: &RunArgs,
    site: &Arc<Site>,
    injector: &Injector,
    people: &mut JoinSet<()>,
) -> anyhow::Result<(Duration, JoinSet<()>)> {
    for visit in workload::visits(schedule.seed, args.plan.duration, args.arrivals) {
        let_in(people, visit.at, visit, site);
    }
    ensure!(!people.is_empty(), "nobody comes");
    let mut under_way = JoinSet::new();
    tokio::join!(
        injector.carry_out(schedule, &mut under_way),
        tokio::time::sleep(args.plan.duration)
    );
    let plan = (schedule.seed, args.plan.profile, args.arrivals);
    let overtime = overtime::play(plan, injector, &mut under_way, |visit| {
        let_in(people, Duration::ZERO, visit, site);
    })
    .await;
    Ok((overtime, under_way))
}

/// Lets each person start at their time, whatever happened to earlier ones.
fn let_in(people: &mut JoinSet<()>, after: Duration, visit: workload::Visit, site: &Arc<Site>) {
    let site = Arc::clone(site);
    let at = Instant::now() + after;
    people.spawn(async move {
        tokio::time::sleep_until(at).await;
        // Errors that people meet show in the ledgers.
        drop(person::visit(site.telegram.control(), visit).await);
    });
}

/// Collects violations of invariants that hold at any time, until it is cancelled. An unreachable database is
/// a fault, not a violation.
async fn watch(site: &Site, seen: &mut BTreeSet<Violation>) -> Infallible {
    loop {
        tokio::time::sleep(WATCH).await;
        let Ok(mut db) = site.database().await else {
            continue;
        };
        if let Ok(evidence) = Evidence::gather(Ledgers::of(site), &mut db).await {
            seen.extend(invariants::check_running(&evidence));
        }
    }
}

/// Waits until everybody has their avatar and nothing is under way. `Some`: what still was when the time was
/// over.
async fn come_to_rest(
    site: &Site,
    injector: &Injector,
    people: &mut JoinSet<()>,
    until: Instant,
) -> anyhow::Result<Option<String>> {
    let (mut quiet, mut looks) = (0, 0_u32);
    loop {
        while people.try_join_next().is_some() {}
        injector.release();
        let mut db = site.database().await?;
        let mut open = unrest(site, &mut db).await?;
        if looks % ASK_AGAIN == 0 {
            write_for_unreachable_people(site, &mut db).await?;
        }
        looks += 1;
        if open.is_none() && !people.is_empty() {
            open = Some(format!("{} people still wait", people.len()));
        }
        quiet = if open.is_none() { quiet + 1 } else { 0 };
        if quiet >= QUIET_LOOKS {
            return Ok(None);
        }
        if Instant::now() >= until {
            return Ok(open);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// People who blocked the bot for a moment come back and write, and must then be told what they missed.
async fn write_for_unreachable_people(site: &Site, db: &mut PgConnection) -> anyhow::Result<()> {
    let unreachable = "select telegram_id from users where unreachable_at is not null";
    let unreachable: Vec<i64> = sqlx::query_scalar(unreachable).fetch_all(db).await?;
    for id in unreachable {
        site.telegram.user(id).send_text("/status")?;
    }
    Ok(())
}

fn judge(seed: u64, args: &RunArgs, played: Played, wall: Duration) -> SeedReport {
    let Played {
        evidence,
        injected,
        deeds,
        seen_running,
        mut summary,
    } = played;
    let mut violations: BTreeSet<Violation> =
        invariants::check_at_rest(&evidence, &deeds).into_iter().collect();
    violations.extend(seen_running);
    let mut shortfalls = Vec::new();
    for kind in args.plan.profile.kinds() {
        let times = injected.count.get(&kind).copied().unwrap_or_default();
        if times < LEAST_OF_A_KIND {
            shortfalls.push(format!(
                "{} struck {times} times, {LEAST_OF_A_KIND} are needed",
                kind.name()
            ));
        }
    }
    let albums = report::albums(&evidence)
        .get("ready")
        .copied()
        .unwrap_or_default();
    let erased = report::erased(&evidence);
    for (what, times) in [("albums were delivered", albums), ("users were erased", erased)] {
        if times < LEAST_OF_A_KIND as usize {
            shortfalls.push(format!("{times} {what}, {LEAST_OF_A_KIND} are needed"));
        }
    }
    let finished = evidence
        .trainings
        .iter()
        .filter(|training| training.status != "cancelled")
        .count();
    // People arrive for as long as faults are injected.
    let came = args.plan.duration + Duration::from_secs_f64(summary.overtime_seconds);
    let per_minute = finished as u64 * 60 / came.as_secs().max(1);
    if args.plan.profile == Profile::Pr && per_minute < u64::from(workload::FINISHED_PER_MINUTE) {
        let least = workload::FINISHED_PER_MINUTE;
        shortfalls.push(format!(
            "{per_minute} trainings finished per minute, {least} are needed"
        ));
    }
    summary.broke_down.sort();
    SeedReport::new(
        seed,
        args.plan.duration,
        wall,
        &evidence,
        &injected,
        &deeds,
        violations,
        shortfalls,
        summary,
    )
}
