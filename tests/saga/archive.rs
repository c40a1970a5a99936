//! `build_archive`: what happens to the photos.

use std::sync::Arc;

use aisha::simulators::fal::{
    Acl,
    faults::{Effect, Fault, Operation},
    ledger::Event,
};
use jobs::{BuildArchive, ReconcileTrainings, SubmitTraining, queue::JobState, runtime::ArchiveDelivery};
use serde_json::json;

use super::world::{World, photo};
use crate::support::{BOT_TOKEN, Db, S3, S3Proxy, Tamper, aisha, eventually};

#[tokio::test]
async fn an_archive_waits_for_photos_on_their_way() {
    let world = World::requested().await;
    let late = world.announce_photo().await;
    let ran = world.jobs.run_one::<BuildArchive>().await.unwrap();
    assert_eq!(ran.state, JobState::Scheduled, "it waits");
    assert_eq!(
        world
            .count("select attempt::bigint from jobs where kind = 'build_archive'")
            .await,
        0,
        "at no charge"
    );
    assert_eq!(world.status().await, "requested");

    sqlx::query("delete from avatar_photos where id = $1")
        .bind(late)
        .execute(world.pool())
        .await
        .unwrap();
    let job = world.job::<BuildArchive>().await;
    assert_eq!(world.jobs.run(job).await.state, JobState::Done);
    assert_eq!(world.status().await, "archived");
    world.job::<SubmitTraining>().await;
}

#[tokio::test]
async fn damaged_photos_are_left_out_and_the_user_is_told_why() {
    let world = World::requested().await;
    let whole = photo(9);
    world.store_photo(&whole[..whole.len() / 2]).await;
    world.store_photo(b"no picture at all").await;
    let world = world.archive().await;
    assert_eq!(
        world.count("select archive_photos::bigint from trainings").await,
        4
    );
    let reasons = world
        .text("select string_agg(reason, ',' order by position) from avatar_photos where status = 'rejected'")
        .await;
    assert_eq!(reasons.as_deref(), Some("damaged,not_an_image"));
    let told = world
        .text("select message::text from notifications where kind = 'progress'")
        .await
        .unwrap();
    assert!(
        told.contains("damaged") && told.contains("not_an_image"),
        "{told}"
    );
}

#[tokio::test]
async fn too_few_usable_photos_fail_the_training_at_once() {
    let world = World::requested().await;
    sqlx::query("delete from avatar_photos where ctid in (select ctid from avatar_photos limit 2)")
        .execute(world.pool())
        .await
        .unwrap();
    let ran = world.jobs.run_one::<BuildArchive>().await.unwrap();
    assert_eq!(
        ran.state,
        JobState::Done,
        "a verdict about the photos is no failure of the job"
    );
    assert_eq!(world.status().await, "failed");
    assert_eq!(world.failure().await.as_deref(), Some("too_few_photos"));
    assert_eq!(
        world.text("select status::text from avatars").await.as_deref(),
        Some("failed"),
        "and may be tried again"
    );
    assert_eq!(world.final_messages().await, 1);
    assert_eq!(world.submits(), 0);
}

#[tokio::test]
async fn a_rebuilt_archive_is_the_same_to_the_byte() {
    let world = World::archived().await;
    let first = world.text("select archive_sha256 from trainings").await;
    sqlx::query("update trainings set status = 'requested'")
        .execute(world.pool())
        .await
        .unwrap();
    world.enqueue_archive().await;
    let world = world.archive().await;
    assert_eq!(world.text("select archive_sha256 from trainings").await, first);
}

#[tokio::test]
async fn an_archive_that_is_gone_from_fal_is_built_again_before_the_submit() {
    let world = World::archived().await;
    sqlx::query("update trainings set archive_url = archive_url || '.gone'")
        .execute(world.pool())
        .await
        .unwrap();
    let world = world.submit().await;
    assert_eq!(world.status().await, "requested");
    assert_eq!(world.submits(), 0);
    let world = world.archive().await.submit().await;
    assert_eq!((world.status().await.as_str(), world.submits()), ("submitted", 1));
}

/// FAL's storage answers this for every archive, whatever it said at the upload.
fn no_archive(status: u16) -> Fault {
    let answer = Effect::Answer {
        status,
        headers: Default::default(),
        body: json!({"detail": "no"}),
    };
    Fault {
        contains: Some(".zip".to_owned()),
        times: 0,
        ..Fault::new(Operation::Download, answer)
    }
}

