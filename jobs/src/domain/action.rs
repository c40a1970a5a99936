//! The actions of buttons, and their encoding in Telegram's 64 bytes of `callback_data`.
//!
//! Buttons stay in chats for years. So an action names its avatar or training, and a tap on an old message never acts
//! on a newer avatar. A word that is no longer known decodes to an error, never to another action. Renaming a word
//! makes its old buttons stale, which users are told kindly.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{
    AlbumId, Aspect, AvatarId, Gender, Locale, PhotoId, PictureId, Preset, Shelf, TrainingId, TrainingType,
};

/// Telegram's limit for `callback_data`, in bytes.
pub const MAX_CALLBACK_DATA: usize = 64;

/// A question of the wizard to which the user can go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WizardStep {
    /// The training type: portrait or style.
    Type,
    /// The gender: male or female.
    Gender,
    /// The avatar's name.
    Name,
}

/// The meaning of a tap on a button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Opens the wizard, at the next question of the draft if there is one.
    Create,
    /// Answers the wizard's first question, for a new draft.
    NewDraft(TrainingType),
    /// Answers the first question again, for a draft that exists.
    ChooseType(AvatarId, TrainingType),
    /// Answers the second question of a draft.
    ChooseGender(AvatarId, Gender),
    /// Takes an answer back, and asks that question again.
    Back(AvatarId, WizardStep),
    /// Asks whether to throw the draft away. A draft without photos is thrown away at once.
    Discard(AvatarId),
    /// Throws the draft away, with its photos.
    DiscardNow(AvatarId),
    /// Removes a photo from the draft.
    RemovePhoto(PhotoId),
    /// Keeps all photos of the draft, whatever the hints say.
    KeepPhotos(AvatarId),
    /// Starts the training of the draft.
    Start(AvatarId),
    /// Reopens a failed or cancelled avatar.
    Retry(AvatarId),
    /// Asks whether to stop a training.
    Stop(TrainingId),
    /// Calls a training off; once FAL has it, asks FAL to stop it.
    StopNow(TrainingId),
    /// Asks whether to delete an avatar.
    Delete(AvatarId),
    /// Deletes an avatar with everything of it.
    DeleteNow(AvatarId),
    /// Asks once more whether to delete everything about the user.
    DeleteMe,
    /// Deletes everything about the user.
    DeleteMeNow,
    /// Sends a prepared text to everybody; only for administrators, as the two below.
    StartBroadcast(Uuid),
    /// Stops a broadcast.
    StopBroadcast(Uuid),
    /// Shows how a broadcast stands.
    ShowBroadcast(Uuid),
    /// Shows the progress of all trainings.
    Status,
    /// Talks to the user in this language from now on.
    Speak(Locale),

    // The wizard's choice of a preset, and /settings.
    /// Chooses between speed and quality for a draft.
    ChoosePreset(AvatarId, Preset),
    /// Shows the settings.
    Settings,
    /// Asks for the language.
    AskLanguage,
    /// Chooses the preset with which drafts begin.
    UsePreset(Preset),
    /// Sends messages without a sound from now on, or with one.
    Silence(bool),

    // The gallery.
    /// Shows the first of the user's avatars.
    Gallery,
    /// Shows this avatar in the gallery.
    Show(AvatarId),
    /// Makes this avatar the user's main one.
    MakeMain(AvatarId),
    /// Asks for a new name of this avatar.
    Rename(AvatarId),
    // Pictures.
    /// Calls an album off that is being made.
    StopAlbum(AlbumId),
    /// Makes pictures with the same style and words once more.
    MoreLikeThis(AlbumId),
    /// Opens the dialogue with this album's choices, so that they can be changed.
    ChangeAlbum(AlbumId),
    /// Marks a picture as a favourite, or takes the mark back.
    KeepPicture(PictureId),

    // The dialogue that asks for pictures.
    /// Begins to ask for pictures of this avatar.
    Generate(AvatarId),
    /// Shows this page of the styles, from 0.
    Styles(AlbumId, u8),
    /// Chooses a style, by its name in the table.
    ChooseStyle(AlbumId, String),
    /// Asks for the user's own words.
    AskWords(AlbumId),
    /// No words of the user's own are wanted.
    WithoutWords(AlbumId),
    /// Chooses the shape of the pictures.
    ChooseAspect(AlbumId, Aspect),
    /// Chooses how many pictures are made.
    ChooseCount(AlbumId, u8),
    /// Asks for the pictures.
    Make(AlbumId),
    /// Leaves the dialogue.
    LeaveAlbum(AlbumId),

    // The pictures of the past.
    /// Shows the newest picture of a of.
    Pictures(Shelf),
    /// Shows this picture.
    Picture(PictureId, Shelf),
    /// Marks a picture as a favourite.
    Star(PictureId, Shelf),
    /// Takes the mark back.
    Unstar(PictureId, Shelf),
    /// Opens the dialogue with the choices that led to this picture.
    MoreLikePicture(PictureId),
    /// Asks whether to delete a picture.
    DeletePicture(PictureId, Shelf),
    /// Deletes a picture.
    DeletePictureNow(PictureId, Shelf),
}

