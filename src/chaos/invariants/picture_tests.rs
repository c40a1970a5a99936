//! Tests of the invariants of pictures and deletions on made-up evidence, as in `tests.rs`.

use chrono::TimeDelta;
use jobs::domain::{Action, AlbumId};
use uuid::Uuid;

use super::{
    tests::{CHAT, broken, ended, in_order, ledger, submitted},
    *,
};
use crate::{
    chaos::{
        evidence::{
            AlbumRecord, AttemptRow, Deletion, GenerationRecord, JobRecord, PictureRow, SentPicture,
            ShownPicture,
        },
        face,
        site::RESUBMIT_AFTER,
    },
    simulators::fal::ledger::Event,
};

const TOKEN: &str = "ffeeddccbbaa99887766554433221100";
const OTHER: &str = "0f0e0d0c0b0a09080706050403020100";
const FILE: &str = "f11e";

fn asked(request: Uuid, token: &str) -> Event {
    let Event::Submitted { input, key, sync, .. } = submitted(request) else {
        unreachable!("it is a submit")
    };
    Event::Submitted {
        request_id: request,
        endpoint: "fal-ai/flux-lora".to_owned(),
        input,
        webhook: Some(format!("http://127.0.0.1/?token={token}")),
        key,
        sync,
    }
}

fn drawn(request: Uuid, trigger: &str) -> Event {
    Event::Drawn {
        request_id: request,
        trigger: Some(trigger.to_owned()),
        pictures: Vec::new(),
    }
}

/// Evidence of one training and one album of one picture that went well.
fn with_album() -> (Evidence, Uuid) {
    let (mut evidence, training) = in_order();
    let request = Uuid::new_v4();
    let (album, generation) = (Uuid::new_v4(), Uuid::new_v4());
    evidence.fal = ledger([
        submitted(training),
        ended(training, 200),
        asked(request, TOKEN),
        drawn(request, "TOK_1"),
        ended(request, 200),
    ]);
    evidence.attempts.push(AttemptRow {
        order_id: generation,
        is_for_pictures: true,
        token: TOKEN.to_owned(),
        created_at: crate::chaos::now(),
    });
    evidence.albums.push(AlbumRecord {
        id: album,
        chat_id: CHAT,
        origin: "user".to_owned(),
        status: "ready".to_owned(),
        is_deleted: false,
        live: 0,
        pictures: 1,
        pictures_twice: 0,
        end_twice: 0,
    });
    evidence.generations.push(GenerationRecord {
        id: generation,
        album_id: album,
        chat_id: CHAT,
        status: "completed".to_owned(),
        failure_code: None,
        request_id: Some(request.to_string()),
        trigger_phrase: Some("TOK_1".to_owned()),
    });
    evidence.pictures.push(PictureRow {
        album_id: album,
        chat_id: CHAT,
        storage_key: "u/a/p.jpg".to_owned(),
        bytes: 9,
        sha256: FILE.to_owned(),
        is_gone: false,
    });
    evidence
        .objects
        .insert("u/a/p.jpg".to_owned(), (9, FILE.to_owned()));
    evidence.sent = vec![pictures_message(), end_message(album)];
    evidence.shown = vec![ShownPicture {
        chat_id: CHAT,
        sha256: FILE.to_owned(),
        face: Some(face::of(CHAT)),
    }];
    (evidence, request)
}

fn pictures_message() -> SentPicture {
    SentPicture::Pictures {
        chat_id: CHAT,
        files: vec![FILE.to_owned()],
    }
}

fn end_message(album: Uuid) -> SentPicture {
    SentPicture::End {
        chat_id: CHAT,
        buttons: format!(
            r#"[[{{"callback_data":"{}"}}]]"#,
            Action::MoreLikeThis(AlbumId(album))
        ),
    }
}

fn found_in(change: impl FnOnce(&mut Evidence, Uuid)) -> Vec<&'static str> {
    let (mut evidence, request) = with_album();
    change(&mut evidence, request);
    broken(&evidence, &Deeds::default())
}

#[test]
fn an_album_in_order_breaks_nothing() {
    assert!(found_in(|_, _| {}).is_empty());
}

#[test]
fn i1_and_i5_find_an_album_without_an_end() {
    let live = found_in(|books, _| {
        books.generations[0].status = "submitted".to_owned();
        books.albums[0].status = "making".to_owned();
        books.albums[0].live = 1;
        books.sent.clear();
    });
    assert_eq!(live, ["I1"]);
    let forgotten = found_in(|books, _| {
        books.albums[0].status = "making".to_owned();
        books.sent.clear();
    });
    assert_eq!(forgotten, ["I5"]);
}

#[test]
fn i2_lets_pictures_be_asked_for_once_more_and_not_too_soon() {
    let again_after = |wait: TimeDelta, times: usize| {
        found_in(|books, request| {
            let first = books.attempts[1].clone();
            for nth in 1..=times {
                books.attempts.push(AttemptRow {
                    token: format!("{nth}{OTHER}"),
                    created_at: first.created_at + wait,
                    ..first.clone()
                });
                let another = asked(Uuid::new_v4(), &format!("{nth}{OTHER}"));
                books.fal.extend(ledger([another]));
            }
            assert!(books.generations[0].request_id == Some(request.to_string()));
        })
    };
    let wait = TimeDelta::from_std(RESUBMIT_AFTER).unwrap();
    assert!(again_after(wait, 1).is_empty());
    assert_eq!(again_after(wait - TimeDelta::seconds(1), 1), ["I2"]);
    assert_eq!(again_after(wait, 2), ["I2"], "once more, not twice");
}

