//! I1, I3, I4, I5 and I6 of pictures: each album ends and is told once, and nobody gets another user's picture.

use std::collections::{BTreeMap, BTreeSet};

use jobs::domain::{Action, AlbumId};
use uuid::Uuid;

use super::{Evidence, Violation};
use crate::{
    chaos::{
        evidence::{AlbumRecord, SentPicture, ended_well},
        face,
    },
    simulators::fal::ledger::Event,
};

const FINAL: [&str; 3] = ["completed", "failed", "cancelled"];

/// I1 and I5: each request for pictures ends, and then its album.
pub(super) fn albums_end(evidence: &Evidence) -> Vec<Violation> {
    let live = evidence.generations.iter();
    let live = live.filter(|generation| !FINAL.contains(&generation.status.as_str()));
    let live = live.map(|generation| {
        let what = format!("the pictures {} are still {}", generation.id, generation.status);
        Violation::new("I1", what)
    });
    let making = evidence.albums.iter().filter(|album| album.status == "making");
    let making = making.map(|album| {
        if album.live > 0 {
            Violation::new("I1", format!("album {} is still being made", album.id))
        } else {
            let what = format!("album {} waits, though nothing of it is being made", album.id);
            Violation::new("I5", what)
        }
    });
    live.chain(making).collect()
}

/// I4: the pictures of an album are sent in one message, and one message below them says how it ended. Each comes twice only
/// if that is counted. The first pictures of an avatar have no such message: that of their training speaks for them.
pub(super) fn albums_are_told_once(evidence: &Evidence) -> Vec<Violation> {
    let by_file: BTreeMap<&str, Uuid> = evidence
        .pictures
        .iter()
        .map(|picture| (picture.sha256.as_str(), picture.album_id))
        .collect();
    let mut came: BTreeMap<Uuid, i64> = BTreeMap::new();
    for sent in &evidence.sent {
        if let SentPicture::Pictures { files, .. } = sent {
            let albums: BTreeSet<Uuid> = files
                .iter()
                .filter_map(|file| by_file.get(file.as_str()).copied())
                .collect();
            for album in albums {
                *came.entry(album).or_default() += 1;
            }
        }
    }
    let mut found = Vec::new();
    for album in &evidence.albums {
        let pictures = came.get(&album.id).copied().unwrap_or_default();
        let expected = i64::from(album.status == "ready");
        let came = judge(pictures, expected, album.pictures_twice, album);
        found.extend(came.map(|what| format!("the pictures of album {} came {what}", album.id)));
        if album.origin == "user" {
            let ends = ends_of(evidence, album);
            let expected = i64::from(album.status != "making");
            let told = judge(ends, expected, album.end_twice, album);
            found.extend(told.map(|what| format!("the end of album {} was told {what}", album.id)));
        }
    }
    found.into_iter().map(|what| Violation::new("I4", what)).collect()
}

fn judge(times: i64, expected: i64, counted_twice: i64, album: &AlbumRecord) -> Option<String> {
    let least = if album.is_deleted { 0 } else { expected };
    (times < least || times > expected + counted_twice).then(|| {
        format!(
            "{times} times, not {expected} (album {}, {counted_twice} counted as perhaps twice)",
            album.status
        )
    })
}

/// Each end of an album has a button for another like it.
fn ends_of(evidence: &Evidence, album: &AlbumRecord) -> i64 {
    let button = Action::MoreLikeThis(AlbumId(album.id)).to_string();
    let ends = evidence.sent.iter().filter(|sent| match sent {
        SentPicture::End { chat_id, buttons } => *chat_id == album.chat_id && buttons.contains(&button),
        SentPicture::Pictures { .. } => false,
    });
    i64::try_from(ends.count()).unwrap_or(i64::MAX)
}

/// I3: pictures are the result of their own request, drawn with their own avatar's model; and every picture in a chat is one
/// of that user, with that user's face.
pub(super) fn pictures_are_their_own(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    let well: BTreeSet<String> = evidence.fal.iter().filter_map(ended_well).collect();
    let drawn: BTreeMap<String, Option<&str>> = evidence
        .fal
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Drawn {
                request_id, trigger, ..
            } => Some((request_id.to_string(), trigger.as_deref())),
            _ => None,
        })
        .collect();
    for generation in evidence
        .generations
        .iter()
        .filter(|one| one.status == "completed")
    {
        let request = generation.request_id.as_deref().unwrap_or_default();
        if !well.contains(request) {
            found.push(format!(
                "the pictures {} are from request {request:?}, which FAL did not end well",
                generation.id
            ));
        }
        match drawn.get(request) {
            Some(Some(trigger)) if generation.trigger_phrase.as_deref() == Some(*trigger) => {}
            other => found.push(format!(
                "the pictures {} are of {:?}, and were drawn with the model of {other:?}",
                generation.id, generation.trigger_phrase
            )),
        }
    }
    let mut owners: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for picture in &evidence.pictures {
        owners.entry(&picture.sha256).or_default().insert(picture.chat_id);
    }
    for shown in &evidence.shown {
        let chat = shown.chat_id;
        match owners.get(shown.sha256.as_str()) {
            Some(of) if of.contains(&chat) => {}
            other => found.push(format!("chat {chat} shows a picture of {other:?}")),
        }
        if shown.face != Some(face::of(chat)) {
            let own = face::of(chat);
            found.push(format!(
                "chat {chat} shows the face {:?}, its own is {own}",
                shown.face
            ));
        }
    }
    found.into_iter().map(|what| Violation::new("I3", what)).collect()
}

/// I6: each picture that has a row is in the bucket, with the size and hash that were recorded; an album is ready if it has
/// pictures, and only then.
pub(super) fn stored_means_there(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    for picture in evidence.pictures.iter().filter(|picture| !picture.is_gone) {
        let recorded = (
            u64::try_from(picture.bytes).unwrap_or_default(),
            picture.sha256.clone(),
        );
        if evidence.objects.get(&picture.storage_key) != Some(&recorded) {
            found.push(format!(
                "the picture {} is not in the bucket as it was recorded",
                picture.storage_key
            ));
        }
    }
    for album in evidence.albums.iter().filter(|album| album.status != "making") {
        if (album.status == "ready") != (album.pictures > 0) {
            found.push(format!(
                "album {} is {} with {} pictures",
                album.id, album.status, album.pictures
            ));
        }
    }
    found.into_iter().map(|what| Violation::new("I6", what)).collect()
}
