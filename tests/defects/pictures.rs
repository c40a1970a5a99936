//! D17: pictures that nobody was told of, that were charged and did not come, or that came in another shape.

use aisha::simulators::fal::faults::{Effect, Fault, Operation};

use crate::pictures::world::Studio;

/// The incumbent left its users to find out by themselves whether a picture was there, took the price of all pictures for one,
/// and asked for 9:16 in words that its endpoint did not know.
#[tokio::test]
async fn d17_pictures_are_told_counted_as_they_come_and_have_the_shape_that_was_asked_for() {
    for came in [2, 1] {
        let studio = Studio::asked().await;
        studio.change("update albums set aspect = 'tall'").await;
        studio.change("update generations set aspect = 'tall'").await;
        let count = Effect::PictureCount { count: came };
        studio
            .fal
            .script(Fault::new(Operation::Execution, count))
            .unwrap();
        assert_eq!(studio.used().await, 2, "both are asked for");
        let studio = studio.submit().await;
        studio.finish().await;
        assert_eq!(
            studio.albums_written().await,
            1,
            "the pictures come by themselves"
        );
        assert_eq!(studio.told().await.as_deref(), Some("album-ready"));
        let came = i64::try_from(came).unwrap();
        assert_eq!(studio.pictures().await, came);
        assert_eq!(studio.used().await, came, "what did not come is given back");
        let upright = "select count(*) from pictures where height = width * 16 / 9";
        assert_eq!(studio.count(upright).await, came, "9:16 is 9:16");
    }
}
