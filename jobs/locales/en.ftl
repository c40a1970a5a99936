# The bot's texts. Names as in jobs/src/texts/phrase.rs, arguments are the phrase's fields. Markup: Telegram's HTML.
# Short, warm, to the point. No promise that the system does not keep.

## Greetings and commands

welcome =
    👋 Hello, <b>{ $first_name }</b>!

    I train your personal AI avatar from { $min }–{ $max } photos and make pictures with it in many styles. A few questions, your photos, and I do the rest and write to you when the avatar is ready. You can delete everything at any time.
welcome-nameless =
    👋 <b>Hello!</b>

    I train your personal AI avatar from { $min }–{ $max } photos and make pictures with it in many styles. A few questions, your photos, and I do the rest and write to you when the avatar is ready. You can delete everything at any time.
welcome-back = 👋 Welcome back, <b>{ $first_name }</b>!
welcome-back-nameless = 👋 <b>Welcome back!</b>
draft-waits = An unfinished avatar is waiting for you: { $avatar }.
help =
    I train AI avatars from photos and make pictures with them.

    1. Choose the type of the avatar, the gender and a name.
    2. Send { $min }–{ $max } photos: one by one, as an album or as files (JPEG, PNG, WebP, up to { $megabytes } MB).
    3. Press “Start training”. I show how it goes and write to you when it is done.

    /start — { command-start }
    /status — { command-status }
    /gallery — { command-gallery }
    /pictures — { command-pictures }
    /cancel — { command-cancel }
    /language — { command-language }
    /settings — { command-settings }
    /privacy — { command-privacy }
    /mydata — { command-mydata }
    /delete_me — { command-delete_me }
avatar-named = <b>{ $name }</b>
avatar-unnamed = no name yet

## The wizard's questions

ask-type =
    🎭 <b>Which kind of avatar shall we make?</b>

    👤 <b>Portrait</b> — a person you recognise: face, expression, features.
    🎨 <b>Artistic</b> — the style and mood of your pictures.
ask-gender = 👤 <b>Whose avatar will it be?</b>
ask-name = ✏️ <b>What shall we call the avatar?</b> Send me a name.
photos-title = 📸 <b>{ $name }</b> · { $kind } · { $gender }
photos-ask =
    Send { $min }–{ $max } photos: one by one or as an album. Best as ordinary photos: I can't read the HEIC files of iPhones yet.

    Best are different angles, light and backgrounds, the face clearly visible, no filters and nobody else in the picture.
photos-counted =
    { $stored ->
        [one] <b>{ $stored }</b> photo
       *[other] <b>{ $stored }</b> photos
    } loaded ({ $min }–{ $max } needed).
photos-loading = ⏳ { $pending } more loading…
photos-missing =
    { $missing ->
        [one] { $missing } more photo is needed.
       *[other] { $missing } more photos are needed.
    }
photos-enough =
    ✅ Ready to start — or add { $room ->
        [one] { $room } more photo
       *[other] up to { $room } more photos
    }.
photos-full =
    ✅ { $max ->
        [one] { $max } photo is here
       *[other] All { $max } photos are here
    }, ready to start.
photos-rejected =
    ⚠️ These did not work:
    { $lines }
rejected-photo = • photo { $number } — { $problem }
more-rejected = • and { $count } more before these

## Hints on photos

photo-hints =
    🔎 Worth a look before the start:
    { $lines }
    Remove a photo and send another, or keep all: each one counts.
hint-alike = • photos { $numbers } look alike; different ones teach more
hint-blurred =
    • { $count ->
        [one] photo { $numbers } is blurred
       *[other] photos { $numbers } are blurred
    }
hint-no-face =
    • { $count ->
        [one] photo { $numbers }: no face is seen
       *[other] photos { $numbers }: no face is seen
    }
hint-several-faces =
    • { $count ->
        [one] photo { $numbers }: several faces, it is unclear whose avatar this is
       *[other] photos { $numbers }: several faces, it is unclear whose avatar this is
    }
