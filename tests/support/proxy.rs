//! A TCP proxy before a test's Postgres, or an HTTP server: it can lead elsewhere, and its connections can fall silent.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};
use url::Url;

/// A listening proxy. Dropped, it cuts everything.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    /// Where new connections lead: a database's URL.
    target: watch::Sender<Url>,
    /// Connections of an earlier generation are silent: their bytes go nowhere, and they stay open.
    generation: watch::Sender<u32>,
}

impl Proxy {
    /// Before the server of `url`.
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

    /// The database of the URL that it stands before, through it.
    pub fn url(&self) -> String {
        let target = self.shared.target.borrow().clone();
        let user = target.username();
        format!("postgres://{user}@{}{}", self.address, target.path())
    }

    /// Of an HTTP server that it stands before, through it.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// New connections lead to the server of `url`; those that are open stay where they are.
    pub fn lead_to(&self, url: &str) {
        let url = Url::parse(url).expect("a database URL");
        self.shared.target.send_replace(url);
    }

    /// Those that are open fall silent, as when a firewall forgets them. New ones work.
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
    // A server that is away: the client finds its connection cut.
    let Ok(server) = server else { return };
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    tokio::select! {
        () = carry(from_client, to_server, generation.clone()) => {}
        () = carry(from_server, to_client, generation) => {}
    }
}

/// Until either side is gone.
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
            // Taken in and let go: the sender's system is content, and nobody answers.
            Ok(_) if *generation.borrow() != born => {}
            Ok(count) => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
