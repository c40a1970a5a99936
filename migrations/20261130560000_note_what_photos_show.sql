-- What a stored photo shows, as inspect_photo measured it, so that its owner is warned before a training costs money:
-- blurred, no face, several faces, nearly the same as another. Measures and not verdicts: which hint they make depends on
-- the draft's type and on its other photos, and a threshold may change.
-- Safe with the previous binary: it neither reads nor writes the columns. It shows a photo that its owner removed among the
-- refused ones, in general words.
-- Locks: avatar_photos, exclusively and for a moment (columns without a default rewrite nothing).

alter table avatar_photos
    add column inspected_at timestamptz,
    add column faces        smallint,
    add column sharpness    integer,
    add column fingerprint  bytea check (length(fingerprint) = 32),
    add column kept_at      timestamptz;
comment on column avatar_photos.inspected_at is 'When inspect_photo was done with it. NULL: not yet, or it was stored by a version without that job.';
comment on column avatar_photos.faces        is 'Faces seen from the front (archive::Appearance). NULL with the other two: not inspected, or it could not be decoded.';
comment on column avatar_photos.sharpness    is 'Variance of the Laplacian of a grey copy of 640 pixels; below 15 the owner is told that it is blurred.';
comment on column avatar_photos.fingerprint  is 'Difference hash of 256 bits; photos of a draft that differ in 8 or fewer look alike.';
comment on column avatar_photos.kept_at      is 'When its owner answered the hints by keeping all photos: no more hints on it. NULL: not answered.';
comment on column avatar_photos.reason       is 'Stable code of why it was refused (jobs::archive::PhotoProblem::code, unavailable), or removed: its owner took it away.';
