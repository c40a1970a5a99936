//! A real worker, killed by SIGKILL between Telegram's effect and our record of the effect.

use aisha::simulators::telegram::{Fault, FaultAction, HoldPoint, SimUser};
use jobs::StorePhoto;
use jobs::producer::Place;

use super::{attempts, heard, say};
use crate::support::{Aisha, Core, PATIENCE, aisha, eventually};

fn worker(core: &Core) -> Aisha {
    aisha(["worker", "--queues", "notify", "--health-listen", "127.0.0.1:0"])
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", core.db.url())
        .env("AVATAR_TEST_MODE", "true")
        .envs(core.telegram.env())
        .envs(core.s3.env())
        .start()
}

/// Lets a worker run until its call is held, and kills it there.
async fn killed_in_a_call(core: &Core) {
    let mut victim = worker(core);
    let held = core.telegram.control().wait_held(1, PATIENCE).await;
    held.expect("the call is on its way");
    // A call that is held before its effect has none once its caller is gone.
    victim.kill();
}

async fn all_is_delivered(core: &Core) {
    eventually("the outbox to be delivered", async || {
        let open: i64 = core
            .look("select count(*) from notifications where delivered_revision < revision")
            .await;
        (open == 0).then_some(())
    })
    .await;
}

fn hold(method: &str, when: HoldPoint) -> Fault {
    Fault::on(method, FaultAction::Hold { when })
}

/// The value of a counter whose only label is the role.
async fn counted(worker: &Aisha, counter: &str) -> Option<String> {
    let line = worker.line("Health is served on ").await;
    let address = line
        .rsplit("Health is served on ")
        .next()
        .unwrap()
        .trim()
        .to_owned();
    let url = format!("http://{address}/metrics");
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with(counter))?;
    line.rsplit(' ').next().map(str::to_owned)
}

#[tokio::test]
async fn a_worker_killed_after_telegrams_effect_sends_again_and_the_repeat_is_counted() {
    let core = Core::new().await;
    let ann = core.person();
    core.telegram
        .control()
        .inject(hold("sendMessage", HoldPoint::After));
    say(&core, &ann, "Lisa").await;
    killed_in_a_call(&core).await;
    let successor = worker(&core);
    all_is_delivered(&core).await;
    assert_eq!(heard(&core, &ann).len(), 2, "at least once");
    let repeats: i32 = core.look("select possible_duplicates from notifications").await;
    assert_eq!(repeats, 1);
    let metric = counted(&successor, "aisha_possible_duplicate_messages_total").await;
    assert_eq!(metric.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_worker_killed_before_telegrams_effect_loses_nothing() {
    let core = Core::new().await;
    let ann = core.person();
    core.telegram
        .control()
        .inject(hold("sendMessage", HoldPoint::Before));
    say(&core, &ann, "Lisa").await;
    killed_in_a_call(&core).await;
    let successor = worker(&core);
    all_is_delivered(&core).await;
    assert_eq!(heard(&core, &ann), ["✅ Lisa: the avatar is ready."]);
    drop(successor);
}

/// Sends this person's photo counter. Returns its message id at Telegram.
async fn counter(core: &Core, ann: &SimUser) -> i64 {
    core.draft_of(ann).await;
    let mut turn = core.turn_of(ann).await;
    let draft = turn.draft().await.unwrap().unwrap();
    turn.show_photos(&draft, Place::New).await.unwrap();
    turn.finish().await.unwrap();
    core.jobs.drain().await;
    core.look("select message_id from notifications").await
}

#[tokio::test]
async fn a_worker_killed_in_an_edit_edits_the_same_message_after_its_restart() {
    for when in [HoldPoint::Before, HoldPoint::After] {
        let core = Core::new().await;
        core.leaves::<StorePhoto>();
        let ann = core.person();
        let message_id = counter(&core, &ann).await;
        core.telegram.control().inject(hold("editMessageText", when));
        let mut turn = core.turn_of(&ann).await;
        let draft = turn.draft().await.unwrap().unwrap();
        turn.add_photo(&draft, "1", "1").await.unwrap();
        turn.finish().await.unwrap();
        killed_in_a_call(&core).await;
        let successor = worker(&core);
        all_is_delivered(&core).await;
        let heard = heard(&core, &ann);
        assert_eq!(heard.len(), 1, "{when:?}: {heard:?}");
        assert!(heard[0].contains("1 more loading"), "{when:?}: {heard:?}");
        assert_eq!(
            core.look::<i64>("select message_id from notifications").await,
            message_id
        );
        assert_eq!(
            (attempts(&core, "sendMessage"), attempts(&core, "editMessageText")),
            (1, 2),
            "{when:?}"
        );
        assert_eq!(
            core.look::<i32>("select possible_duplicates from notifications")
                .await,
            0,
            "an edit that is repeated is no duplicate"
        );
        drop(successor);
    }
}
