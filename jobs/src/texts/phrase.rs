//! Everything that the bot can say, as data: stored in `notifications.message`, and rendered when it is sent.
//!
//! A phrase's JSON names its text (`say`) and has the arguments; the texts are in `jobs/locales/*.ftl` under the same
//! names. A field `code` selects one text of a family: `training-failed` with code `timed_out` is the text
//! `training-failed-timed_out`, or `training-failed-other` if the code has no text.
//!
//! Stored rows outlive a deploy: a phrase that may wait in the outbox keeps its name and fields, and a new one is
//! listed in `vocabulary.rs`. An unknown code, from a newer version, is said in general terms.

mod values;

use serde::{Deserialize, Serialize};

macro_rules! phrases {
    ($($(#[$doc:meta])* $variant:ident { $($(#[$how:meta])* $field:ident: $type:ty),* $(,)? }),+ $(,)?) => {
        /// One text with its arguments.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "say", rename_all = "kebab-case")]
        #[expect(missing_docs, reason = "the fields are the arguments of the text, named as there")]
        pub enum Phrase { $($(#[$doc])* $variant { $($(#[$how])* $field: $type),* }),+ }

        /// Each phrase's Rust name and arguments, for the test that compares them with the texts.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &[&str])] = &[$((stringify!($variant), &[$(stringify!($field)),*])),+];
    };
}

phrases! {
    // Greetings and commands.

    /// Greets a user without avatars.
    Welcome { first_name: String, min: u32, max: u32 },
    /// The same for a user without a name.
    WelcomeNameless { min: u32, max: u32 },
    /// Greets a user who has been here before.
    WelcomeBack { first_name: String },
    /// The same for a user without a name.
    WelcomeBackNameless {},
    /// Says that a draft can be continued.
    DraftWaits { avatar: Box<Phrase> },
    /// Explains the bot and lists its commands.
    Help { min: u32, max: u32, megabytes: u32 },
    /// An avatar's name, in bold type.
    AvatarNamed { name: String },
    /// An avatar that has no name yet.
    AvatarUnnamed {},

    // The wizard's questions.

    /// Asks for the type: portrait or style.
    AskType {},
    /// Asks for the gender: male or female.
    AskGender {},
    /// Asks for the avatar's name.
    AskName {},
    /// Heads the photo step: the user's choices so far.
    PhotosTitle { name: String, kind: Box<Phrase>, gender: Box<Phrase> },
    /// Asks for the first photos.
    PhotosAsk { min: u32, max: u32 },
    /// Says how many photos are in our bucket.
    PhotosCounted { stored: u32, min: u32, max: u32 },
    /// Says how many photos are being fetched.
    PhotosLoading { pending: u32 },
    /// Says how many more photos are needed.
    PhotosMissing { missing: u32 },
    /// Says that the training can start, and that more photos may be added.
    PhotosEnough { room: u32 },
    /// Says that the training can start, and that no more photos fit.
    PhotosFull { max: u32 },
    /// Lists the refused photos.
    PhotosRejected { lines: Vec<Phrase> },
    /// One refused photo, numbered as the user sent it.
    RejectedPhoto { number: u32, problem: Box<Phrase> },
    /// Says how many refused photos came before those.
    MoreRejected { count: u32 },
    /// Why a photo was refused: `avatar_photos.reason` and `detail`; `none` if it has no detail.
    PhotoProblem { code: String, #[serde(default = "none")] detail: String },

    // Words for what was chosen.

    KindPortrait {},
    KindStyle {},
    GenderMale {},
    GenderFemale {},

    // Answers to what does not fit.

    NameEmpty {},
    NameTooLong { max: u32 },
    UseButtons {},
    TextInsteadOfPhotos {},
    FileNoImage {},
    FileHeic {},
    FileTooLarge { megabytes: u32 },
    TooManyPhotos { max: u32 },
    PhotoWithoutDraft {},
    PhotoKept {},
    PhotoKnown {},
    PhotoRefused { problem: Box<Phrase> },
    NotAPhoto {},
    UnknownCommand {},
    NotUnderstood {},
    StaleButton {},
    AskLanguage {},
    LanguageChosen {},
    AskDiscard { avatar: Box<Phrase>, photos: u32 },
    AskWhichToStop {},
    Trouble {},

    // Start, retry, cancel.

    NotEnoughPhotos { stored: u32, min: u32, missing: u32 },
    PhotosStillLoading { pending: u32 },
    AlreadyTraining { name: String },
    AlreadyTrained { name: String },
    OtherDraftFirst { avatar: Box<Phrase> },
    DraftDiscarded { avatar: Box<Phrase> },
    NothingToCancel {},
    AskStop { name: String },
    TooLateToStop { name: String },
    /// FAL is asked to stop; another message will tell the end.
    StopAsked { name: String },

    // Limits.

    /// The bot is only for users on the operator's list.
    ClosedToStrangers {},
    /// The operator has blocked this user.
    ClosedToYou {},
    TooManyLive { live: u32 },
    TrainingsUsedUp { most: u32, wait: Box<Phrase> },
    DraftsUsedUp { most: u32, wait: Box<Phrase> },
    PhotosUsedUp { most: u32, wait: Box<Phrase> },
    /// A time such as "in 3 hours".
    InHours { hours: u32 },
    /// A time such as "in 5 minutes".
    InMinutes { minutes: u32 },

    // /status.

    StatusDraft { avatar: Box<Phrase>, photos: u32 },
    StatusTraining { name: String, stage: Box<Phrase> },
    StatusCompleted { name: String },
    StatusFailed { name: String, reason: Box<Phrase> },
    StatusCancelled { name: String },
    StatusNothing {},

    // The progress message.

    ProgressTitle { name: String, kind: Box<Phrase>, photos: u32 },
    StageRequested {},
    StageArchived {},
    /// The account's trainings of the day are used up; this one goes on by itself.
    StageBooked { wait: Box<Phrase> },
    StageSubmitted {},
    StageQueued { position: u32 },
    StageRunning { bar: String, percent: u32 },
    StageTrained {},
    StageStopping {},
    StageCompleted {},
    StageFailed {},
    StageCancelled {},

    // The wizard and the progress of a training, since the photo card comes below the photos.

    /// A reply to a photo that was refused.
    PhotoUnfit { problem: Box<Phrase> },
    /// Which photos work best; below the counter while photos are missing.
    PhotosTips {},
    /// A message that the bot cannot use; the open question follows.
    NotUsable {},
    /// The same while photos are asked for.
    NotUsableForPhotos {},
    /// Asks for the type, and says how many minutes each takes.
    AskTypeTimed { portrait_from: u32, portrait_to: u32, style_from: u32, style_to: u32 },
    /// Below a picture of photos that fit and photos that do not.
    PhotoExamples {},
    /// Asks for the gender where there may be nobody in the pictures.
    AskGenderOfStyle {},
    /// The presets, one a line.
    Presets { lines: Vec<Phrase> },
    /// What a preset takes. `cost` is `none` if FAL publishes none; `chosen` is `yes` or `no`.
    PresetLine { preset: Box<Phrase>, minutes: u32, cost: String, chosen: String },
    PresetFast {},
    PresetBalanced {},
    PresetQuality {},
    /// The label of the choice that counts.
    ButtonChosen { choice: Box<Phrase> },
    /// About how long the training still takes.
    TimeLeft { minutes: u32 },

    // Settings and errors.

    Settings { language: Box<Phrase>, preset: Box<Phrase>, sound: Box<Phrase> },
    WithSound {},
    WithoutSound {},
    ButtonLanguage {},
    /// The label of a preset with which drafts may begin.
    ButtonUsePreset { preset: Box<Phrase> },
    ButtonSoundOn {},
    ButtonSoundOff {},
    /// By which operators find what an error was about.
    SupportCode { reference: String },

    // The final message.

    TrainingCompleted { name: String },
    TrainingFailed { name: String, code: String },
    TrainingCancelled { name: String },
    /// A model came after the end, and the avatar has it now.
    TrainingCameLate { name: String },
    /// A model came after the end, but the owner had started another training by then.
    TrainingCameTooLate { name: String },
    /// The same reasons without the name, as a part of other texts.
    FailureReason { code: String },

    // Privacy and administrators.

    /// Asks whether to delete an avatar, and says what is lost with it.
    AskDelete { avatar: Box<Phrase>, photos: u32, pictures: u32 },
    /// Its model is lost as well.
    AskDeleteModel {},
    /// It is in training, which is stopped.
    AskDeleteTraining {},
    /// Its training is at FAL: it is paid for.
    AskDeletePaid {},
    AvatarDeleted { avatar: Box<Phrase> },
    /// Another avatar is the main one now.
    MainIsNow { name: String },
    /// The last word of the progress message.
    StageDeleted {},
    ButtonDelete {},
    ButtonKeep {},
    /// What is stored, for how long, and how to delete it.
    Privacy { photos: Box<Phrase>, pictures: Box<Phrase>, messages: Box<Phrase>, archives: Box<Phrase> },
    /// A time such as "for 30 days".
    KeptDays { days: u32 },
    KeptUntilDeleted {},
    AskDeleteMe { avatars: u32, photos: u32, pictures: u32 },
    AskDeleteMeAgain {},
    ButtonDeleteMe {},
    /// Everything about the user is being deleted; the answer to whatever they send meanwhile.
    Leaving {},
    /// The receipt: nothing is left.
    Erased {},
    /// The photos of an avatar that is tried again were deleted because of their age.
    PhotosRetired {},
    ExportBegun {},
    ExportAgain { wait: Box<Phrase> },
    /// The caption of a file with the user's data.
    ExportPart { part: u32, parts: u32 },
    ExportFailed {},
    /// What an administrator writes to everybody.
    BroadcastText { text: String },
    AdminUsers { users: u32, new: u32 },
    AdminTrainings { live: u32, completed: u32, failed: u32, cancelled: u32, pictures: u32 },
    AdminQueue { seconds: u32, dead: u32 },
    AdminParked { reason: String },
    AdminNobody {},
    AdminNoId {},
    AdminUser { id: String, name: String, language: String, since: String },
    AdminIsAllowed {},
    AdminIsBlocked {},
    AdminIsLeaving {},
    AdminConfigWins {},
    AdminBroadcastHow { max: u32 },
    AdminBroadcastAsk { receivers: u32 },
    AdminBroadcastState { written: u32, delivered: u32, waiting: u32, unknown: u32 },
    AdminBroadcastOver {},
    ButtonBroadcast { receivers: u32 },
    ButtonBroadcastStop {},
    ButtonRefresh {},

    // Photo verdicts: hints on photos before the start.

    /// Heads the hints, each in a line.
    PhotoHints { lines: Vec<Phrase> },
    /// Photos that look alike. `numbers` is a `Numbers…` phrase, `count` how many these are; so for the next three.
    HintAlike { numbers: Box<Phrase>, count: u32 },
    HintBlurred { numbers: Box<Phrase>, count: u32 },
    HintNoFace { numbers: Box<Phrase>, count: u32 },
    HintSeveralFaces { numbers: Box<Phrase>, count: u32 },
    /// The number of one photo.
    NumbersOne { last: u32 },
    /// Numbers of photos: those before the last one are separated by commas.
    NumbersAnd { earlier: String, last: u32 },
    PhotoRemoved { number: u32 },
    PhotoRemovedBefore {},
    PhotosKept {},
    ButtonRemovePhoto { number: u32 },
    ButtonKeepPhotos {},

    // Buttons.

    ButtonCreate {},
    ButtonContinue {},
    ButtonPortrait {},
    ButtonStyle {},
    ButtonMale {},
    ButtonFemale {},
    ButtonBack {},
    ButtonDiscard {},
    ButtonStart {},
    ButtonRetry {},
    ButtonStop {},
    ButtonStatus {},
    ButtonDiscardNow {},
    ButtonKeepTraining {},
    ButtonStopNamed { name: String },
    ButtonRetryNamed { name: String },
    // Each language is called in itself, in all locales.
    ButtonRussian {},
    ButtonEnglish {},
    ButtonKazakh {},

    // The gallery.

    /// Heads an avatar's page: which one of how many it is.
    GalleryPlace { kind: Box<Phrase>, place: u32, total: u32 },
    /// The same for the main avatar.
    GalleryMain { kind: Box<Phrase>, place: u32, total: u32 },
    AskNewName { name: String },
    Renamed { name: String },
    /// The question for a new name was left.
    NameKept { name: String },
    AvatarGone {},
    MainChosen { name: String },
    ButtonGallery {},
    ButtonMain {},
    ButtonRename {},
    ButtonPrevious {},
    ButtonNext {},
    // Pictures.

    /// Heads an album's progress message.
    AlbumTitle { name: String, count: u32 },
    AlbumAsked {},
    AlbumQueued { position: u32 },
    AlbumRunning {},
    AlbumStoring {},
    AlbumStopping {},
    AlbumDone {},
    AlbumNone {},
    AlbumStopped {},
    /// Under the pictures themselves.
    AlbumCaption { name: String },
    AlbumReady { name: String, count: u32 },
    /// FAL's safety checker held some back.
    AlbumPartlyFlagged { flagged: u32 },
    /// FAL made fewer than were asked for.
    AlbumPartly { missing: u32 },
    /// FAL's safety checker held all of them back.
    AlbumFlagged { name: String },
    AlbumFailed { name: String, code: String },
    AlbumCancelled { name: String },
    /// The model is stored; the first pictures are being made.
    StageSampling {},
    ButtonStopAlbum {},
    /// Marks a picture as a favourite.
    ButtonKeepPicture { number: u32 },
    ButtonMoreLikeThis {},
    ButtonAgain {},

    // The dialogue that asks for pictures.

    AskStyle { name: String },
    /// A style's name in each language, from the table: it is data, and no text of ours.
    StyleName { ru: String, en: String, kk: String },
    /// A style that is gone from the table.
    StyleUnnamed {},
    /// Heads the dialogue: the avatar and the style.
    AlbumChoice { name: String, style: Box<Phrase> },
    AskWords { max: u32 },
    /// Why words were refused (`PromptRefusal::code`), and the most characters that they may have.
    WordsRefused { code: String, max: u32 },
    AlbumWords { words: String },
    AlbumReadyToMake {},
    StyleGone {},
    AlreadyMaking {},
    TooManyAlbums { live: u32 },
    PicturesLeft { left: u32 },
    PicturesUsedUp { most: u32, wait: Box<Phrase> },
    /// An album that has ended cannot be stopped.
    AlbumOver {},
    /// The dialogue was left.
    AlbumLeft {},
    ButtonGenerate {},
    ButtonWithoutWords {},
    ButtonAspect { width: u32, height: u32 },
    ButtonAspectChosen { width: u32, height: u32 },
    ButtonCount { number: u32 },
    ButtonCountChosen { number: u32 },
    ButtonStyleAgain {},
    ButtonWords {},
    ButtonMake { count: u32 },

    // The pictures of the past.

    /// Under a picture: which one of how many it is.
    PicturePlace { place: u32, total: u32, name: String, style: Box<Phrase> },
    /// The same among the favourites.
    FavouritePlace { place: u32, total: u32, name: String, style: Box<Phrase> },
    PictureGone {},
    PictureStarred {},
    PictureUnstarred {},
    PictureDeleted {},
    AskDeletePicture {},
    PicturesNone {},
    FavouritesNone {},
    ButtonPictures {},
    ButtonFavourites {},
    ButtonAllPictures {},
    ButtonStar {},
    ButtonUnstar {},
    ButtonMoreLikePicture {},
    ButtonDeletePicture {},
}

fn none() -> String {
    "none".to_owned()
}
