//! Forms of updates that Telegram sends, has sent or will send, and how the bot reads each.

use serde_json::{Value, json};

use super::{Content, File, Incoming, Photo, ReceivedMessage, TapPlace, read};

/// An update with a message of Anna's that has this content.
fn message(content: &Value) -> Value {
    let mut message = json!({
        "message_id": 5, "date": 1_795_000_000,
        "chat": {"id": 600, "type": "private", "first_name": "Anna"},
        "from": {"id": 600, "is_bot": false, "first_name": "Anna", "language_code": "ru"},
    });
    for (name, value) in content.as_object().unwrap() {
        message[name] = value.clone();
    }
    json!({"update_id": 1, "message": message})
}

fn photo() -> Value {
    json!([
        {"file_id": "s", "file_unique_id": "us", "width": 90, "height": 90},
        {"file_id": "b", "file_unique_id": "ub", "width": 900, "height": 900, "file_size": 1000},
        {"file_id": "m", "file_unique_id": "um", "width": 320, "height": 320},
    ])
}

fn the_photo() -> Content {
    Content::Photo(Photo {
        file_id: "b".into(),
        unique_id: "ub".into(),
    })
}

fn understood(update: &Value) -> ReceivedMessage {
    match read(update) {
        Incoming::Message(message) => message,
        other => panic!("{update}: {other:?}"),
    }
}

#[test]
fn a_photo_is_a_photo_whatever_surrounds_it() {
    let around = [
        json!({"caption": "tomorrow", "caption_entities": [{"type": "date_time", "offset": 0, "length": 8, "unix_time": 1}]}),
        json!({"caption": 7, "caption_entities": "none"}),
        json!({"forward_origin": {"type": "from_the_future"}}),
        json!({"external_reply": {"origin": {"type": "hidden_user"}, "live_photo": {}}}),
        json!({"quote": {"text": "x", "entities": [{"type": "telepathy"}]}}),
        json!({"reply_to_message": {"message_id": "?", "chat": []}}),
        json!({"has_media_spoiler": "yes", "effect_id": 7, "reply_markup": []}),
        json!({"date": "yesterday"}),
        json!({"message_id": "5"}),
        json!({"media_group_id": 77}),
        json!({"from": null}),
        json!({"from": {"id": 600, "is_bot": "no", "first_name": 7, "language_code": []}}),
        json!({"chat": {"id": 600, "type": "private", "photo": "x", "first_name": {}}}),
        json!({"chat": {"id": 600}}),
        json!({"chat": {"id": "600", "type": "private"}}),
        json!({"telepathy": {"thought": "?"}}),
        json!({"live_photo": {"file_id": "v", "file_unique_id": "uv"}}),
    ];
    for extra in around {
        let mut update = message(&json!({"photo": photo()}));
        for (name, value) in extra.as_object().unwrap() {
            update["message"][name] = value.clone();
        }
        let message = understood(&update);
        assert_eq!(message.content, the_photo(), "{extra}");
        assert_eq!(message.sender.telegram_id, 600, "{extra}");
    }
}

#[test]
fn a_live_photo_is_its_still() {
    let live =
        json!({"live_photo": {"file_id": "v", "file_unique_id": "uv", "duration": 1, "photo": photo()}});
    assert_eq!(understood(&message(&live)).content, the_photo());
}

#[test]
fn of_a_photos_sizes_those_that_can_be_read_count() {
    let sizes = json!([7, {"file_id": "b", "file_unique_id": "ub", "width": "?"}, {"file_id": 9}]);
    assert_eq!(
        understood(&message(&json!({"photo": sizes}))).content,
        the_photo()
    );
}

#[test]
fn a_file_is_read_with_whatever_it_says_of_itself() {
    let file = |mime: &str, name: &str, size| {
        Content::File(File {
            id: "d".into(),
            unique_id: "ud".into(),
            mime: mime.into(),
            name: name.into(),
            size,
        })
    };
    let said = [
        (
            json!({"mime_type": "image/png", "file_name": "a.png", "file_size": 9}),
            file("image/png", "a.png", Some(9)),
        ),
        (json!({}), file("", "", None)),
        (json!({"mime_type": "jpg"}), file("jpg", "", None)),
        (
            json!({"mime_type": 7, "file_name": [], "file_size": "big"}),
            file("", "", None),
        ),
        (json!({"file_size": -1}), file("", "", None)),
        (json!({"thumbnail": 7, "thumb": "x"}), file("", "", None)),
    ];
    for (extra, content) in said {
        let mut document = json!({"file_id": "d", "file_unique_id": "ud"});
        for (name, value) in extra.as_object().unwrap() {
            document[name] = value.clone();
        }
        assert_eq!(
            understood(&message(&json!({"document": document}))).content,
            content,
            "{extra}"
        );
    }
}

#[test]
fn what_is_wrong_in_a_field_that_counts_has_a_name() {
    let wrong = [
        (json!({"photo": {}}), "message.photo is no list"),
        (json!({"photo": []}), "message.photo is empty"),
        (
            json!({"photo": [{"file_id": 7}]}),
            "message.photo.file_id is no text",
        ),
        (json!({"photo": [{}]}), "message.photo.file_id is missing"),
        (
            json!({"photo": [{"file_id": "b", "file_unique_id": 7}]}),
            "message.photo.file_unique_id is no text",
        ),
        (json!({"document": 7}), "message.document.file_id is missing"),
        (
            json!({"document": {"file_id": ""}}),
            "message.document.file_id is empty",
        ),
        (json!({"text": 7}), "message.text is no text"),
        (
            json!({"paid_media": {"star_count": 1}}),
            "its content is unknown: paid_media",
        ),
        (
            json!({"live_photo": {"file_id": "v"}}),
            "its content is unknown: live_photo",
        ),
        (json!({}), "it has no content"),
    ];
    for (content, name) in wrong {
        assert_eq!(
            understood(&message(&content)).content,
            Content::Unknown(name.into()),
            "{content}"
        );
    }
}

