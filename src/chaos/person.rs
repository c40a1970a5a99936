//! A simulated person: answers the chat as often as it asks, and writes again when nothing happens.
//!
//! Buttons are found by their `callback_data`. A person never looks into the database.

use std::{collections::HashSet, time::Duration};

use axum::body::Bytes;

use super::workload::Visit;
use crate::simulators::telegram::{
    ButtonChoice, Control, MediaOptions, MessageFilter, MessageView, NewUser, SimUser,
};

/// Number of photos for a portrait, and for a style: the fewest that FAL's trainers accept.
const PHOTOS: u8 = 10;
const PHOTOS_OF_A_STYLE: usize = 4;
/// Side of a photo in pixels; it is small because the decoder is not what is tested here.
const SIDE: u16 = 64;
const LOOK: Duration = Duration::from_millis(250);
/// Number of looks without news after which a person writes again.
const IMPATIENT_AFTER: u32 = 40;

/// Ten small pictures of different colours, as JPEG files.
pub(super) fn photos() -> anyhow::Result<Vec<Bytes>> {
    let picture = |nth: u8| {
        let mut pixels = Vec::with_capacity(usize::from(SIDE) * usize::from(SIDE) * 3);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let shade = u8::try_from((x * 2 + y) % 256).unwrap_or(0);
                pixels.extend([shade, shade.wrapping_add(nth * 20), nth * 25]);
            }
        }
        let mut file = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut file, 80);
        encoder.encode(&pixels, SIDE, SIDE, jpeg_encoder::ColorType::Rgb)?;
        anyhow::Ok(Bytes::from(file))
    };
    (0..PHOTOS).map(picture).collect()
}

/// The name that a person gives to the avatar; unique in a run.
pub(super) fn avatar_name(id: i64) -> String {
    format!("Chaos {id}")
}

/// Parts of the bot's messages that end a training, in English, the language of all simulated people.
pub(super) const ENDINGS: [&str; 4] = [
    "is ready!",
    "could not be trained",
    "Not enough photos for the avatar",
    "was cancelled. Your photos are kept",
];

/// Plays a visit from the first message to the message that ends the training. It has no time limit; the
/// caller sets one.
pub(super) async fn visit(control: &Control, plan: Visit, photos: &[Bytes]) -> anyhow::Result<()> {
    let user = control.create_user(NewUser {
        id: Some(plan.id),
        first_name: Some("Lisa".to_owned()),
        language_code: Some("en".to_owned()),
        ..NewUser::default()
    });
    let mut person = Visitor {
        control,
        user,
        plan,
        answered: HashSet::new(),
        started: false,
    };
    person.user.send_text("/start")?;
    let mut seen = Vec::new();
    let mut idle = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let chat = person.chat();
        if chat.iter().any(|message| is_ending(&message.text)) {
            return Ok(());
        }
        let shown: Vec<_> = chat
            .iter()
            .map(|message| (message.message_id, message.edit_date))
            .collect();
        idle = if shown == seen { idle + 1 } else { 0 };
        seen = shown;
        if person.reacts(&chat, photos).await? {
            idle = 0;
        }
        if idle >= IMPATIENT_AFTER && !person.started {
            idle = 0;
            person.answered.clear();
            person.user.send_text("/start")?;
        }
    }
}

/// Whether the text ends a training.
pub(super) fn is_ending(text: &str) -> bool {
    ENDINGS.iter().any(|ending| text.contains(ending))
}

struct Visitor<'a> {
    control: &'a Control,
    user: SimUser,
    plan: Visit,
    /// Buttons that were pressed and questions that were answered, by message.
    answered: HashSet<(i64, &'static str)>,
    started: bool,
}

impl Visitor<'_> {
    fn chat(&self) -> Vec<MessageView> {
        self.control.messages(&MessageFilter {
            chat_id: Some(self.user.id()),
            ..MessageFilter::from_bot()
        })
    }

    /// Answers the latest open question. `false`: there is none.
    async fn reacts(&mut self, chat: &[MessageView], photos: &[Bytes]) -> anyhow::Result<bool> {
        let kind = if self.plan.style {
            "new:style"
        } else {
            "new:portrait"
        };
        for message in chat.iter().rev() {
            if self.plan.stops && (self.press(message, "stop_now:") || self.press(message, "stop:")) {
                return Ok(true);
            }
            if self.started {
                continue;
            }
            if self.press(message, "start:") {
                self.started = true;
                if self.plan.double_tap {
                    self.answered.clear();
                    self.press(message, "start:");
                }
                return Ok(true);
            }
            if self.press(message, kind) || self.press(message, "gender:") || self.press(message, "create") {
                return Ok(true);
            }
            if asks(message, ":gender") && self.answered.insert((message.message_id, "name")) {
                self.user.send_text(&avatar_name(self.plan.id))?;
                return Ok(true);
            }
            if asks(message, ":name") && self.answered.insert((message.message_id, "photos")) {
                let count = if self.plan.style {
                    PHOTOS_OF_A_STYLE
                } else {
                    photos.len()
                };
                self.user
                    .send_album(photos[..count].to_vec(), MediaOptions::default())
                    .await?;
                return Ok(true);
            }
            if !message.buttons.is_empty() {
                // All older questions are answered.
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Presses the message's first button with this action, once.
    fn press(&mut self, message: &MessageView, action: &'static str) -> bool {
        let mut offered = message
            .buttons
            .iter()
            .flatten()
            .filter_map(|button| button.data.as_deref());
        let Some(data) = offered.find(|data| data.starts_with(action)) else {
            return false;
        };
        if !self.answered.insert((message.message_id, action)) {
            return false;
        }
        // The bot may change the message at this moment; then the next look finds its new text.
        let pressed = self.user.press_button(&ButtonChoice {
            message_id: Some(message.message_id),
            data: Some(data.to_owned()),
            label: None,
        });
        pressed.is_ok()
    }
}

/// Whether the message is the question whose "back" button leads to that step.
fn asks(message: &MessageView, step: &str) -> bool {
    let mut buttons = message
        .buttons
        .iter()
        .flatten()
        .filter_map(|button| button.data.as_deref());
    buttons.any(|data| data.starts_with("back:") && data.ends_with(step))
}
