//! The commands, such as /start, and the buttons that do the same.

use jobs::{
    domain::{Action, AvatarStatus, Shelf},
    producer::{Place, ProducerError, Turn},
    texts::{Locale, Message, Phrase},
};

use super::{gallery, history, photos::small, privacy, settings, stopping, wizard};

macro_rules! commands {
    (($turn:ident, $first_name:ident) $($Name:ident: $word:literal $(| $typed:literal)* => $run:expr,)*) => {
        /// A command, which a user can give at any moment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Command {
            $($Name,)*
            /// Text that begins with a slash and is no known command.
            Unknown,
        }

        /// The words of Telegram's menu.
        pub(super) const WORDS: &[&str] = &[$($word),*];

        impl Command {
            fn of_word(word: &str) -> Option<Self> {
                match word {
                    $($word $(| $typed)* => Some(Self::$Name),)*
                    _ => None,
                }
            }

            /// Carries the command out.
            pub(super) async fn run(self, $turn: &mut Turn, $first_name: &str) -> Result<(), ProducerError> {
                match self {
                    $(Self::$Name => $run.await,)*
                    Self::Unknown => unknown($turn).await,
                }
            }
        }
    };
}

// In the order of the menu: the word there, what else people type, and what is done. The menu's text for a word is
// `command-<word>` in jobs/locales/*.ftl.
commands! { (turn, first_name)
    Start: "start" | "старт" => start(turn, first_name),
    Status: "status" | "статус" => status(turn, Place::New),
    Gallery: "gallery" | "галерея" | "аватары" | "avatars" | "аватарлар" => avatars(turn),
    Pictures: "pictures" | "картинки" | "суреттер" => pictures(turn),
    Cancel: "cancel" | "отмена" | "отменить" => stopping::cancel(turn),
    Language: "language" | "lang" | "язык" | "тіл" => language(turn, Place::New),
    Settings: "settings" | "настройки" | "баптаулар" => settings::show(turn, Place::New),
    Privacy: "privacy" | "приватность" | "құпиялық" => privacy::privacy(turn),
    MyData: "mydata" | "my_data" => privacy::mydata(turn),
    DeleteMe: "delete_me" | "deleteme" => privacy::ask_delete_me(turn),
    Help: "help" | "помощь" | "справка" => help(turn),
}

impl Command {
    /// Reads `/start`, `/Start@our_bot` and `/start payload`. Phones begin words with a capital, and people
    /// type the word alone, in their language. `None`: it is not a command.
    pub(super) fn of(text: &str) -> Option<Self> {
        let (word, is_marked) = match text.trim().strip_prefix('/') {
            Some(rest) => (rest.split_whitespace().next().unwrap_or_default(), true),
            None => (text.trim(), false),
        };
        let word = word.split('@').next().unwrap_or(word).to_lowercase();
        Self::of_word(&word).or_else(|| is_marked.then_some(Self::Unknown))
    }
}

/// Greets, and leads where the user left off: to the draft, to the newest avatar if it failed, or to the avatars, with the
/// progress of those in training. A new user gets the first question at once.
async fn start(turn: &mut Turn, first_name: &str) -> Result<(), ProducerError> {
    let avatars = turn.avatars().await?;
    let message = if let Some(draft) = turn.draft().await? {
        Message::new(welcome_back(first_name))
            .and(Phrase::DraftWaits {
                avatar: Phrase::avatar(draft.name.as_deref()),
            })
            .row([
                (Phrase::ButtonContinue {}, Action::Create),
                (Phrase::ButtonDiscard {}, Action::Discard(draft.id)),
            ])
    } else if avatars.is_empty() {
        let photos = &turn.rules().photos().photos;
        let (min, max) = (small(*photos.start()), small(*photos.end()));
        let welcome = if first_name.is_empty() {
            Phrase::WelcomeNameless { min, max }
        } else {
            let first_name = first_name.to_owned();
            Phrase::Welcome { first_name, min, max }
        };
        wizard::ask_type(turn, None).await?.after([welcome])
    } else {
        let mut message = Message::new(welcome_back(first_name));
        let in_training = avatars
            .iter()
            .filter(|avatar| avatar.status == AvatarStatus::Training);
        message
            .text
            .extend(in_training.map(|avatar| avatar.phrase.clone()));
        // Those in training come first, and of the others the newest.
        if let Some(newest) = avatars
            .first()
            .filter(|newest| newest.status == AvatarStatus::Failed)
        {
            let label = Phrase::ButtonRetryNamed {
                name: newest.name.clone(),
            };
            message = message
                .and(newest.phrase.clone())
                .button(label, Action::Retry(newest.id));
        }
        message
            .button(Phrase::ButtonGallery {}, Action::Gallery)
            .button(Phrase::ButtonCreate {}, Action::Create)
            .button(Phrase::ButtonStatus {}, Action::Status)
    };
    turn.reply(&message, Place::New).await
}

/// A first name may be empty: an account that is being deleted, or a name of invisible characters only.
fn welcome_back(first_name: &str) -> Phrase {
    if first_name.is_empty() {
        Phrase::WelcomeBackNameless {}
    } else {
        Phrase::WelcomeBack {
            first_name: first_name.to_owned(),
        }
    }
}

