# Тексты бота. Имена — как в jobs/src/texts/phrase.rs, аргументы — поля фразы. Разметка: HTML Телеграма (<b>, <i>).
# На «вы», коротко, тепло, по делу. Без обещаний, которых система не держит.

## Приветствия и команды

welcome =
    👋 Здравствуйте, <b>{ $first_name }</b>!

    Я обучу ваш личный ИИ-аватар по фотографиям: нужно от { $min } до { $max }. Несколько вопросов, фотографии — и дальше всё сделаю сам, а когда аватар будет готов, напишу. Удалить всё можно в любой момент.
welcome-nameless =
    👋 <b>Здравствуйте!</b>

    Я обучу ваш личный ИИ-аватар по фотографиям: нужно от { $min } до { $max }. Несколько вопросов, фотографии — и дальше всё сделаю сам, а когда аватар будет готов, напишу. Удалить всё можно в любой момент.
welcome-back = 👋 С возвращением, <b>{ $first_name }</b>!
welcome-back-nameless = 👋 <b>С возвращением!</b>
draft-waits = Вас ждёт незаконченный аватар: { $avatar }.
help =
    Я обучаю ИИ-аватары по фотографиям.

    1. Выберите тип аватара, пол и имя.
    2. Пришлите { $min }–{ $max } фотографий: по одной, альбомом или файлами (JPEG, PNG, WebP, до { $megabytes } МБ).
    3. Нажмите «Начать обучение». Я покажу ход работы и напишу, когда всё будет готово.

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
avatar-unnamed = пока без имени

## Вопросы мастера

ask-type =
    🎭 <b>Какой аватар создаём?</b>

    👤 <b>Портретный</b> — узнаваемый человек: лицо, мимика, черты.
    🎨 <b>Художественный</b> — стиль и настроение ваших снимков.
ask-gender = 👤 <b>Чей это будет аватар?</b>
ask-name = ✏️ <b>Как назовём аватар?</b> Пришлите имя сообщением.
photos-title = 📸 <b>{ $name }</b> · { $kind } · { $gender }
photos-ask =
    Пришлите фотографии, нужно от { $min } до { $max }: по одной или альбомом. Лучше обычными фото: файлы HEIC с iPhone я пока не читаю.

    Лучше всего разные ракурсы, свет и фон, лицо хорошо видно, без фильтров и других людей в кадре.
photos-counted =
    { $stored ->
        [one] Загружена <b>{ $stored }</b> фотография
        [few] Загружены <b>{ $stored }</b> фотографии
       *[many] Загружено <b>{ $stored }</b> фотографий
    }, нужно от { $min } до { $max }.
photos-loading =
    ⏳ { $pending ->
        [one] Ещё { $pending } загружается…
       *[many] Ещё { $pending } загружаются…
    }
photos-missing =
    { $missing ->
        [one] Нужна ещё { $missing } фотография.
        [few] Нужны ещё { $missing } фотографии.
       *[many] Нужно ещё { $missing } фотографий.
    }
photos-enough =
    ✅ Можно начинать — или добавить { $room ->
        [one] ещё { $room } фотографию
        [few] ещё до { $room } фотографий
       *[many] ещё до { $room } фотографий
    }.
photos-full =
    ✅ { $max ->
        [one] { $max } фотография на месте
        [few] Все { $max } фотографии на месте
       *[many] Все { $max } фотографий на месте
    }, можно начинать.
photos-rejected =
    ⚠️ Не подошли:
    { $lines }
rejected-photo = • фото { $number } — { $problem }
more-rejected = • и ещё { $count } фото до этих

## Подсказки к фотографиям

photo-hints =
    🔎 Взгляните перед началом:
    { $lines }
    Уберите фото и пришлите другое или оставьте как есть: засчитаны все.
hint-alike = • фото { $numbers } похожи; от разных больше пользы
hint-blurred =
    • { $count ->
        [1] фото { $numbers } смазано
       *[other] фото { $numbers } смазаны
    }