fn uploads(world: &World) -> usize {
    world
        .fal
        .ledger()
        .iter()
        .filter(|entry| matches!(entry.event, Event::Uploaded { .. }))
        .count()
}

#[tokio::test]
async fn an_archive_that_fal_never_finds_fails_the_training_after_three() {
    for status in [403, 404, 410] {
        let world = World::requested().await;
        world.fal.script(no_archive(status)).unwrap();
        world.jobs.drain_through_time().await;
        assert_eq!(uploads(&world), 3, "{status}");
        assert_eq!(world.failure().await.as_deref(), Some("archive_unreachable"));
        assert_eq!(world.endings_told().await, 1, "{status}");
        assert_eq!(world.submits(), 0, "{status}");
        let why = world.text("select failure_detail from trainings").await.unwrap();
        assert!(why.contains("FAL's storage hides our files"), "{why}");
    }
}

#[tokio::test]
async fn repeated_steps_before_the_submit_do_not_restart_the_deadline() {
    let world = World::archived().await;
    world
        .change("update trainings set archived_at = now() - interval '167 hours', status_since = now() - interval '167 hours'")
        .await;
    let hours = "select round(extract(epoch from now() - status_since) / 3600)::bigint from trainings";
    world
        .fal
        .answers(Operation::Submit, 429, json!({"detail": "busy"}));
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    assert_eq!(
        (world.status().await.as_str(), world.count(hours).await),
        ("archived", 167)
    );

    world
        .fal
        .script(Fault {
            times: 1,
            ..no_archive(404)
        })
        .unwrap();
    world.run::<SubmitTraining>().await;
    assert_eq!(
        (world.status().await.as_str(), world.count(hours).await),
        ("requested", 0),
        "a worker of the version before gives each build saga.prepare_deadline from here"
    );
    world.enqueue(&ReconcileTrainings::default()).await;
    world.run::<ReconcileTrainings>().await;
    assert_eq!(world.status().await, "requested");
    world.run::<BuildArchive>().await;
    assert_eq!(
        (world.status().await.as_str(), world.count(hours).await),
        ("archived", 167)
    );

    world
        .change("update trainings set status = 'requested', status_since = now(), archived_at = now() - interval '169 hours'")
        .await;
    world.enqueue(&ReconcileTrainings::default()).await;
    world.run::<ReconcileTrainings>().await;
    assert_eq!(
        world.failure().await.as_deref(),
        Some("timed_out"),
        "rebuilding is no way round it"
    );
}

#[tokio::test]
async fn an_archive_that_would_not_outlive_fals_queue_is_built_again_before_the_submit() {
    let world = World::archived().await;
    world
        .change("update trainings set archive_expires_at = now() + interval '23 hours'")
        .await;
    let world = world.submit().await;
    assert_eq!((world.status().await.as_str(), world.submits()), ("requested", 0));
    let world = world.archive().await.submit().await;
    assert_eq!((world.status().await.as_str(), world.submits()), ("submitted", 1));
}

#[tokio::test]
async fn an_account_whose_storage_hides_files_trains_all_the_same() {
    for acl in [Acl::Hide, Acl::Forbid] {
        let world = World::requested().await;
        world.fal.set_initial_acl(acl);
        world.jobs.drain_through_time().await;
        assert_eq!(world.status().await, "completed", "{acl:?}");
        assert_eq!(uploads(&world), 1, "{acl:?}");
    }
}

#[tokio::test]
async fn an_archive_in_our_own_store_is_fetched_by_fal_through_its_presigned_url() {
    let world = World::with(|services| {
        Arc::make_mut(&mut services.settings).archive_delivery = ArchiveDelivery::Presigned;
    })
    .await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.status().await, "completed");
    assert_eq!(
        (world.submits(), uploads(&world)),
        (1, 0),
        "nothing was uploaded to FAL"
    );
    let checked = world
        .fal
        .ledger()
        .into_iter()
        .find_map(|entry| match entry.event {
            Event::ArchiveChecked { url, facts, .. } => Some((url, facts)),
            _ => None,
        });
    let (url, facts) = checked.expect("FAL fetched the archive");
    assert!(url.contains("X-Amz-Signature"), "{url}");
    assert_eq!(facts.map(|facts| facts.images), Some(4));
}

