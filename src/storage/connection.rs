//! Connections to PostgreSQL: at which addresses, and with TLS where that is wanted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use crate::storage::address::{Address, Host, SslMode};
use crate::storage::failure::Failure;
use crate::storage::settings::TlsError;
use crate::storage::tls;

/// Which database, and how to reach it.
pub(crate) struct Target {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
}

/// What a connection is made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One address of a host.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) host: Host,
    /// None for a socket.
    address: Option<SocketAddr>,
}

impl Target {
    /// Reads the certificates that the address names.
    ///
    /// # Errors
    /// A text that names the parameter.
    pub(crate) fn new(address: Address) -> Result<Self, TlsError> {
        let tls = match address.mode {
            SslMode::Disable => None,
            mode => Some(tls::client_config(mode, &address.certificates)?),
        };
        Ok(Self { address, tls })
    }

    /// Where the database is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The addresses of all hosts, in their order, and why some have none.
    pub(crate) async fn endpoints(&self) -> (Vec<Endpoint>, Option<io::Error>) {
        let (mut endpoints, mut failed) = (Vec::new(), None);
        for host in &self.address.hosts {
            let mut add = |address| endpoints.push(Endpoint { host: host.clone(), address });
            match host {
                Host::Socket(_) => add(None),
                Host::Tcp { address: Some(ip), port, .. } => add(Some(SocketAddr::new(*ip, *port))),
                Host::Tcp { name, port, .. } => match lookup_host((name.as_str(), *port)).await {
                    Ok(found) => found.for_each(|address| add(Some(address))),
                    Err(error) => failed = Some(error),
                },
            }
        }
        (endpoints, failed)
    }

    /// A connection, with TLS where the mode wants it, and what SCRAM may bind to it.
    pub(crate) async fn stream(
        &self,
        endpoint: &Endpoint,
        accepted: &AtomicBool,
    ) -> Result<(Box<dyn Stream>, Option<Vec<u8>>), Failure> {
        let away = |error: io::Error| Failure::Away(format!("no connection to the database: {error}").into());
        let mut stream = match (&endpoint.host, endpoint.address) {
            (Host::Socket(path), _) => {
                let stream = UnixStream::connect(path).await.map_err(away)?;
                accepted.store(true, Ordering::Relaxed);
                return Ok((Box::new(stream), None));
            }
            (_, Some(address)) => TcpStream::connect(address).await.map_err(away)?,
            (_, None) => return Err(Failure::Bug("a host has no address")),
        };
        accepted.store(true, Ordering::Relaxed);
        stream.set_nodelay(true).map_err(away)?;
        let Some(config) = &self.tls else { return Ok((Box::new(stream), None)) };
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        stream.write_all(&request).await.map_err(away)?;
        match stream.read_u8().await.map_err(away)? {
            b'S' => {}
            b'N' if self.address.mode == SslMode::Prefer => return Ok((Box::new(stream), None)),
            _ => return Err(Failure::Away("the server of the database does not support TLS".into())),
        }
        let name = tls::server_name(&endpoint.host).map_err(|error| Failure::Away(error.to_string().into()))?;
        let stream = tokio_rustls::TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
            .map_err(|error| Failure::Away(tls::explain(&error).into()))?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let binding = certificate.and_then(tls::end_point);
        Ok((Box::new(stream), binding))
    }
}