hint-no-face = • фото { $numbers }: лица не видно
hint-several-faces = • фото { $numbers }: несколько лиц, непонятно, чей это аватар
numbers-one = { $last }
numbers-and = { $earlier } и { $last }
photo-removed = 🗑 Фото { $number } убрано. Можно прислать другое.
photo-removed-before = Это фото уже убрано.
photos-kept = 👌 Хорошо, все фото остаются.
button-remove-photo = 🗑 Фото { $number }
button-keep-photos = 👌 Оставить все

## Почему фотография не подошла

photo-problem-not_an_image = это не изображение; подойдут JPEG, PNG и WebP
photo-problem-heic = формат HEIC, который я пока не читаю; пришлите снимок как фото, а не как файл
photo-problem-too_large =
    { $detail ->
        [none] файл слишком большой
       *[other] файл больше { $detail } МБ
    }; пришлите снимок как фото — Телеграм сам его уменьшит
photo-problem-empty = файл пустой; пришлите снимок ещё раз
photo-problem-unsupported_format =
    { $detail ->
        [none] такой формат я не читаю
        [JPEG] редкая разновидность JPEG, которую я не читаю
       *[other] формат { $detail }, который я не читаю
    }; пришлите снимок как фото, а не как файл, или сделайте с него скриншот
photo-problem-too_many_pixels =
    { $detail ->
        [none] слишком большое изображение
       *[other] изображение больше { $detail }
    }; пришлите снимок как фото — Телеграм сам его уменьшит
photo-problem-damaged = файл повреждён: части изображения нет; пришлите его ещё раз или выберите другой снимок
photo-problem-unavailable = Телеграм больше не отдаёт этот файл; пришлите его ещё раз
photo-problem-other = не удалось прочитать изображение

## Слова для выбранного

kind-portrait = портретный
kind-style = художественный
gender-male = мужчина
gender-female = женщина

## Ответы на то, что не подходит

name-empty = Имя не может быть пустым. Пришлите, как назвать аватар.
name-too-long =
    Слишком длинно: в имени { $max ->
        [one] может быть не больше { $max } символа
       *[many] может быть не больше { $max } символов
    }. Пришлите имя покороче.
use-buttons = Выберите, пожалуйста, вариант кнопкой ниже 👇
text-instead-of-photos = Сейчас жду фотографии 📸 Когда их будет достаточно, кнопка «Начать обучение» появится под счётчиком.
file-no-image = 🙈 Этот файл — не изображение. Подойдут фотографии JPEG, PNG или WebP.
file-heic = 🙈 Формат HEIC я пока не читаю. Отправьте эти снимки, пожалуйста, как фото, а не как файл.
file-too-large = 🙈 Файл больше { $megabytes } МБ. Пришлите снимок как фото — Телеграм сам его уменьшит.
too-many-photos =
    { $max ->
        [one] Больше { $max } фотографии не нужно
       *[many] Больше { $max } фотографий не нужно
    }: беру первые, остальные в обучение не войдут.
photo-without-draft = 📸 Хорошее фото! Но сначала создадим новый аватар, а фотографии понадобятся чуть позже.
photo-kept = 📸 Фотографии сохраняю. Осталось ответить:
photo-known = Эта фотография у меня уже есть 🙂 Пришлите, пожалуйста, другую.
photo-refused = 🙈 Эту фотографию вы уже присылали, она не подошла: { $problem }.
not-a-photo = Такое сообщение я не умею использовать: нужны фотографии или текст.
unknown-command = Такой команды я не знаю. Есть /start, /status, /gallery, /pictures, /cancel, /language, /settings, /privacy, /mydata, /delete_me и /help.
not-understood = Не совсем понял. Начнём с нового аватара?
stale-button = Эта кнопка уже устарела.
ask-language = 🌐 <b>На каком языке мне писать?</b>
language-chosen = 🌐 Теперь пишу по-русски.
ask-discard =
    Удалить аватар { $avatar } и { $photos ->
        [one] { $photos } фотографию
        [few] { $photos } фотографии
       *[many] { $photos } фотографий
    }? Вернуть их будет нельзя.
ask-which-to-stop = Какое обучение остановить?
trouble = 😔 У меня не получилось обработать ваше сообщение, ошибку я записал. Пришлите его, пожалуйста, ещё раз; если не поможет — /start

## Начать, повторить, отменить

