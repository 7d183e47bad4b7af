//! TLS: what each `sslmode` asks for, authorities, and certificates of the client. On loopback `sslmode` decides.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::parts::{PASSWORD, Strict, authority, issue, migrated, strict};
use crate::program::Program;

/// Text as it stands behind a question mark.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The program as the role that is only let in by TLS.
fn protected(strict: &Strict, query: &str) -> Program {
    Program::at(&strict.url_with("protected", query))
}

/// The database by a name that the test makes up.
fn named(strict: &Strict, name: &str, query: &str) -> Program {
    protected(strict, &format!("host={name}&hostaddr=127.0.0.1&{query}"))
}

#[test]
fn each_mode_protects_a_connection_as_it_says() {
    let Some(strict) = strict() else { return };
    let plain = |mode: &str| Program::at(&strict.url_with("unprotected", mode));
    let no_entry = "pg_hba.conf rejects connection";
    for mode in ["disable", "allow"] {
        plain(&format!("sslmode={mode}")).connects();
        protected(strict, &format!("sslmode={mode}")).fails(no_entry);
    }
    for mode in ["prefer", "require"] {
        protected(strict, &format!("sslmode={mode}")).connects();
        plain(&format!("sslmode={mode}")).fails(no_entry);
    }
    // Where nobody says anything, TLS is preferred.
    protected(strict, "application_name=by_tls").connects();
    strict.logs(&["user=protected", "application_name=by_tls", "SSL enabled (protocol=TLSv1.3"]);
    protected(strict, "ssl-mode=disable").with("PGSSLMODE", "require").fails(no_entry);
    protected(strict, "").with("PGSSLMODE", "disable").fails(no_entry);
    plain("").with("PGSSLMODE", "disable").connects();
}

#[test]
fn a_server_without_tls_is_for_modes_that_do_not_insist() {
    let Some(url) = migrated() else { return };
    for mode in ["disable", "prefer"] {
        Program::at(&format!("{url}?sslmode={mode}")).connects();
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        Program::at(&format!("{url}?sslmode={mode}")).fails("does not support TLS");
    }
}

#[test]
fn a_named_authority_is_a_file_or_its_text() {
    let Some(strict) = strict() else { return };
    let (file, text) = (strict.file("root.pem"), strict.text("root.pem"));
    for mode in ["verify-ca", "verify-full"] {
        for root in [shown(&file).to_owned(), encoded(&text)] {
            protected(strict, &format!("sslmode={mode}&sslrootcert={root}")).connects();
        }
    }
    for root in [shown(&file), &text] {
        protected(strict, "").with_all(&[("PGSSLROOTCERT", root), ("PGSSLMODE", "verify-full")]).connects();
    }
}

#[test]
fn the_name_is_verified_where_the_mode_says_so() {
    let Some(strict) = strict() else { return };
    let file = strict.file("root.pem");
    let query = |mode: &str| format!("sslmode={mode}&sslrootcert={}", shown(&file));
    named(strict, "db.example.test", &query("verify-full")).asks().well();
    named(strict, "other.example.test", &query("verify-ca")).connects();
    named(strict, "other.example.test", &query("require")).connects();
    let said = named(strict, "other.example.test", &query("verify-full")).fails("is for another name than the host");
    assert!(!said.contains("example.test"), "{said}");
    // The migrations' driver looks the name up itself.
    let unknown = named(strict, "db.example.test", &query("verify-full")).migrates();
    unknown.refused("the migrations' driver looks up the name of the host");
    let local = strict.url_with("protected", &query("verify-full")).replace("@127.0.0.1", "@localhost");
    Program::at(&local).connects();
}

#[test]
fn an_unknown_authority_is_told_with_the_parameter_that_names_it() {
    let Some(strict) = strict() else { return };
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    std::fs::write(&other, authority("another authority").pem()).unwrap();
    for mode in ["verify-ca", "verify-full"] {
        for query in [format!("sslmode={mode}"), format!("sslmode={mode}&sslrootcert={}", shown(&other))] {
            protected(strict, &query).fails("sslrootcert in the address names");
        }
    }
    let missing = format!("sslmode=verify-full&sslrootcert={}", shown(&folder.path().join("nothing.pem")));
    let said = protected(strict, &missing).fails("the file that sslrootcert names");
    assert!(said.contains("DATABASE_URL") && !said.contains("nothing.pem"), "{said}");
}

#[test]
fn the_systems_authorities_are_those_of_ssl_cert_file() {
    let Some(strict) = strict() else { return };
    let file = strict.file("root.pem");
    let system = |query| protected(strict, query).with("SSL_CERT_FILE", shown(&file));
    for query in ["sslrootcert=system", "sslrootcert=system&sslmode=verify-full", "sslmode=verify-full"] {
        system(query).connects();
    }
    system("").with("PGSSLROOTCERT", "system").connects();
    protected(strict, "sslrootcert=system").fails("sslrootcert in the address names");
    system("sslrootcert=system&sslmode=require").fails("sslrootcert=system needs sslmode=verify-full");
}

