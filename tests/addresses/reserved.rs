//! Passwords with characters that mean something in an address, written as they are.

use crate::parts::strict;
use crate::program::{Program, Said};

/// They stand in the middle of a password, at its beginning and at its end.
const RESERVED: [&str; 10] = ["?", "#", "/", "@", ":", "%", "&", "=", "[", "\\"];
const MORE: [&str; 2] = [" ", "?@/:#"];

/// What may be seen of no password.
const PARTS: [&str; 2] = ["hunter", "walrus"];

/// The roles of these passwords, which are there from now on: name and password.
fn roles() -> Vec<(String, String)> {
    let texts = RESERVED.into_iter().chain(MORE);
    let passwords = texts.map(|text| format!("{text}hunter{text}walrus{text}"));
    let named = passwords.enumerate().map(|(count, password)| (format!("reserved_{count}"), password));
    named.collect()
}

fn create(roles: &[(String, String)]) {
    let strict = strict().unwrap();
    let create = |(name, password): &(String, String)| {
        format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN PASSWORD '{password}';")
    };
    let create: String = roles.iter().map(create).collect();
    strict.admin("postgres", &format!("SET password_encryption = 'md5'; {create}"));
}

/// Connects, as it was meant, or stops naming the setting; the password is not seen. Whether it connects.
fn is_careful(said: &Said, setting: &str) -> bool {
    let text = &said.text;
    assert!(PARTS.iter().all(|part| !text.contains(part)), "{text}");
    assert!(said.is_well() || text.contains(&format!("{setting} is no valid database address")), "{text}");
    said.is_well()
}

#[test]
fn a_password_that_nobody_encoded_connects_or_the_setting_is_named_and_no_part_of_it_is_seen() {
    let Some(strict) = strict() else { return };
    let roles = roles();
    create(&roles);
    let mut connected = 0;
    for (role, password) in &roles {
        let place = format!("127.0.0.1:{}", strict.port());
        for url in [
            format!("postgresql://{role}:{password}@{place}/tasks"),
            format!("postgresql://{place}/tasks?user={role}&password={password}&connect_timeout=9"),
        ] {
            let program = Program::at(&url).with("RUST_LOG", "trace");
            connected += usize::from(is_careful(&program.asks(), "DATABASE_URL"));
            let direct = Program::at(&strict.url("tasks")).with("DATABASE_URL_UNPOOLED", &url);
            connected += usize::from(is_careful(&direct.with("RUST_LOG", "trace").migrates(), "DATABASE_URL_UNPOOLED"));
        }
    }
    // At least those with an `@`, `:`, `%`, `&`, `=`, `[`, `\` or a space before the host, and most behind it.
    assert!(connected >= 28, "{connected}");
}

#[test]
fn a_server_that_is_started_by_such_an_address_stops_and_shows_nothing() {
    let Some(strict) = strict() else { return };
    for password in ["hunter?walrus", "hunter/walrus", "?hunter@walrus", "/hunter?walrus#"] {
        let url = strict.url(&format!("scram:{password}"));
        let said = Program::at(&url).with_all(&[("RUST_LOG", "trace"), ("LISTEN", "127.0.0.1:0")]).run(&[]);
        assert!(!is_careful(&said, "DATABASE_URL"));
    }
}