#[test]
fn what_people_send_and_we_cannot_use_is_told_from_what_telegram_says_itself() {
    for kind in [
        "voice",
        "video",
        "sticker",
        "animation",
        "location",
        "poll",
        "contact",
    ] {
        // An animation has a `document` as well, and the type of neither is looked at.
        let content = json!({kind: {"file_id": 7, "mime_type": []}, "document": {"file_id": "d"}});
        assert_eq!(
            understood(&message(&content)).content,
            Content::Unusable(kind),
            "{kind}"
        );
    }
    for kind in [
        "pinned_message",
        "gift",
        "message_auto_delete_timer_changed",
        "web_app_data",
    ] {
        assert_eq!(
            understood(&message(&json!({kind: {}}))).content,
            Content::Service,
            "{kind}"
        );
    }
}

#[test]
fn groups_channels_and_kinds_without_use_are_left_alone() {
    let in_group = json!({"message_id": 1, "chat": {"id": -100, "type": "supergroup"}, "from": {"id": 600}, "text": "x"});
    for update in [
        json!({"update_id": 1, "message": in_group}),
        json!({"update_id": 1, "message": {"chat": {"id": -100}, "from": {"id": 600}, "text": "x"}}),
        json!({"update_id": 1, "channel_post": {"chat": {"id": -100, "type": "channel"}}}),
        json!({"update_id": 1, "poll_answer": {"poll_id": "1", "option_ids": []}}),
        json!({"update_id": 1, "message_reaction": {}}),
        json!({"update_id": 1}),
    ] {
        assert!(matches!(read(&update), Incoming::Elsewhere), "{update}");
    }
}

#[test]
fn what_nobody_can_place_has_a_name() {
    for (update, name) in [
        (
            json!({"update_id": 1, "telepathy": {}}),
            "its kind is unknown: telepathy",
        ),
        (
            json!({"update_id": 1, "message": {"chat": {"type": "private"}, "text": "x"}}),
            "message.chat.id is no user's id",
        ),
        (
            json!({"update_id": 1, "callback_query": {"id": "1", "from": {"id": "?"}}}),
            "callback_query.from.id is no user's id",
        ),
        (
            json!({"update_id": 1, "my_chat_member": {"chat": {"id": 7, "type": "private"}, "from": {"id": 7}}}),
            "my_chat_member.new_chat_member.status is no text",
        ),
    ] {
        assert!(
            matches!(read(&update), Incoming::Unknown(what) if what == name),
            "{update}"
        );
    }
}

#[test]
fn a_tap_is_placed_by_the_chat_of_its_message() {
    let anna = json!({"id": 600, "is_bot": false, "first_name": "Anna"});
    let at = |message: Value| {
        let query = json!({"id": "q", "from": anna, "data": "create", "message": message});
        match read(&json!({"update_id": 1, "callback_query": query})) {
            Incoming::Tap(tap) => tap.place,
            other => panic!("{other:?}"),
        }
    };
    let private = json!({"id": 600, "type": "private"});
    let shown = json!({"message_id": 77, "date": 1, "chat": private, "text": {"odd": 1}});
    assert_eq!(at(shown), TapPlace::On(77));
    assert_eq!(
        at(json!({"message_id": 77, "date": 0, "chat": private})),
        TapPlace::Lost
    );
    assert_eq!(at(Value::Null), TapPlace::Lost);
    assert_eq!(
        at(json!({"message_id": "77", "date": 1, "chat": private})),
        TapPlace::Lost
    );
    let group = json!({"id": -100, "type": "supergroup"});
    assert_eq!(
        at(json!({"message_id": 77, "date": 1, "chat": group})),
        TapPlace::Elsewhere
    );
}

#[test]
fn a_tap_whose_fields_are_odd_is_still_a_tap() {
    let query = json!({"id": 7, "from": {"id": 600, "language_code": 7}, "data": {}, "chat_instance": []});
    let Incoming::Tap(tap) = read(&json!({"update_id": 1, "callback_query": query})) else {
        panic!("no tap");
    };
    assert_eq!((tap.query_id, tap.data.as_str()), (None, ""));
    assert_eq!((tap.sender.telegram_id, tap.sender.locale), (600, None));
}

#[test]
fn whoever_blocks_the_bot_is_gone_and_whoever_lets_it_write_is_back() {
    for (status, gone) in [
        ("kicked", true),
        ("left", true),
        ("member", false),
        ("telepathic", false),
    ] {
        let change = json!({
            "chat": {"id": 600, "type": "private"}, "from": {"id": 600, "first_name": "Anna"},
            "old_chat_member": "?", "new_chat_member": {"status": status, "user": 7},
        });
        match read(&json!({"update_id": 1, "my_chat_member": change})) {
            Incoming::Membership { sender, is_gone } => {
                assert_eq!((sender.telegram_id, is_gone), (600, gone), "{status}");
            }
            other => panic!("{other:?}"),
        }
    }
}
