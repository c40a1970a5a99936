-- A question that the user's next text answers, such as an avatar's new name: it outlives a restart, and a second bot
-- process knows it too. It has no foreign key: its subject may be deleted meanwhile, which the answer finds out.
-- Safe with the previous binary: it neither reads nor writes the columns, and takes the text for one of its own questions.
-- Locks: users, exclusively and for a moment (columns without a default rewrite nothing; the check is on columns that are all NULL).

alter table users
    add column open_question text,
    add column open_question_about uuid,
    add constraint users_question_has_subject check ((open_question is null) = (open_question_about is null));
comment on column users.open_question is 'What the user''s next text answers: new_name. NULL: the wizard''s question, if any. The next command or tap ends it.';
comment on column users.open_question_about is 'Id of the avatar that the question is about.';
