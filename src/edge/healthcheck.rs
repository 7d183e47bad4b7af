//! Asks a running server how it is, for whoever watches over a container that has neither a shell nor curl.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, redirect};

/// How long an answer may take, connecting included.
const LIMIT: Duration = Duration::from_secs(2);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// `/livez`: whether the process serves. What a watcher that starts it anew should ask, as no restart brings a
    /// database back.
    Live,
    /// `/readyz`: whether the database can be used, too. What a balancer should ask, or whoever waits for a start.
    Ready,
}

impl Probe {
    fn path(self) -> &'static str {
        match self {
            Self::Live => "/livez",
            Self::Ready => "/readyz",
        }
    }
}

/// Why a server is not as it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unwell {
    /// Port 0 is any free one, which only the server itself knows.
    #[error("PORT is 0, any free port: name the one that the server listens on")]
    NoPort,
    /// Nobody answered in time: 2 s.
    #[error("nobody at {0} answers {1} in 2 s")]
    Silent(SocketAddr, &'static str),
    /// It answered that it is not.
    #[error("{0} answers {1} with {2}")]
    Status(SocketAddr, &'static str, u16),
}

/// Asks the server that listens on this address, on loopback where it listens on all of them, for 2 s at most.
///
/// # Errors
/// When it does not answer 200.
pub async fn healthcheck(listen: SocketAddr, probe: Probe) -> Result<(), Unwell> {
    let (address, path) = (reached(listen), probe.path());
    if address.port() == 0 {
        return Err(Unwell::NoPort);
    }
    let silent = |_| Unwell::Silent(address, path);
    // A proxy of the environment is for the world outside; the certificates of the web are not needed here, and there may be none.
    let client = Client::builder().no_proxy().tls_certs_only([]).redirect(redirect::Policy::none()).timeout(LIMIT);
    let answer = client.build().map_err(silent)?.get(format!("http://{address}{path}")).send().await.map_err(silent)?;
    match answer.status().as_u16() {
        200 => Ok(()),
        status => Err(Unwell::Status(address, path, status)),
    }
}

/// Where this machine reaches a server that listens there; `[::]` takes IPv4 too, which may be all that there is.
fn reached(listen: SocketAddr) -> SocketAddr {
    let ip = if listen.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { listen.ip() };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that reads a head and answers this, on all addresses; and what it was asked.
    async fn server(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let listen = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.is_empty() {
                tokio::time::sleep(LIMIT * 5).await;
            }
            String::from_utf8_lossy(&head[..length]).into_owned()
        });
        (listen, asked)
    }

    #[tokio::test]
    async fn a_server_that_answers_200_is_well_and_any_other_is_named() {
        let (listen, asked) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert!(listen.ip().is_unspecified());
        assert_eq!(healthcheck(listen, Probe::Live).await, Ok(()));
        assert!(asked.await.unwrap().starts_with("GET /livez HTTP/1.1\r\n"));
        for (line, status) in [("503 Service Unavailable", 503), ("204 No Content", 204), ("301 Moved", 301)] {
            let answer = format!("HTTP/1.1 {line}\r\nLocation: /livez\r\nContent-Length: 0\r\n\r\n");
            let (listen, asked) = server(answer.leak()).await;
            let unwell = healthcheck(listen, Probe::Ready).await.unwrap_err();
            assert_eq!(unwell, Unwell::Status(reached(listen), "/readyz", status));
            assert!(asked.await.unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_given_up_in_time() {
        let (silent, _asked) = server("").await;
        let begun = Instant::now();
        assert_eq!(healthcheck(silent, Probe::Live).await, Err(Unwell::Silent(reached(silent), "/livez")));
        assert!(begun.elapsed() < LIMIT * 3);
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(healthcheck(gone, Probe::Live).await, Err(Unwell::Silent(gone, "/livez")));
        let none = "0.0.0.0:0".parse().unwrap();
        assert_eq!(healthcheck(none, Probe::Live).await, Err(Unwell::NoPort));
    }

    #[test]
    fn all_addresses_are_reached_on_loopback_and_one_by_itself() {
        for (listen, address) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "127.0.0.1:80"),
            ("127.0.0.2:80", "127.0.0.2:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("192.0.2.7:1", "192.0.2.7:1"),
        ] {
            assert_eq!(reached(listen.parse().unwrap()).to_string(), address);
        }
    }
}
