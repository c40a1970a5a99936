//! `aisha web` as a process of one test, and requests to it.

use std::time::Duration;

use reqwest::{Client, Response};

use super::{Aisha, Db, aisha};

/// A web role with its own port.
pub struct Web {
    pub process: Aisha,
    pub client: Client,
    base: String,
}

impl Web {
    /// Starts on `db` with these further variables; returns when it listens.
    pub async fn start(db: &Db, variables: &[(&str, &str)]) -> Self {
        let launch = aisha(["web", "--listen", "127.0.0.1:0"])
            .env("AISHA_ENV", "test")
            .env("DATABASE_URL", db.url());
        let process = launch.envs(variables.iter().copied()).start();
        let line = process.line("Web is listening on ").await;
        let address = line
            .rsplit("Web is listening on ")
            .next()
            .expect("an address")
            .trim()
            .to_owned();
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .expect("a client");
        Self {
            process,
            client,
            base: format!("http://{address}"),
        }
    }

    /// The URL of `path`, which starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.expect("an answer")
    }
}
