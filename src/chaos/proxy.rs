//! A TCP proxy that can be told to misbehave: before Postgres and before S3.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// Smaller pieces are requests' heads and short statements, which pass whole when bodies are truncated.
const HEAD: usize = 1024;

/// Where connections lead.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Postgres' socket.
    Unix(PathBuf),
    /// A server.
    Tcp(SocketAddr),
}

/// How the proxy behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As if it were not there.
    Pass,
    /// Cuts every connection and takes no new one.
    Cut,
    /// Takes everything in and lets nothing out.
    BlackHole,
    /// Each piece waits for so long.
    Late(Duration),
    /// The first large piece of a connection is halved, then the connection is cut.
    Truncate,
}

/// A listening proxy; dropped, it cuts everything.
#[derive(Debug)]
pub(super) struct Proxy {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(target: Target) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (mode, watched) = watch::channel(Mode::Pass);
        let accepting = tokio::spawn(accept(listener, target, watched));
        Ok(Self {
            address,
            mode,
            accepting,
        })
    }

    /// From now on, for old connections as for new ones.
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

async fn accept(listener: TcpListener, target: Target, mode: watch::Receiver<Mode>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of file handles: those who hold them must get a turn.
            tokio::task::yield_now().await;
            continue;
        };
        let (target, mode) = (target.clone(), mode.clone());
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        tokio::spawn(async move {
            let _ = client.set_nodelay(true);
            // A connection that breaks is what this is for.
            let _: io::Result<()> = match target {
                Target::Unix(path) => match UnixStream::connect(path).await {
                    Ok(server) => serve(client, server, mode).await,
                    Err(error) => Err(error),
                },
                Target::Tcp(address) => match TcpStream::connect(address).await {
                    Ok(server) => serve(client, server, mode).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn serve<S>(client: TcpStream, server: S, mode: watch::Receiver<Mode>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    let mut cut = mode.clone();
    tokio::select! {
        ended = async { tokio::try_join!(carry(from_client, to_server, mode.clone()), carry(from_server, to_client, mode)) } => ended.map(drop),
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => Ok(()),
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut piece = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
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
                Mode::Pass | Mode::Cut | Mode::Truncate => break,
            }
        }
        to.write_all(&piece[..length]).await?;
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
