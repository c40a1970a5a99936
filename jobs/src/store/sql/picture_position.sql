with shelf as (
    select p.id, row_number() over walk as place, count(*) over () as total,
           coalesce(lag(p.id) over walk,
                    last_value(p.id) over (walk rows between unbounded preceding and unbounded following)) as before,
           coalesce(lead(p.id) over walk, first_value(p.id) over walk) as after
      from pictures p
      join generations g on g.id = p.generation_id
      join avatars a on a.id = p.avatar_id
     where p.user_id = $1 and (p.is_favourite or not $3) and a.deleted_at is null
    window walk as (order by g.created_at desc, g.id, p.number)
)
select p.id as "id: PictureId", s.place as "place!", s.total as "total!", s.before as "before!: PictureId",
       s.after as "after!: PictureId", p.is_favourite, a.name as avatar_name, g.style, b.words
  from shelf s
  join pictures p on p.id = s.id
  join generations g on g.id = p.generation_id
  join albums b on b.id = p.album_id
  join avatars a on a.id = p.avatar_id
 where case when $2::uuid is null then s.place = 1 else p.id = $2 end
