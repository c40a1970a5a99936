//! A simulated person: answers the chat as often as it asks, and writes again when nothing happens.
//!
//! Buttons are found by their `callback_data`. A person never looks into the database.

use std::{collections::HashSet, time::Duration};

use axum::body::Bytes;

use super::{
    face,
    workload::{Leaves, Pictures, Visit},
};
use crate::simulators::telegram::{
    ButtonChoice, Control, MediaOptions, MessageFilter, MessageView, NewUser, SimUser,
};

/// Number of photos for a portrait, and for a style: the fewest that FAL's trainers accept.
const PHOTOS: u8 = 10;
const PHOTOS_OF_A_STYLE: u8 = 4;
/// The word by which a person finds the button for so many pictures.
const TWO_PICTURES: &str = ":2";
const LOOK: Duration = Duration::from_millis(500);
/// Number of looks without news after which a person writes again; twice as many the next time. On a busy machine a crowd that
/// never grows tired would be all that the bot has time for.
const IMPATIENT_AFTER: u32 = 30;
/// The question that asks for photos, which are sent once.
const FOR_PHOTOS: &str = "photos";

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

/// Plays a visit from the first message to the last answer or tap that the plan asks for. It has no time limit; the
/// caller sets one.
pub(super) async fn visit(control: &Control, plan: Visit) -> anyhow::Result<()> {
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
        wants: Wants::Avatar,
        since: 0,
        answered: HashSet::new(),
        has_tapped: false,
    };
    person.user.send_text(Wants::Avatar.command())?;
    let mut seen = Vec::new();
    let (mut idle, mut patience) = (0, IMPATIENT_AFTER);
    loop {
        tokio::time::sleep(LOOK).await;
        let chat = person.chat();
        match person.next(&chat) {
            Next::GoesOn => {}
            Next::Wants(wants) => {
                person.turns_to(wants, &chat)?;
                idle = 0;
                continue;
            }
            Next::IsDone => return Ok(()),
        }
        let shown: Vec<_> = chat
            .iter()
            .map(|message| (message.message_id, message.edit_date))
            .collect();
        idle = if shown == seen { idle + 1 } else { 0 };
        seen = shown;
        if person.reacts(&chat).await? {
            idle = 0;
        }
        if idle >= patience && !person.has_tapped {
            idle = 0;
            patience *= 2;
            person.answered.retain(|(_, what)| *what == FOR_PHOTOS);
            person.user.send_text(person.wants.command())?;
        }
    }
}

/// Whether the text ends a training.
pub(super) fn is_ending(text: &str) -> bool {
    ENDINGS.iter().any(|ending| text.contains(ending))
}

/// What a person is after at the moment. Each has one tap that decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// A trained avatar.
    Avatar,
    /// Pictures of it.
    Pictures,
    /// The avatar deleted.
    NoAvatar,
    /// Everything deleted.
    Nothing,
}

impl Wants {
    /// What a person writes for it.
    const fn command(self) -> &'static str {
        match self {
            Self::Avatar => "/start",
            Self::Pictures | Self::NoAvatar => "/gallery",
            Self::Nothing => "/delete_me",
        }
    }
}

enum Next {
    GoesOn,
    Wants(Wants),
    IsDone,
}

struct Visitor<'a> {
    control: &'a Control,
    user: SimUser,
    plan: Visit,
    wants: Wants,
    /// The newest message when the person began to want it; older ones are not answered.
    since: i64,
    /// Buttons that were pressed and questions that were answered, by message.
    answered: HashSet<(i64, &'static str)>,
    /// Whether the deciding button was pressed.
    has_tapped: bool,
}