#[tokio::test]
async fn an_archive_that_our_own_store_does_not_hand_out_fails_the_training_after_three() {
    let world = World::with(|services| {
        Arc::make_mut(&mut services.settings).archive_delivery = ArchiveDelivery::Presigned;
    })
    .await;
    for _ in 0..3 {
        world.run::<BuildArchive>().await;
        // The signed URL has expired.
        world
            .change("update trainings set archive_url = regexp_replace(archive_url, 'X-Amz-Date=2', 'X-Amz-Date=1')")
            .await;
        world.run::<SubmitTraining>().await;
    }
    assert_eq!(world.failure().await.as_deref(), Some("archive_unreachable"));
    let why = world.text("select failure_detail from trainings").await.unwrap();
    assert!(why.contains("s3.public_endpoint"), "{why}");
    assert_eq!(world.submits(), 0);
}

/// Half an object, or one with a flipped bit, does not mean that the photo is bad.
#[tokio::test]
async fn a_photo_that_the_store_spoiled_is_tried_again_and_not_blamed() {
    let (db, s3) = (Db::new().await, S3::new().await);
    let proxy = S3Proxy::before(&s3).await;
    let world = World::on(db, s3, |services| services.objects = proxy.bucket()).await;
    let job = world.job::<BuildArchive>().await;
    for mode in [Tamper::CutGets, Tamper::FlipGets] {
        proxy.tamper(mode);
        let ran = world.jobs.run(job).await;
        assert_eq!(ran.state, JobState::Scheduled, "{mode:?}");
        assert_eq!(world.status().await, "requested");
        let refused = "select count(*) from avatar_photos where status <> 'stored'";
        assert_eq!(world.count(refused).await, 0, "{mode:?}: no photo is blamed");
    }
    let why = "select count(*) from job_attempts where error like '%is not what was put%'";
    assert_eq!(world.count(why).await, 2);
    proxy.tamper(Tamper::Nothing);
    assert_eq!(world.jobs.run(job).await.state, JobState::Done);
    assert_eq!(
        world.count("select archive_photos::bigint from trainings").await,
        4
    );
}

/// Rows that are older than these columns are read as before.
#[tokio::test]
async fn an_original_of_which_nothing_was_noted_is_taken_as_it_is() {
    let world = World::requested().await;
    world
        .change("update avatar_photos set sha256 = null, bytes = null")
        .await;
    let world = world.archive().await;
    assert_eq!(
        world.count("select archive_photos::bigint from trainings").await,
        4
    );
}

/// A worker without a temporary directory behaves like one with a full disk: it reports the error, and the job waits
/// for it or for another worker.
#[tokio::test]
async fn a_disk_that_cannot_be_written_costs_no_attempt() {
    let world = World::requested().await;
    let gone = tempfile::tempdir().unwrap().path().join("gone");
    let launch = aisha(["worker", "--queues", "media", "--health-listen", "127.0.0.1:0"])
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", world.db.url())
        .env("TELEGRAM_BOT_TOKEN", BOT_TOKEN)
        .env("TMPDIR", &gone)
        .envs(world.s3.env());
    let mut worker = launch.start();
    let line = worker.line("Health is served on ").await;
    let address = line
        .rsplit("Health is served on ")
        .next()
        .unwrap()
        .trim()
        .to_owned();
    let problem = eventually("the worker to say that it is not ready", async || {
        let answer = reqwest::get(format!("http://{address}/readyz")).await.ok()?;
        let unready = answer.status() == reqwest::StatusCode::SERVICE_UNAVAILABLE;
        let body = answer.text().await.ok()?;
        (unready && body.contains("temporary directory: it cannot be written")).then_some(body)
    })
    .await;
    assert!(problem.contains("TMPDIR"), "{problem}");
    let (attempt, why) = eventually("the job to be put off", async || {
        let put_off = "select attempt::bigint, error from jobs where kind = 'build_archive' and snoozes > 0";
        let row: Option<(i64, String)> = sqlx::query_as(put_off)
            .fetch_optional(world.pool())
            .await
            .unwrap();
        row
    })
    .await;
    assert_eq!(attempt, 0, "at no charge");
    assert!(
        why.contains("temporary file could not be written: ") && why.contains("No such file or directory"),
        "{why}"
    );
    worker.terminate();
    worker.finish().await;
}