/// Shows the status of the user's avatars, with a button for each training that can be stopped and for the newest
/// avatars that can be tried again. The buttons stand in the order of the lines, and say the names.
pub(super) async fn status(turn: &mut Turn, place: Place) -> Result<(), ProducerError> {
    /// More would push the other buttons off the screen.
    const MOST_RETRIES: usize = 3;
    let avatars = turn.avatars().await?;
    let has_avatars = !avatars.is_empty();
    let is_draft_open = avatars.iter().any(|avatar| avatar.status == AvatarStatus::Draft);
    let mut message = if avatars.is_empty() {
        Message::new(Phrase::StatusNothing {})
    } else {
        Message {
            text: avatars.iter().map(|avatar| avatar.phrase.clone()).collect(),
            ..Message::default()
        }
    };
    for training in turn
        .live_trainings()
        .await?
        .into_iter()
        .filter(|training| training.can_be_stopped)
    {
        let label = Phrase::ButtonStopNamed { name: training.name };
        message = message.button(label, Action::Stop(training.id));
    }
    // Another draft would have to be finished or thrown away first.
    if !is_draft_open {
        let ended = |status| matches!(status, AvatarStatus::Failed | AvatarStatus::Cancelled);
        for avatar in avatars
            .into_iter()
            .filter(|avatar| ended(avatar.status))
            .take(MOST_RETRIES)
        {
            let label = Phrase::ButtonRetryNamed { name: avatar.name };
            message = message.button(label, Action::Retry(avatar.id));
        }
    }
    let label = if is_draft_open {
        Phrase::ButtonContinue {}
    } else {
        Phrase::ButtonCreate {}
    };
    if has_avatars {
        message = message.button(Phrase::ButtonGallery {}, Action::Gallery);
    }
    turn.reply(&message.button(label, Action::Create), place).await
}

/// Shows the first page of the gallery.
async fn avatars(turn: &mut Turn) -> Result<(), ProducerError> {
    gallery::show(turn, None, Place::New).await.map(drop)
}

/// Shows the newest picture.
async fn pictures(turn: &mut Turn) -> Result<(), ProducerError> {
    history::show(turn, Shelf::All, None, Place::New).await.map(drop)
}

/// Asks for the language, with a button for each.
pub(super) async fn language(turn: &mut Turn, place: Place) -> Result<(), ProducerError> {
    let question = Message::new(Phrase::AskLanguage {});
    let message = Locale::ALL.into_iter().fold(question, |message, locale| {
        message.button(*Phrase::language(locale), Action::Speak(locale))
    });
    turn.reply(&message, place).await
}

/// Speaks the language that was chosen, beginning with this answer.
pub(super) async fn speak(turn: &mut Turn, locale: Locale, place: Place) -> Result<(), ProducerError> {
    turn.speak(locale).await?;
    turn.reply(&Message::new(Phrase::LanguageChosen {}), place).await
}

/// Explains what the bot does, with the limits for photos.
async fn help(turn: &mut Turn) -> Result<(), ProducerError> {
    let limits = turn.rules().photos();
    let (min, max) = (small(*limits.photos.start()), small(*limits.photos.end()));
    let megabytes = small(limits.bytes / 1_000_000);
    turn.reply(&Message::new(Phrase::Help { min, max, megabytes }), Place::New)
        .await
}

/// Answers a command that does not exist.
async fn unknown(turn: &mut Turn) -> Result<(), ProducerError> {
    turn.reply(&Message::new(Phrase::UnknownCommand {}), Place::New)
        .await
}

#[cfg(test)]
mod tests {
    use jobs::texts::{Locale, Texts};

    use super::*;

    #[test]
    fn every_command_has_its_text_in_the_menu_and_is_named_in_the_answers() {
        let texts = Texts::load().unwrap();
        let help = Phrase::Help {
            min: 10,
            max: 20,
            megabytes: 20,
        };
        for locale in Locale::ALL {
            let file = format!("jobs/locales/{locale}.ftl");
            let unknown = texts.plain(locale, &Phrase::UnknownCommand {});
            let help = texts.plain(locale, &help);
            for word in WORDS {
                assert!(
                    texts.command(locale, word).is_some(),
                    "/{word} has no text in the menu: add command-{word} to {file}"
                );
                let command = format!("/{word}");
                assert!(
                    unknown.contains(&command),
                    "{command}: name it in unknown-command of {file}"
                );
                assert!(
                    *word == "help" || help.contains(&command),
                    "{command}: name it in help of {file}"
                );
            }
        }
    }

    #[test]
    fn a_command_is_its_word_however_it_is_written_and_whatever_follows() {
        let cases = [
            ("/start", Command::Start),
            ("/start abc", Command::Start),
            ("/start@aisha_bot", Command::Start),
            ("/START", Command::Start),
            ("/Start ", Command::Start),
            ("Старт", Command::Start),
            ("/старт", Command::Start),
            ("статус", Command::Status),
            ("Галерея", Command::Gallery),
            (" Отмена\n", Command::Cancel),
            ("CANCEL", Command::Cancel),
            ("/Help@aisha_bot please", Command::Help),
            ("помощь", Command::Help),
            ("/", Command::Unknown),
            ("/frobnicate", Command::Unknown),
        ];
        for (text, command) in cases {
            assert_eq!(Command::of(text), Some(command), "{text:?}");
        }
        for text in ["Anna", "start now", "", "старт!", "Helpful", "1/2"] {
            assert_eq!(Command::of(text), None, "{text:?}");
        }
    }
}
