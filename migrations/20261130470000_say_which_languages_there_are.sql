-- Kazakh is the third language, and a user can choose by /language.

comment on column users.language is
    'Language of the texts we send: ru, en or kk. The first that Telegram told, until the user chooses another.';
