//! `store_photo` and `inspect_photo`.

use aisha::simulators::telegram::{Fault, FaultAction, Known};
use jobs::queue::JobState;
use jobs::{InspectPhoto, StorePhoto};

use super::stock::{Contract, Lived};
use crate::inspect_photo::no_face;
use crate::store_photo::{counter, draft, portrait, send};
use crate::support::Chat;

impl Contract for StorePhoto {
    type Stage = Chat;

    async fn arrange() -> Chat {
        let chat = Chat::new().await;
        draft(&chat, &chat.person).await;
        send(&chat, &chat.person, &portrait(0)).await;
        chat
    }

    async fn assert_done(chat: &Chat, lived: Lived) {
        let key: Option<String> = chat.look("select storage_key from avatar_photos").await;
        let key = key.unwrap_or_else(|| panic!("not stored: {lived}"));
        assert_eq!(chat.s3.get(&key).unwrap(), portrait(0), "{lived}");
        assert!(
            counter(chat, &chat.person).contains("1 photo loaded"),
            "the counter is behind: {lived}"
        );
    }

    async fn break_it(chat: &Chat) {
        let error = Known::FileIsUnavailable;
        let gone = Fault::on("getFile", FaultAction::Refuse { error });
        chat.telegram.control().inject(gone.times(None));
    }

    async fn assert_given_up(chat: &Chat) {
        let reason: String = chat.look("select reason from avatar_photos").await;
        assert_eq!(reason, "unavailable");
        let counter = counter(chat, &chat.person);
        assert!(
            counter.contains("photo 1 — Telegram does not hand out this file"),
            "{counter}"
        );
    }
}

impl Contract for InspectPhoto {
    type Stage = Chat;

    async fn arrange() -> Chat {
        let chat = Chat::new().await;
        draft(&chat, &chat.person).await;
        let storing = send(&chat, &chat.person, &no_face()).await;
        assert_eq!(chat.jobs.run(storing).await.state, JobState::Done);
        chat
    }

    async fn assert_done(chat: &Chat, lived: Lived) {
        let faces: Option<i16> = chat.look("select faces from avatar_photos").await;
        assert_eq!(faces, Some(0), "{lived}");
        let counter = counter(chat, &chat.person);
        assert!(
            counter.contains("1 photo loaded") && counter.contains("photo 1: no face is seen"),
            "{lived}: {counter}"
        );
    }

    async fn break_it(chat: &Chat) {
        chat.s3.remove_bucket();
    }

    async fn assert_given_up(chat: &Chat) {
        let status: String = chat.look("select status::text from avatar_photos").await;
        assert_eq!(status, "stored", "it counts without hints");
        let counter = counter(chat, &chat.person);
        assert!(
            counter.contains("1 photo loaded") && !counter.contains("no face"),
            "{counter}"
        );
    }
}
