//! A TCP proxy in front of a test's Postgres or HTTP server. It can switch to another server, and its connections can
//! go silent.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};
use url::Url;

/// A listening proxy. Dropping it closes all connections.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    /// The database URL that new connections go to.
    target: watch::Sender<Url>,
    /// Connections of an earlier generation are silent: they stay open, and their bytes are dropped.
    generation: watch::Sender<u32>,
}

impl Proxy {
    /// Starts in front of the server of `url`.
    pub async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let shared = Arc::new(Shared {
            target: watch::Sender::new(Url::parse(url).expect("a database URL")),
            generation: watch::Sender::new(0),
        });
        Self {
            address: listener.local_addr().expect("an address"),
            accepting: tokio::spawn(accept(listener, Arc::clone(&shared))),
            shared,
        }
    }

    /// The URL of the same database through the proxy.
    pub fn url(&self) -> String {
        let target = self.shared.target.borrow().clone();
        let user = target.username();
        format!("postgres://{user}@{}{}", self.address, target.path())
    }

    /// The URL of the same HTTP server through the proxy.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends new connections to the server of `url`; open connections stay where they are.
    pub fn lead_to(&self, url: &str) {
        let url = Url::parse(url).expect("a database URL");
        self.shared.target.send_replace(url);
    }

    /// Makes all open connections silent, as when a firewall forgets them. New ones work.
    pub fn silence(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let target = shared.target.borrow().clone();
        let generation = shared.generation.subscribe();
        connections.spawn(async move {
            let parameter = |name: &str| {
                let mut pairs = target.query_pairs();
                pairs
                    .find(|(key, _)| key == name)
                    .map(|(_, value)| value.into_owned())
            };
            let port = parameter("port").or_else(|| target.port().map(|port| port.to_string()));
            let port = port.unwrap_or_else(|| "5432".to_owned());
            if let Some(directory) = parameter("host").filter(|host| host.starts_with('/')) {
                let socket = PathBuf::from(directory).join(format!(".s.PGSQL.{port}"));
                carry_both(client, UnixStream::connect(socket).await, generation).await;
            } else {
                let host = target.host_str().unwrap_or("127.0.0.1");
                let server = TcpStream::connect(format!("{host}:{port}")).await;
                carry_both(client, server, generation).await;
            }
        });
    }
}

async fn carry_both<Server: AsyncRead + AsyncWrite>(
    client: TcpStream,
    server: std::io::Result<Server>,
    generation: watch::Receiver<u32>,
) {
    // The server is away: the client's connection is closed.
    let Ok(server) = server else { return };
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    tokio::select! {
        () = carry(from_client, to_server, generation.clone()) => {}
        () = carry(from_server, to_client, generation) => {}
    }
}

/// Copies bytes until either side is closed.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    generation: watch::Receiver<u32>,
) {
    let born = *generation.borrow();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            // Read and dropped: the sender's system sees no error, and gets no answer.
            Ok(_) if *generation.borrow() != born => {}
            Ok(count) => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