numbers-one = { $last }
numbers-and = { $earlier } and { $last }
photo-removed = 🗑 Photo { $number } is removed. You can send another instead.
photo-removed-before = This photo is removed already.
photos-kept = 👌 All right, all photos stay.
button-remove-photo = 🗑 Photo { $number }
button-keep-photos = 👌 Keep all

## Why a photo was refused

photo-problem-not_an_image = this isn't an image; JPEG, PNG and WebP work
photo-problem-heic = HEIC, which I can't read yet; send the picture as a photo, not as a file
photo-problem-too_large =
    { $detail ->
        [none] the file is too large
       *[other] the file has more than { $detail } MB
    }; send it as a photo: Telegram makes it smaller
photo-problem-empty = the file is empty; send the picture again
photo-problem-unsupported_format =
    { $detail ->
        [none] a format that I can't read
        [JPEG] a rare kind of JPEG, which I can't read
       *[other] { $detail }, which I can't read
    }; send the picture as a photo, not as a file, or send a screenshot of it
photo-problem-too_many_pixels =
    { $detail ->
        [none] the picture is too large
       *[other] the picture is larger than { $detail }
    }; send it as a photo: Telegram makes it smaller
photo-problem-damaged = the file is damaged: a part of the picture is not there; send it again or choose another
photo-problem-unavailable = Telegram does not hand out this file any more; please send it again
photo-problem-other = the picture could not be read

## Words for what was chosen

kind-portrait = portrait
kind-style = artistic
gender-male = man
gender-female = woman

## Answers to what does not fit

name-empty = A name can't be empty. Send me what to call the avatar.
name-too-long =
    That is too long: a name can have { $max ->
        [one] { $max } character
       *[other] up to { $max } characters
    }. Please send a shorter one.
use-buttons = Please choose with a button below 👇
text-instead-of-photos = I am waiting for photos 📸 Once there are enough, a “Start training” button appears below the counter.
file-no-image = 🙈 This file isn't an image. JPEG, PNG or WebP photos work.
file-heic = 🙈 I can't read HEIC yet. Please send these pictures as photos, not as files.
file-too-large = 🙈 The file is larger than { $megabytes } MB. Please send it as a photo: Telegram makes it smaller.
too-many-photos =
    { $max ->
        [one] { $max } photo is enough
       *[other] { $max } photos are enough
    }: I keep the first ones, the others are left out.
photo-without-draft = 📸 Nice photo! Let us create an avatar first; the photos come a little later.
photo-kept = 📸 I keep your photos. One answer is still open:
photo-known = I have this photo already 🙂 Please send another one.
photo-refused = 🙈 You have sent this one before, and it did not work: { $problem }.
not-a-photo = I can't use a message like this one: photos or text, please.
unknown-command = I don't know this command. There are /start, /status, /gallery, /pictures, /cancel, /language, /settings, /privacy, /mydata, /delete_me and /help.
not-understood = I did not quite get that. Shall we start with a new avatar?
stale-button = This button is out of date.
ask-language = 🌐 <b>Which language shall I write in?</b>
language-chosen = 🌐 I write in English now.
ask-discard =
    Delete the avatar { $avatar } and { $photos ->
        [one] { $photos } photo
       *[other] { $photos } photos
    }? They cannot be brought back.
ask-which-to-stop = Which training shall I stop?
trouble = 😔 I could not handle your message, and have recorded the error. Please send it again; if that does not help: /start

## Start, retry, cancel

not-enough-photos =
    { $stored ->
        [one] { $stored } photo is
       *[other] { $stored } photos are
    } loaded so far, and at least { $min } are needed. Please send { $missing } more.
photos-still-loading =
    ⏳ { $pending ->
        [one] { $pending } photo is
       *[other] { $pending } photos are
    } still loading. Press the button in a few seconds.
already-training = ⏳ The avatar “{ $name }” is in training already. See /status.
already-trained = ✅ The avatar “{ $name }” is trained already.
closed-to-strangers = 🔒 This bot is for invited people only. If you should be among them, please write to whoever told you about it.
closed-to-you = 🔒 Your access to this bot is closed. If you think that this is a mistake, please write to whoever runs it.
too-many-live =
    ⏳ { $live ->
        [one] { $live } training of yours is running
       *[other] { $live } trainings of yours are running
    }, and no more may run at once. Start this one when one has ended: everything is kept.
