//! Commands of administrators (`bot.admins`). For everybody else they are unknown commands, and the menu does not name them.

use jobs::{
    domain::{Access, Action},
    producer::{BroadcastState, Place, ProducerError, Turn},
    texts::{Message, Phrase},
};
use uuid::Uuid;

use super::{photos::small, wizard};

/// The longest text for everybody, in characters: with markup it must fit Telegram's 4096.
const LONGEST: usize = 3000;

/// A command of an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AdminCommand {
    /// Numbers of today.
    Stats,
    /// Shows the user that these words name.
    Find(String),
    /// Lets a Telegram id in, or keeps it out. `None`: the words are no id.
    Access(Option<i64>, bool),
    /// Prepares a text for everybody.
    Broadcast(String),
}

impl AdminCommand {
    /// Reads `/find 123` and the like. `None`: it is no command of administrators.
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = text.trim().strip_prefix('/')?;
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let word = word.split('@').next().unwrap_or(word);
        let rest = rest.trim();
        match word.to_lowercase().as_str() {
            "stats" => Some(Self::Stats),
            "find" => Some(Self::Find(rest.to_owned())),
            "allow" => Some(Self::Access(rest.parse().ok(), true)),
            "block" => Some(Self::Access(rest.parse().ok(), false)),
            "broadcast" => Some(Self::Broadcast(rest.to_owned())),
            _ => None,
        }
    }
}

/// Carries the command out, for a sender who is an administrator.
pub(super) async fn run(turn: &mut Turn, order: AdminCommand) -> Result<(), ProducerError> {
    let message = match order {
        AdminCommand::Stats => stats(turn).await?,
        AdminCommand::Find(words) => find(turn, &words).await?,
        AdminCommand::Access(None, _) => Message::new(Phrase::AdminNoId {}),
        AdminCommand::Access(Some(id), is_allowed) => access(turn, id, is_allowed).await?,
        AdminCommand::Broadcast(text) => return prepare(turn, &text).await,
    };
    turn.reply(&message, Place::New).await
}

async fn stats(turn: &mut Turn) -> Result<Message, ProducerError> {
    let now = turn.statistics().await?;
    let mut message = Message::new(Phrase::AdminUsers {
        users: now.users,
        new: now.new_users,
    })
    .and(Phrase::AdminTrainings {
        live: now.live,
        completed: now.completed,
        failed: now.failed,
        cancelled: now.cancelled,
        pictures: now.pictures,
    })
    .and(Phrase::AdminQueue {
        seconds: now.oldest_job,
        dead: now.dead_jobs,
    });
    if let Some(reason) = now.parked {
        message = message.and(Phrase::AdminParked { reason });
    }
    Ok(message)
}

async fn find(turn: &mut Turn, words: &str) -> Result<Message, ProducerError> {
    let Some(found) = turn.find_user(words).await? else {
        return Ok(Message::new(Phrase::AdminNobody {}));
    };
    let mut message = Message::new(Phrase::AdminUser {
        id: found.telegram_id.to_string(),
        name: found.name,
        language: found.language,
        since: found.since.format("%Y-%m-%d").to_string(),
    })
    .and(access_phrase(found.access));
    message
        .text
        .extend(found.avatars.into_iter().map(|avatar| avatar.phrase));
    Ok(message)
}

async fn access(turn: &mut Turn, id: i64, is_allowed: bool) -> Result<Message, ProducerError> {
    let access = turn.set_access(id, is_allowed).await?;
    let message = Message::new(access_phrase(access));
    let is_as_asked = (access == Access::Open) == is_allowed;
    Ok(if is_as_asked {
        message
    } else {
        message.and(Phrase::AdminConfigWins {})
    })
}

fn access_phrase(access: Access) -> Phrase {
    match access {
        Access::Open => Phrase::AdminIsAllowed {},
        Access::Private | Access::Blocked => Phrase::AdminIsBlocked {},
        Access::Leaving => Phrase::AdminIsLeaving {},
    }
}

/// Shows the text as users will get it, how many they are, and the button that sends it.
async fn prepare(turn: &mut Turn, text: &str) -> Result<(), ProducerError> {
    let length = text.chars().count();
    if length == 0 || length > LONGEST {
        let message = Message::new(Phrase::AdminBroadcastHow { max: small(LONGEST) });
        return turn.reply(&message, Place::New).await;
    }
    let id = turn.prepare_broadcast(text).await?;
    show(turn, id, Place::New).await.map(drop)
}

/// Shows a broadcast as it stands, with the button that starts, stops or refreshes it.
pub(super) async fn show(turn: &mut Turn, id: Uuid, place: Place) -> Result<Option<Phrase>, ProducerError> {
    if !turn.is_admin() {
        return wizard::stale(turn).await;
    }
    let Some(state) = turn.broadcast(id).await? else {
        return wizard::stale(turn).await;
    };
    turn.reply(&page(id, state), place).await?;
    Ok(None)
}

fn page(id: Uuid, state: BroadcastState) -> Message {
    let message = Message::new(Phrase::BroadcastText { text: state.text });
    let stop = (Phrase::ButtonBroadcastStop {}, Action::StopBroadcast(id));
    if !state.is_started && !state.is_over {
        let receivers = state.receivers;
        return message
            .and(Phrase::AdminBroadcastAsk { receivers })
            .row([(Phrase::ButtonBroadcast { receivers }, Action::StartBroadcast(id))])
            .row([stop]);
    }
    let message = message.and(Phrase::AdminBroadcastState {
        written: state.written,
        delivered: state.delivered,
        waiting: state.waiting,
        unknown: state.unknown,
    });
    let refresh = (Phrase::ButtonRefresh {}, Action::ShowBroadcast(id));
    match (state.is_over, state.waiting) {
        (true, 0) => message.and(Phrase::AdminBroadcastOver {}),
        _ => message.row([refresh, stop]),
    }
}

/// Sends a prepared text to everybody.
pub(super) async fn start(turn: &mut Turn, id: Uuid, place: Place) -> Result<Option<Phrase>, ProducerError> {
    if turn.is_admin() {
        turn.start_broadcast(id).await?;
    }
    show(turn, id, place).await
}

/// Stops a broadcast, or throws a prepared one away.
pub(super) async fn stop(turn: &mut Turn, id: Uuid, place: Place) -> Result<Option<Phrase>, ProducerError> {
    if turn.is_admin() {
        turn.stop_broadcast(id).await?;
    }
    show(turn, id, place).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_with_what_follows_them() {
        assert_eq!(AdminCommand::of("/stats"), Some(AdminCommand::Stats));
        assert_eq!(
            AdminCommand::of(" /Find@our_bot  @lisa "),
            Some(AdminCommand::Find("@lisa".into()))
        );
        assert_eq!(
            AdminCommand::of("/block 17"),
            Some(AdminCommand::Access(Some(17), false))
        );
        assert_eq!(
            AdminCommand::of("/allow lisa"),
            Some(AdminCommand::Access(None, true))
        );
        let text = AdminCommand::Broadcast("Hello,\n<everybody>".into());
        assert_eq!(AdminCommand::of("/broadcast\nHello,\n<everybody>"), Some(text));
        for other in ["stats", "/start", "/statistics", ""] {
            assert_eq!(AdminCommand::of(other), None, "{other:?}");
        }
    }
}
