//! Whose tables: what the Rust peers have in common besides their workers.

use std::time::Duration;

use anyhow::Context;
use jobs::database::{Database, DatabaseOptions};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, postgres::PgConnectOptions, postgres::PgPoolOptions,
};

use crate::{apalis_peer, floor, graphile};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Family {
    /// aisha's queue.
    Ours,
    /// Hand-written SQL.
    Floor,
    /// apalis-postgres.
    Apalis,
    /// apalis without a database.
    Ceiling,
    /// `graphile_worker` from crates.io.
    GraphileRs,
}

impl Family {
    pub async fn setup(self) -> anyhow::Result<()> {
        match self {
            Self::Ours => {
                let database = Database::connect(&DatabaseOptions {
                    url: url()?.into(),
                    max_connections: 2,
                    acquire_timeout: Duration::from_secs(30),
                    application_name: "queue-bench".to_owned(),
                    pooled: false,
                })
                .await?;
                jobs::schema::migrate(&database).await?;
            }
            Self::Floor => floor::setup(&mut connect().await?).await?,
            Self::Apalis => apalis_peer::setup(&pool(2).await?).await?,
            Self::GraphileRs => graphile::setup().await?,
            Self::Ceiling => {}
        }
        Ok(())
    }
}

fn url() -> anyhow::Result<String> {
    std::env::var("DATABASE_URL").context("DATABASE_URL is not set")
}

/// One connection.
pub async fn connect() -> anyhow::Result<PgConnection> {
    let options: PgConnectOptions = url()?.parse()?;
    Ok(options.connect().await?)
}

/// Connections for a worker, all of them open, so that opening them is not measured.
pub async fn pool(connections: u32) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = url()?.parse()?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .connect_with(options)
        .await?;
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut connection = pool.acquire().await?;
        connection.ping().await?;
        open.push(connection);
    }
    drop(open);
    Ok(pool)
}