trainings-used-up =
    🗓 { $most ->
        [one] { $most } training
       *[other] { $most } trainings
    } a day is the most that I can start for one person. The next can start { $wait }: everything is kept.
drafts-used-up =
    🗓 { $most ->
        [one] { $most } new avatar
       *[other] { $most } new avatars
    } a day is the most for one person. You can begin the next { $wait }.
photos-used-up =
    🗓 { $most ->
        [one] { $most } photo
       *[other] { $most } photos
    } a day is the most that I can take from one person. Please send more { $wait }; those that I have are kept.
in-hours =
    { $hours ->
        [one] in { $hours } hour
       *[other] in { $hours } hours
    }
in-minutes =
    { $minutes ->
        [one] in { $minutes } minute
       *[other] in { $minutes } minutes
    }
other-draft-first = Please finish or cancel the other avatar first: { $avatar }.
draft-discarded = 🗑 Creation cancelled: { $avatar }.
nothing-to-cancel = There is nothing to cancel: nothing is being created or trained.
ask-stop = Stop the training of <b>{ $name }</b>? The photos stay, you can start again.
too-late-to-stop = The training of <b>{ $name }</b> is already done and its model is being saved, so it can't be stopped any more. I will write to you in a moment.
stop-asked = I am asking the server to stop the training of <b>{ $name }</b>. I will write as soon as it has stopped. Should it finish all the same, the avatar stays yours.

## /status

status-draft =
    🔄 { $avatar }: creation is not finished, { $photos ->
        [0] no photos yet
        [one] { $photos } photo
       *[other] { $photos } photos
    }.
status-training =
    ⏳ <b>{ $name }</b>
    { $stage }
status-completed = ✅ <b>{ $name }</b>: the avatar is ready.
status-failed = ⚠️ <b>{ $name }</b>: the training failed — { $reason }.
status-cancelled = ✖️ <b>{ $name }</b>: the training was cancelled.
status-nothing = You have no avatars yet. Shall we create the first one?

## Progress

progress-title =
    🚀 Training the avatar <b>{ $name }</b> · { $kind } · { $photos ->
        [one] { $photos } photo
       *[other] { $photos } photos
    }
stage-requested = 📦 Preparing the photos…
stage-booked = 🗓 All places of the day at the training server are taken. Yours is kept and starts by itself { $wait }.
stage-archived = 📦 The photos are ready, sending them to training…
stage-submitted = 🛰 Sent to training, waiting for it to begin…
stage-queued =
    🕒 { $position ->
        [0] Your avatar is next in the queue.
       *[other] In the training queue, ahead of you: { $position }.
    }
stage-running = 🧠 Training: { $bar } { $percent }%
stage-trained = 💾 Training is done, saving the model…
stage-stopping = ✋ Stopping the training…
stage-completed = ✅ Done.
stage-failed = ⚠️ The training failed, see below.
stage-cancelled = ✖️ The training was cancelled.

## The wizard and the progress of a training

photo-unfit = 🙈 This one did not work: { $problem }.
photos-tips = 💡 Best are different angles, light and backgrounds; the face clearly visible, no filters and nobody else in the picture.
photo-examples =
    👀 <b>Which photos work</b>

    ✅ One person, in focus, the face easy to see, from several sides.
    ❌ Blurred, too dark, sunglasses, somebody else beside you.
not-usable = I can't read a message like this one. This question is still open:
not-usable-for-photos = I can't read a message like this one. I am waiting for photos 📸
ask-type-timed =
    🎭 <b>Which kind of avatar shall we make?</b>

    👤 <b>Portrait</b> — a person you recognise. It needs photos of a face. Training takes { $portrait_to ->
        [one] { $portrait_from } to { $portrait_to } minute
       *[other] { $portrait_from } to { $portrait_to } minutes
    }.
    🎨 <b>Artistic</b> — the style and mood of pictures. Anything works: drawings, places, things, people. Training takes { $style_to ->
        [one] { $style_from } to { $style_to } minute
       *[other] { $style_from } to { $style_to } minutes
    }.
