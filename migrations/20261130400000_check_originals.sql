-- What an original was when it was stored, so that a store's truncated, swapped or flipped bytes are told from a damaged
-- photo; a refused photo keeps its original; and what the text names that the user gets.
-- Safe with the previous binary: it neither reads nor writes the new columns, and what it refuses loses its key as before.
-- Locks: ACCESS EXCLUSIVE on avatar_photos for the time of a catalogue change and a scan of the table for the checks.

alter table avatar_photos
    add column sha256 text,
    add column detail text,
    drop constraint avatar_photos_stored_has_key,
    add constraint avatar_photos_stored_has_key check (status <> 'stored' or storage_key is not null),
    add constraint avatar_photos_pending_has_no_key check (status <> 'pending' or storage_key is null);
comment on column avatar_photos.sha256      is 'Of the original, in hex, from the moment it was stored. NULL: refused before, or stored by a version that did not note it.';
comment on column avatar_photos.detail      is 'What the reason''s text names: the format that is not read (GIF, TIFF…), or the limit that was broken (20, 51 MP). NULL: nothing.';
comment on column avatar_photos.storage_key is '{user_id}/{avatar_id}/{photo id}.jpg in the avatars bucket: the original bytes. Kept when the photo is refused later. NULL: never stored.';
