//! TLS to PostgreSQL: what a client accepts and shows, made of an address's `sslmode` and certificates.

use std::io;
use std::sync::Arc;

use ::aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tracing::warn;

use crate::storage::address::{Certificates, Host, Pem, Root, SslMode};
use crate::storage::settings::TlsError;

/// What to accept and to show in this mode. Reads files, so it is made once and shared.
///
/// # Errors
/// When certificates are missing or do not fit.
pub(crate) fn client_config(mode: SslMode, certificates: &Certificates) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = match mode {
        // Whatever `sslrootcert` says: so it was with sqlx. libpq would verify the chain.
        SslMode::Disable | SslMode::Prefer | SslMode::Require => None,
        SslMode::VerifyCa | SslMode::VerifyFull => {
            let roots = Arc::new(roots(certificates.root.as_ref())?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            Some(verifier.build().map_err(|_| TlsError::Content("sslrootcert", "certificate"))?)
        }
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { provider, chain, by_name: mode == SslMode::VerifyFull }));
    Ok(Arc::new(match (&certificates.certificate, &certificates.key) {
        (None, None) => builder.with_no_client_auth(),
        (None, Some(_)) => return Err(TlsError::Pair("sslcert")),
        (Some(_), None) => return Err(TlsError::Pair("sslkey")),
        (Some(certificate), Some(key)) => {
            let chain = pem_certificates("sslcert", certificate)?;
            let key = PrivateKeyDer::from_pem_slice(&read("sslkey", key)?)
                .map_err(|_| TlsError::Content("sslkey", "unencrypted key"))?;
            builder.with_client_auth_cert(chain, key).map_err(|_| TlsError::Key)?
        }
    }))
}

/// The name that the server's certificate must be for.
///
/// # Errors
/// For a socket, and for a name that is none.
pub(crate) fn server_name(host: &Host) -> Result<ServerName<'static>, TlsError> {
    match host {
        Host::Socket(_) => Err(TlsError::Name),
        Host::Tcp { name, .. } => ServerName::try_from(name.clone()).map_err(|_| TlsError::Name),
    }
}

/// What went wrong when TLS was begun, for the log. Holds no address and no text of the other side.
pub(crate) fn explain(error: &io::Error) -> String {
    use AlertDescription as Alert;
    use CertificateError as Bad;
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return format!("the connection ended while TLS was begun: {}", error.kind());
    };
    let text = match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "the server's certificate is not signed by an authority that is known here; when the provider has an \
             authority of its own, sslrootcert in the address names the file of its certificate"
        }
        rustls::Error::InvalidCertificate(Bad::BadSignature) => {
            "a signature of the server is wrong: sslrootcert in the address may name an older authority of the same \
             name, or the server does not have the key of its certificate"
        }
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "the server's certificate is for another name than the host in the address"
        }
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "the server's certificate has expired, or the clock of this machine is wrong"
        }
        rustls::Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet, or the clock of this machine is wrong"
        }
        rustls::Error::InvalidCertificate(Bad::Other(cause)) if cause.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows the certificate of an authority as its own; it needs one that is not marked CA:TRUE, \
             signed by the authority that sslrootcert in the address names"
        }
        rustls::Error::InvalidCertificate(Bad::Other(cause))
            if cause.to_string().contains("UnsupportedCertVersion") =>
        {
            "the server's certificate is of version 1, which has no place for the server's names; it needs version 3"
        }
        rustls::Error::AlertReceived(Alert::CertificateRequired | Alert::NoCertificate) => {
            "the server wants a certificate of the client: sslcert and sslkey in the address name it"
        }
        rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError,
        ) => "the server refuses the client's certificate, which sslcert and sslkey in the address name",
        rustls::Error::AlertReceived(Alert::HandshakeFailure) => {
            "the server refuses TLS: it wants a certificate of the client (sslcert and sslkey in the address name it), \
             or there is no cipher that both know"
        }
        rustls::Error::AlertReceived(Alert::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
            "the server knows neither TLS 1.2 nor TLS 1.3, or no cipher that is safe"
        }
        rustls::Error::AlertReceived(alert) => return format!("the server refuses TLS: {alert:?}"),
        rustls::Error::InvalidCertificate(Bad::BadEncoding) => "the server's certificate cannot be read",
        rustls::Error::InvalidCertificate(_) => "the server's certificate cannot be verified",
        rustls::Error::InvalidMessage(_) => "the server answers with something that is not TLS",
        _ => "the TLS handshake failed",
    };
    text.to_owned()
}

