//! What a server finds at its start: silent addresses, and databases that it cannot use.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::TcpListener;

use crate::load::Tally;
use crate::parts::{Base, seconds, turn};
use crate::relay::Relay;
use crate::server::{Server, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_host_is_reached_when_the_first_is_silent() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let (silent, good) = (Relay::to(base.cluster.port()).await, Relay::to(base.cluster.port()).await);
    silent.hold();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", silent.port(), good.port());
    first_request_is_quick(&format!("postgresql://tasks@{hosts}/{}", base.name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_host_is_reached_when_the_first_takes_no_connection() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    // A queue of one that nobody empties: further connections hang, as with an address that nobody has.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full: TcpListener = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(queued)) =
        tokio::time::timeout(crate::parts::millis(200), tokio::net::TcpStream::connect(address)).await
    {
        queue.push(queued);
        assert!(queue.len() < 10_000, "the queue is never full");
    }
    let hosts = format!("{address},127.0.0.1:{}", base.cluster.port());
    first_request_is_quick(&format!("postgresql://tasks@{hosts}/{}", base.name)).await;
}

/// A name with two addresses, where this machine has one: `localhost` in both families.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_address_of_a_name_is_reached_when_the_first_is_silent() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let addresses: Vec<_> = tokio::net::lookup_host(("localhost", 0)).await.unwrap().collect();
    if !addresses.first().is_some_and(SocketAddr::is_ipv6) || !addresses.iter().any(SocketAddr::is_ipv4) {
        return;
    }
    let good = Relay::to(base.cluster.port()).await;
    // It listens, and never answers.
    let _silent = TcpListener::bind(("::1", good.port())).await.unwrap();
    first_request_is_quick(&format!("postgresql://tasks@localhost:{}/{}", good.port(), base.name)).await;
}

async fn first_request_is_quick(url: &str) {
    let server = Server::on(url).await;
    let (asked, tally) = (Instant::now(), Tally::default());
    server.user("alice", &tally).create("x").await;
    tally.assert_well();
    assert!(asked.elapsed() < seconds(2), "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_utf8_is_refused_with_the_reason() {
    let Some(cluster) = Base::shared() else { return };
    let base = Base::empty(cluster, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").await;
    let url = base.url();
    for arguments in [["migrate", "up"].as_slice(), &[]] {
        let variables = [("DATABASE_URL", url.as_str()), ("LISTEN", "127.0.0.1:0"), ("MIGRATE_ON_START", "true")];
        let (is_well, said) = run(arguments, &variables);
        assert!(!is_well, "{arguments:?}: {said}");
        assert!(said.contains("UTF8"), "{arguments:?}: {said}");
    }
}
