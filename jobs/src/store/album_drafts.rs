//! `albums`, as the dialogue uses it: the draft row is its whole state, and the first column that is NULL is asked next.
//!
//! Every statement names the owner. Zero changed rows is a normal result: a stale button, a double tap or another user's
//! album, which all look the same here. `albums.rs` has what follows once pictures were asked for.

use sqlx::PgConnection;

use crate::domain::{AlbumId, AvatarId, Gender, PictureId, TrainingType, UserId};

/// An album that its user is still choosing, with its avatar.
#[derive(Debug, Clone)]
pub(crate) struct AlbumDraftRow {
    pub id: AlbumId,
    pub avatar_id: AvatarId,
    pub avatar_name: String,
    pub training_type: TrainingType,
    pub gender: Option<Gender>,
    pub trigger_phrase: Option<String>,
    pub style: Option<String>,
    /// Empty: the user wants none.
    pub words: Option<String>,
    pub aspect: Option<String>,
    pub wanted: i16,
    /// The trainer whose model the avatar has. `None`: its training is not known, as of an imported avatar.
    pub trainer: Option<String>,
}

/// Begins a draft for a trained avatar, instead of any other draft: the buttons of the older one stay its own. It asks for as
/// many pictures as the user's last album, at first for `wanted`. `None`: the user has no such trained avatar.
pub(crate) async fn begin(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
    wanted: i16,
) -> Result<Option<AlbumId>, sqlx::Error> {
    sqlx::query_file_scalar!("src/store/sql/album_begin.sql", user.0, avatar.0, wanted)
        .fetch_optional(tx)
        .await
}

/// Begins a draft with the choices of an album that was asked for. `None`: the user has no such album, or its avatar has no
/// model any more.
pub(crate) async fn copy(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
) -> Result<Option<AlbumId>, sqlx::Error> {
    sqlx::query_file_scalar!("src/store/sql/album_copy.sql", user.0, album.0)
        .fetch_optional(tx)
        .await
}

/// Begins a draft with the choices that led to a picture. `None`: as for [`copy`].
pub(crate) async fn copy_of_picture(
    tx: &mut PgConnection,
    user: UserId,
    picture: PictureId,
) -> Result<Option<AlbumId>, sqlx::Error> {
    sqlx::query_file_scalar!("src/store/sql/album_like_picture.sql", user.0, picture.0)
        .fetch_optional(tx)
        .await
}

/// The draft, locked. `None`: the user has no such draft, or its avatar has no model any more.
pub(crate) async fn find(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
) -> Result<Option<AlbumDraftRow>, sqlx::Error> {
    choices(tx, user, album, true).await
}

/// An album that was asked for, locked, as if it were chosen anew. `None`: as for [`copy`].
pub(crate) async fn find_asked(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
) -> Result<Option<AlbumDraftRow>, sqlx::Error> {
    choices(tx, user, album, false).await
}

async fn choices(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
    is_draft: bool,
) -> Result<Option<AlbumDraftRow>, sqlx::Error> {
    sqlx::query_file_as!(
        AlbumDraftRow,
        "src/store/sql/album_draft.sql",
        user.0,
        album.0,
        is_draft
    )
    .fetch_optional(tx)
    .await
}

/// Writes an album with the choices of one that was asked for, at once in the making. `None`: the user has no such album.
pub(crate) async fn repeat(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
    aspect: &str,
) -> Result<Option<AlbumId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into albums (user_id, avatar_id, origin, status, style, words, aspect, wanted, asked_at)
        select user_id, avatar_id, 'user', 'making', style, words, $3, wanted, now()
          from albums
         where id = $1 and user_id = $2 and status <> 'draft'
        returning id as "id: AlbumId"
        "#,
        album.0,
        user.0,
        aspect
    )
    .fetch_optional(tx)
    .await
}

/// Chooses the style; the shape of the pictures is the style's own again.
pub(crate) async fn set_style(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
    style: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update albums set style = $3, aspect = null where id = $1 and user_id = $2 and status = 'draft'",
        album.0,
        user.0,
        style
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// The user's own words; empty: none are wanted. `None` asks for them again.
pub(crate) async fn set_words(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
    words: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update albums set words = $3 where id = $1 and user_id = $2 and status = 'draft'",
        album.0,
        user.0,
        words
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

pub(crate) async fn set_aspect(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
    aspect: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update albums set aspect = $3 where id = $1 and user_id = $2 and status = 'draft'",
        album.0,
        user.0,
        aspect
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

pub(crate) async fn set_wanted(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
    wanted: i16,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update albums set wanted = $3 where id = $1 and user_id = $2 and status = 'draft'",
        album.0,
        user.0,
        wanted
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// draft → making. Of two taps one gets `true`.
pub(crate) async fn ask(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
    aspect: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update albums set status = 'making', asked_at = now(), aspect = $3
         where id = $1 and user_id = $2 and status = 'draft' and style is not null and words is not null
        "#,
        album.0,
        user.0,
        aspect
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Throws this draft away, or without an id the one that there is.
pub(crate) async fn discard(
    tx: &mut PgConnection,
    user: UserId,
    album: Option<AlbumId>,
) -> Result<bool, sqlx::Error> {
    let gone = sqlx::query!(
        "delete from albums where user_id = $1 and status = 'draft' and ($2::uuid is null or id = $2)",
        user.0,
        album.map(|id| id.0)
    )
    .execute(tx)
    .await?;
    Ok(gone.rows_affected() == 1)
}

/// Whether the user has asked for this album, or is choosing it. `None`: it is not theirs.
pub(crate) async fn is_asked(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select status <> 'draft' as "is_asked!" from albums where id = $1 and user_id = $2"#,
        album.0,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// How many albums of a user are being made that they asked for.
pub(crate) async fn making(tx: &mut PgConnection, user: UserId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from albums where user_id = $1 and status = 'making' and origin = 'user'"#,
        user.0
    )
    .fetch_one(tx)
    .await
}

/// Whether an album with the choices of this one is being made: a double tap on "more like this" asks once.
pub(crate) async fn has_twin(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from albums one
              join albums twin on twin.user_id = one.user_id and twin.avatar_id = one.avatar_id
                   and twin.status = 'making' and twin.style = one.style and twin.words = one.words
             where one.id = $1 and one.user_id = $2) as "has_twin!"
        "#,
        album.0,
        user.0
    )
    .fetch_one(tx)
    .await
}

/// Whether this album is being made and is the user's, so that they may stop it.
pub(crate) async fn is_making(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from albums where id = $1 and user_id = $2 and status = 'making') as "is_making!"
        "#,
        album.0,
        user.0
    )
    .fetch_one(tx)
    .await
}