ask-gender-of-style = 👤 <b>Who is mostly in these pictures?</b> If nobody is, either answer will do.
presets =
    🎚 <b>Quality of the training</b>
    { $lines }
preset-line =
    { $chosen ->
        [yes] ✅
       *[other] •
    } { $preset }: { $minutes ->
        [one] about { $minutes } minute
       *[other] about { $minutes } minutes
    }{ $cost ->
        [none] { "" }
       *[other] , { $cost }
    }
preset-fast = ⚡ Fast
preset-balanced = ⚖️ Balanced
preset-quality = 💎 Quality
button-chosen = ✓ { $choice }
time-left =
    ⏱ { $minutes ->
        [one] About { $minutes } minute left.
       *[other] About { $minutes } minutes left.
    }

## Settings and errors

settings =
    ⚙️ <b>Settings</b>

    Language: { $language }
    Quality of new avatars' training: { $preset }
    Messages come { $sound }.
with-sound = with a sound
without-sound = without a sound
button-language = 🌐 Language
button-use-preset = { $preset }
button-sound-on = 🔔 With sound
button-sound-off = 🔕 Without sound
support-code = 🆘 Should you need help, tell us the code <code>{ $reference }</code>

## How it ended

training-completed =
    🎉 <b>The avatar “{ $name }” is ready!</b>

    Pick a style, and I will make pictures with it.
training-failed-too_few_photos =
    😔 <b>Not enough photos for the avatar “{ $name }”.</b>

    Some of the pictures did not work. Add others and try again: the rest are kept.
training-failed-archive_unreachable =
    😔 <b>The avatar “{ $name }” could not be trained.</b>

    The training server could not read the photos. That is our fault and not theirs: they are kept, please try again a little later.
training-failed-rejected_by_provider =
    😔 <b>The avatar “{ $name }” could not be trained.</b>

    The training server did not accept these photos. Everything is kept: replace some of the pictures and try again.
training-failed-provider_failed =
    😔 <b>The avatar “{ $name }” could not be trained.</b>

    The training server had a failure. Your photos are kept: please try again a little later.
training-failed-submit_outcome_unknown =
    😔 <b>The avatar “{ $name }” could not be trained.</b>

    The training server did not confirm the order. Your photos are kept, you can try again; should the earlier result still arrive, I will write at once.
training-failed-model_invalid =
    😔 <b>The avatar “{ $name }” could not be trained.</b>

    The training ended, but its model is unusable, and we will not pass it off as ready. Your photos are kept: please try again.
training-failed-timed_out =
    😔 <b>The avatar “{ $name }” could not be trained.</b>

    The training took longer than allowed. Your photos are kept: please try again.
training-failed-internal =
    😔 <b>The avatar “{ $name }” could not be trained.</b>

    Something went wrong on our side, and it is recorded. Your photos are kept: please try again a little later.
training-failed-other =
    😔 <b>The avatar “{ $name }” could not be trained.</b>

    Your photos are kept: please try again a little later.
training-came-late =
    🎉 <b>The avatar “{ $name }” is ready after all!</b>

    Its training had already been given up here, but the server finished it. The model is verified and stored.
training-came-too-late = 💾 An earlier training of <b>{ $name }</b> has finished after all. You have gone on since, so I only keep its model; nothing changes for the avatar.
training-cancelled = ✖️ The training of <b>{ $name }</b> was cancelled. Your photos are kept.

failure-reason-too_few_photos = not enough usable photos
failure-reason-archive_unreachable = the training server could not read the photos
failure-reason-rejected_by_provider = the training server did not accept the photos
failure-reason-provider_failed = a failure of the training server
failure-reason-submit_outcome_unknown = the training server did not confirm the order
failure-reason-model_invalid = the model was unusable
failure-reason-timed_out = it took too long
failure-reason-internal = something went wrong on our side
failure-reason-other = the reason is not known yet

## Privacy and administrators