impl Visitor<'_> {
    fn chat(&self) -> Vec<MessageView> {
        self.control.messages(&MessageFilter {
            chat_id: Some(self.user.id()),
            ..MessageFilter::from_bot()
        })
    }

    /// Whether the person has what they want, and what they want next.
    fn next(&self, chat: &[MessageView]) -> Next {
        match self.wants {
            Wants::Avatar if self.has_tapped && self.plan.leaves == Leaves::InTraining => {
                Next::Wants(Wants::Nothing)
            }
            Wants::Avatar => {
                let is_ready = |message: &MessageView| message.text.contains(ENDINGS[0]);
                if self.plan.pictures != Pictures::None && chat.iter().any(is_ready) {
                    Next::Wants(Wants::Pictures)
                } else if chat.iter().any(|message| is_ending(&message.text)) {
                    self.last()
                } else {
                    Next::GoesOn
                }
            }
            Wants::Pictures if self.has_tapped && self.plan.leaves == Leaves::InAlbum => {
                Next::Wants(Wants::Nothing)
            }
            // The message that ends an album offers another like it.
            Wants::Pictures if chat.iter().any(|message| offers(message, "more:", "").is_some()) => {
                self.last()
            }
            // The answer comes without anybody waiting for it.
            Wants::NoAvatar | Wants::Nothing if self.has_tapped => Next::IsDone,
            Wants::Pictures | Wants::NoAvatar | Wants::Nothing => Next::GoesOn,
        }
    }

    fn last(&self) -> Next {
        match self.plan.leaves {
            Leaves::Stays => Next::IsDone,
            Leaves::WithoutAvatar => Next::Wants(Wants::NoAvatar),
            Leaves::InTraining | Leaves::InAlbum | Leaves::Afterwards => Next::Wants(Wants::Nothing),
        }
    }

    fn turns_to(&mut self, wants: Wants, chat: &[MessageView]) -> anyhow::Result<()> {
        self.wants = wants;
        self.since = chat.iter().map(|message| message.message_id).max().unwrap_or(0);
        self.has_tapped = false;
        self.user.send_text(wants.command())?;
        Ok(())
    }

    /// Answers the latest open question. `false`: there is none.
    async fn reacts(&mut self, chat: &[MessageView]) -> anyhow::Result<bool> {
        let open = chat
            .iter()
            .rev()
            .filter(|message| message.message_id > self.since);
        let open: Vec<&MessageView> = open.collect();
        for message in open {
            let has_reacted = match self.wants {
                Wants::Avatar => self.trains(message).await?,
                Wants::Pictures => self.draws(message),
                Wants::NoAvatar => self.decides(message, "delete_now:") || self.press(message, "delete:"),
                Wants::Nothing => self.decides(message, "delete_me_now") || self.press(message, "delete_me"),
            };
            if has_reacted {
                return Ok(true);
            }
            let asks_more = self.wants != Wants::Avatar || !self.has_tapped;
            if asks_more && !message.buttons.is_empty() {
                // All older questions are answered.
                return Ok(false);
            }
        }
        Ok(false)
    }

    async fn trains(&mut self, message: &MessageView) -> anyhow::Result<bool> {
        if self.plan.stops && (self.press(message, "stop_now:") || self.press(message, "stop:")) {
            return Ok(true);
        }
        if self.has_tapped {
            return Ok(false);
        }
        let kind = if self.plan.style {
            "new:style"
        } else {
            "new:portrait"
        };
        if self.decides(message, "start:")
            || self.press(message, kind)
            || self.press(message, "gender:")
            || self.press(message, "create")
        {
            return Ok(true);
        }
        if asks(message, ":gender") && self.answered.insert((message.message_id, "name")) {
            self.user.send_text(&avatar_name(self.plan.id))?;
            return Ok(true);
        }
        if asks(message, ":name") && self.answered.insert((message.message_id, FOR_PHOTOS)) {
            let count = if self.plan.style {
                PHOTOS_OF_A_STYLE
            } else {
                PHOTOS
            };
            let face = face::of(self.plan.id);
            let photos: anyhow::Result<Vec<Bytes>> = (0..count).map(|nth| face::photo(face, nth)).collect();
            self.user.send_album(photos?, MediaOptions::default()).await?;
            return Ok(true);
        }
        Ok(false)
    }

    fn draws(&mut self, message: &MessageView) -> bool {
        if self.has_tapped {
            return self.plan.pictures == Pictures::Stops && self.press(message, "stop_album:");
        }
        self.press_ending(message, "count:", TWO_PICTURES)
            || self.decides(message, "make:")
            || self.press(message, "wordless:")
            || self.press(message, "style:")
            || self.begins_to_draw(message)
    }

    /// Opens the dialogue once per command: a second one would replace the first, whose buttons are in the chat already, and
    /// a person who taps these would go round in circles.
    fn begins_to_draw(&mut self, message: &MessageView) -> bool {
        const ONCE: (i64, &str) = (0, "generate:");
        !self.answered.contains(&ONCE) && self.press(message, ONCE.1) && self.answered.insert(ONCE)
    }

    /// Presses the button that decides what the person wants, twice if that is their way.
    fn decides(&mut self, message: &MessageView, action: &'static str) -> bool {
        if !self.press(message, action) {
            return false;
        }
        self.has_tapped = true;
        if self.plan.double_tap {
            self.answered.remove(&(message.message_id, action));
            self.press(message, action);
        }
        true
    }

    fn press(&mut self, message: &MessageView, action: &'static str) -> bool {
        self.press_ending(message, action, "")
    }

    /// Presses the message's first button with this action and end, once.
    fn press_ending(&mut self, message: &MessageView, action: &'static str, end: &str) -> bool {
        let Some(data) = offers(message, action, end) else {
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

/// The `callback_data` of the message's first button with this action and end.
fn offers<'a>(message: &'a MessageView, action: &str, end: &str) -> Option<&'a str> {
    let mut offered = message
        .buttons
        .iter()
        .flatten()
        .filter_map(|button| button.data.as_deref());
    offered.find(|data| data.starts_with(action) && data.ends_with(end))
}

/// Whether the message is the question whose "back" button leads to that step.
fn asks(message: &MessageView, step: &str) -> bool {
    offers(message, "back:", step).is_some()
}
