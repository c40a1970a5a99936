//! Sending, editing, deleting: what is stored and what is refused.

use aisha::simulators::telegram::NewUser;
use serde_json::json;
use teloxide::payloads::{
    EditMessageTextSetters, GetMyDescriptionSetters, SendMessageSetters, SetMyDescriptionSetters,
    SetMyShortDescriptionSetters,
};
use teloxide::prelude::Requester;
use teloxide::types::{
    InlineKeyboardButton, InlineKeyboardMarkup, InputFile, InputMedia, InputMediaPhoto, MessageId,
    ReplyParameters,
};
use teloxide::{ApiError, RequestError};

use super::{CHAT, Sim, jpeg};

fn keyboard() -> InlineKeyboardMarkup {
    InlineKeyboardMarkup::new([[InlineKeyboardButton::callback("Go", "go")]])
}

fn api_error<T: std::fmt::Debug>(result: Result<T, RequestError>) -> ApiError {
    match result {
        Err(RequestError::Api(error)) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_message_is_sent_edited_and_deleted() {
    let sim = Sim::start().await;
    let bot = sim.bot();
    let sent = bot
        .send_message(CHAT, "one")
        .reply_markup(keyboard())
        .await
        .unwrap();
    assert_eq!((sent.text(), sent.chat.id), (Some("one"), CHAT));
    assert_eq!(sent.reply_markup(), Some(&keyboard()));
    let edited = bot.edit_message_text(CHAT, sent.id, "two").await.unwrap();
    assert_eq!(edited.text(), Some("two"));
    assert!(edited.edit_date().is_some());
    assert_eq!(
        edited.reply_markup(),
        None,
        "an edit without a keyboard removes it"
    );
    bot.delete_message(CHAT, sent.id).await.unwrap();
    assert_eq!(
        api_error(bot.delete_message(CHAT, sent.id).await),
        ApiError::MessageToDeleteNotFound
    );
    assert_eq!(
        api_error(bot.edit_message_text(CHAT, sent.id, "three").await),
        ApiError::MessageToEditNotFound
    );

    let shown = sim.ann.chat().unwrap().messages.pop().unwrap();
    assert!(shown.deleted);
    assert_eq!(
        (shown.text.as_str(), shown.earlier[0].text.as_str()),
        ("two", "one")
    );
}

#[tokio::test]
async fn an_edit_that_changes_nothing_is_refused_and_one_that_changes_the_keyboard_only_is_not() {
    let sim = Sim::start().await;
    let bot = sim.bot();
    let sent = bot
        .send_message(CHAT, "same")
        .reply_markup(keyboard())
        .await
        .unwrap();
    let same = bot
        .edit_message_text(CHAT, sent.id, " same\n")
        .reply_markup(keyboard())
        .await;
    assert_eq!(api_error(same), ApiError::MessageNotModified);
    bot.edit_message_text(CHAT, sent.id, "same").await.unwrap();
    assert_eq!(
        api_error(bot.edit_message_reply_markup(CHAT, sent.id).await),
        ApiError::MessageNotModified
    );
}

#[tokio::test]
async fn only_the_bot_s_own_text_messages_take_a_text() {
    let sim = Sim::start().await;
    let from_ann = sim.ann.send_text("mine").unwrap();
    let edit = |id: i64| json!({ "chat_id": CHAT.0, "message_id": id, "text": "new" });
    assert_eq!(
        sim.refusal("editMessageText", edit(from_ann)).await,
        "Bad Request: message can't be edited"
    );
    let said = sim.say("text").await;
    let caption = json!({ "chat_id": CHAT.0, "message_id": said, "caption": "new" });
    assert_eq!(
        sim.refusal("editMessageCaption", caption).await,
        "Bad Request: there is no caption in the message to edit"
    );
}

/// As Telegram documents: "or to add media to text messages". The way back is closed.
#[tokio::test]
async fn a_text_becomes_a_picture_and_never_a_text_again() {
    let sim = Sim::start().await;
    let said = sim.say("text").await;
    let media =
        InputMedia::Photo(InputMediaPhoto::new(InputFile::memory(jpeg(320, 240, 1))).caption("a picture"));
    let edited = sim
        .bot()
        .edit_message_media(CHAT, MessageId(i32::try_from(said).unwrap()), media)
        .await
        .unwrap();
    assert_eq!(
        (edited.photo().is_some(), edited.caption()),
        (true, Some("a picture"))
    );
    let back = json!({ "chat_id": CHAT.0, "message_id": said, "text": "text" });
    assert_eq!(
        sim.refusal("editMessageText", back).await,
        "Bad Request: there is no text in the message to edit"
    );
}

#[tokio::test]
async fn messages_older_than_48_hours_cannot_be_deleted() {
    let sim = Sim::start().await;
    let (first, second) = (sim.say("first").await, sim.say("second").await);
    let delete = |id: i64| json!({ "chat_id": CHAT.0, "message_id": id });
    sim.control().advance_clock(48 * 3600 - 60);
    assert_eq!(sim.ok("deleteMessage", delete(first)).await, true);
    sim.control().advance_clock(120);
    assert_eq!(
        sim.refusal("deleteMessage", delete(second)).await,
        "Bad Request: message can't be deleted for everyone"
    );
}

#[tokio::test]
async fn deleting_several_passes_over_those_that_are_gone() {
    let sim = Sim::start().await;
    let (first, second) = (sim.say("first").await, sim.say("second").await);
    sim.ok(
        "deleteMessages",
        json!({ "chat_id": CHAT.0, "message_ids": [first, 9999, second] }),
    )
    .await;
    let left: Vec<_> = sim
        .ann
        .chat()
        .unwrap()
        .messages
        .into_iter()
        .filter(|message| !message.deleted)
        .collect();
    assert_eq!(left.len(), 1, "Ann's own greeting stays: {left:?}");
}

#[tokio::test]
async fn limits_count_utf16_units() {
    let sim = Sim::start().await;
    let bot = sim.bot();
    // One emoji has length two, so 2048 of them fill a message.
    let full = "😀".repeat(2048);
    let sent = bot.send_message(CHAT, &full).await.unwrap();
    let over = format!("{full}.");
    assert_eq!(
        api_error(bot.send_message(CHAT, &over).await),
        ApiError::MessageIsTooLong
    );
    assert_eq!(
        api_error(bot.edit_message_text(CHAT, sent.id, &over).await),
        ApiError::EditedMessageIsTooLong
    );
    assert_eq!(
        api_error(bot.send_message(CHAT, " \n ").await),
        ApiError::MessageTextIsEmpty
    );
}

#[tokio::test]
async fn a_chat_that_cannot_be_written_to_is_refused_in_telegrams_words() {
    let sim = Sim::start().await;
    let control = sim.control();
    control.user(1);
    control.create_user(NewUser {
        id: Some(2),
        is_bot: true,
        ..NewUser::default()
    });
    let (blocker, leaver) = (control.user(3), control.user(4));
    for user in [&blocker, &leaver] {
        user.send_text("/start").unwrap();
    }
    blocker.block().unwrap();
    leaver.deactivate().unwrap();
    let say = |id: i64| json!({ "chat_id": id, "text": "hi" });
    for (id, description) in [
        (1, "Forbidden: bot can't initiate conversation with a user"),
        (2, "Forbidden: bots can't send messages to bots"),
        (3, "Forbidden: bot was blocked by the user"),
        (4, "Forbidden: user is deactivated"),
        (5, "Bad Request: chat not found"),
    ] {
        assert_eq!(sim.refusal("sendMessage", say(id)).await, description);
    }
    blocker.unblock().unwrap();
    sim.ok("sendMessage", say(3)).await;
}

#[tokio::test]
async fn a_reply_names_a_message_that_exists() {
    let sim = Sim::start().await;
    let question = sim.ann.send_text("how?").unwrap();
    let reply_to = MessageId(i32::try_from(question).unwrap());
    let reply = sim
        .bot()
        .send_message(CHAT, "so")
        .reply_parameters(ReplyParameters::new(reply_to))
        .await
        .unwrap();
    assert_eq!(
        reply.reply_to_message().and_then(|message| message.text()),
        Some("how?")
    );
    let nowhere = sim
        .bot()
        .send_message(CHAT, "so")
        .reply_parameters(ReplyParameters::new(MessageId(9999)));
    assert_eq!(api_error(nowhere.await), ApiError::MessageToReplyNotFound);
}

#[tokio::test]
async fn chat_actions_commands_and_chats_are_kept() {
    let sim = Sim::start().await;
    sim.ok(
        "sendChatAction",
        json!({ "chat_id": CHAT.0, "action": "upload_photo" }),
    )
    .await;
    assert_eq!(sim.ann.chat().unwrap().action.as_deref(), Some("upload_photo"));
    let wrong = sim
        .refusal(
            "sendChatAction",
            json!({ "chat_id": CHAT.0, "action": "dancing" }),
        )
        .await;
    assert_eq!(wrong, "Bad Request: wrong parameter action in request");

    let commands = json!([{ "command": "start", "description": "Begin" }]);
    sim.ok("setMyCommands", json!({ "commands": commands })).await;
    assert_eq!(sim.ok("getMyCommands", json!({})).await, commands);
    assert_eq!(
        sim.ok("getMyCommands", json!({ "language_code": "ru" })).await,
        json!([])
    );
    let wrong = json!({ "commands": [{ "command": "Start!", "description": "Begin" }] });
    assert_eq!(
        sim.refusal("setMyCommands", wrong).await,
        "Bad Request: BOT_COMMAND_INVALID"
    );

    let chat = sim.bot().get_chat(CHAT).await.unwrap();
    assert_eq!(chat.first_name(), Some("User 77"));
}

#[tokio::test]
async fn descriptions_are_kept_for_each_language_and_bounded() {
    let sim = Sim::start().await;
    let bot = sim.bot();
    bot.set_my_description().description("Avatars").await.unwrap();
    bot.set_my_description()
        .description("Аватары")
        .language_code("ru")
        .await
        .unwrap();
    bot.set_my_short_description()
        .short_description("Short")
        .await
        .unwrap();
    assert_eq!(bot.get_my_description().await.unwrap().description, "Avatars");
    let russian = bot.get_my_description().language_code("ru").await.unwrap();
    assert_eq!(russian.description, "Аватары");
    assert_eq!(
        bot.get_my_description()
            .language_code("kk")
            .await
            .unwrap()
            .description,
        ""
    );
    assert_eq!(
        bot.get_my_short_description().await.unwrap().short_description,
        "Short"
    );
    // A person without a language of their own reads the one for all.
    assert_eq!(sim.ann.chat().unwrap().description.as_deref(), Some("Avatars"));
    bot.set_my_description().await.unwrap();
    assert_eq!(bot.get_my_description().await.unwrap().description, "");

    let long = sim
        .refusal(
            "setMyShortDescription",
            json!({ "short_description": "я".repeat(121) }),
        )
        .await;
    assert_eq!(long, "Bad Request: DESCRIPTION_TOO_LONG");
    let odd = sim
        .refusal(
            "setMyDescription",
            json!({ "description": "x", "language_code": "ru-RU" }),
        )
        .await;
    assert_eq!(odd, "Bad Request: LANG_CODE_INVALID");
}
