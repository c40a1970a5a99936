with source as (
    select p.user_id, p.avatar_id, g.style, coalesce(b.words, '') as words, g.aspect, b.wanted
      from pictures p
      join generations g on g.id = p.generation_id
      join albums b on b.id = p.album_id
      join avatars a on a.id = p.avatar_id
     where p.id = $2 and p.user_id = $1 and a.status = 'completed' and a.deleted_at is null
), before as (
    delete from albums where user_id = $1 and status = 'draft' and exists (select from source) returning id
)
insert into albums (user_id, avatar_id, origin, status, style, words, aspect, wanted)
select user_id, avatar_id, 'user', 'draft', style, words, aspect, wanted
  from source
 -- Counting it makes sure that the old draft goes first: the index allows one at any moment.
 where (select count(*) from before) >= 0
returning id as "id: AlbumId"
