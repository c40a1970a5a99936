with source as (
    select b.* from albums b join avatars a on a.id = b.avatar_id
     where b.id = $2 and b.user_id = $1 and b.status <> 'draft' and a.status = 'completed' and a.deleted_at is null
), before as (
    delete from albums where user_id = $1 and status = 'draft' and exists (select from source) returning id
)
insert into albums (user_id, avatar_id, origin, status, style, words, aspect, wanted)
select user_id, avatar_id, 'user', 'draft', style, words, aspect, wanted
  from source
 -- Counting it makes sure that the old draft goes first: the index allows one at any moment.
 where (select count(*) from before) >= 0
returning id as "id: AlbumId"
