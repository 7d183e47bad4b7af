//! The databases of these tests: one that looks closely at who comes, and one that lets everybody in.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::cluster::{Cluster, Place, programs, wait_until};
use crate::look::Look;
use crate::program::Program;
use crate::server::run;

/// The password of each role of the strict database.
pub(crate) const PASSWORD: &str = "s3cret";

/// Who comes in how. The roles are named after that.
const RULES: &str = "
local    all  tasks       trust
host     all  tasks       127.0.0.1/32  trust
host     all  plain       127.0.0.1/32  password
host     all  hashed      127.0.0.1/32  md5
hostnossl all protected   127.0.0.1/32  reject
hostssl  all  unprotected 127.0.0.1/32  reject
hostssl  all  card        127.0.0.1/32  cert
hostssl  all  card_and_password 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
host     all  scram       127.0.0.1/32  scram-sha-256
host     all  all         127.0.0.1/32  md5
local    all  all         md5
";

/// All but those that have a test of their own. MD5 where it is not about passwords: SCRAM takes a program that is not
/// optimized a while.
const ROLES: &str = "
SET password_encryption = 'md5';
CREATE ROLE hashed LOGIN PASSWORD 's3cret';
CREATE ROLE protected LOGIN PASSWORD 's3cret';
CREATE ROLE unprotected LOGIN PASSWORD 's3cret';
SET password_encryption = 'scram-sha-256';
CREATE ROLE plain LOGIN PASSWORD 's3cret';
CREATE ROLE scram LOGIN PASSWORD 's3cret';
CREATE ROLE card LOGIN;
CREATE ROLE card_and_password LOGIN PASSWORD 's3cret';
";

/// An authority that signs certificates.
pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for these names, which is also for this common name, and its key.
pub(crate) fn issue(authority: &Authority, common_name: &str, names: &[&str]) -> (Certificate, KeyPair) {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// A PostgreSQL with TLS and a role for each way to come in. Its database `tasks` has the current schema.
pub(crate) struct Strict {
    cluster: Cluster,
    pub(crate) authority: Authority,
    /// Certificates and keys of clients.
    folder: TempDir,
}

static STRICT: LazyLock<Option<Strict>> = LazyLock::new(|| Some(Strict::start(&programs()?)));
static OPEN: LazyLock<Option<Cluster>> = LazyLock::new(|| Some(Cluster::start(&programs()?, Place::Loopback, &[])));
static COUNT: AtomicU32 = AtomicU32::new(0);

/// `None` when PostgreSQL is not installed.
pub(crate) fn strict() -> Option<&'static Strict> {
    STRICT.as_ref()
}

impl Strict {
    fn start(programs: &Path) -> Self {
        let authority = authority("the authority of the tests");
        let (certificate, key) = issue(&authority, "db", &["db.example.test", "localhost", "127.0.0.1"]);
        let (certificate, key, root) = (certificate.pem(), key.serialize_pem(), authority.pem());
        let files = [("pg_hba.conf", RULES), ("server.crt", &certificate), ("server.key", &key), ("root.crt", &root)];
        let options = ["ssl=on", "ssl_ca_file=root.crt", "log_connections=on", "log_min_messages=log"];
        let options: Vec<_> = options.iter().flat_map(|option| ["-c", option]).collect();
        let cluster = Cluster::furnished(programs, Place::Loopback, &options, &files);

        let folder = tempfile::tempdir().unwrap();
        let strict = Self { cluster, authority, folder };
        strict.keep("root.pem", &strict.authority.pem());
        let (certificate, key) = issue(&strict.authority, "card", &[]);
        strict.keep("card.pem", &certificate.pem());
        strict.keep("card.key", &key.serialize_pem());

        strict.admin("postgres", ROLES);
        strict.admin("postgres", "CREATE DATABASE tasks");
        Program::at(&strict.cluster.url("tasks")).migrates().well();
        strict.admin("tasks", "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC");
        strict
    }

    /// Runs statements as its owner.
    pub(crate) fn admin(&self, database: &str, statements: &str) {
        wait(async { Look::at(&self.cluster.url(database)).await.run(statements).await });
    }

    fn keep(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    /// A file of the clients: `root.pem`, `card.pem` and `card.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of such a file.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// The folder of its socket.
    pub(crate) fn socket(&self) -> &str {
        self.cluster.folder().to_str().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// The address of its database, for `login`: `role`, or `role:password`.
    pub(crate) fn url(&self, login: &str) -> String {
        format!("postgresql://{login}@127.0.0.1:{}/tasks", self.port())
    }

    /// The address for a role with its password, and what follows the question mark.
    pub(crate) fn url_with(&self, role: &str, query: &str) -> String {
        format!("{}?{query}", self.url(&format!("{role}:{PASSWORD}")))
    }

    /// How often its log has these texts in one line.
    pub(crate) fn logged(&self, texts: &[&str]) -> usize {
        self.cluster.log().lines().filter(|line| texts.iter().all(|text| line.contains(text))).count()
    }

    /// Waits until its log has these texts in one line.
    pub(crate) fn logs(&self, texts: &[&str]) {
        wait_until(&format!("{texts:?} is in PostgreSQL's log"), || self.logged(texts) > 0);
    }
}

/// An address without a password of a database of one's own, on a PostgreSQL that has no TLS and lets everybody in. It
/// has no schema; `options` are those of `CREATE DATABASE`.
pub(crate) fn empty(options: &str) -> Option<String> {
    let cluster = OPEN.as_ref()?;
    let name = format!("addresses_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let create = format!("CREATE DATABASE {name} {options}");
    wait(async { Look::at(&cluster.url("postgres")).await.run(&create).await });
    Some(cluster.url(&name))
}

/// Such a database with the current schema.
pub(crate) fn migrated() -> Option<String> {
    let url = empty("")?;
    let (is_well, said) = run(&["migrate", "up"], &[("DATABASE_URL", &url)]);
    assert!(is_well, "{said}");
    Some(url)
}

/// Does this in a test that is not asynchronous itself.
pub(crate) fn wait<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        scope.spawn(move || runtime().block_on(work)).join().unwrap()
    })
}
