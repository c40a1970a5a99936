//! An S3 server inside this process, on loopback: the crate s3s over a directory.
//!
//! Signatures are really checked, those of presigned URLs too, with keys that are generated at each start.
//! Buckets are directories and objects are files below the root, which survive a restart. It is not for
//! production: uploads have no limits. If the process dies, the operating system closes the port, and a
//! half-written object never gets its final name.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder as ConnectionBuilder;
use hyper_util::server::graceful::GracefulShutdown;
use s3s::access::S3Access;
use s3s::auth::SimpleAuth;
use s3s::dto::{ListObjectsInput, ListObjectsV2Input};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Request, S3Result};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests in progress may take once [`S3Server::stop`] is called.
const DRAIN: Duration = Duration::from_secs(5);
/// If the process has no free file descriptor, `accept` fails at once: without a pause the loop would spin.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Why the S3 server did not start.
#[derive(Debug, thiserror::Error)]
pub enum S3ServerError {
    /// The root or the directory of a bucket could not be created.
    #[error("making {path} for the embedded S3 server: {source}")]
    Directory {
        /// The directory's path.
        path: String,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file backend refused its root directory.
    #[error("opening the embedded S3 server's root: {0}")]
    Root(String),
    /// The server cannot listen on its port.
    #[error("the embedded S3 server cannot listen on {address}: {source}")]
    Listen {
        /// The address it tried to listen on.
        address: SocketAddr,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// A running server. Dropping it closes the port without waiting; [`Self::stop`] lets requests finish.
#[derive(Debug)]
pub struct S3Server {
    /// `http://127.0.0.1:PORT`, to be used with path-style addressing.
    pub endpoint: String,
    /// The region; the server accepts any.
    pub region: String,
    /// The access key, generated at start.
    pub access_key: String,
    /// The secret key, generated at start.
    pub secret_key: SecretString,
    stop: CancellationToken,
    serving: Option<tokio::task::JoinHandle<()>>,
}

impl S3Server {
    /// The variables that make a role use this bucket.
    pub fn environment(&self, bucket: &str) -> [(&'static str, String); 5] {
        [
            ("S3_ENDPOINT", self.endpoint.clone()),
            ("S3_REGION", self.region.clone()),
            ("S3_ACCESS_KEY", self.access_key.clone()),
            ("S3_SECRET_KEY", self.secret_key.expose_secret().to_owned()),
            ("S3_BUCKET_AVATARS", bucket.to_owned()),
        ]
    }

    /// Serves `root`, created if missing, with these `buckets`, on a free port of 127.0.0.1.
    pub async fn start(root: &Path, buckets: &[&str]) -> Result<Self, S3ServerError> {
        for path in buckets
            .iter()
            .map(|bucket| root.join(bucket))
            .chain([root.to_owned()])
        {
            std::fs::create_dir_all(&path).map_err(|source| S3ServerError::Directory {
                path: path.display().to_string(),
                source,
            })?;
        }
        let files =
            s3s_fs::FileSystem::new(root).map_err(|error| S3ServerError::Root(format!("{error:?}")))?;
        let access_key = format!("AISHA{}", uuid::Uuid::new_v4().simple());
        let secret_key = SecretString::from(format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        ));
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(
            access_key.clone(),
            secret_key.expose_secret(),
        ));
        service.set_access(EmptyDelimiterIsNone);

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listening = TcpListener::bind(address)
            .await
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (bound, listener) = listening.map_err(|source| S3ServerError::Listen { address, source })?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, service.build(), stop.clone()));
        Ok(Self {
            endpoint: format!("http://{bound}"),
            region: "us-east-1".to_owned(),
            access_key,
            secret_key,
            stop,
            serving: Some(serving),
        })
    }

    /// Stops accepting, and returns when the requests in progress have ended, at most [`DRAIN`] later.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            // The panic hook has already reported a panic in the task.
            let _ = serving.await;
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

async fn serve(listener: TcpListener, service: S3Service, stop: CancellationToken) {
    let http = ConnectionBuilder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    // Dropping the set aborts open connections, also when this task itself is aborted.
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        match accepted {
            Ok((socket, _)) => {
                let connection = http
                    .serve_connection(TokioIo::new(socket), service.clone())
                    .into_owned();
                let connection = connections.watch(connection);
                tasks.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "A connection to the embedded S3 server broke");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "The embedded S3 server could not accept a connection");
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, connections.shutdown()).await.is_err() {
        tracing::warn!(
            "The embedded S3 server cut requests that had not ended after {} s",
            DRAIN.as_secs()
        );
    }
}

/// The `minio` crate lists recursively by sending `delimiter=`. Every other server reads that as no
/// delimiter, s3s-fs as a delimiter of length zero. Anonymous requests are still refused: that is the trait's
/// default check.
struct EmptyDelimiterIsNone;

#[async_trait::async_trait]
impl S3Access for EmptyDelimiterIsNone {
    async fn list_objects(&self, request: &mut S3Request<ListObjectsInput>) -> S3Result<()> {
        request.input.delimiter.take_if(|delimiter| delimiter.is_empty());
        Ok(())
    }

    async fn list_objects_v2(&self, request: &mut S3Request<ListObjectsV2Input>) -> S3Result<()> {
        request.input.delimiter.take_if(|delimiter| delimiter.is_empty());
        Ok(())
    }
}