not-enough-photos =
    Пока { $stored ->
        [one] загружена { $stored } фотография
        [few] загружены { $stored } фотографии
       *[many] загружено { $stored } фотографий
    }, а нужно не меньше { $min }. { $missing ->
        [one] Пришлите ещё { $missing }.
       *[many] Пришлите ещё { $missing }.
    }
photos-still-loading =
    ⏳ { $pending ->
        [one] Ещё { $pending } фотография загружается
        [few] Ещё { $pending } фотографии загружаются
       *[many] Ещё { $pending } фотографий загружаются
    }. Нажмите кнопку через пару секунд.
already-training = ⏳ Аватар «{ $name }» уже обучается. Ход работы — /status.
already-trained = ✅ Аватар «{ $name }» уже обучен.
closed-to-strangers = 🔒 Этот бот — только для приглашённых. Если вы должны быть среди них, напишите тому, кто о нём рассказал.
closed-to-you = 🔒 Ваш доступ к этому боту закрыт. Если это ошибка, напишите тому, кто его ведёт.
too-many-live =
    ⏳ { $live ->
        [one] У вас уже идёт { $live } обучение
        [few] У вас уже идут { $live } обучения
       *[many] У вас уже идёт { $live } обучений
    }, больше сразу нельзя. Начните это, когда закончится одно из них: всё сохранено.
trainings-used-up =
    🗓 { $most ->
        [one] { $most } обучение
        [few] { $most } обучения
       *[many] { $most } обучений
    } в сутки — больше для одного человека начать не могу. Следующее можно начать { $wait }: всё сохранено.
drafts-used-up =
    🗓 { $most ->
        [one] { $most } новый аватар
        [few] { $most } новых аватара
       *[many] { $most } новых аватаров
    } в сутки — больше для одного человека нельзя. Следующий можно начать { $wait }.
photos-used-up =
    🗓 { $most ->
        [one] { $most } фотография
        [few] { $most } фотографии
       *[many] { $most } фотографий
    } в сутки — больше от одного человека принять не могу. Пришлите остальные { $wait }; те, что есть, сохранены.
in-hours =
    { $hours ->
        [one] через { $hours } час
        [few] через { $hours } часа
       *[many] через { $hours } часов
    }
in-minutes =
    { $minutes ->
        [one] через { $minutes } минуту
        [few] через { $minutes } минуты
       *[many] через { $minutes } минут
    }
other-draft-first = Сначала закончите или отмените другой аватар: { $avatar }.
draft-discarded = 🗑 Создание аватара отменено: { $avatar }.
nothing-to-cancel = Отменять нечего: сейчас ничего не создаётся и не обучается.
ask-stop = Остановить обучение аватара <b>{ $name }</b>? Фотографии останутся, начать можно будет снова.
too-late-to-stop = Обучение аватара <b>{ $name }</b> уже закончено, модель сохраняется, и остановить его нельзя. Я скоро напишу.
stop-asked = Прошу сервер остановить обучение аватара <b>{ $name }</b>. Напишу, как только оно остановится. Если оно всё же успеет закончиться, аватар останется у вас.

## /status

status-draft =
    🔄 { $avatar }: создание не закончено, { $photos ->
        [0] фотографий пока нет
        [one] { $photos } фотография
        [few] { $photos } фотографии
       *[many] { $photos } фотографий
    }.
status-training =
    ⏳ <b>{ $name }</b>
    { $stage }
status-completed = ✅ <b>{ $name }</b>: аватар готов.
status-failed = ⚠️ <b>{ $name }</b>: обучение не удалось — { $reason }.
status-cancelled = ✖️ <b>{ $name }</b>: обучение отменено.
status-nothing = У вас пока нет аватаров. Создадим первый?

## Ход обучения

progress-title =
    🚀 Обучаю аватар <b>{ $name }</b> · { $kind } · { $photos ->
        [one] { $photos } фотография
        [few] { $photos } фотографии
       *[many] { $photos } фотографий
    }
stage-requested = 📦 Готовлю фотографии…
stage-booked = 🗓 На сервере обучения на сегодня заняты все места. Ваше сохранено, обучение начнётся само { $wait }.
stage-archived = 📦 Фотографии готовы, отправляю на обучение…
stage-submitted = 🛰 Отправлено на обучение, жду начала…
stage-queued =
    🕒 { $position ->
        [0] Ваш аватар следующий в очереди.
       *[other] В очереди на обучение, впереди: { $position }.
    }
