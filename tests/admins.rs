//! Administrators in the chat: what they see, whom they let in, and what they write to everybody.

use std::sync::Arc;

use jobs::domain::{Access, Quotas, SupportCode};
use jobs::producer::Rules;
use jobs::{Broadcast, NotifyUser};
use uuid::Uuid;

use crate::bot::stage::Stage;
use crate::support::Core;

/// A core where this Telegram user is an administrator, and these lists are configured.
fn rules(core: &mut Core, admin: i64, quotas: Quotas) {
    core.rules = Rules::with_policy(
        core.services.settings.photos.clone(),
        (*core.services.trainers).clone(),
        Arc::clone(&core.services.pictures),
        quotas,
        Default::default(),
        [admin].into(),
    );
}

#[tokio::test]
async fn an_administrator_lets_in_and_keeps_out_but_the_configuration_wins() {
    let mut core = Core::new().await;
    let (admin, ann, eve) = (core.person(), core.person(), core.person());
    let quotas = Quotas {
        allowed: [ann.id()].into(),
        ..Quotas::default()
    };
    rules(&mut core, admin.id(), quotas);
    assert_eq!(core.turn_of(&admin).await.access().unwrap(), Access::Open);
    assert_eq!(core.turn_of(&eve).await.access().unwrap(), Access::Private);
    let mut turn = core.turn_of(&admin).await;
    assert!(turn.is_admin());
    assert_eq!(turn.set_access(eve.id(), true).await.unwrap(), Access::Open);
    assert_eq!(
        turn.set_access(ann.id(), false).await.unwrap(),
        Access::Open,
        "configured"
    );
    turn.finish().await.unwrap();
    assert_eq!(core.turn_of(&eve).await.access().unwrap(), Access::Open);
    assert_eq!(core.turn_of(&ann).await.access().unwrap(), Access::Open);
    let mut turn = core.turn_of(&admin).await;
    assert_eq!(turn.set_access(eve.id(), false).await.unwrap(), Access::Blocked);
    turn.finish().await.unwrap();
    assert_eq!(core.turn_of(&eve).await.access().unwrap(), Access::Blocked);
    assert!(!core.turn_of(&eve).await.is_admin());
}

#[tokio::test]
async fn an_administrator_finds_a_user_by_the_code_that_they_read_out() {
    let mut core = Core::new().await;
    let (admin, ann, eve) = (core.person(), core.person(), core.person());
    rules(&mut core, admin.id(), Quotas::default());
    let draft = core.draft_of(&ann).await;
    core.turn_of(&eve).await.finish().await.unwrap();
    let update = core
        .look::<i64>("update telegram_updates set attempts = 1 where update_id = (select max(update_id) from telegram_updates) returning update_id")
        .await;
    let mut turn = core.turn_of(&admin).await;
    let codes = [
        (SupportCode::of(draft), Some(ann.id())),
        (SupportCode::of_update(update).unwrap(), Some(eve.id())),
        (SupportCode::of(Uuid::from_u128(7 << 90)), None),
    ];
    for (code, expected) in codes {
        let spoken = code.to_string().to_lowercase().replace('-', " ");
        let found = turn.find_user(&spoken).await.unwrap();
        assert_eq!(found.map(|user| user.telegram_id), expected, "{code}");
    }
    // A Telegram id of eight digits may look like a code, and is none.
    assert!(turn.find_user("12345678").await.unwrap().is_none());
    drop(turn);
    core.leaves::<NotifyUser>();
}

#[tokio::test]
async fn a_stopped_broadcast_reaches_nobody_more() {
    let mut core = Core::new().await;
    let admin = core.person();
    rules(&mut core, admin.id(), Quotas::default());
    core.change("insert into users (telegram_id, language) select -n, 'en' from generate_series(1, 70) n")
        .await;
    let mut turn = core.turn_of(&admin).await;
    let id = turn.prepare_broadcast("Hello").await.unwrap();
    let state = turn.broadcast(id).await.unwrap().unwrap();
    assert_eq!((state.receivers, state.is_started), (71, false));
    assert!(turn.start_broadcast(id).await.unwrap());
    assert!(!turn.start_broadcast(id).await.unwrap(), "a second tap");
    turn.finish().await.unwrap();
    core.run::<Broadcast>().await;
    let mut turn = core.turn_of(&admin).await;
    assert_eq!(turn.broadcast(id).await.unwrap().unwrap().written, 50);
    assert!(turn.stop_broadcast(id).await.unwrap());
    turn.finish().await.unwrap();
    core.run::<Broadcast>().await;
    let mut turn = core.turn_of(&admin).await;
    let state = turn.broadcast(id).await.unwrap().unwrap();
    assert_eq!((state.written, state.waiting, state.delivered), (50, 0, 0));
    assert!(state.is_over);
    drop(turn);
    core.leaves::<NotifyUser>();
}

#[tokio::test]
async fn a_broadcast_is_asked_about_and_arrives_once() {
    let stage = Stage::new().await;
    let admin = stage.person("Root", "en");
    let id = admin.0.id().to_string();
    let stage = stage.another_bot_with(&[("AISHA__BOT__ADMINS", &id)]).await;
    let (ann, eve) = (stage.person("Ann", "ru"), stage.person("Eve", "en"));
    ann.says("/start");
    ann.hears("Какой аватар").await;
    eve.says("/stats");
    eve.hears("I don't know this command").await;
    eve.says("/broadcast buy now");
    admin.says("/stats");
    admin.hears("Users: 3").await;
    admin.says(&format!("/find {}", ann.0.id()));
    admin.hears("Ann").await;
    admin.says("/find nobody_at_all");
    admin.hears("Nobody found").await;
    admin.says("/broadcast Hello <b>all</b> & everybody");
    let preview = admin.hears("Receivers: 3").await;
    assert!(
        preview.text.contains("Hello <b>all</b> & everybody"),
        "{}",
        preview.text
    );
    admin.presses_on(&preview, "Send (3)");
    let _upkeep = stage.upkeep_worker();
    let told = ann.hears("Hello <b>all</b> & everybody").await;
    eve.hears("Hello <b>all</b> & everybody").await;
    let shown = admin.sees(&preview, "Queued:").await;
    admin.presses_on(&shown, "Refresh");
    ann.says("/status");
    ann.hears("пока нет аватаров").await;
    let heard = ann.heard();
    let copies = heard.iter().filter(|text| text.contains("everybody"));
    assert_eq!(
        copies.count(),
        1,
        "{heard:?}; first as message {}",
        told.message_id
    );
}