ask-delete =
    🗑 Delete the avatar { $avatar } for good?

    { $photos ->
        [0] { $pictures ->
            [0] It cannot be brought back.
            [one] Gone with it: { $pictures } picture. It cannot be brought back.
           *[other] Gone with it: { $pictures } pictures. They cannot be brought back.
        }
       *[other] Gone with it: { $photos ->
            [one] { $photos } photo
           *[other] { $photos } photos
        }{ $pictures ->
            [0] { "" }
            [one] , { $pictures } picture
           *[other] , { $pictures } pictures
        }. They cannot be brought back.
    }
ask-delete-model = The trained model goes as well: for new pictures the avatar would have to be trained again.
ask-delete-training = I will stop its training.
ask-delete-paid = The training has been sent to the server and is paid for: that money does not come back.
avatar-deleted = 🗑 The avatar { $avatar } is deleted. I am erasing its photos, model and pictures; that takes a little while.
main-is-now = ⭐ Your main avatar is <b>{ $name }</b> now.
stage-deleted = 🗑 The avatar was deleted.
button-delete = 🗑 Delete for good
button-keep = ◀️ Keep it
privacy =
    🔐 <b>What I keep</b>

    • Your photos: { $photos } after the training.
    • Trained models: until you delete the avatar.
    • Pictures: { $pictures }.
    • Your Telegram name, language and answers; messages: { $messages }.

    For training and pictures, photos and descriptions go to the service FAL.ai; the archive of photos stays there { $archives }. Nobody else gets anything.

    Delete one avatar in /gallery, everything at once with /delete_me.
kept-days =
    { $days ->
        [one] for { $days } day
       *[other] for { $days } days
    }
kept-until-deleted = until you delete them
ask-delete-me =
    🗑 <b>Delete everything I know about you?</b>

    Gone: { $avatars ->
        [one] { $avatars } avatar
       *[other] { $avatars } avatars
    }{ $photos ->
        [0] { "" }
        [one] , { $photos } photo
       *[other] , { $photos } photos
    }{ $pictures ->
        [0] { "" }
        [one] , { $pictures } picture
       *[other] , { $pictures } pictures
    }, models and all messages. A running training is stopped.
ask-delete-me-again = ⚠️ <b>Are you sure?</b> Nothing can be brought back, not even on request.
button-delete-me = 🗑 Yes, delete everything
leaving = 🗑 I am deleting everything I know about you. I will write when it is done; until then I take nothing new.
erased = ✅ <b>Done: nothing about you is left.</b> Photos, models, pictures and messages are deleted. To begin anew: /start.
photos-retired = The earlier photos of this avatar are deleted: I keep them no longer than /privacy says. Please send new ones.
export-begun = 📦 I am collecting everything I keep about you: data, photos and pictures. It comes as a file.
export-again = 📦 I have sent a copy of your data today already. You can ask for the next one { $wait }.
export-part =
    { $parts ->
        [1] 📦 Your data.
       *[other] 📦 Your data, file { $part } of { $parts }.
    }
export-failed = 😔 Your data could not be sent. Please try again: /mydata
broadcast-text = { $text }
admin-users = 👥 Users: { $users }, new within a day: { $new }.
admin-trainings =
    🧠 Trainings now: { $live }; within a day ready: { $completed }, failed: { $failed }, cancelled: { $cancelled }.
    🎨 Pictures within a day: { $pictures }.
admin-queue = ⚙️ The oldest job that could run waits for { $seconds } s; dead letters: { $dead }.
admin-parked = ⛔️ FAL refuses our account: { $reason }
admin-nobody = Nobody found. Give a Telegram id, an @name, a support code, or the id of a user, avatar, training or picture.
admin-no-id = That needs a Telegram id, as a number.
admin-user = 👤 <b>{ $name }</b> · { $id } · { $language } · since { $since }
admin-is-allowed = ✅ May use the bot.
admin-is-blocked = 🔒 May not use the bot.
admin-is-leaving = 🗑 Is having everything deleted.
admin-config-wins = The configuration decides this: its lists win.
admin-broadcast-how = Write the text right after the command, up to { $max } characters: /broadcast Hello!
admin-broadcast-ask =
    ─────
    This is how it will look. Receivers: { $receivers }.
admin-broadcast-state =
    ─────
    Queued: { $written }, delivered: { $delivered }, on the way: { $waiting }, answer lost: { $unknown }.
