//! `albums`: what users ask for, one row a request; delivered as one message. A draft is the dialogue's state.

use sqlx::PgConnection;

use crate::domain::{AlbumId, AvatarId, TrainingId, UserId};

/// The state of an album, by its word in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "album_status", rename_all = "snake_case")]
pub(crate) enum AlbumStatus {
    /// The user is choosing.
    Draft,
    /// Its generations are live.
    Making,
    /// It has pictures.
    Ready,
    /// It has none, for a reason that the user was told.
    Failed,
    /// The user called it off.
    Cancelled,
}

impl AlbumStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Making => "making",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "album_origin", rename_all = "snake_case")]
pub(crate) enum AlbumOrigin {
    /// A user, in the chat.
    User,
    /// Nobody: the first pictures of a new avatar.
    Samples,
}

/// One row of `albums`, with its avatar's name.
#[derive(Debug, Clone)]
pub(crate) struct Album {
    pub id: AlbumId,
    pub user_id: UserId,
    pub avatar_id: AvatarId,
    pub training_id: Option<TrainingId>,
    pub origin: AlbumOrigin,
    pub status: AlbumStatus,
    pub wanted: i16,
    /// The avatar's name, for messages; empty if it has none.
    pub avatar_name: String,
}

/// The first pictures of an avatar.
#[derive(Debug)]
pub(crate) struct NewSamples {
    pub user: UserId,
    pub avatar: AvatarId,
    pub training: TrainingId,
    pub wanted: i16,
}

/// Writes the album of an avatar's first pictures. `None`: this training had its, or its user has deleted the avatar.
pub(crate) async fn insert_samples(
    tx: &mut PgConnection,
    new: &NewSamples,
) -> Result<Option<AlbumId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into albums (user_id, avatar_id, training_id, origin, status, wanted, asked_at)
        select $1, id, $3, 'samples', 'making', $4, now() from avatars where id = $2 and deleted_at is null
        on conflict (training_id) where origin = 'samples' do nothing
        returning id as "id: AlbumId"
        "#,
        new.user.0,
        new.avatar.0,
        new.training.0,
        new.wanted,
    )
    .fetch_optional(tx)
    .await
}

/// Reads one album without a lock.
pub(crate) async fn find(tx: &mut PgConnection, id: AlbumId) -> Result<Option<Album>, sqlx::Error> {
    sqlx::query_as!(
        Album,
        r#"
        select b.id as "id: AlbumId", b.user_id as "user_id: UserId", b.avatar_id as "avatar_id: AvatarId",
               b.training_id as "training_id: TrainingId", b.origin as "origin: AlbumOrigin", b.status as "status: AlbumStatus",
               b.wanted, coalesce(a.name, '') as "avatar_name!"
          from albums b
          join avatars a on a.id = b.avatar_id
         where b.id = $1
        "#,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// Locks one album until the transaction ends, and reads it. A transaction that also locks generations locks them first.
pub(crate) async fn lock(tx: &mut PgConnection, id: AlbumId) -> Result<Option<Album>, sqlx::Error> {
    let found = sqlx::query_scalar!("select 1 from albums where id = $1 for update", id.0)
        .fetch_optional(&mut *tx)
        .await?;
    match found {
        Some(_) => find(tx, id).await,
        None => Ok(None),
    }
}

/// How far the generations of an album are.
#[derive(Debug)]
pub(crate) struct AlbumTally {
    /// Those that have not ended.
    pub live: i64,
    /// Pictures that FAL's safety checker held back.
    pub flagged: i64,
    /// Why the first that failed did.
    pub failure: Option<String>,
}

pub(crate) async fn tally(tx: &mut PgConnection, id: AlbumId) -> Result<AlbumTally, sqlx::Error> {
    sqlx::query_as!(
        AlbumTally,
        r#"
        select count(*) filter (where status not in ('completed', 'failed', 'cancelled')) as "live!",
               coalesce(sum(flagged), 0) as "flagged!",
               (array_agg(failure_code order by number) filter (where failure_code is not null))[1] as failure
          from generations where album_id = $1
        "#,
        id.0
    )
    .fetch_one(tx)
    .await
}

/// making → a final status. The caller has locked it.
pub(crate) async fn settle(
    tx: &mut PgConnection,
    id: AlbumId,
    status: AlbumStatus,
) -> Result<(), super::StoreError> {
    let changed = sqlx::query!(
        "update albums set status = $2, settled_at = now() where id = $1 and status = 'making'",
        id.0,
        status as AlbumStatus,
    )
    .execute(tx)
    .await?;
    super::one_row("the end of an album", id, &changed)
}

/// Whether the first pictures of this training's avatar are being made.
pub(crate) async fn are_samples_making(
    tx: &mut PgConnection,
    training: TrainingId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from albums
                        where training_id = $1 and origin = 'samples' and status = 'making') as "making!"
        "#,
        training.0
    )
    .fetch_one(tx)
    .await
}

/// Trainings whose first pictures have been in the making for longer than `seconds`, and whose final message is not written.
pub(crate) async fn held_back_by_samples(
    tx: &mut PgConnection,
    seconds: f64,
    limit: i64,
) -> Result<Vec<TrainingId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select b.training_id as "id!: TrainingId"
          from albums b
         where b.status = 'making' and b.origin = 'samples' and b.training_id is not null
           and b.asked_at < now() - make_interval(secs => $1)
           and exists (select from avatars a where a.id = b.avatar_id and a.deleted_at is null)
           and not exists (select from notifications n where n.dedupe_key = 'final:' || b.training_id)
         limit $2
        "#,
        seconds,
        limit,
    )
    .fetch_all(tx)
    .await
}
