//! Passwords: how the database asks for them, and where they come from.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::load::Tally;
use crate::parts::{PASSWORD, strict};
use crate::program::Program;
use crate::server::Server;

#[test]
fn each_way_to_ask_for_a_password_is_answered() {
    let Some(strict) = strict() else { return };
    for (role, method) in [("scram", "scram-sha-256"), ("hashed", "md5"), ("plain", "password")] {
        Program::at(&strict.url(&format!("{role}:{PASSWORD}"))).connects();
        strict.logs(&[&format!("identity=\"{role}\""), &format!("method={method}")]);
    }
}

#[test]
fn a_password_comes_from_the_address_or_a_variable() {
    let Some(strict) = strict() else { return };
    Program::at(&format!("{}?password={PASSWORD}", strict.url("scram"))).connects();
    Program::at(&strict.url("scram")).with("PGPASSWORD", PASSWORD).connects();
    // What the address says comes first.
    Program::at(&strict.url(&format!("scram:{PASSWORD}"))).with("PGPASSWORD", "another").connects();
}

/// A file in this folder that has the role's password.
fn password_file(folder: &Path, name: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("# who: what\nelsewhere:*:*:*:no\n127.0.0.1:*:tasks:scram:{PASSWORD}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_password_comes_from_a_password_file() {
    let Some(strict) = strict() else { return };
    let folder = tempfile::tempdir().unwrap();
    let named = password_file(folder.path(), "passwords", 0o600);
    let said = Program::at(&strict.url("scram")).with("PGPASSFILE", named.to_str().unwrap()).connects();
    assert!(!said.contains(PASSWORD), "{said}");

    password_file(folder.path(), ".pgpass", 0o600);
    Program::at(&strict.url("scram")).with("HOME", folder.path().to_str().unwrap()).connects();
}

#[test]
fn a_password_file_that_others_can_read_is_left_alone_and_told() {
    let Some(strict) = strict() else { return };
    let folder = tempfile::tempdir().unwrap();
    let named = password_file(folder.path(), "passwords", 0o644);
    password_file(folder.path(), ".pgpass", 0o640);
    let program = Program::at(&strict.url("scram"));
    let missing = "the database wants a password, and there is none";
    let said = program.clone().with("PGPASSFILE", named.to_str().unwrap()).fails(missing);
    assert!(said.contains("PGPASSFILE") && said.contains("0600") && !said.contains(PASSWORD), "{said}");
    let said = program.with("HOME", folder.path().to_str().unwrap()).fails(missing);
    assert!(said.contains("~/.pgpass") && said.contains("0600") && !said.contains(PASSWORD), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_503_and_the_log_says_so_without_showing_it() {
    let Some(strict) = strict() else { return };
    for role in ["scram", "hashed", "plain"] {
        let url = strict.url(&format!("{role}:hunter2"));
        let program = Program::at(&url).with("RUST_LOG", "trace");
        let server = Server::with(&program.variables()).await;
        let reply = server.user("alice", &Tally::default()).list("").await;
        assert_eq!((reply.status, server.probe("/readyz").await), (503, 503), "{role}");
        let log = server.logged("password authentication failed for user").await;
        assert!(log.contains("password authentication failed for user"), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
        let said = program.fails("password authentication failed for user");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
