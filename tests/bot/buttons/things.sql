-- One of everything that a button can name, for the user with this Telegram id. Its pictures have $2 bytes with the hash $3.
-- The draft could be started, the failed
-- avatar tried again, the training stopped, and the album that is chosen asked for.
with owner as (
    select id from users where telegram_id = $1
), draft as (
    insert into avatars (user_id, name, gender, avatar_type, training_type, status)
    select id, 'Lisa draft', 'female', 'character', 'portrait', 'draft' from owner
    returning id
), photos as (
    insert into avatar_photos (avatar_id, file_id, file_unique_id, status, storage_key, content_type, bytes, settled_at)
    select id, 'f' || n, 'u' || n, 'stored', 'k' || n, 'image/jpeg', 5, now() from draft, generate_series(1, 12) n
    returning id, file_id
), trained as (
    insert into avatars (user_id, name, gender, avatar_type, training_type, status, trigger_phrase, model_key, model_sha256,
                         training_started_at, completed_at)
    select id, 'Lisa trained', 'female', 'character', 'portrait', 'completed', 'TOK_1', 'k', 'ab', now(), now() from owner
    returning id, user_id
), failed as (
    insert into avatars (user_id, name, gender, avatar_type, training_type, status, training_started_at)
    select id, 'Lisa failed', 'female', 'character', 'portrait', 'failed', now() from owner
    returning id, user_id
), failed_training as (
    insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status, failure_code, finished_at)
    select id, user_id, 'portrait', 'flux-lora-portrait-trainer', 'balanced', 'TOK_2', 'failed', 'timed_out', now() from failed
), at_school as (
    insert into avatars (user_id, name, gender, avatar_type, training_type, status, training_started_at)
    select id, 'Lisa at school', 'female', 'character', 'portrait', 'training', now() from owner
    returning id, user_id
), training as (
    insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status)
    select id, user_id, 'portrait', 'flux-lora-portrait-trainer', 'balanced', 'TOK_3', 'requested' from at_school
    returning id
), chosen as (
    insert into albums (user_id, avatar_id, origin, status, style, words, aspect, wanted)
    select user_id, id, 'user', 'draft', 'cinema', 'by the sea, chosen', 'wide', 2 from trained
    returning id
), making as (
    insert into albums (user_id, avatar_id, origin, status, style, words, aspect, wanted, asked_at)
    select user_id, id, 'user', 'making', 'cinema', 'by the sea, in the making', 'wide', 2, now() from trained
    returning id, user_id, avatar_id
), asked as (
    insert into generations (album_id, avatar_id, user_id, number, trainer, style, prompt, aspect, wanted, seed, status)
    select id, avatar_id, user_id, 1, 'flux-lora-portrait-trainer', 'cinema', 'p', 'wide', 2, 1, 'requested' from making
), ready as (
    insert into albums (user_id, avatar_id, origin, status, style, words, aspect, wanted, asked_at, settled_at)
    select user_id, id, 'user', 'ready', 'cinema', 'by the sea, ready', 'wide', 2, now(), now() from trained
    returning id, user_id, avatar_id
), generation as (
    insert into generations (album_id, avatar_id, user_id, number, trainer, style, prompt, aspect, wanted, seed, status, request_id,
                             submitted_at, generated_at, finished_at, result, result_source)
    select id, avatar_id, user_id, 1, 'flux-lora-portrait-trainer', 'cinema', 'p', 'wide', 2, 1, 'completed', id::text, now(), now(),
           now(), '{}', 'poll'
      from ready
    returning id, album_id, avatar_id, user_id
), picture as (
    insert into pictures (generation_id, album_id, avatar_id, user_id, number, storage_key, content_type, bytes, width, height, sha256)
    select id, album_id, avatar_id, user_id, n, 'k', 'image/jpeg', $2, 1, 1, $3 from generation, generate_series(1, 2) n
    returning id, number
), broadcast as (
    insert into broadcasts (by, text) values ($1, 'Hello') returning id
)
select (select id from draft) as draft, (select id from trained) as trained, (select id from failed) as failed,
       (select id from photos where file_id = 'f1') as photo, (select id from training) as training,
       (select id from chosen) as album_draft, (select id from making) as album_making, (select id from ready) as album_ready,
       (select id from picture where number = 1) as picture, (select id from broadcast) as broadcast
