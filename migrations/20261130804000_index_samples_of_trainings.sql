-- no-transaction
-- A training that is deleted must not be named by the album of its first pictures: the foreign key looks for it.
-- Safe with the previous binary: it does not use it. Locks: nobody waits; it is made beside all that goes on.
create index concurrently if not exists albums_of_training on albums (training_id) where training_id is not null;