#[test]
fn i3_finds_another_users_picture_and_another_users_face() {
    let anothers = found_in(|books, _| books.shown[0].chat_id = CHAT + 1);
    assert_eq!(anothers, ["I3"]);
    assert_eq!(found_in(|books, _| books.shown[0].face = None), ["I3"]);
    assert_eq!(
        found_in(|books, _| books.shown[0].face = Some(face::of(CHAT + 1))),
        ["I3"]
    );
    assert_eq!(
        found_in(|books, _| books.shown[0].sha256 = "0".to_owned()),
        ["I3"]
    );
    let model = found_in(|books, request| {
        books.fal[3].event = drawn(request, "TOK_2");
    });
    assert_eq!(model, ["I3"]);
    let failed = found_in(|books, request| books.fal[4].event = ended(request, 500));
    assert_eq!(failed, ["I3"]);
}

#[test]
fn i4_finds_an_album_that_was_not_told_or_told_twice() {
    assert_eq!(found_in(|books, _| drop(books.sent.remove(0))), ["I4"]);
    assert_eq!(found_in(|books, _| drop(books.sent.remove(1))), ["I4"]);
    let deleted = found_in(|books, _| {
        books.albums[0].is_deleted = true;
        books.sent.clear();
    });
    assert!(deleted.is_empty(), "nobody need be told");
    assert_eq!(found_in(|books, _| books.sent.push(pictures_message())), ["I4"]);
    let ended_twice = |counted: i64| {
        found_in(|books, _| {
            books.albums[0].end_twice = counted;
            let album = books.albums[0].id;
            books.sent.push(end_message(album));
        })
    };
    assert_eq!(ended_twice(0), ["I4"]);
    assert!(ended_twice(1).is_empty());
    let counted = found_in(|books, _| {
        books.albums[0].pictures_twice = 1;
        books.sent.push(pictures_message());
    });
    assert!(counted.is_empty());
}

#[test]
fn i6_finds_a_picture_that_is_not_in_the_bucket_and_an_album_without_any() {
    assert_eq!(
        found_in(|books, _| drop(books.objects.remove("u/a/p.jpg"))),
        ["I6"]
    );
    assert_eq!(found_in(|books, _| books.pictures[0].bytes = 8), ["I6"]);
    let gone = found_in(|books, _| {
        books.pictures[0].is_gone = true;
        books.objects.remove("u/a/p.jpg");
    });
    assert!(gone.is_empty());
    assert_eq!(found_in(|books, _| books.albums[0].pictures = 0), ["I6"]);
}

#[test]
fn i7_explains_pictures_by_their_own_faults_only() {
    let job = |kind: &str, code: &str| JobRecord {
        id: 1,
        kind: kind.to_owned(),
        state: "dead".to_owned(),
        attempt: 1,
        error_code: Some(code.to_owned()),
        error: None,
    };
    let deeds = Deeds {
        unwinnable: Unwinnable {
            refused: 1,
            pictureless: 1,
            spoilt: 0,
        },
        ..Deeds::default()
    };
    let with = |jobs: Vec<JobRecord>| {
        let (mut evidence, _) = with_album();
        evidence.dead_jobs = jobs;
        broken(&evidence, &deeds)
    };
    let (refused, spoilt) = (
        job("generate_images", "fal_refused"),
        job("store_pictures", "no_picture"),
    );
    assert!(with(vec![refused.clone(), spoilt.clone()]).is_empty());
    let trained = job("submit_training", "fal_refused");
    assert_eq!(
        with(vec![refused, trained]),
        ["I7"],
        "one refusal, two dead letters"
    );
    assert_eq!(with(vec![spoilt.clone(), spoilt]), ["I7"]);
    assert_eq!(with(vec![job("generate_images", "model_gone")]), ["I7"]);
}

#[test]
fn i10_finds_what_is_left_of_a_user_who_left() {
    let with = |change: fn(&mut Deletion)| {
        let (mut evidence, request) = with_album();
        evidence.fal.extend(ledger([Event::Erased {
            request_id: request,
            files: 1,
        }]));
        let mut deletion = Deletion {
            chat_id: CHAT,
            is_of_user: true,
            is_done: true,
            requests: vec![request.to_string()],
            receipts: 1,
            ..Deletion::default()
        };
        change(&mut deletion);
        evidence.deletions.push(deletion);
        broken(&evidence, &Deeds::default())
    };
    assert!(with(|_| {}).is_empty());
    assert_eq!(with(|left| left.mentions.push("jobs: u".to_owned())), ["I10"]);
    assert_eq!(with(|left| left.objects.push("u/a/1.jpg".to_owned())), ["I10"]);
    assert_eq!(
        with(|left| left.requests.push(Uuid::new_v4().to_string())),
        ["I10"]
    );
    assert_eq!(with(|left| left.receipts = 0), ["I10"]);
    assert_eq!(with(|left| left.is_done = false), ["I1"]);
    let waits = with(|left| {
        left.is_done = false;
        left.waits_for_fal = true;
    });
    assert!(waits.is_empty());
}
