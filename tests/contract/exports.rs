//! The copy of a user's data: it arrives, and a part that arrived is not sent again.

use jobs::ExportData;

use super::stock::{Contract, Lived};
use crate::leaving::{WithPhoto, documents};

impl Contract for ExportData {
    type Stage = WithPhoto;

    async fn arrange() -> WithPhoto {
        let stage = WithPhoto::new().await;
        stage.ask_for_data().await;
        stage
    }

    async fn assert_done(stage: &WithPhoto, lived: Lived) {
        let finished = "select count(*) from exports where finished_at is not null and parts_sent = 1";
        assert_eq!(stage.count(finished).await, 1, "{lived}");
        let arrived = documents(stage).len();
        // Telegram has it, and its answer died with the process.
        let most = if lived == Lived::Twice { 1 } else { 2 };
        assert!((1..=most).contains(&arrived), "{lived}: {arrived}");
    }

    async fn break_it(stage: &WithPhoto) {
        stage
            .change("alter table exports rename column parts_sent to gone")
            .await;
    }

    async fn mend_it(stage: &WithPhoto) {
        stage
            .change("alter table exports rename column gone to parts_sent")
            .await;
    }

    /// The user is told, and may ask again at once.
    async fn assert_given_up(stage: &WithPhoto) {
        let heard = stage.ann.chat().unwrap().messages;
        assert!(
            heard
                .iter()
                .any(|message| message.text.contains("could not be sent"))
        );
        stage.ask_for_data().await;
        stage.jobs.drain_through_time().await;
        assert_eq!(documents(stage).len(), 1);
    }
}