/// A button of another version, or one that we never made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no button of ours says {0:?}")]
pub struct UnknownAction(pub String);

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("create"),
            Self::NewDraft(kind) => write!(f, "new:{kind}"),
            Self::ChooseType(avatar, kind) => write!(f, "type:{}:{kind}", short(avatar.0)),
            Self::ChooseGender(avatar, gender) => write!(f, "gender:{}:{gender}", short(avatar.0)),
            Self::Back(avatar, step) => write!(f, "back:{}:{}", short(avatar.0), step.as_str()),
            Self::Discard(avatar) => write!(f, "discard:{}", short(avatar.0)),
            Self::DiscardNow(avatar) => write!(f, "discard_now:{}", short(avatar.0)),
            Self::RemovePhoto(photo) => write!(f, "remove_photo:{}", short(photo.0)),
            Self::KeepPhotos(avatar) => write!(f, "keep_photos:{}", short(avatar.0)),
            Self::Start(avatar) => write!(f, "start:{}", short(avatar.0)),
            Self::Retry(avatar) => write!(f, "retry:{}", short(avatar.0)),
            Self::Stop(training) => write!(f, "stop:{}", short(training.0)),
            Self::StopNow(training) => write!(f, "stop_now:{}", short(training.0)),
            Self::Delete(avatar) => write!(f, "delete:{}", short(avatar.0)),
            Self::DeleteNow(avatar) => write!(f, "delete_now:{}", short(avatar.0)),
            Self::DeleteMe => f.write_str("delete_me"),
            Self::DeleteMeNow => f.write_str("delete_me_now"),
            Self::StartBroadcast(id) => write!(f, "tell_all:{}", short(*id)),
            Self::StopBroadcast(id) => write!(f, "tell_none:{}", short(*id)),
            Self::ShowBroadcast(id) => write!(f, "told:{}", short(*id)),
            Self::Status => f.write_str("status"),
            Self::Speak(locale) => write!(f, "speak:{locale}"),

            Self::ChoosePreset(avatar, preset) => write!(f, "preset:{}:{preset}", short(avatar.0)),
            Self::Settings => f.write_str("settings"),
            Self::AskLanguage => f.write_str("language"),
            Self::UsePreset(preset) => write!(f, "use:{preset}"),
            Self::Silence(true) => f.write_str("sound:off"),
            Self::Silence(false) => f.write_str("sound:on"),

            Self::Gallery => f.write_str("gallery"),
            Self::Show(avatar) => write!(f, "show:{}", short(avatar.0)),
            Self::MakeMain(avatar) => write!(f, "main:{}", short(avatar.0)),
            Self::Rename(avatar) => write!(f, "rename:{}", short(avatar.0)),
            // Pictures.
            Self::StopAlbum(album) => write!(f, "stop_album:{}", short(album.0)),
            Self::MoreLikeThis(album) => write!(f, "more:{}", short(album.0)),
            Self::ChangeAlbum(album) => write!(f, "change:{}", short(album.0)),
            Self::KeepPicture(picture) => write!(f, "keep:{}", short(picture.0)),
            Self::Generate(avatar) => write!(f, "generate:{}", short(avatar.0)),
            Self::Styles(album, page) => write!(f, "styles:{}:{page}", short(album.0)),
            Self::ChooseStyle(album, style) => write!(f, "style:{}:{style}", short(album.0)),
            Self::AskWords(album) => write!(f, "words:{}", short(album.0)),
            Self::WithoutWords(album) => write!(f, "wordless:{}", short(album.0)),
            Self::ChooseAspect(album, aspect) => write!(f, "aspect:{}:{aspect}", short(album.0)),
            Self::ChooseCount(album, count) => write!(f, "count:{}:{count}", short(album.0)),
            Self::Make(album) => write!(f, "make:{}", short(album.0)),
            Self::LeaveAlbum(album) => write!(f, "leave:{}", short(album.0)),

            Self::Pictures(of) => write!(f, "pictures:{}", of.as_str()),
            Self::Picture(picture, of) => write!(f, "picture:{}:{}", short(picture.0), of.as_str()),
            Self::Star(picture, of) => write!(f, "star:{}:{}", short(picture.0), of.as_str()),
            Self::Unstar(picture, of) => write!(f, "unstar:{}:{}", short(picture.0), of.as_str()),
            Self::MoreLikePicture(picture) => write!(f, "like:{}", short(picture.0)),
            Self::DeletePicture(picture, of) => {
                write!(f, "delete_picture:{}:{}", short(picture.0), of.as_str())
            }
            Self::DeletePictureNow(picture, of) => {
                write!(f, "delete_picture_now:{}:{}", short(picture.0), of.as_str())
            }
        }
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(data: &str) -> Result<Self, UnknownAction> {
        decode(data).ok_or_else(|| UnknownAction(data.chars().take(MAX_CALLBACK_DATA).collect()))
    }
}

