//! A user deletes one picture: its object goes with the next job, and nothing else does.

use jobs::{
    DeletePicture, NotifyUser, SweepOrphans,
    domain::{AvatarId, PictureId, UserId},
    job::Job,
    queue::JobState,
    testing::enqueued,
};
use uuid::Uuid;

use super::world::Studio;

#[tokio::test]
async fn a_deleted_picture_is_gone_from_the_bucket_at_once_and_no_other() {
    let studio = Studio::generated().await;
    studio.finish().await;
    let pictures: Vec<(Uuid, Uuid, Uuid, String)> =
        sqlx::query_as("select user_id, avatar_id, id, storage_key from pictures order by number")
            .fetch_all(studio.pool())
            .await
            .unwrap();
    let [(owner, avatar, first, its_key), (_, _, second, other_key)] = &pictures[..] else {
        panic!("two pictures: {pictures:?}")
    };

    let eve = studio.person();
    let mut turn = studio.turn_of(&eve).await;
    assert!(
        !turn.delete_picture(PictureId(*first)).await.unwrap(),
        "it is not Eve's"
    );
    turn.finish().await.unwrap();
    let mut turn = studio.world.turn().await;
    assert!(turn.delete_picture(PictureId(*first)).await.unwrap());
    assert!(
        !turn.delete_picture(PictureId(*first)).await.unwrap(),
        "a second tap finds nothing"
    );
    turn.finish().await.unwrap();
    let mut db = studio.pool().acquire().await.unwrap();
    assert_eq!(enqueued::<DeletePicture>(&mut db).await.len(), 1);
    drop(db);
    assert!(studio.s3.get(its_key).is_some());
    studio.run::<DeletePicture>().await;
    assert!(
        studio.s3.get(its_key).is_none(),
        "it does not wait for {}",
        SweepOrphans::NAME
    );

    // A job for a picture that its user still has, as by an operator's mistake.
    studio
        .enqueue(&DeletePicture::new(
            UserId(*owner),
            AvatarId(*avatar),
            PictureId(*second),
        ))
        .await;
    assert_eq!(studio.run::<DeletePicture>().await.state, JobState::Done);
    assert!(studio.s3.get(other_key).is_some(), "it has its row");
    studio.leaves::<NotifyUser>();
}