admin-broadcast-over = The broadcast is over.
button-broadcast = 📣 Send ({ $receivers })
button-broadcast-stop = ✖️ Stop
button-refresh = 🔄 Refresh

## Buttons

button-create = ✨ Create an avatar
button-continue = 🔄 Continue
button-portrait = 👤 Portrait
button-style = 🎨 Artistic
button-male = 👨 Man
button-female = 👩 Woman
button-back = ◀️ Back
button-discard = ✖️ Cancel
button-start = 🚀 Start training
button-retry = 🔁 Try again
button-stop = ✖️ Stop the training
button-status = 📊 Training status
button-discard-now = 🗑 Delete
button-keep-training = ▶️ Go on training
button-stop-named = ✖️ Stop “{ $name }”
button-retry-named = 🔁 Try “{ $name }” again
button-russian = 🇷🇺 Русский
button-english = 🇬🇧 English
button-kazakh = 🇰🇿 Қазақша

## The gallery

gallery-place =
    🖼 { $total ->
        [1] Your avatar
       *[other] Avatar { $place } of { $total }
    } · { $kind }
gallery-main =
    ⭐ { $total ->
        [1] Your avatar
       *[other] Your main avatar, { $place } of { $total }
    } · { $kind }
ask-new-name = ✏️ <b>What shall I call { $name } from now on?</b> Send me the new name, or /cancel.
renamed = ✏️ Now it is called <b>{ $name }</b>.
name-kept = The name stays: <b>{ $name }</b>.
avatar-gone = This avatar is not there any more.
main-chosen = ⭐ “{ $name }” is your main avatar now.
button-gallery = 🖼 My avatars
button-main = ⭐ Main
button-rename = ✏️ Rename
button-previous = ◀️
button-next = ▶️

## Asking for pictures

ask-style = 🎨 <b>Which style shall { $name } appear in?</b>
style-name = { $en }
style-unnamed = a former style
album-choice = 🎨 <b>{ $name }</b> · { $style }
ask-words =
    ✍️ <b>What should be in the picture?</b> Write it in your own words, in any language, for example: “at the seaside at sunset, in a white shirt”.

    { $max ->
        [one] Up to { $max } character
       *[other] Up to { $max } characters
    }. Or go on without words: the style is enough.
words-refused-empty_prompt = I see no words there. Write what should be in the picture, or go on without words.
words-refused-no_words_in_prompt = Emoji and signs alone tell the artist nothing. Please add a few words, or go on without them.
words-refused-long_prompt =
    That is too long: { $max ->
        [one] { $max } character fits
       *[other] up to { $max } characters fit
    }. Please send a shorter description.
words-refused-refused_word_in_prompt = I don't make pictures like that. Please describe something else, or go on without words.
words-refused-other = I can't use this description. Please write another one, or go on without words.
album-words = ✍️ { $words }
album-ready-to-make = Choose the shape and the number, and press “Make”.
style-gone = This style is not offered any more. Please choose another one.
already-making = ⏳ These pictures are being made already.
too-many-albums =
    ⏳ { $live ->
        [one] { $live } album of yours is being made
       *[other] { $live } albums of yours are being made
    }. Ask again when one is done: your choices are kept.
pictures-left =
    🗓 { $left ->
        [one] Only { $left } more picture is
       *[other] Only { $left } more pictures are
    } left for today. Choose a smaller number.
pictures-used-up =
    🗓 { $most ->
        [one] { $most } picture
       *[other] { $most } pictures
    } a day is the most for one person. The next can be made { $wait }: your choices are kept.
album-over = This album is done already.
album-left = All right, no pictures this time.
button-generate = 🎨 Make pictures
button-without-words = ➡️ Without words
button-aspect = { $width }:{ $height }
button-aspect-chosen = ✅ { $width }:{ $height }
button-count = { $number }
button-count-chosen = ✅ { $number }
button-style-again = 🎨 Style
button-words = ✍️ Words
button-make =
    🚀 Make { $count ->
        [one] { $count } picture
       *[other] { $count } pictures
    }

## The pictures of the past