#[test]
fn a_certificate_of_the_system_that_cannot_be_used_is_passed_over() {
    let Some(strict) = strict() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("system.pem");
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&file, odd.to_owned() + &strict.text("root.pem")).unwrap();
    protected(strict, "sslrootcert=system").with("SSL_CERT_FILE", shown(&file)).connects();
}

#[test]
fn a_clients_certificate_lets_it_in() {
    let Some(strict) = strict() else { return };
    let url = strict.url("card");
    let (files, texts) = (["card.pem", "card.key"].map(|name| strict.file(name)), ["card.pem", "card.key"]);
    let files = files.each_ref().map(|file| shown(file).to_owned());
    let texts = texts.map(|name| strict.text(name));
    for [certificate, key] in [files.clone(), texts.each_ref().map(|text| encoded(text))] {
        Program::at(&format!("{url}?sslmode=require&sslcert={certificate}&sslkey={key}")).connects();
    }
    for [certificate, key] in [&files, &texts] {
        let variables = [("PGSSLMODE", "require"), ("PGSSLCERT", certificate), ("PGSSLKEY", key)];
        Program::at(&url).with_all(&variables).connects();
    }
    // Beside an authority, whose modes take other ways through the driver.
    let (root, [certificate, key]) = (strict.file("root.pem"), &files);
    for mode in ["verify-ca", "verify-full"] {
        let query = format!("sslmode={mode}&sslrootcert={}&sslcert={certificate}&sslkey={key}", shown(&root));
        Program::at(&format!("{url}?{query}")).connects();
    }
    strict.logs(&["identity=\"CN=card\"", "method=cert"]);
}

#[test]
fn a_clients_certificate_may_be_asked_for_beside_a_password() {
    let Some(strict) = strict() else { return };
    let [certificate, key] = ["card.pem", "card.key"].map(|name| strict.file(name));
    let both = format!("sslmode=require&sslcert={}&sslkey={}", shown(&certificate), shown(&key));
    Program::at(&strict.url_with("card_and_password", &both)).connects();
    Program::at(&format!("{}?{both}", strict.url("card_and_password"))).fails("there is none");
}

#[test]
fn a_clients_certificate_that_is_missing_is_told() {
    let Some(strict) = strict() else { return };
    let certificate = strict.file("card.pem");
    for role in ["card", "card_and_password"] {
        Program::at(&strict.url_with(role, "sslmode=require")).fails("valid client certificate");
    }
    let half = format!("sslmode=require&sslcert={}", shown(&certificate));
    Program::at(&strict.url_with("card", &half)).fails("belong together: sslkey is missing");
}

#[test]
fn variables_that_are_empty_are_none() {
    let Some(strict) = strict() else { return };
    let empty =
        ["PGSSLROOTCERT", "PGSSLMODE", "PGPASSWORD", "PGDATABASE", "PGHOST", "PGHOSTADDR", "PGPORT", "PGOPTIONS"];
    protected(strict, "sslmode=require").with_all(&empty.map(|name| (name, ""))).connects();
}

/// SCRAM binds to the certificate that the client saw (RFC 5802, `tls-server-end-point`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stands_between_with_another_certificate_is_found_out_by_scram() {
    let Some(strict) = strict() else { return };
    // Any certificate would do for this mode.
    Program::at(&strict.url_with("scram", "sslmode=require&channel_binding=require")).connects();
    let between = stand_between(strict).await;
    let url = strict.url_with("scram", "sslmode=require").replace(&strict.port().to_string(), &between.to_string());
    Program::at(&url).fails("channel binding");
    // One who gets the password itself would find it right: the way there works.
    let url = url.replace("scram", "plain");
    Program::at(&url).asks().well();
    assert!(!Program::at(&url.replace(PASSWORD, "wrong")).asks().is_well());
}

/// A port where somebody with a certificate of his own listens, and hands on what comes.
async fn stand_between(strict: &Strict) -> u16 {
    let port = strict.port();
    let mut roots = RootCertStore::empty();
    roots.add(strict.authority.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let (certificate, key) = issue(&authority("his own"), "db", &["127.0.0.1"]);
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                // The request for TLS, which both sides begin with.
                let mut request = [0; 8];
                client.read_exact(&mut request).await?;
                let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                server.write_all(&request).await?;
                client.write_u8(server.read_u8().await?).await?;
                let mut client = acceptor.accept(client).await?;
                let mut server = connector.connect("127.0.0.1".try_into().unwrap(), server).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    own
}
