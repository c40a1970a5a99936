-- Hashes of what FAL's deliveries about the avatar $1 are known by: one that comes afterwards is dropped, not stored.
with word as (
    select request_id as word from trainings where avatar_id = $1
    union
    select request_id from generations where avatar_id = $1
    union
    select unnest(array[a.request_id, a.token])
      from training_attempts a
      left join trainings t on t.id = a.training_id
      left join generations g on g.id = a.generation_id
     where $1 in (t.avatar_id, g.avatar_id)
)
insert into erased_requests (sha256)
select encode(sha256(convert_to(word, 'UTF8')), 'hex') from word where word is not null
    on conflict do nothing
