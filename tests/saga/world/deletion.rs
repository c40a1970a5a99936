//! The owner deletes the avatar of the world: the tap, and what must be left.

use aisha::simulators::fal::ledger::Event;
use jobs::{
    domain::AvatarId,
    producer::{Deleted, Turn},
};

use super::World;
use crate::support::BUCKET;

impl World {
    /// The avatar's id.
    pub const fn avatar(&self) -> AvatarId {
        AvatarId(self.avatar)
    }

    /// An update of the owner's that the test handles itself.
    pub async fn turn(&self) -> Turn {
        let id = self.look::<i64>("select telegram_id from users order by created_at limit 1");
        self.turn_of_id(id.await).await
    }

    /// The owner deletes the avatar.
    pub async fn delete_avatar(&self) -> Deleted {
        let mut turn = self.turn().await;
        let deleted = turn.delete_avatar(self.avatar()).await.unwrap();
        turn.finish().await.unwrap();
        deleted
    }

    /// The owner has everything about them deleted.
    pub async fn leave(&self) {
        let mut turn = self.turn().await;
        turn.leave().await.unwrap();
        turn.finish().await.unwrap();
    }

    /// Nothing is left of the owner.
    pub async fn assert_nobody(&self, when: &str) {
        self.assert_erased(when).await;
        for table in ["users", "erasures", "notifications", "telegram_updates"] {
            assert_eq!(self.rows_in(table).await, 0, "{when}: {table}");
        }
    }

    /// Each row of each table that has one of these words in it, as `table: row`.
    pub async fn rows_with(&self, words: &[String]) -> Vec<String> {
        let tables: Vec<String> = sqlx::query_scalar(
            "select relname::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace",
        )
        .fetch_all(self.pool())
        .await
        .unwrap();
        assert!(tables.iter().any(|table| table == "jobs"), "{tables:?}");
        let any = format!("\\m({})\\M", words.join("|"));
        let mut rows = Vec::new();
        for table in tables {
            let query = format!("select t::text from {table} t where t::text ~ $1");
            let found: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .bind(&any)
                .fetch_all(self.pool())
                .await
                .unwrap();
            rows.extend(found.into_iter().map(|row| format!("{table}: {row}")));
        }
        rows
    }

    /// Keys of all objects in the bucket.
    pub fn objects(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut folders = vec![self.s3.root().join(BUCKET)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    keys.push(path.display().to_string());
                }
            }
        }
        keys
    }

    /// How many rows a table has.
    pub async fn rows_in(&self, table: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Nothing is left of the avatar: no row, no object, no payload at FAL.
    pub async fn assert_erased(&self, when: &str) {
        assert_eq!(self.rows_in("avatars").await, 0, "{when}");
        assert!(self.objects().is_empty(), "{when}: {:?}", self.objects());
        let erased: Vec<String> = self
            .fal
            .ledger()
            .into_iter()
            .filter_map(|entry| match entry.event {
                Event::Erased { request_id, .. } => Some(request_id.to_string()),
                _ => None,
            })
            .collect();
        for request in self.accepted() {
            assert!(erased.contains(&request), "{when}: FAL still has {request}");
        }
    }
}
