with avatar as (
    select id, user_id from avatars where id = $2 and user_id = $1 and status = 'completed' and deleted_at is null
), before as (
    delete from albums where user_id = $1 and status = 'draft' and exists (select from avatar) returning id
)
insert into albums (user_id, avatar_id, origin, status, wanted)
select user_id, id, 'user', 'draft',
       coalesce((select wanted from albums where user_id = $1 and origin = 'user' and status <> 'draft'
                  order by created_at desc limit 1), $3)
  from avatar
 -- Counting it makes sure that the old draft goes first: the index allows one at any moment.
 where (select count(*) from before) >= 0
returning id as "id: AlbumId"
