-- no-transaction
-- A picture that is deleted must not be anybody's cover: the foreign key looks for it.
-- Safe with the previous binary: it does not use it. Locks: nobody waits; it is made beside all that goes on.
create index concurrently if not exists avatars_by_cover on avatars (cover_id) where cover_id is not null;
