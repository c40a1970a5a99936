//! What goes to everybody: once to each, whatever dies between two pages.

use jobs::{Broadcast, NotifyUser};

use super::stock::{Contract, Lived};
use crate::support::Core;

/// Users of the stage: two full pages and a part of one.
const USERS: i64 = 120;

impl Contract for Broadcast {
    type Stage = Box<Core>;

    async fn arrange() -> Box<Core> {
        let core = Core::new().await;
        core.change(
            "insert into users (telegram_id, language) select n, 'en' from generate_series(1, 120) n",
        )
        .await;
        core.change("insert into broadcasts (by, text, started_at) values (1, 'Hello', now())")
            .await;
        core.enqueue(&Self::new(core.look("select id from broadcasts").await))
            .await;
        core.leaves::<NotifyUser>();
        Box::new(core)
    }

    /// The pages only: most of the messages have nobody who reads them.
    async fn finish(core: &Box<Core>) {
        while core.is_live::<Self>().await {
            core.run::<Self>().await;
        }
    }

    async fn assert_done(core: &Box<Core>, lived: Lived) {
        let users =
            "select count(distinct user_id) from notifications where message ->> 'text' like '%Hello%'";
        assert_eq!(core.count(users).await, USERS, "{lived}");
        assert_eq!(
            core.count("select count(*) from notifications").await,
            USERS,
            "{lived}"
        );
        let jobs = "select count(*) from jobs where kind = 'notify_user'";
        assert_eq!(core.count(jobs).await, USERS, "{lived}");
        let over = "select count(*) from broadcasts where finished_at is not null and position is null";
        assert_eq!(core.count(over).await, 1, "{lived}");
    }

    async fn break_it(core: &Box<Core>) {
        core.change("alter table notifications add constraint broken check (broadcast_id is null) not valid")
            .await;
    }

    async fn assert_given_up(core: &Box<Core>) {
        let stopped = "select count(*) from broadcasts where stopped_at is not null and finished_at is null";
        assert_eq!(core.count(stopped).await, 1, "the administrator sees it");
        assert_eq!(core.count("select count(*) from notifications").await, 0);
    }
}
