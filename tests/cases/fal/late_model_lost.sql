-- What a version that lost late models left behind: FAL finished the training and its result is in the row, the media queue was
-- paused for longer than saga.store_deadline, the training was ended, and a model of it was still looked for at FAL.
insert into users (id, telegram_id, language) values ('00000000-0000-0000-0000-000000000001', 1, 'en');
insert into avatars (id, user_id, name, gender, avatar_type, training_type, status, trigger_phrase, training_started_at)
values ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'Lisa', 'female', 'character', 'style',
        'training', 'zorvane', now());
insert into trainings (id, avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status, archived_at, archive_url,
                       archive_sha256, submitted_at, request_id, trained_at, result, result_source, status_since)
values ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001',
        'style', 'flux-lora-fast-training', 'fast', 'zorvane', 'trained', now(), 'https://a', 'x', now(), 'req', now(),
        '{"diffusers_lora_file":{"url":"https://v3.fal.media/m"}}', 'webhook', now() - interval '13 h');
-- That version's end of it, word for word.
with training as (
    update trainings set status = case when 'timed_out'::text is null then 'cancelled' else 'failed' end::training_status,
           status_since = now(), finished_at = now(), failure_code = 'timed_out', failure_detail = 'trained for longer than allowed',
           result_source = coalesce(result_source, 'job'), late_model = 'watched'
     where id = '00000000-0000-0000-0000-000000000003' and status not in ('completed', 'failed', 'cancelled')
    returning avatar_id, status)
update avatars set status = training.status::text::avatar_status, updated_at = now() from training where avatars.id = training.avatar_id;
