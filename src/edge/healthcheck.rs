//! Asks a running server how it is, for whoever watches over a container that has neither a shell nor curl.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, redirect};

use crate::edge::bind::Addresses;

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
    /// Port 0 is any free one, and systemd's sockets have a port that only systemd and the server know.
    #[error("the settings name no port: give --listen the address and port of the server")]
    NoPort,
    /// Nobody answered in time: 2 s.
    #[error("nobody at {0} answers {1} in 2 s")]
    Silent(SocketAddr, &'static str),
    /// It answered that it is not.
    #[error("{0} answers {1} with {2}")]
    Status(SocketAddr, &'static str, u16),
}

/// Asks the server that listens there, on loopback where it listens on all addresses, for 2 s at most.
///
/// # Errors
/// When it does not answer 200.
pub async fn healthcheck(listen: Addresses, probe: Probe) -> Result<(), Unwell> {
    let address = reached(listen).filter(|address| address.port() > 0).ok_or(Unwell::NoPort)?;
    let path = probe.path();
    let silent = |_| Unwell::Silent(address, path);
    // A proxy of the environment is for the world outside; the certificates of the web are not needed here, and there may be none.
    let client = Client::builder().no_proxy().tls_certs_only([]).redirect(redirect::Policy::none()).timeout(LIMIT);
    let answer = client.build().map_err(silent)?.get(format!("http://{address}{path}")).send().await.map_err(silent)?;
    match answer.status().as_u16() {
        200 => Ok(()),
        status => Err(Unwell::Status(address, path, status)),
    }
}

/// Where this machine reaches a server that listens there. Whoever listens on `[::]` takes IPv4 too, which may be all that there is.
fn reached(listen: Addresses) -> Option<SocketAddr> {
    match listen {
        Addresses::One(address) if !address.ip().is_unspecified() => Some(address),
        Addresses::One(address) => Some((Ipv4Addr::LOCALHOST, address.port()).into()),
        Addresses::Localhost(port) | Addresses::All(port) => Some((Ipv4Addr::LOCALHOST, port).into()),
        Addresses::FromSystemd => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server on all addresses that reads a head and answers this; where it is reached, and what it was asked.
    async fn server(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
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
        ((Ipv4Addr::LOCALHOST, port).into(), asked)
    }

    #[tokio::test]
    async fn a_server_that_answers_200_is_well_and_any_other_is_named() {
        let (at, asked) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(healthcheck(Addresses::All(at.port()), Probe::Live).await, Ok(()));
        assert!(asked.await.unwrap().starts_with("GET /livez HTTP/1.1\r\n"));
        for (line, status) in [("503 Service Unavailable", 503), ("204 No Content", 204), ("301 Moved", 301)] {
            let answer = format!("HTTP/1.1 {line}\r\nLocation: /livez\r\nContent-Length: 0\r\n\r\n");
            let (at, asked) = server(answer.leak()).await;
            let unwell = healthcheck(Addresses::One(at), Probe::Ready).await;
            assert_eq!(unwell, Err(Unwell::Status(at, "/readyz", status)));
            assert!(asked.await.unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_given_up_in_time() {
        let (silent, _asked) = server("").await;
        let begun = Instant::now();
        let unwell = healthcheck(Addresses::One(silent), Probe::Live).await;
        assert_eq!(unwell, Err(Unwell::Silent(silent, "/livez")));
        assert!(begun.elapsed() < LIMIT * 3);
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let unwell = healthcheck(Addresses::One(gone), Probe::Live).await;
        assert_eq!(unwell, Err(Unwell::Silent(gone, "/livez")));
        for nowhere in [Addresses::All(0), Addresses::FromSystemd] {
            assert_eq!(healthcheck(nowhere, Probe::Live).await, Err(Unwell::NoPort));
        }
    }

    #[test]
    fn all_addresses_are_reached_on_loopback_and_one_by_itself() {
        let one = |text: &str| Addresses::One(text.parse().unwrap());
        for (listen, address) in [
            (one("0.0.0.0:80"), "127.0.0.1:80"),
            (one("[::]:80"), "127.0.0.1:80"),
            (Addresses::All(80), "127.0.0.1:80"),
            (Addresses::Localhost(8080), "127.0.0.1:8080"),
            (one("127.0.0.2:80"), "127.0.0.2:80"),
            (one("[::1]:8080"), "[::1]:8080"),
            (one("192.0.2.7:1"), "192.0.2.7:1"),
        ] {
            assert_eq!(reached(listen).unwrap().to_string(), address);
        }
    }
}