stage-running = 🧠 Идёт обучение: { $bar } { $percent } %
stage-trained = 💾 Обучение закончено, сохраняю модель…
stage-stopping = ✋ Останавливаю обучение…
stage-completed = ✅ Готово.
stage-failed = ⚠️ Обучение не удалось, подробности ниже.
stage-cancelled = ✖️ Обучение отменено.

## Мастер и ход обучения

photo-unfit = 🙈 Не подошло: { $problem }.
photos-tips = 💡 Лучше всего разные ракурсы, свет и фон; лицо хорошо видно, без фильтров и других людей.
not-usable = Такое сообщение я прочитать не могу. Жду ответ на вопрос:
not-usable-for-photos = Такое сообщение я прочитать не могу. Сейчас жду фотографии 📸
ask-type-timed =
    🎭 <b>Какой аватар создаём?</b>

    👤 <b>Портретный</b> — узнаваемый человек. Нужны фотографии лица. Обучение занимает { $portrait_to ->
        [one] от { $portrait_from } до { $portrait_to } минуты
       *[many] от { $portrait_from } до { $portrait_to } минут
    }.
    🎨 <b>Художественный</b> — стиль и настроение снимков. Подойдёт что угодно: рисунки, места, вещи, люди. Обучение занимает { $style_to ->
        [one] от { $style_from } до { $style_to } минуты
       *[many] от { $style_from } до { $style_to } минут
    }.
ask-gender-of-style = 👤 <b>Кто чаще на этих снимках?</b> Если людей на них нет, подойдёт любой ответ.
presets =
    🎚 <b>Качество обучения</b>
    { $lines }
preset-line =
    { $chosen ->
        [yes] ✅
       *[other] •
    } { $preset }: { $minutes ->
        [one] около { $minutes } минуты
       *[many] около { $minutes } минут
    }{ $cost ->
        [none] { "" }
       *[other] , { $cost }
    }
preset-fast = ⚡ Быстро
preset-balanced = ⚖️ Обычно
preset-quality = 💎 Тщательно
button-chosen = ✓ { $choice }
time-left =
    ⏱ { $minutes ->
        [one] Осталась примерно { $minutes } минута.
        [few] Осталось примерно { $minutes } минуты.
       *[many] Осталось примерно { $minutes } минут.
    }

## Настройки и ошибки

settings =
    ⚙️ <b>Настройки</b>

    Язык: { $language }
    Качество обучения новых аватаров: { $preset }
    Сообщения приходят { $sound }.
with-sound = со звуком
without-sound = без звука
button-language = 🌐 Язык
button-use-preset = { $preset }
button-sound-on = 🔔 Со звуком
button-sound-off = 🔕 Без звука
support-code = 🆘 Если понадобится помощь, назовите код <code>{ $reference }</code>

## Чем кончилось

training-completed =
    🎉 <b>Аватар «{ $name }» готов!</b>

    Модель обучена, проверена и сохранена.
training-failed-too_few_photos =
    😔 <b>Не хватило фотографий для аватара «{ $name }».</b>

    Часть снимков не подошла. Добавьте другие и попробуйте снова — остальные сохранены.
training-failed-archive_unreachable =
    😔 <b>Аватар «{ $name }» обучить не удалось.</b>

    Сервер обучения не смог прочитать фотографии. Дело не в них, а в нас: они сохранены, попробуйте ещё раз чуть позже.
training-failed-rejected_by_provider =
    😔 <b>Аватар «{ $name }» обучить не удалось.</b>

    Сервер обучения не принял эти фотографии. Остальное сохранено: замените часть снимков и попробуйте снова.
training-failed-provider_failed =
    😔 <b>Аватар «{ $name }» обучить не удалось.</b>

    На сервере обучения случился сбой. Фотографии сохранены: попробуйте ещё раз чуть позже.