fn decode(data: &str) -> Option<Action> {
    let mut words = data.split(':');
    let action = match (words.next()?, words.next(), words.next()) {
        ("create", None, None) => Action::Create,
        ("status", None, None) => Action::Status,
        ("preset", Some(id), Some(preset)) => Action::ChoosePreset(long(id)?, preset.parse().ok()?),
        ("settings", None, None) => Action::Settings,
        ("language", None, None) => Action::AskLanguage,
        ("use", Some(preset), None) => Action::UsePreset(preset.parse().ok()?),
        ("sound", Some("off"), None) => Action::Silence(true),
        ("sound", Some("on"), None) => Action::Silence(false),
        ("new", Some(kind), None) => Action::NewDraft(kind.parse().ok()?),
        ("type", Some(id), Some(kind)) => Action::ChooseType(long(id)?, kind.parse().ok()?),
        ("gender", Some(id), Some(gender)) => Action::ChooseGender(long(id)?, gender.parse().ok()?),
        ("back", Some(id), Some(step)) => Action::Back(long(id)?, WizardStep::parse(step)?),
        ("discard", Some(id), None) => Action::Discard(long(id)?),
        ("discard_now", Some(id), None) => Action::DiscardNow(long(id)?),
        ("delete", Some(id), None) => Action::Delete(long(id)?),
        ("tell_all", Some(id), None) => Action::StartBroadcast(long(id)?),
        ("tell_none", Some(id), None) => Action::StopBroadcast(long(id)?),
        ("told", Some(id), None) => Action::ShowBroadcast(long(id)?),
        ("delete_me", None, None) => Action::DeleteMe,
        ("delete_me_now", None, None) => Action::DeleteMeNow,
        ("delete_now", Some(id), None) => Action::DeleteNow(long(id)?),
        ("remove_photo", Some(id), None) => Action::RemovePhoto(long(id)?),
        ("keep_photos", Some(id), None) => Action::KeepPhotos(long(id)?),
        ("start", Some(id), None) => Action::Start(long(id)?),
        ("retry", Some(id), None) => Action::Retry(long(id)?),
        ("speak", Some(language), None) => Action::Speak(Locale::named(language)?),
        ("stop", Some(id), None) => Action::Stop(long(id)?),
        ("stop_now", Some(id), None) => Action::StopNow(long(id)?),

        ("gallery", None, None) => Action::Gallery,
        ("show", Some(id), None) => Action::Show(long(id)?),
        ("main", Some(id), None) => Action::MakeMain(long(id)?),
        ("rename", Some(id), None) => Action::Rename(long(id)?),

        // Pictures.
        ("stop_album", Some(id), None) => Action::StopAlbum(long(id)?),
        ("more", Some(id), None) => Action::MoreLikeThis(long(id)?),
        ("change", Some(id), None) => Action::ChangeAlbum(long(id)?),
        ("keep", Some(id), None) => Action::KeepPicture(long(id)?),
        ("generate", Some(id), None) => Action::Generate(long(id)?),
        ("styles", Some(id), Some(page)) => Action::Styles(long(id)?, number(page)?),
        ("style", Some(id), Some(style)) => Action::ChooseStyle(long(id)?, style.to_owned()),
        ("words", Some(id), None) => Action::AskWords(long(id)?),
        ("wordless", Some(id), None) => Action::WithoutWords(long(id)?),
        ("aspect", Some(id), Some(aspect)) => Action::ChooseAspect(long(id)?, aspect.parse().ok()?),
        ("count", Some(id), Some(count)) => Action::ChooseCount(long(id)?, number(count)?),
        ("make", Some(id), None) => Action::Make(long(id)?),
        ("leave", Some(id), None) => Action::LeaveAlbum(long(id)?),

        ("pictures", Some(of), None) => Action::Pictures(Shelf::named(of)?),
        ("picture", Some(id), Some(of)) => Action::Picture(long(id)?, Shelf::named(of)?),
        ("star", Some(id), Some(of)) => Action::Star(long(id)?, Shelf::named(of)?),
        ("unstar", Some(id), Some(of)) => Action::Unstar(long(id)?, Shelf::named(of)?),
        ("like", Some(id), None) => Action::MoreLikePicture(long(id)?),
        ("delete_picture", Some(id), Some(of)) => Action::DeletePicture(long(id)?, Shelf::named(of)?),
        ("delete_picture_now", Some(id), Some(of)) => Action::DeletePictureNow(long(id)?, Shelf::named(of)?),

        _ => return None,
    };
    words.next().is_none().then_some(action)
}

