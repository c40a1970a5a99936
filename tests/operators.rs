//! What the verbs print when there is nothing to show, when they fail, and when they cannot do what was asked.

use jobs::BuildArchive;
use serde_json::Value;

use crate::saga::world::World;
use crate::support::{ClosedPort, Db, aisha};

/// Logs JSON, as in production.
async fn verb(url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    aisha(arguments).env("DATABASE_URL", url).start().finish().await
}

async fn done(url: &str, arguments: &[&str]) -> String {
    let (code, output) = verb(url, arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {output}");
    output
}

#[tokio::test]
async fn a_verb_says_in_plain_words_why_it_failed() {
    let db = Db::new().await;
    let cases = [
        (&["jobs", "show", "999999"][..], "there is no job 999999"),
        (&["dlq", "retry"], "say which: an id"),
        (&["dlq", "retry", "999999"], "there is no job 999999"),
        (&["webhooks", "show", "17"], "there is no delivery 17"),
    ];
    for (arguments, says) in cases {
        let (code, output) = verb(db.url(), arguments).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.starts_with(says), "{arguments:?}: {output}");
    }
    for arguments in [
        &["avatars", "status", "no-id"][..],
        &["webhooks", "list", "--training", "17"],
    ] {
        let (code, output) = verb(db.url(), arguments).await;
        assert_eq!(code, Some(2), "{output}");
        assert!(output.contains("an id looks like 0192"), "{output}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_told_with_its_own_cause() {
    let db = Db::new().await;
    let closed = ClosedPort::new();
    let refused = format!("postgres://aisha@{}/aisha", closed.address());
    let nobody = db.url().replace("aisha@", "nobodyx@");
    let (_, server) = db.url().split_once('?').unwrap();
    let nowhere = format!("postgres://aisha@localhost/nowhere?{server}");
    let cases = [
        (&refused, "Connection refused", "that the server runs"),
        (
            &nobody,
            "role \"nobodyx\" does not exist",
            "It runs: check the user",
        ),
        (
            &nowhere,
            "database \"nowhere\" does not exist",
            "It runs: check the user",
        ),
    ];
    for (url, cause, fix) in cases {
        for arguments in [
            &["queues", "list"][..],
            &["dlq", "list"],
            &["migrate", "--check"],
            &["jobs", "list", "--json"],
        ] {
            let (code, output) = verb(url, arguments).await;
            assert_eq!(code, Some(69), "{output}");
            assert!(output.contains(cause) && output.contains(fix), "{output}");
            let misleading = ["timed out", "at line", "{"];
            assert!(misleading.iter().all(|part| !output.contains(part)), "{output}");
        }
    }
}

#[tokio::test]
async fn an_empty_answer_says_what_was_looked_for() {
    let world = World::requested().await;
    let url = world.db.url();
    let none = done(url, &["dlq", "list"]).await;
    assert_eq!(none, "no dead letters. There are none at all.");
    kill_the_archive(&world).await;
    for verb in [
        &["dlq", "list"][..],
        &["dlq", "retry", "--dry-run"],
        &["dlq", "drop", "--dry-run"],
    ] {
        let typo = done(url, &[verb, &["--reason", "nope"]].concat()).await;
        assert!(
            typo.starts_with("no dead letters with reason \"nope\"")
                && typo.contains("There are reasons object_missing of kinds build_archive."),
            "{typo}"
        );
    }
    let typo = done(url, &["jobs", "list", "--kind", "nope", "--state", "done"]).await;
    assert!(
        typo.starts_with("no jobs in state done, of kind \"nope\".") && typo.contains("build_archive"),
        "{typo}"
    );
    let log = done(url, &["queues", "log", "--queue", "fal"]).await;
    assert_eq!(log, "nobody has paused, resumed or limited queue fal yet");
    let deliveries = done(url, &["webhooks", "list", "--verdict", "kept"]).await;
    assert_eq!(deliveries, "no deliveries with verdict kept");
    for verb in [
        &["jobs", "list", "--kind", "nope"][..],
        &["queues", "log"],
        &["webhooks", "list"],
    ] {
        assert_eq!(done(url, &[verb, &["--json"]].concat()).await, "[]");
    }
}

/// Makes the job dead: its photos are missing.
async fn kill_the_archive(world: &World) {
    world
        .change(
            "update jobs set state = 'dead', attempt = 20, finished_at = now(), error_code = 'object_missing', \
             error = 'a photo is missing' where kind = 'build_archive' and state = 'ready'",
        )
        .await;
}

#[tokio::test]
async fn dlq_retry_says_what_a_retry_can_still_do() {
    let world = World::requested().await;
    let url = world.db.url();
    let job = world.job::<BuildArchive>().await;
    kill_the_archive(&world).await;
    let retry = ["dlq", "retry", "--reason", "object_missing", "--dry-run"];
    let useful = done(url, &retry).await;
    assert!(
        useful.contains("1 of 1 would be ready") && !useful.contains("nothing to do"),
        "{useful}"
    );
    world.cancel().await;
    let training = world.training;
    let futile = done(url, &retry).await;
    assert!(
        futile.contains(&format!(
            "{}  build_archive  would be ready, and will find nothing to do: training {training} is cancelled",
            job.0
        )),
        "{futile}"
    );
    assert!(futile.contains("1 of them will find nothing to do"), "{futile}");
    let said = done(url, &[&retry[..], &["--json"]].concat()).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said[0]["training_ended"]["status"], "cancelled");
}

#[tokio::test]
async fn jobs_are_listed_under_a_header_with_what_their_time_means() {
    let world = World::requested().await;
    let url = world.db.url();
    let listed = done(url, &["jobs", "list"]).await;
    let mut lines = listed.lines();
    assert_eq!(lines.next(), Some("job  state  queue  kind  attempt  when"));
    let line = lines.next().unwrap();
    assert!(
        line.contains("attempt 0 of 20  ready since 20") && line.ends_with('Z'),
        "{line}"
    );
    kill_the_archive(&world).await;
    let dead = done(url, &["jobs", "list", "--state", "dead"]).await;
    assert!(dead.contains("attempt 20 of 20  ended at 20"), "{dead}");
}

#[tokio::test]
async fn a_queue_that_needs_no_change_is_told_what_it_is() {
    let db = Db::new().await;
    let url = db.url();
    assert_eq!(
        done(url, &["queues", "resume", "fal"]).await,
        "fal is not paused, nothing changed"
    );
    done(url, &["queues", "pause", "fal", "--because", "a test"]).await;
    assert_eq!(
        done(url, &["queues", "pause", "fal"]).await,
        "fal is paused already, nothing changed"
    );
    assert_eq!(
        done(url, &["queues", "limit", "media", "--running", "1"]).await,
        "media runs at once at most 1 job in all, and any number of jobs of one user; 0 run now"
    );
    assert_eq!(
        done(url, &["queues", "limit", "media", "--running", "1"]).await,
        "media has these limits already, nothing changed"
    );
}
