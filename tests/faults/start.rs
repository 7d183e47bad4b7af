//! What a server finds at its start: silent addresses, and databases that it cannot use.

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use tokio::net::TcpListener;

use crate::length::{millis, seconds};
use crate::load::Tally;
use crate::parts::{Base, turn};
use crate::relay::Relay;
use crate::server::{Server, UNDER, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_host_is_reached_when_the_first_is_silent() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let (silent, good) = (Relay::to(base.cluster.port()).await, Relay::to(base.cluster.port()).await);
    silent.hold();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", silent.port(), good.port());
    let url = format!("postgresql://tasks@{hosts}/{}", base.name);
    first_request_is_quick(&[("DATABASE_URL", &url)]).await;
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
    while let Ok(Ok(queued)) = tokio::time::timeout(millis(200), tokio::net::TcpStream::connect(address)).await {
        queue.push(queued);
        assert!(queue.len() < 10_000, "the queue is never full");
    }
    let hosts = format!("{address},127.0.0.1:{}", base.cluster.port());
    let url = format!("postgresql://tasks@{hosts}/{}", base.name);
    first_request_is_quick(&[("DATABASE_URL", &url)]).await;
}

/// A name of our own, whose first address is also the one that the system's rules put first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_address_of_a_name_is_reached_when_the_first_is_silent() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let good = Relay::at("127.0.0.2", base.cluster.port()).await;
    // It listens, and never answers.
    let _silent = TcpListener::bind(("127.0.0.1", good.port())).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (hosts, order) = (folder.path().join("hosts"), folder.path().join("host.conf"));
    std::fs::write(&hosts, "127.0.0.1 database.test\n127.0.0.2 database.test\n").unwrap();
    std::fs::write(&order, "multi on\n").unwrap();
    // Only root may lay a file over the system's, and only where it has not lost that right.
    let under =
        format!("mount --bind {} /etc/hosts && mount --bind {} /etc/host.conf", hosts.display(), order.display());
    let may = Command::new("unshare").args(["--mount", "sh", "-c", &under]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        let _ = writeln!(std::io::stderr(), "no name can be made up here: its test is left out");
        return;
    }
    let under = format!(r#"exec unshare --mount sh -c '{under} && exec "$0" "$@"' "$0" "$@""#);
    let url = format!("postgresql://tasks@database.test:{}/{}?sslmode=disable", good.port(), base.name);
    first_request_is_quick(&[("DATABASE_URL", &url), ("DATABASE_TLS", "off"), (UNDER, &under)]).await;
}

async fn first_request_is_quick(variables: &[(&str, &str)]) {
    let server = Server::with(variables).await;
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
