//! A TCP proxy that misbehaves on demand. It stands in front of Postgres and S3.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// Smaller pieces are heads of requests and short statements, which pass whole even if bodies are truncated.
const HEAD: usize = 1024;

/// The server that connections lead to.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// A server on a Unix socket, such as Postgres.
    Unix(PathBuf),
    /// A server on a TCP port.
    Tcp(SocketAddr),
}

/// How the proxy behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Passes everything on.
    Pass,
    /// Cuts every connection and accepts no new one.
    Cut,
    /// Reads everything and passes nothing on.
    BlackHole,
    /// Delays each piece by this time.
    Late(Duration),
    /// Halves the first large piece of a connection, then cuts the connection.
    Truncate,
    /// Passes half of the body of an answer to a GET, with a `Content-Length` that agrees, then cuts the
    /// connection.
    Shorten,
}

/// State that the two directions of a connection share.
#[derive(Debug, Default)]
struct ProxiedConnection {
    /// Whether the client has sent a LISTEN.
    listens: AtomicBool,
    /// Whether the client's last request was a GET, whose answer has the body that it announces.
    gets: AtomicBool,
    /// Whether nothing passes any more in either direction, without either side being told.
    frozen: AtomicBool,
}

/// A proxy that listens. Dropping it cuts all connections.
#[derive(Debug)]
pub(super) struct Proxy {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    connections: ProxiedConnections,
    accepting: JoinHandle<()>,
}

type ProxiedConnections = Arc<Mutex<Vec<Weak<ProxiedConnection>>>>;

