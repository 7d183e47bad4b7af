//! Where an address leads and as whom, by its parts, its parameters and libpq's variables.

use std::os::unix::fs::symlink;

use crate::cluster::free_port;
use crate::parts::{PASSWORD, Strict, migrated, strict};
use crate::program::Program;

/// Connects by both ways under the name of this application, and the database saw who came.
#[track_caller]
fn arrives(strict: &Strict, program: &Program, name: &str) {
    program.connects();
    let texts = ["user=hashed", "database=tasks", &format!("application_name={name}")];
    strict.logs(&texts);
    // The session that asks, the two that migrate and the driver's.
    assert!(strict.logged(&texts) >= 4, "{name}: {}", strict.logged(&texts));
}

#[test]
fn variables_complete_an_address_that_says_nothing() {
    let Some(strict) = strict() else { return };
    let port = strict.port().to_string();
    let variables = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", port.as_str()),
        ("PGUSER", "hashed"),
        ("PGPASSWORD", PASSWORD),
        ("PGDATABASE", "tasks"),
        ("PGAPPNAME", "by_variables"),
    ];
    let program = Program::at("postgresql://").with_all(&variables);
    arrives(strict, &program, "by_variables");
    let program = program.with("PGAPPNAME", "by_address").with("PGHOSTADDR", "127.0.0.1");
    arrives(strict, &program.clone().with("PGHOST", "db.example.test"), "by_address");
    arrives(strict, &program.with("PGHOST", strict.socket()).with("PGAPPNAME", "by_folder"), "by_folder");
}

#[test]
fn an_address_comes_before_the_variables() {
    let Some(strict) = strict() else { return };
    let url = strict.url_with("hashed", "application_name=own");
    let others = [
        ("PGHOST", "192.0.2.1"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGPASSWORD", "wrong"),
        ("PGDATABASE", "nothing"),
        ("PGAPPNAME", "another"),
    ];
    arrives(strict, &Program::at(&url).with_all(&others), "own");
}

#[test]
fn parameters_name_all_that_stands_before_them() {
    let Some(strict) = strict() else { return };
    let port = strict.port();
    let who = format!("user=hashed&password={PASSWORD}&dbname=tasks&port={port}");
    for (name, place) in [
        ("by_host", "host=127.0.0.1".to_owned()),
        ("by_hostaddr", "hostaddr=127.0.0.1".to_owned()),
        ("by_both", "host=db.example.test&hostaddr=127.0.0.1".to_owned()),
        ("by_socket", format!("host={}", strict.socket())),
    ] {
        arrives(strict, &Program::at(&format!("postgres://?{place}&{who}&application_name={name}")), name);
    }
    // They replace what stands before them.
    let url = format!("postgresql://nobody:wrong@192.0.2.1:1/nothing?host=127.0.0.1&{who}&application_name=replaced");
    arrives(strict, &Program::at(&url), "replaced");
}

#[test]
fn a_socket_is_named_by_its_folder() {
    let Some(strict) = strict() else { return };
    let (folder, port) = (strict.socket(), strict.port());
    let encoded = folder.replace('/', "%2F");
    let url = format!("postgresql://hashed:{PASSWORD}@{encoded}:{port}/tasks?application_name=encoded");
    arrives(strict, &Program::at(&url), "encoded");
    // TLS is not for sockets, and no reason to fail.
    let url = format!("postgresql:///tasks?host={folder}&port={port}&user=hashed&password={PASSWORD}");
    arrives(strict, &Program::at(&format!("{url}&sslmode=verify-full&application_name=folder")), "folder");
}

#[test]
fn cloud_sqls_folder_with_colons_is_a_socket() {
    let Some(strict) = strict() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("proj:region:inst");
    std::fs::create_dir(&folder).unwrap();
    let socket = format!("{}/.s.PGSQL.{}", strict.socket(), strict.port());
    symlink(socket, folder.join(".s.PGSQL.5432")).unwrap();
    let url = format!("postgresql://hashed:{PASSWORD}@/tasks?host={}", folder.display());
    arrives(strict, &Program::at(&format!("{url}&application_name=cloud")), "cloud");
}

#[test]
fn of_several_hosts_the_one_that_answers_is_taken() {
    let Some(strict) = strict() else { return };
    let (folder, port, closed) = (strict.socket().replace('/', "%2F"), strict.port(), free_port());
    for (name, hosts) in [
        ("second", format!("127.0.0.1:{closed},127.0.0.1:{port}")),
        ("first", format!("127.0.0.1:{port},127.0.0.1:{closed}")),
        ("socket", format!("127.0.0.1:{closed},{folder}:{port}")),
    ] {
        let url = format!("postgresql://hashed:{PASSWORD}@{hosts}/tasks?application_name={name}");
        arrives(strict, &Program::at(&url), name);
    }
}

/// By a setting that a purge and a migration cannot do their work under.
#[test]
fn options_of_the_session_have_their_effect() {
    let Some(url) = migrated() else { return };
    let is_refused = |program: &Program| program.run(&["purge"]).refused("read-only transaction");
    let effective = [
        "options=-c%20default_transaction_read_only%3Don",
        "options=-c+default_transaction_read_only=on",
        "options[default_transaction_read_only]=on",
        "options%5Bdefault_transaction_read_only%5D=on",
        "options[DateStyle]=ISO,%20DMY&options[default_transaction_read_only]=on&options=-c%20geqo%3Doff",
    ];
    for query in effective {
        let program = Program::at(&format!("{url}?{query}"));
        is_refused(&program);
        program.run(&["migrate", "down"]).refused("read-only transaction");
        program.connects();
    }
    let variable = Program::at(&url).with("PGOPTIONS", "-c default_transaction_read_only=on");
    is_refused(&variable);
    // The address's own come last.
    let both = Program::at(&format!("{url}?options[default_transaction_read_only]=off"));
    both.with("PGOPTIONS", "-c default_transaction_read_only=on").run(&["purge"]).well();
    Program::at(&url).run(&["purge"]).well();
}

#[test]
fn parameters_without_an_effect_are_told_by_name_unless_they_are_harmless() {
    let Some(url) = migrated() else { return };
    let said = Program::at(&format!("{url}?statement-cache-capacity=0&channel_binding=require")).connects();
    assert!(!said.contains("WARN") && !said.contains("statement-cache-capacity"), "{said}");
    let said = Program::at(&format!("{url}?pgbouncer=hunter2&target_session_attrs=hunter2")).connects();
    assert!(said.contains("WARN") && said.contains("pgbouncer") && said.contains("target_session_attrs"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn an_encoding_that_cannot_hold_every_title_is_refused_with_the_reason() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let options = format!("ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        let Some(url) = crate::parts::empty(&options) else { return };
        let reason = format!("the database's encoding is {encoding}");
        let program = Program::at(&url).with_all(&[("LISTEN", "127.0.0.1:0"), ("MIGRATE_ON_START", "true")]);
        assert!(program.fails(&reason).contains("ENCODING 'UTF8'"));
        program.run(&[]).refused(&reason);
        program.with("MIGRATE_ON_START", "false").run(&[]).refused(&reason);
    }
}