/// What SCRAM binds to a connection by `tls-server-end-point` (RFC 5929): the hash of the server's certificate, by the
/// algorithm of its signature. `None` for algorithms that name no hash, as Ed25519 and RSA-PSS.
pub(crate) fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm OBJECT IDENTIFIER, … }, … }
    let (whole, _) = der_value(certificate)?;
    let (_, behind_content) = der_value(whole)?;
    let (algorithm, _) = der_value(behind_content)?;
    let hash = match der_value(algorithm)?.0 {
        // RSA with MD5, SHA-1 and SHA-256; ECDSA with SHA-1 and SHA-256.
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04"
        | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
        | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
        | b"\x2a\x86\x48\xce\x3d\x04\x01"
        | b"\x2a\x86\x48\xce\x3d\x04\x03\x02" => &SHA256,
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c" | b"\x2a\x86\x48\xce\x3d\x04\x03\x03" => &SHA384,
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d" | b"\x2a\x86\x48\xce\x3d\x04\x03\x04" => &SHA512,
        _ => return None,
    };
    Some(digest(hash, certificate).as_ref().to_vec())
}

/// The content of the first value in this DER, and what follows it.
fn der_value(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_, length], rest) = der.split_first_chunk()?;
    if length < 0x80 {
        return rest.split_at_checked(length.into());
    }
    let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
    rest.split_at_checked(
        length.iter().try_fold(0_usize, |sum, &byte| Some(sum.checked_mul(256)? + usize::from(byte)))?,
    )
}

/// The authorities to trust: the named ones only, or else the system's and the web's.
fn roots(root: Option<&Root>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(Root::Pem(pem)) = root {
        for certificate in pem_certificates("sslrootcert", pem)? {
            roots.add(certificate).map_err(|_| TlsError::Content("sslrootcert", "certificate"))?;
        }
        return Ok(roots);
    }
    let system = rustls_native_certs::load_native_certs();
    if let Some(error) = system.errors.first() {
        warn!(cause = error.context, errors = system.errors.len(), "some of the system's certificates are left out");
    }
    // A system's store may hold certificates that are of no use here.
    roots.add_parsable_certificates(system.certs);
    if root.is_none() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(roots) }
}

fn pem_certificates(parameter: &'static str, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(&read(parameter, pem)?).collect::<Result<Vec<_>, _>>();
    certificates.ok().filter(|list| !list.is_empty()).ok_or(TlsError::Content(parameter, "certificate"))
}