impl Proxy {
    pub(super) async fn start(target: Target) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (mode, watched) = watch::channel(Mode::Pass);
        let connections = ProxiedConnections::default();
        let accepting = tokio::spawn(accept(listener, target, watched, Arc::clone(&connections)));
        Ok(Self {
            address,
            mode,
            connections,
            accepting,
        })
    }

    /// Silences for good the connections that have sent a LISTEN; returns how many. New connections work.
    pub(super) fn freeze_listeners(&self) -> usize {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let open = connections.iter().filter_map(Weak::upgrade);
        let fresh = |connection: &Arc<ProxiedConnection>| {
            connection.listens.load(Ordering::Relaxed) && !connection.frozen.swap(true, Ordering::Relaxed)
        };
        open.filter(fresh).count()
    }

    /// Sets the behaviour, for open connections and new ones.
    pub(super) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.mode.send_replace(Mode::Cut);
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: Target,
    mode: watch::Receiver<Mode>,
    connections: ProxiedConnections,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // No free file handles: yield to the tasks that hold some.
            tokio::task::yield_now().await;
            continue;
        };
        let (target, mode) = (target.clone(), mode.clone());
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        let connection = Arc::new(ProxiedConnection::default());
        {
            let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.retain(|connection| connection.strong_count() > 0);
            connections.push(Arc::downgrade(&connection));
        }
        tokio::spawn(async move {
            let _ = client.set_nodelay(true);
            // Broken connections are the purpose of this proxy.
            let _: io::Result<()> = match target {
                Target::Unix(path) => match UnixStream::connect(path).await {
                    Ok(server) => serve(client, server, mode, &connection).await,
                    Err(error) => Err(error),
                },
                Target::Tcp(address) => match TcpStream::connect(address).await {
                    Ok(server) => serve(client, server, mode, &connection).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn serve<S>(
    client: TcpStream,
    server: S,
    mode: watch::Receiver<Mode>,
    connection: &ProxiedConnection,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    let mut cut = mode.clone();
    let there = carry(from_client, to_server, mode.clone(), connection, Way::There);
    let back = carry(from_server, to_client, mode, connection, Way::Back);
    tokio::select! {
        ended = async { tokio::try_join!(there, back) } => ended.map(drop),
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => Ok(()),
    }
}

/// Direction of the bytes: from the client, or to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    connection: &ProxiedConnection,
    way: Way,
) -> io::Result<()> {
    let mut piece = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        if way == Way::There {
            connection.note_request(&piece[..length]);
        }
        if connection.frozen.load(Ordering::Relaxed) {
            continue;
        }
        loop {
            let now = *mode.borrow_and_update();
            match now {
                Mode::BlackHole => {
                    if mode.changed().await.is_err() {
                        return Ok(());
                    }
                }
                Mode::Late(by) => {
                    tokio::time::sleep(by).await;
                    break;
                }
                Mode::Truncate if length > HEAD => {
                    to.write_all(&piece[..length / 2]).await?;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Mode::Shorten if way == Way::Back && connection.gets.load(Ordering::Relaxed) => {
                    if let Some(answer) = Halved::of(&piece[..length]) {
                        return answer.pass(&mut from, &mut to).await;
                    }
                    break;
                }
                Mode::Pass | Mode::Cut | Mode::Truncate | Mode::Shorten => break,
            }
        }
        to.write_all(&piece[..length]).await?;
    }
}

impl ProxiedConnection {
    fn note_request(&self, bytes: &[u8]) {
        if bytes.windows(7).any(|window| window == b"LISTEN ") {
            self.listens.store(true, Ordering::Relaxed);
        }
        let line = bytes.windows(8).position(|window| window == b"HTTP/1.1");
        if line.is_some_and(|at| !bytes[..at].contains(&b'\n')) {
            self.gets.store(bytes.starts_with(b"GET "), Ordering::Relaxed);
        }
    }
}

/// An HTTP answer that is passed on with half its body and a length that agrees.
struct Halved {
    /// The changed head, and the part of the body that came with it.
    begun: Vec<u8>,
    /// Number of bytes of the body that are still to be passed on.
    missing: usize,
}

impl Halved {
    /// `None`: this is not the beginning of a successful answer with a body that can be halved.
    fn of(piece: &[u8]) -> Option<Self> {
        let end = piece.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&piece[..end]).ok()?;
        if !head.starts_with("HTTP/1.1 200") {
            return None;
        }
        let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
        let line = head.lines().find(is_length)?;
        let length: usize = line.split_once(':')?.1.trim().parse().ok()?;
        if length < HEAD / 2 {
            return None;
        }
        let half = length / 2;
        let mut begun = head
            .replace(line, &format!("content-length: {half}"))
            .into_bytes();
        let body = &piece[end..];
        let with_it = body.len().min(half);
        begun.extend_from_slice(&body[..with_it]);
        Some(Self {
            begun,
            missing: half - with_it,
        })
    }

    async fn pass(
        self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        to.write_all(&self.begun).await?;
        let mut rest = from.take(self.missing as u64);
        tokio::io::copy(&mut rest, to).await?;
        to.shutdown().await?;
        // The client has as much as the head promised; both directions are cut.
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = split(socket);
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn answer(socket: &mut TcpStream, bytes: usize) -> usize {
        let sent = vec![7; bytes];
        socket.write_all(&sent).await.expect("sent");
        let mut got = 0;
        let mut piece = vec![0; bytes];
        while got < bytes {
            match socket.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(length) => got += length,
            }
        }
        got
    }

    #[tokio::test]
    async fn it_passes_cuts_and_truncates() {
        let proxy = Proxy::start(Target::Tcp(echo().await)).await.expect("a proxy");
        let mut socket = TcpStream::connect(proxy.address).await.expect("connected");
        assert_eq!(answer(&mut socket, 5000).await, 5000);
        proxy.set(Mode::Truncate);
        assert_eq!(answer(&mut socket, 100).await, 100, "a head passes");
        assert!(answer(&mut socket, 5000).await < 5000, "a body does not");
        proxy.set(Mode::Pass);
        let mut socket = TcpStream::connect(proxy.address).await.expect("connected");
        assert_eq!(answer(&mut socket, 10).await, 10);
        proxy.set(Mode::Cut);
        assert_eq!(socket.read(&mut [0; 1]).await.unwrap_or(0), 0, "cut");
    }

    /// Reads one request and answers it with a body of 4,000 bytes, again and again.
    async fn store() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = vec![0; 1000];
                    while socket.read(&mut request).await.is_ok_and(|length| length > 0) {
                        let head = "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n";
                        socket.write_all(head.as_bytes()).await.expect("the head is sent");
                        if request.starts_with(b"GET") {
                            socket.write_all(&[7; 4000]).await.expect("the body is sent");
                        }
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_shortened_answer_is_consistent_and_half_as_long() {
        let proxy = Proxy::start(Target::Tcp(store().await)).await.expect("a proxy");
        proxy.set(Mode::Shorten);
        let url = format!("http://{}/object", proxy.address);
        let patience = Duration::from_secs(10);
        let client = reqwest::Client::builder().timeout(patience).build();
        let client = client.expect("a client");
        let head = client.head(&url).send().await.expect("an answer");
        assert_eq!(
            head.headers()["content-length"],
            "4000",
            "no body, nothing to halve"
        );
        let body = client.get(&url).send().await.expect("an answer").bytes().await;
        assert_eq!(
            body.expect("a whole body, as far as the client can tell").len(),
            2000
        );
        proxy.set(Mode::Pass);
        let body = client.get(&url).send().await.expect("an answer").bytes().await;
        assert_eq!(body.expect("a whole body").len(), 4000);
    }

    #[tokio::test]
    async fn only_connections_that_listen_are_frozen() {
        let proxy = Proxy::start(Target::Tcp(echo().await)).await.expect("a proxy");
        let mut listens = TcpStream::connect(proxy.address).await.expect("connected");
        let mut asks = TcpStream::connect(proxy.address).await.expect("connected");
        listens.write_all(b"LISTEN \"jobs\"").await.expect("sent");
        let mut echoed = [0; 13];
        listens.read_exact(&mut echoed).await.expect("it passes");
        assert_eq!(answer(&mut asks, 10).await, 10);
        assert_eq!(proxy.freeze_listeners(), 1);
        assert_eq!(proxy.freeze_listeners(), 0, "it is frozen already");
        listens.write_all(b"x").await.expect("taken in");
        let nothing = tokio::time::timeout(Duration::from_millis(100), listens.read(&mut echoed)).await;
        assert!(nothing.is_err(), "a frozen connection answered");
        assert_eq!(answer(&mut asks, 10).await, 10, "the other goes on");
    }

    #[tokio::test]
    async fn a_black_hole_gives_everything_back_when_it_closes() {
        let proxy = Proxy::start(Target::Tcp(echo().await)).await.expect("a proxy");
        let mut socket = TcpStream::connect(proxy.address).await.expect("connected");
        proxy.set(Mode::BlackHole);
        socket.write_all(b"x").await.expect("taken in");
        let mut got = [0; 1];
        let nothing = tokio::time::timeout(Duration::from_millis(100), socket.read(&mut got)).await;
        assert!(nothing.is_err(), "something came out of the hole");
        proxy.set(Mode::Pass);
        assert_eq!(socket.read(&mut got).await.expect("an answer"), 1);
    }
}
