//! Where the server listens: addresses become sockets.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// How many connections the system keeps for the server until it takes them.
const BACKLOG: i32 = 1024;

/// Where to listen, and why there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub addresses: Addresses,
    /// What of the settings decided it: for the log.
    pub reason: &'static str,
}

/// What can be listened on; port 0 is any free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// This one; `[::]` is all addresses, IPv4's too.
    One(SocketAddr),
    /// Those that `localhost` may mean: the loopback addresses of both families, as far as there are any.
    Localhost(u16),
    /// All addresses of both families, or of IPv4 where the system has no IPv6.
    All(u16),
    /// The sockets that systemd hands over (`sd_listen_fds(3)`), wherever they listen.
    FromSystemd,
}

impl Addresses {
    /// The same with another port; sockets that are there already keep theirs.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        match self {
            Self::One(address) => Self::One(SocketAddr::new(address.ip(), port)),
            Self::Localhost(_) => Self::Localhost(port),
            Self::All(_) => Self::All(port),
            Self::FromSystemd => Self::FromSystemd,
        }
    }

    /// Whether it is certain that only this machine gets there.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        match self {
            Self::One(address) => address.ip().to_canonical().is_loopback(),
            Self::Localhost(_) => true,
            Self::All(_) | Self::FromSystemd => false,
        }
    }

    /// Listens: from now on, connections are kept until they are taken. To be called within the runtime, once, and before
    /// anything else there reads the environment.
    ///
    /// # Errors
    /// When an address is another's or may not be listened on, or systemd handed over no TCP socket.
    pub fn bind(self) -> std::io::Result<Vec<TcpListener>> {
        match self {
            Self::One(address) => Ok(vec![listen(address)?]),
            Self::Localhost(port) => both(port),
            Self::All(port) => match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
                Err(error) if is_missing(&error) => Ok(vec![listen((Ipv4Addr::UNSPECIFIED, port).into())?]),
                listener => Ok(vec![listener?]),
            },
            Self::FromSystemd => handed_over(),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(address) => address.fmt(f),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::All(port) => write!(f, "[::]:{port}"),
            Self::FromSystemd => f.write_str("systemd's sockets"),
        }
    }
}

/// Listens on the loopback address of each family, under one port.
fn both(mut port: u16) -> std::io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut missing = None;
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        match listen((ip, port).into()) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            Err(error) if is_missing(&error) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    missing.filter(|_| listeners.is_empty()).map_or(Ok(listeners), Err)
}

/// Whether the system lacks the address or its whole family; what is another's or forbidden is there.
fn is_missing(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    // A server that starts again does not wait for the last one's connections to be forgotten. On Windows the option means
    // that two may listen at once.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn handed_over() -> std::io::Result<Vec<TcpListener>> {
    let mut sockets = ListenFd::from_env();
    let listeners = (0..sockets.len()).map(|place| {
        let socket = sockets.take_tcp_listener(place)?.ok_or(ErrorKind::NotFound)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket)
    });
    listeners.collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    async fn reaches(ip: impl Into<IpAddr>, port: u16) -> bool {
        TcpStream::connect((ip.into(), port)).await.is_ok()
    }

    fn port_of(listeners: &[TcpListener]) -> u16 {
        let ports: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port > 0), "{ports:?}");
        ports[0]
    }

    fn has_ipv6() -> bool {
        std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_both_families_under_one_port() {
        let listeners = Addresses::All(0).bind().unwrap();
        let port = port_of(&listeners);
        assert!(reaches(Ipv4Addr::LOCALHOST, port).await);
        assert_eq!(reaches(Ipv6Addr::LOCALHOST, port).await, has_ipv6());
        let named = Addresses::One("[::]:0".parse().unwrap()).bind();
        if has_ipv6() {
            assert!(reaches(Ipv4Addr::LOCALHOST, port_of(&named.unwrap())).await, "[::] is IPv4 too");
        }
    }

    #[tokio::test]
    async fn localhost_is_the_loopback_address_of_each_family_and_no_other() {
        let listeners = Addresses::Localhost(0).bind().unwrap();
        let port = port_of(&listeners);
        assert_eq!(listeners.len(), 1 + usize::from(has_ipv6()));
        assert!(listeners.iter().all(|listener| listener.local_addr().unwrap().ip().is_loopback()));
        assert!(reaches(Ipv4Addr::LOCALHOST, port).await);
        assert!(!reaches([127, 0, 0, 2], port).await);
    }

    #[tokio::test]
    async fn an_address_that_another_has_is_an_error_and_never_half_a_listener() {
        let taken = Addresses::One("127.0.0.1:0".parse().unwrap()).bind().unwrap();
        let port = port_of(&taken);
        for addresses in
            [Addresses::One((Ipv4Addr::LOCALHOST, port).into()), Addresses::Localhost(port), Addresses::All(port)]
        {
            assert_eq!(addresses.bind().unwrap_err().kind(), ErrorKind::AddrInUse, "{addresses}");
        }
        if has_ipv6() {
            let taken = Addresses::One("[::1]:0".parse().unwrap()).bind().unwrap();
            let localhost = Addresses::Localhost(port_of(&taken));
            assert_eq!(localhost.bind().unwrap_err().kind(), ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn what_is_missing_is_told_from_what_is_taken() {
        for kind in [ErrorKind::AddrNotAvailable, ErrorKind::Unsupported, ErrorKind::Other] {
            assert!(is_missing(&kind.into()));
        }
        // EAFNOSUPPORT, where the kernel has no IPv6, has no kind of its own.
        #[cfg(target_os = "linux")]
        assert!(is_missing(&Error::from_raw_os_error(97)));
        for kind in [ErrorKind::AddrInUse, ErrorKind::PermissionDenied] {
            assert!(!is_missing(&kind.into()));
        }
    }
}