training-failed-submit_outcome_unknown =
    😔 <b>Аватар «{ $name }» обучить не удалось.</b>

    Сервер обучения не подтвердил заявку. Фотографии сохранены, можно попробовать снова; если прежний результат всё же придёт, я сразу напишу.
training-failed-model_invalid =
    😔 <b>Аватар «{ $name }» обучить не удалось.</b>

    Обучение закончилось, но модель оказалась негодной, и выдавать её за готовую мы не станем. Фотографии сохранены: попробуйте ещё раз.
training-failed-timed_out =
    😔 <b>Аватар «{ $name }» обучить не удалось.</b>

    Обучение заняло больше времени, чем отведено. Фотографии сохранены: попробуйте ещё раз.
training-failed-internal =
    😔 <b>Аватар «{ $name }» обучить не удалось.</b>

    Ошибка на нашей стороне, она записана. Фотографии сохранены: попробуйте ещё раз чуть позже.
training-failed-other =
    😔 <b>Аватар «{ $name }» обучить не удалось.</b>

    Фотографии сохранены: попробуйте ещё раз чуть позже.
training-came-late =
    🎉 <b>Аватар «{ $name }» всё-таки готов!</b>

    Здесь его обучение уже было прекращено, но сервер довёл его до конца. Модель проверена и сохранена.
training-came-too-late = 💾 Прежнее обучение аватара <b>{ $name }</b> всё-таки закончилось. Вы уже пошли дальше, поэтому его модель я просто сохранил; для аватара ничего не меняется.
training-cancelled = ✖️ Обучение аватара <b>{ $name }</b> отменено. Фотографии сохранены.

failure-reason-too_few_photos = не хватило подходящих фотографий
failure-reason-archive_unreachable = сервер обучения не смог прочитать фотографии
failure-reason-rejected_by_provider = сервер обучения не принял фотографии
failure-reason-provider_failed = сбой на сервере обучения
failure-reason-submit_outcome_unknown = сервер обучения не подтвердил заявку
failure-reason-model_invalid = модель оказалась негодной
failure-reason-timed_out = обучение заняло слишком много времени
failure-reason-internal = ошибка на нашей стороне
failure-reason-other = причина пока неизвестна

## Личные данные и администраторы

ask-delete =
    🗑 Удалить аватар { $avatar } насовсем?

    Вместе с ним исчезнут: { $photos ->
        [one] { $photos } фотография
        [few] { $photos } фотографии
       *[many] { $photos } фотографий
    }, { $pictures ->
        [one] { $pictures } картинка
        [few] { $pictures } картинки
       *[many] { $pictures } картинок
    }. Вернуть их будет нельзя.
ask-delete-model = Обученная модель исчезнет тоже: чтобы снова получать картинки, аватар придётся обучить заново.
ask-delete-training = Его обучение я остановлю.
ask-delete-paid = Обучение уже отправлено на сервер и оплачено: деньги за него не вернутся.
avatar-deleted = 🗑 Аватар { $avatar } удалён. Его фотографии, модель и картинки я стираю — это займёт немного времени.
main-is-now = ⭐ Основной аватар теперь <b>{ $name }</b>.
stage-deleted = 🗑 Аватар удалён.
button-delete = 🗑 Удалить насовсем
button-keep = ◀️ Оставить
privacy =
    🔐 <b>Что я храню</b>

    • Ваши фотографии — { $photos } после обучения.
    • Обученные модели — пока вы не удалите аватар.
    • Картинки — { $pictures }.
    • Имя в Телеграме, язык и ваши ответы; сообщения — { $messages }.

    Для обучения и картинок фотографии и описания получает сервис FAL.ai; архив фотографий лежит там { $archives }. Больше никому я ничего не передаю.

    Удалить один аватар можно в /gallery, всё сразу — командой /delete_me.
kept-days =
    { $days ->
        [one] { $days } день
        [few] { $days } дня
       *[many] { $days } дней
    }
kept-until-deleted = пока вы их не удалите
ask-delete-me =
    🗑 <b>Удалить всё, что я о вас знаю?</b>

    Исчезнут: { $avatars ->
        [one] { $avatars } аватар
        [few] { $avatars } аватара
       *[many] { $avatars } аватаров
    }, { $photos ->
        [one] { $photos } фотография
        [few] { $photos } фотографии
       *[many] { $photos } фотографий
    }, { $pictures ->
        [one] { $pictures } картинка
        [few] { $pictures } картинки
       *[many] { $pictures } картинок
    }, модели и вся переписка. Идущее обучение я остановлю.
