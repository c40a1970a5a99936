//! `notify_user`.

use aisha::simulators::telegram::{Fault, FaultAction};
use jobs::NotifyUser;

use super::stock::{Contract, Lived};
use crate::notify_user::{effects, heard, say};
use crate::support::Chat;

impl Contract for NotifyUser {
    type Stage = Chat;

    async fn arrange() -> Chat {
        let chat = Chat::new().await;
        say(&chat, &chat.person, "Lisa").await;
        chat
    }

    /// Telegram has no keys that make a send repeatable: after a death it may come twice, which is counted.
    async fn assert_done(chat: &Chat, lived: Lived) {
        let sent = effects(chat, "sendMessage");
        let counted: i32 = chat.look("select possible_duplicates from notifications").await;
        match (sent, counted, lived) {
            (1, ..) | (2, 1, Lived::AfterDeathAt(_)) => {}
            _ => panic!("{sent} sends, of which {counted} are known as repeats: {lived}"),
        }
        assert!(
            heard(chat, &chat.person)
                .iter()
                .all(|text| text == "✅ Lisa: the avatar is ready.")
        );
        let outcome: Option<String> = chat.look("select outcome from notifications").await;
        assert_eq!(outcome.as_deref(), Some("delivered"), "{lived}");
    }

    async fn break_it(chat: &Chat) {
        let lost = Fault::on("sendMessage", FaultAction::Drop).containing("Lisa");
        chat.telegram.control().inject(lost.times(None));
    }

    /// The chat's next message can be sent.
    async fn mend_it(chat: &Chat) {
        say(chat, &chat.person, "Max").await;
    }

    async fn assert_given_up(chat: &Chat) {
        let first = "select outcome from notifications order by seq limit 1";
        assert_eq!(chat.look::<String>(first).await, "undeliverable");
        assert_eq!(heard(chat, &chat.person), ["✅ Max: the avatar is ready."]);
    }
}