fn read(parameter: &'static str, pem: &Pem) -> Result<Vec<u8>, TlsError> {
    match pem {
        Pem::Inline(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => std::fs::read(path).map_err(|error| TlsError::File(parameter, error.kind())),
    }
}

/// Verifies what the mode asks for. In every mode the server must hold the key of the certificate that it shows.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Verifies certificates; without it, any is accepted.
    chain: Option<Arc<WebPkiServerVerifier>>,
    by_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is compared last, with all else in order.
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if !self.by_name =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, date_time_ymd};
    use rustls::ServerConfig;
    use rustls::server::WebPkiClientVerifier;
    use rustls::version::{TLS12, TLS13};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    type Ca = CertifiedIssuer<'static, KeyPair>;

    fn ca() -> Ca {
        named_ca("an authority")
    }

    fn named_ca(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A certificate and its key.
    fn issue(ca: &Ca, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, ca).unwrap(), key)
    }

    fn server(ca: &Ca, names: &[&str]) -> ServerConfig {
        serving(issue(ca, names, |_| ()))
    }

    fn serving((certificate, key): (rcgen::Certificate, KeyPair)) -> ServerConfig {
        of_version(&[&TLS13, &TLS12], None, (certificate, key))
    }

    fn of_version(
        versions: &[&'static rustls::SupportedProtocolVersion],
        clients_of: Option<&Ca>,
        (certificate, key): (rcgen::Certificate, KeyPair),
    ) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
        let builder = match clients_of {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add(ca.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }

    fn inline(text: String) -> Pem {
        let pem = Pem::from(text);
        assert!(matches!(pem, Pem::Inline(_)));
        pem
    }

    fn trusting(ca: &Ca) -> Certificates {
        Certificates { root: Some(Root::Pem(inline(ca.pem()))), ..Certificates::default() }
    }

    fn host(name: &str) -> Host {
        Host::Tcp { name: name.to_owned(), address: Some([192, 0, 2, 1].into()), port: 5432 }
    }

    /// Shakes hands with the server and exchanges a byte, or gives the text for the log.
    async fn shake(server: ServerConfig, mode: SslMode, certificates: &Certificates, name: &str) -> Result<(), String> {
        let config = client_config(mode, certificates).map_err(|error| error.to_string())?;
        let name = server_name(&host(name)).map_err(|error| error.to_string())?;
        let (near, far) = tokio::io::duplex(1 << 16);
        let serve = async {
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(far).await?;
            let byte = stream.read_u8().await?;
            stream.write_u8(byte).await?;
            stream.shutdown().await
        };
        let connect = async {
            let mut stream = TlsConnector::from(config).connect(name, near).await?;
            stream.write_u8(7).await?;
            assert_eq!(stream.read_u8().await?, 7);
            let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
            assert_eq!(end_point(&shown).unwrap(), digest(&SHA256, &shown).as_ref());
            Ok(())
        };
        let (_, connected) = tokio::join!(serve, connect);
        connected.map_err(|error: io::Error| explain(&error))
    }

    const ALL: [SslMode; 4] = [SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];

    #[tokio::test]
    async fn a_certificate_of_a_named_authority_for_the_host_is_accepted() {
        let ca = ca();
        for mode in ALL {
            for name in ["db.example.com", "192.0.2.7", "::1"] {
                let server = server(&ca, &["db.example.com", "192.0.2.7", "::1"]);
                assert_eq!(shake(server, mode, &trusting(&ca), name).await, Ok(()), "{mode:?} {name}");
            }
        }
    }

    #[tokio::test]
    async fn an_unknown_authority_is_refused_where_the_chain_is_verified() {
        let (ca, other) = (ca(), named_ca("another"));
        for mode in ALL {
            for certificates in [Certificates::default(), trusting(&other)] {
                let result = shake(server(&ca, &["db.example.com"]), mode, &certificates, "db.example.com").await;
                if matches!(mode, SslMode::Prefer | SslMode::Require) {
                    assert_eq!(result, Ok(()), "{mode:?}");
                } else {
                    let text = result.unwrap_err();
                    assert!(text.contains("not signed by an authority") && text.contains("sslrootcert"), "{text}");
                }
            }
        }
    }

    #[tokio::test]
    async fn an_older_authority_of_the_same_name_is_told() {
        let text = shake(server(&ca(), &["h"]), SslMode::VerifyCa, &trusting(&ca()), "h").await.unwrap_err();
        assert!(text.contains("an older authority of the same name"), "{text}");
    }

    #[tokio::test]
    async fn another_name_is_refused_where_it_is_verified() {
        let ca = ca();
        for mode in ALL {
            let result = shake(server(&ca, &["other.example.com"]), mode, &trusting(&ca), "db.example.com").await;
            if mode == SslMode::VerifyFull {
                let text = result.unwrap_err();
                assert!(text.contains("another name") && !text.contains("example.com"), "{text}");
            } else {
                assert_eq!(result, Ok(()), "{mode:?}");
            }
        }
    }

    #[tokio::test]
    async fn other_faults_of_a_certificate_are_told_apart() {
        let ca = ca();
        let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
        let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(3000, 1, 1);
        let authority = |params: &mut CertificateParams| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        };
        for (issued, expected) in [
            (issue(&ca, &["h"], expired), "has expired"),
            (issue(&ca, &["h"], early), "not valid yet"),
            (issue(&ca, &["h"], authority), "CA:TRUE"),
        ] {
            let text = shake(serving(issued), SslMode::VerifyCa, &trusting(&ca), "h").await.unwrap_err();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[tokio::test]
    async fn a_server_without_the_certificates_key_is_refused_in_every_mode() {
        let ca = ca();
        let provider = aws_lc_rs::default_provider();
        for mode in ALL {
            let (certificate, _) = issue(&ca, &["h"], |_| ());
            let other = PrivateKeyDer::Pkcs8(KeyPair::generate().unwrap().serialize_der().into());
            let key = provider.key_provider.load_private_key(other).unwrap();
            let shown = rustls::sign::CertifiedKey::new(vec![certificate.der().clone()], key);
            let config = ServerConfig::builder_with_provider(Arc::new(provider.clone()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
            let text = shake(config, mode, &trusting(&ca), "h").await.unwrap_err();
            assert!(text.contains("does not have the key"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_client_shows_its_certificate() {
        let (ca, other) = (ca(), ca());
        for version in [&TLS12, &TLS13] {
            let wanting = || of_version(&[version], Some(&ca), issue(&ca, &["h"], |_| ()));
            let showing = |by: &Ca| {
                let (certificate, key) = issue(by, &["client"], |_| ());
                let (certificate, key) = (Some(inline(certificate.pem())), Some(inline(key.serialize_pem())));
                Certificates { certificate, key, ..trusting(&ca) }
            };
            for mode in ALL {
                assert_eq!(shake(wanting(), mode, &showing(&ca), "h").await, Ok(()), "{mode:?}");
            }
            let text = shake(wanting(), SslMode::VerifyFull, &trusting(&ca), "h").await.unwrap_err();
            assert!(text.contains("wants a certificate of the client") && text.contains("sslcert"), "{text}");
            let text = shake(wanting(), SslMode::VerifyFull, &showing(&other), "h").await.unwrap_err();
            assert!(text.contains("refuses the client's certificate"), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_no_tls_is_told() {
        let config = client_config(SslMode::Require, &Certificates::default()).unwrap();
        for (answer, expected) in [(&b"HTTP/1.1 400 s3cret\r\n\r\n"[..], "not TLS"), (b"", "ended")] {
            let (near, mut far) = tokio::io::duplex(1 << 16);
            far.write_all(answer).await.unwrap();
            far.shutdown().await.unwrap();
            let name = server_name(&host("h")).unwrap();
            let error = TlsConnector::from(config.clone()).connect(name, near).await.err().unwrap();
            let text = explain(&error);
            assert!(text.contains(expected) && !text.contains("s3cret"), "{text}");
        }
        let alert = |alert| explain(&io::Error::other(rustls::Error::AlertReceived(alert)));
        assert!(alert(AlertDescription::ProtocolVersion).contains("TLS 1.2"));
        assert!(alert(AlertDescription::UnrecognisedName).contains("UnrecognisedName"));
    }

    #[test]
    fn only_hosts_with_a_name_have_one() {
        assert_eq!(server_name(&host("db.example.com")).unwrap(), ServerName::try_from("db.example.com").unwrap());
        assert!(matches!(server_name(&host("::1")).unwrap(), ServerName::IpAddress(_)));
        assert!(matches!(server_name(&host("fe80::1%eth0")), Err(TlsError::Name)));
        assert!(matches!(server_name(&Host::Socket("/x/.s.PGSQL.5432".into())), Err(TlsError::Name)));
    }

    fn fault(mode: SslMode, certificates: &Certificates) -> String {
        let error = client_config(mode, certificates).expect_err("it cannot be used");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cret"), "{text}");
        text
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_by_its_parameter() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("s3cret");
        std::fs::write(&empty, "").unwrap();
        let none = || Pem::File(PathBuf::from("/nonexistent/s3cret"));
        let (empty, ca) = (|| Pem::File(empty.clone()), ca());
        let broken = || inline("-----BEGIN CERTIFICATE-----\ns3cret!\n-----END CERTIFICATE-----".to_owned());
        let wrong = || inline("-----BEGIN CERTIFICATE-----\ns3cr\n-----END CERTIFICATE-----".to_owned());
        for (pem, expected) in [
            (none(), "cannot be read: entity not found"),
            (Pem::File(folder.path().into()), "cannot be read: is a directory"),
            (empty(), "no certificate"),
            (broken(), "no certificate"),
            (wrong(), "no certificate"),
            (inline(ca.key().serialize_pem()), "no certificate"),
        ] {
            let root = Certificates { root: Some(Root::Pem(pem)), ..Certificates::default() };
            let text = fault(SslMode::VerifyFull, &root);
            assert!(text.contains("sslrootcert") && text.contains(expected), "{text}");
            // Nothing is verified, so nothing is read.
            assert!(client_config(SslMode::Require, &root).is_ok());
        }
        let (certificate, key) = issue(&ca, &["client"], |_| ());
        let (certificate, key) = (|| inline(certificate.pem()), || inline(key.serialize_pem()));
        for (certificate, key, expected) in [
            (Some(none()), Some(key()), "the file that sslcert names"),
            (Some(empty()), Some(key()), "sslcert in the database's address names no certificate"),
            (Some(certificate()), Some(none()), "the file that sslkey names"),
            (Some(certificate()), Some(certificate()), "sslkey in the database's address names no unencrypted key"),
            (Some(certificate()), Some(inline(ca.key().serialize_pem())), "is not the key of the certificate"),
            (Some(certificate()), None, "sslkey is missing"),
            (None, Some(key()), "sslcert is missing"),
        ] {
            let text = fault(SslMode::Prefer, &Certificates { root: None, certificate, key });
            assert!(text.contains(expected), "{text}");
        }
    }

    fn armoured(kind: &str, der: &[u8]) -> Pem {
        inline(format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der)))
    }

    #[test]
    fn keys_are_read_in_all_three_formats() {
        let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        for (key, inner) in [(KeyPair::generate().unwrap(), "EC PRIVATE KEY"), (rsa, "RSA PRIVATE KEY")] {
            let certificate = CertificateParams::new(vec!["c".to_owned()]).unwrap().self_signed(&key).unwrap();
            let pkcs8 = key.serialize_der();
            // PrivateKeyInfo ::= SEQUENCE { version, algorithm, privateKey OCTET STRING, … }
            let (_, rest) = der_value(der_value(&pkcs8).unwrap().0).unwrap();
            let old = der_value(der_value(rest).unwrap().1).unwrap().0;
            for key in [armoured("PRIVATE KEY", &pkcs8), armoured(inner, old)] {
                let certificate = Some(inline(certificate.pem()));
                let certificates = Certificates { root: None, certificate, key: Some(key) };
                assert!(client_config(SslMode::Require, &certificates).is_ok(), "{inner}");
            }
        }
    }

    #[test]
    fn the_end_point_is_hashed_as_the_signature_is() {
        let rsa = |algorithm| KeyPair::generate_rsa_for(algorithm, rcgen::RsaKeySize::_2048).unwrap();
        for (key, hash) in [
            (KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(), Some(&SHA256)),
            (KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(), Some(&SHA384)),
            (KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap(), Some(&SHA512)),
            (KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), None),
            (rsa(&rcgen::PKCS_RSA_SHA256), Some(&SHA256)),
            (rsa(&rcgen::PKCS_RSA_SHA384), Some(&SHA384)),
            (rsa(&rcgen::PKCS_RSA_SHA512), Some(&SHA512)),
        ] {
            let certificate = CertificateParams::default().self_signed(&key).unwrap();
            let expected = hash.map(|hash| digest(hash, certificate.der()).as_ref().to_vec());
            assert_eq!(end_point(certificate.der()), expected);
            for length in 0..certificate.der().len() {
                assert_eq!(end_point(&certificate.der()[..length].into()), None);
            }
        }
        assert_eq!(end_point(&[0x30, 0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0][..].into()), None);
    }

    #[test]
    fn without_a_named_authority_the_systems_and_the_webs_are_trusted() {
        let web = webpki_root_certs::TLS_SERVER_ROOT_CERTS.len();
        assert!(roots(None).unwrap().len() >= web);
        assert_eq!(trusted(&trusting(&ca())), 1);
    }

    fn trusted(certificates: &Certificates) -> usize {
        roots(certificates.root.as_ref()).unwrap().len()
    }

    /// The system's certificates are found by variables, which only a process of its own can have.
    #[test]
    fn the_systems_certificates_are_those_that_ssl_cert_file_names() {
        const CHILD: &str = "TASKS_TEST_CHILD";
        if let Ok(count) = std::env::var(CHILD) {
            match roots(Some(&Root::System)) {
                Ok(roots) => assert_eq!(roots.len().to_string(), count),
                Err(error) => assert!(matches!(error, TlsError::NoSystemRoots) && count == "0", "{error}"),
            }
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        let name = concat!(module_path!(), "::the_systems_certificates_are_those_that_ssl_cert_file_names");
        for (text, count) in [(ca().pem() + &ca().pem(), "2"), (String::new(), "0")] {
            std::fs::write(&path, text).unwrap();
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name.split_once("::").unwrap().1])
                .env(CHILD, count)
                .env("SSL_CERT_FILE", &path)
                .env_remove("SSL_CERT_DIR")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success() && text.contains("1 passed"), "{text}");
        }
    }
}