ask-delete-me-again = ⚠️ <b>Точно?</b> Вернуть ничего не получится, даже если потом попросить.
button-delete-me = 🗑 Да, удалить всё
leaving = 🗑 Удаляю всё, что о вас знаю. Когда закончу, напишу; до тех пор ничего не принимаю.
erased = ✅ <b>Готово: о вас ничего не осталось.</b> Фотографии, модели, картинки и сообщения удалены. Если захотите начать заново — /start.
photos-retired = Прежние фотографии этого аватара уже удалены: я не храню их дольше, чем обещаю в /privacy. Пришлите, пожалуйста, новые.
export-begun = 📦 Собираю всё, что о вас храню: данные, фотографии и картинки. Пришлю файлом.
export-again = 📦 Копию ваших данных я уже отправлял сегодня. Следующую можно запросить { $wait }.
export-part = 📦 Ваши данные, файл { $part } из { $parts }.
export-failed = 😔 Не получилось отправить ваши данные. Попробуйте ещё раз: /mydata
broadcast-text = { $text }
admin-users = 👥 Пользователей: { $users }, новых за сутки: { $new }.
admin-trainings =
    🧠 Обучений сейчас: { $live }; за сутки готово: { $completed }, не удалось: { $failed }, отменено: { $cancelled }.
    🎨 Картинок за сутки: { $pictures }.
admin-queue = ⚙️ Самое старое готовое задание ждёт { $seconds } с; брошенных заданий: { $dead }.
admin-parked = ⛔️ FAL не принимает наш счёт: { $reason }
admin-nobody = Никого не нашёл. Подойдёт id в Телеграме, @имя или id пользователя, аватара, обучения или картинки.
admin-no-id = Нужен id в Телеграме, числом.
admin-user = 👤 <b>{ $name }</b> · { $id } · { $language } · с { $since }
admin-is-allowed = ✅ Доступ открыт.
admin-is-blocked = 🔒 Доступ закрыт.
admin-is-leaving = 🗑 Удаляет всё о себе.
admin-config-wins = Так решает конфигурация: её списки важнее.
admin-broadcast-how = Напишите текст сразу после команды, до { $max } знаков: /broadcast Здравствуйте!
admin-broadcast-ask =
    ─────
    Так это увидят. Получателей: { $receivers }.
admin-broadcast-state =
    ─────
    Поставлено: { $written }, доставлено: { $delivered }, в пути: { $waiting }, ответ потерян: { $unknown }.
admin-broadcast-over = Рассылка закончена.
button-broadcast = 📣 Отправить ({ $receivers })
button-broadcast-stop = ✖️ Остановить
button-refresh = 🔄 Обновить

## Кнопки

button-create = ✨ Создать аватар
button-continue = 🔄 Продолжить
button-portrait = 👤 Портретный
button-style = 🎨 Художественный
button-male = 👨 Мужчина
button-female = 👩 Женщина
button-back = ◀️ Назад
button-discard = ✖️ Отменить
button-start = 🚀 Начать обучение
button-retry = 🔁 Попробовать снова
button-stop = ✖️ Остановить обучение
button-status = 📊 Как идёт обучение
button-discard-now = 🗑 Удалить
button-keep-training = ▶️ Продолжить обучение
button-stop-named = ✖️ Остановить «{ $name }»
button-retry-named = 🔁 Попробовать снова «{ $name }»
button-russian = 🇷🇺 Русский
button-english = 🇬🇧 English
button-kazakh = 🇰🇿 Қазақша

## Галерея

gallery-place =
    🖼 { $total ->
        [1] Ваш аватар
       *[other] Аватар { $place } из { $total }
    } · { $kind }
gallery-main =
    ⭐ { $total ->
        [1] Ваш аватар
       *[other] Основной аватар, { $place } из { $total }
    } · { $kind }