picture-place = 🖼 { $place } of { $total } · <b>{ $name }</b> · { $style }
favourite-place = ⭐ { $place } of { $total } · <b>{ $name }</b> · { $style }
picture-gone = This picture is not there any more.
picture-starred = ⭐ It is among your favourites: /pictures
picture-unstarred = It is not among your favourites any more.
picture-deleted = 🗑 The picture is deleted.
ask-delete-picture = 🗑 <b>Delete this picture?</b> It cannot be brought back.
pictures-none = There are no pictures yet. Choose an avatar and make the first ones!
favourites-none = There are no favourites yet. Press ⭐ under a picture that you like.
button-pictures = 📷 My pictures
button-favourites = ⭐ Favourites
button-all-pictures = 📷 All pictures
button-star = ⭐ Save
button-unstar = ☆ Unsave
button-more-like-picture = 🎨 More like this
button-delete-picture = 🗑 Delete

## The list of commands in the menu

command-start = create an avatar or continue
command-status = how the training is going
command-gallery = your avatars
command-pictures = your pictures
command-cancel = cancel a creation or a training
command-language = choose the language
command-settings = language, quality, sound
command-privacy = what I keep about you
command-mydata = a copy of my data
command-delete_me = delete everything about me
command-help = what this bot can do

# Pictures

album-title = 🎨 Pictures of <b>{ $name }</b>: { $count }
album-asked = Sending the request…
album-queued = { $position ->
    [0] Your request is next in the queue.
    [one] { $position } request is before yours in the queue.
   *[other] { $position } requests are before yours in the queue.
}
album-running = Drawing. This usually takes less than a minute.
album-storing = Done, fetching the pictures…
album-stopping = Stopping…
album-done = ✅ Done.
album-none = There are no pictures; the message below says why.
album-stopped = Stopped.
album-caption = <b>{ $name }</b>
album-ready = { $count ->
    [one] Here is { $count } picture of <b>{ $name }</b>. A star marks it as a favourite.
   *[other] Here are { $count } pictures of <b>{ $name }</b>. A star marks your favourites.
}
album-partly-flagged = { $flagged ->
    [one] The content filter held back { $flagged } more picture. It does not count towards your limit.
   *[other] The content filter held back { $flagged } more pictures. They do not count towards your limit.
}
album-partly = { $missing ->
    [one] { $missing } picture did not come out, and does not count towards your limit.
   *[other] { $missing } pictures did not come out, and do not count towards your limit.
}
album-flagged = The content filter held back the pictures of <b>{ $name }</b>, so they cannot be shown. That happens without cause, too. They do not count towards your limit. Try another style or other words.
album-failed-rejected_by_provider = The pictures of <b>{ $name }</b> could not be made: the service did not accept the request. It does not count towards your limit. Try other words.
album-failed-provider_failed = The pictures of <b>{ $name }</b> could not be made: the service that draws them failed. They do not count towards your limit. Please try again.
album-failed-submit_outcome_unknown = The pictures of <b>{ $name }</b> did not come: the connection to the service was lost. They do not count towards your limit. Please try again.
album-failed-model_invalid = The pictures of <b>{ $name }</b> could not be made: what the service sent cannot be opened. They do not count towards your limit. Please try again.
album-failed-model_gone = No more pictures of <b>{ $name }</b> can be made: its model is lost, and that is our fault. They do not count towards your limit. Please train a new avatar, or write to support.
album-failed-timed_out = The pictures of <b>{ $name }</b> did not come in time: the service is overloaded. They do not count towards your limit. Please try later.
album-failed-other = The pictures of <b>{ $name }</b> could not be made because of a fault of ours. They do not count towards your limit. Please try again a little later.
album-cancelled = The pictures of <b>{ $name }</b> were stopped. They do not count towards your limit.
stage-sampling = The model is ready. Drawing the first pictures…
button-stop-album = ✖️ Stop
button-keep-picture = ⭐ { $number }
button-more-like-this = 🔁 More like this
button-again = ✏️ Change

## About the bot: what Telegram shows in an empty chat and in the profile

bot-description = I train a personal AI avatar from your photos and make pictures with it. It takes a few photos and a little time. Press “Start”.
bot-short-description = A personal AI avatar from your photos, and pictures with it.