/// Encodes an id in 22 characters instead of 36.
fn short(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

fn long<Id: From<Uuid>>(text: &str) -> Option<Id> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Uuid::from_slice(&bytes).ok().map(Id::from)
}

/// A small number as we write it: `01` is no button of ours.
fn number(text: &str) -> Option<u8> {
    let number: u8 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl WizardStep {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Gender => "gender",
            Self::Name => "name",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Type, Self::Gender, Self::Name]
            .into_iter()
            .find(|step| step.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picture_actions(id: Uuid) -> Vec<Action> {
        let mut all = vec![
            Action::StopAlbum(AlbumId(id)),
            Action::MoreLikeThis(AlbumId(id)),
            Action::ChangeAlbum(AlbumId(id)),
            Action::KeepPicture(PictureId(id)),
            Action::Generate(AvatarId(id)),
            Action::AskWords(AlbumId(id)),
            Action::WithoutWords(AlbumId(id)),
            Action::Make(AlbumId(id)),
            Action::LeaveAlbum(AlbumId(id)),
            Action::Styles(AlbumId(id), u8::MAX),
            Action::ChooseCount(AlbumId(id), u8::MAX),
            Action::ChooseStyle(AlbumId(id), "s".repeat(24)),
            Action::MoreLikePicture(PictureId(id)),
        ];
        all.extend(
            Aspect::ALL
                .iter()
                .map(|aspect| Action::ChooseAspect(AlbumId(id), *aspect)),
        );
        for of in Shelf::ALL {
            all.extend([
                Action::Pictures(of),
                Action::Picture(PictureId(id), of),
                Action::Star(PictureId(id), of),
                Action::Unstar(PictureId(id), of),
                Action::DeletePicture(PictureId(id), of),
                Action::DeletePictureNow(PictureId(id), of),
            ]);
        }
        all
    }

    fn every_action(id: Uuid) -> Vec<Action> {
        let avatar = AvatarId(id);
        let mut all = vec![
            Action::Create,
            Action::Discard(avatar),
            Action::DiscardNow(avatar),
            Action::RemovePhoto(PhotoId(id)),
            Action::KeepPhotos(avatar),
            Action::Start(avatar),
            Action::Retry(avatar),
            Action::Stop(TrainingId(id)),
            Action::StopNow(TrainingId(id)),
            Action::Delete(avatar),
            Action::DeleteNow(avatar),
            Action::DeleteMe,
            Action::DeleteMeNow,
            Action::Status,
            Action::Gallery,
            Action::Show(avatar),
            Action::MakeMain(avatar),
            Action::Rename(avatar),
        ];
        all.extend(
            [
                Action::StartBroadcast,
                Action::StopBroadcast,
                Action::ShowBroadcast,
            ]
            .map(|of| of(id)),
        );
        all.extend(picture_actions(id));
        for kind in TrainingType::ALL {
            all.extend([Action::NewDraft(*kind), Action::ChooseType(avatar, *kind)]);
        }
        all.extend(Locale::ALL.map(Action::Speak));
        for preset in Preset::ALL {
            all.extend([Action::ChoosePreset(avatar, *preset), Action::UsePreset(*preset)]);
        }
        all.extend([Action::Settings, Action::AskLanguage]);
        all.extend([true, false].map(Action::Silence));
        all.extend(
            Gender::ALL
                .iter()
                .map(|gender| Action::ChooseGender(avatar, *gender)),
        );
        all.extend(
            [WizardStep::Type, WizardStep::Gender, WizardStep::Name].map(|step| Action::Back(avatar, step)),
        );
        all
    }

    proptest! {
        #[test]
        fn every_button_fits_and_means_what_it_said(id: u128) {
            for action in every_action(Uuid::from_u128(id)) {
                let data = action.to_string();
                prop_assert!(data.len() <= MAX_CALLBACK_DATA, "{data} has {} bytes", data.len());
                prop_assert_eq!(data.parse::<Action>(), Ok(action));
            }
        }

        #[test]
        fn whatever_a_client_sends_is_an_action_or_an_error(data: String) {
            if let Ok(action) = data.parse::<Action>() {
                prop_assert_eq!(action.to_string(), data);
            }
        }
    }

    #[test]
    fn a_button_with_an_unknown_training_type_is_no_portrait() {
        assert_eq!(
            "new:protrait".parse::<Action>(),
            Err(UnknownAction("new:protrait".into()))
        );
    }
}