ask-new-name = ✏️ <b>Как теперь назвать аватар { $name }?</b> Пришлите новое имя или /cancel.
renamed = ✏️ Теперь его зовут <b>{ $name }</b>.
name-kept = Имя осталось прежним: <b>{ $name }</b>.
avatar-gone = Этого аватара больше нет.
main-chosen = ⭐ Теперь основной аватар — «{ $name }».
button-gallery = 🖼 Мои аватары
button-main = ⭐ Основной
button-rename = ✏️ Переименовать
button-previous = ◀️
button-next = ▶️

## Заказ картинок

ask-style = 🎨 <b>В каком стиле показать аватар { $name }?</b>
style-name = { $ru }
style-unnamed = прежний стиль
album-choice = 🎨 <b>{ $name }</b> · { $style }
ask-words =
    ✍️ <b>Что должно быть на картинке?</b> Опишите своими словами, на любом языке, например: «на берегу моря на закате, в белой рубашке».

    { $max ->
        [one] До { $max } символа
       *[many] До { $max } символов
    }. Или продолжайте без слов: хватит и стиля.
words-refused-empty_prompt = Слов не видно. Напишите, что должно быть на картинке, или продолжайте без слов.
words-refused-no_words_in_prompt = Одни эмодзи и знаки художнику ничего не скажут. Добавьте несколько слов или продолжайте без них.
words-refused-long_prompt =
    Слишком длинно: { $max ->
        [one] поместится не больше { $max } символа
       *[many] поместится не больше { $max } символов
    }. Пришлите описание покороче.
words-refused-refused_word_in_prompt = Таких картинок я не делаю. Опишите что-нибудь другое или продолжайте без слов.
words-refused-other = Это описание не подойдёт. Напишите другое или продолжайте без слов.
album-words = ✍️ { $words }
album-ready-to-make = Выберите форму и количество и нажмите «Сделать».
style-gone = Этого стиля больше нет. Выберите, пожалуйста, другой.
already-making = ⏳ Эти картинки уже делаются.
too-many-albums =
    ⏳ { $live ->
        [one] Уже делается { $live } ваш альбом
        [few] Уже делаются { $live } ваших альбома
       *[many] Уже делается { $live } ваших альбомов
    }. Попросите ещё раз, когда один будет готов: выбранное сохранено.
pictures-left =
    🗓 На сегодня { $left ->
        [one] осталась { $left } картинка
        [few] осталось { $left } картинки
       *[many] осталось { $left } картинок
    }. Выберите количество поменьше.
pictures-used-up =
    🗓 { $most ->
        [one] { $most } картинка
        [few] { $most } картинки
       *[many] { $most } картинок
    } в сутки — больше для одного человека нельзя. Следующую можно сделать { $wait }: выбранное сохранено.
album-over = Этот альбом уже закончен.
album-left = Хорошо, в этот раз без картинок.
button-generate = 🎨 Генерировать
button-without-words = ➡️ Без слов
button-aspect = { $width }:{ $height }
button-aspect-chosen = ✅ { $width }:{ $height }
button-count = { $number }
button-count-chosen = ✅ { $number }
button-style-again = 🎨 Стиль
button-words = ✍️ Слова
button-make =
    🚀 Сделать { $count ->
        [one] { $count } картинку
        [few] { $count } картинки
       *[many] { $count } картинок
    }

## Сделанные картинки

picture-place = 🖼 { $place } из { $total } · <b>{ $name }</b> · { $style }
favourite-place = ⭐ { $place } из { $total } · <b>{ $name }</b> · { $style }
picture-gone = Этой картинки больше нет.
picture-starred = ⭐ Теперь она в избранном: /pictures
picture-unstarred = Больше не в избранном.
picture-deleted = 🗑 Картинка удалена.
ask-delete-picture = 🗑 <b>Удалить эту картинку?</b> Вернуть её будет нельзя.
pictures-none = Картинок пока нет. Выберите аватар и сделайте первые!
favourites-none = В избранном пока пусто. Нажмите ⭐ под картинкой, которая понравится.
button-pictures = 📷 Мои картинки
button-favourites = ⭐ Избранное
button-all-pictures = 📷 Все картинки
button-star = ⭐ Сохранить
button-unstar = ☆ Из избранного
button-more-like-picture = 🎨 Ещё таких
button-delete-picture = 🗑 Удалить

## Список команд в меню

command-start = создать аватар или продолжить
command-status = как идёт обучение
command-gallery = ваши аватары
command-pictures = ваши картинки
command-cancel = отменить создание или обучение
command-language = выбрать язык
command-settings = язык, качество, звук
command-privacy = что я о вас храню
command-mydata = копия моих данных
command-delete_me = удалить всё обо мне
command-help = что умеет бот

# Pictures

album-title = 🎨 Картинки с аватаром <b>{ $name }</b>: { $count }
album-asked = Отправляю запрос…
album-queued = { $position ->
    [0] Ваш запрос следующий в очереди.
    [one] Перед вами в очереди { $position } запрос.
    [few] Перед вами в очереди { $position } запроса.
   *[other] Перед вами в очереди { $position } запросов.
}
album-running = Рисую. Обычно это меньше минуты.
album-storing = Готово, забираю картинки…
album-stopping = Останавливаю…
album-done = ✅ Готово.
album-none = Картинок нет, почему — в сообщении ниже.
album-stopped = Остановлено.
album-caption = <b>{ $name }</b>
album-ready = { $count ->
    [one] Вот { $count } картинка с аватаром <b>{ $name }</b>. Звёздочка отмечает понравившуюся.
    [few] Вот { $count } картинки с аватаром <b>{ $name }</b>. Звёздочка отмечает понравившиеся.
   *[other] Вот { $count } картинок с аватаром <b>{ $name }</b>. Звёздочка отмечает понравившиеся.
}
album-partly-flagged = { $flagged ->
    [one] Ещё { $flagged } картинку задержал фильтр содержания. В лимит она не засчитана.
    [few] Ещё { $flagged } картинки задержал фильтр содержания. В лимит они не засчитаны.
   *[other] Ещё { $flagged } картинок задержал фильтр содержания. В лимит они не засчитаны.
}
album-partly = { $missing ->
    [one] { $missing } картинка не получилась и в лимит не засчитана.
    [few] { $missing } картинки не получились и в лимит не засчитаны.
   *[other] { $missing } картинок не получилось, в лимит они не засчитаны.
}
album-flagged = Картинки с аватаром <b>{ $name }</b> задержал фильтр содержания, поэтому показать их нельзя. Такое бывает и без повода. В лимит они не засчитаны. Попробуйте другой стиль или другие слова.
album-failed-rejected_by_provider = Картинки с аватаром <b>{ $name }</b> не получились: сервис не принял запрос. В лимит он не засчитан. Попробуйте другие слова.
album-failed-provider_failed = Картинки с аватаром <b>{ $name }</b> не получились: сервис, который их рисует, ошибся. В лимит они не засчитаны. Попробуйте ещё раз.
album-failed-submit_outcome_unknown = Картинки с аватаром <b>{ $name }</b> не пришли: связь с сервисом пропала. В лимит они не засчитаны. Попробуйте ещё раз.
album-failed-model_invalid = Картинки с аватаром <b>{ $name }</b> не получились: то, что прислал сервис, открыть нельзя. В лимит они не засчитаны. Попробуйте ещё раз.
album-failed-timed_out = Картинки с аватаром <b>{ $name }</b> не пришли вовремя: сервис перегружен. В лимит они не засчитаны. Попробуйте позже.
album-failed-other = Картинки с аватаром <b>{ $name }</b> не получились из-за ошибки у нас. В лимит они не засчитаны. Попробуйте ещё раз чуть позже.
album-cancelled = Картинки с аватаром <b>{ $name }</b> остановлены. В лимит они не засчитаны.
stage-sampling = Модель готова. Рисую первые картинки…
button-stop-album = ✖️ Остановить
button-keep-picture = ⭐ { $number }
button-more-like-this = 🔁 Ещё такие
button-again = ✏️ Изменить

## О боте: что Телеграм показывает в пустом чате и в профиле

bot-description = Обучаю личный ИИ-аватар по вашим фотографиям и рисую с ним картинки. Понадобятся несколько снимков и немного времени. Нажмите «Старт».
bot-short-description = Личный ИИ-аватар по вашим фотографиям и картинки с ним.
