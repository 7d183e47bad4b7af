//! Where a PostgreSQL is: an address in libpq's grammar, completed by libpq's variables and its password file.
//!
//! The address holds a password, and people forget to percent-encode theirs. So an address is refused as soon as it may
//! have been split in the wrong place: no part of a password becomes a host, a name or a line of the log.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::Chars;

use percent_encoding::percent_decode_str;
use tracing::warn;

use crate::storage::settings::{DatabaseTls, OpenError};

/// The port where none is named.
const PORT: u16 = 5432;
/// The folders that may hold the server's socket: Debian's, Homebrew's and PostgreSQL's own choice.
const SOCKET_FOLDERS: [&str; 3] = ["/var/run/postgresql", "/private/tmp", "/tmp"];
/// Parameters of other drivers, which have no effect here. Other unknown ones are refused behind `password=`.
const FAMILIAR: [&str; 12] = [
    "client_encoding",
    "connect_timeout",
    "connection_limit",
    "gssencmode",
    "keepalives",
    "load_balance_hosts",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "ssl",
    "sslnegotiation",
    "target_session_attrs",
];

/// Where a PostgreSQL is, and how to get in.
#[derive(Clone)]
pub(crate) struct Address {
    /// The servers, in the order in which they are tried. At least one.
    pub hosts: Vec<Host>,
    /// The role.
    pub user: String,
    /// The password that the address or `PGPASSWORD` names. [`Address::password_for`] knows the password file too.
    password: Option<String>,
    /// The password that the password file has for each of the hosts.
    filed: Vec<Option<String>>,
    /// The database; the server takes the user's name when there is none.
    pub database: Option<String>,
    /// How the connection is protected. Does not concern sockets.
    pub mode: SslMode,
    /// The certificates that the address names.
    pub certificates: Certificates,
    /// How the server lists the connection.
    pub application_name: String,
    /// The parameter `options` of the start-up message.
    pub options: Option<String>,
}

impl fmt::Debug for Address {
    /// Without passwords, options and keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("hosts", &self.hosts)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// The socket's file.
    Socket(PathBuf),
    /// A host and a port. The certificate is for the name; `address`, if known, saves the look-up.
    Tcp {
        /// A name, or an IP address without brackets.
        name: String,
        /// `hostaddr`.
        address: Option<IpAddr>,
        /// Never 0.
        port: u16,
    },
}

/// How much a connection is protected: `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// Plain text. So is `allow`.
    Disable,
    /// TLS with any certificate if the server has TLS, else plain text.
    Prefer,
    /// TLS with any certificate.
    Require,
    /// TLS with a certificate of a known authority, for any name.
    VerifyCa,
    /// TLS with a certificate of a known authority for the host's name.
    VerifyFull,
}

impl SslMode {
    fn read(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "disable" | "allow" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }
}

/// The certificates that an address names. They are read by `tls.rs`.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    /// `sslrootcert`: the authorities.
    pub root: Option<Root>,
    /// `sslcert`: the client's certificate.
    pub certificate: Option<Pem>,
    /// `sslkey`: the client's key.
    pub key: Option<Pem>,
}

/// Authorities.
#[derive(Clone)]
pub(crate) enum Root {
    /// Those of the operating system.
    System,
    /// Those in this text.
    Pem(Pem),
}

/// PEM text, or where it is. Has no `Debug`, because it may be a key.
#[derive(Clone)]
pub(crate) enum Pem {
    /// The text itself.
    Inline(String),
    /// Its file.
    File(PathBuf),
}

impl From<String> for Pem {
    fn from(text: String) -> Self {
        if is_pem(&text) { Self::Inline(text) } else { Self::File(text.into()) }
    }
}

fn is_pem(text: &str) -> bool {
    text.trim().starts_with("-----BEGIN") && text.trim().ends_with("-----")
}

impl Address {
    /// Reads the address in `setting`. What it leaves open is taken from the variables of libpq, and a missing password
    /// from `PGPASSFILE` and `~/.pgpass`. With [`DatabaseTls::Verified`], an address of another machine is verified.
    ///
    /// # Errors
    /// When the address or a variable cannot be used; the text names it and holds no part of its value.
    pub(crate) fn parse(
        setting: &'static str,
        url: &str,
        tls: DatabaseTls,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Result<Self, OpenError> {
        let given = Given::read(url).ok_or(OpenError::Address(setting))?;
        for name in &given.ignored {
            warn!(setting, name, "a parameter of the database's address is not known and has no effect");
        }
        let variable = |name: &'static str| environment(name).filter(|value| !value.is_empty());
        let either = |given: Option<String>, name| given.filter(|text| !text.is_empty()).or_else(|| variable(name));

        let hosts = hosts(setting, &given, &variable)?;
        let user = either(given.user, "PGUSER").or_else(|| whoami::username().ok()).unwrap_or("unknown".to_owned());
        let database = either(given.dbname, "PGDATABASE");
        let password = either(given.password, "PGPASSWORD");
        let filed = match password {
            Some(_) => Vec::new(),
            None => filed(&hosts, &user, database.as_deref(), &variable),
        };
        let root = either(given.sslrootcert, "PGSSLROOTCERT").map(|text| match text.as_str() {
            "system" => Root::System,
            _ => Root::Pem(text.into()),
        });
        let stated = match (given.sslmode, variable("PGSSLMODE")) {
            (Some(text), _) => Some(SslMode::read(&text).ok_or(OpenError::Address(setting))?),
            (None, Some(text)) => Some(SslMode::read(&text).ok_or(OpenError::Variable("PGSSLMODE"))?),
            (None, None) => None,
        };
        let mut mode = match (stated, &root) {
            (None | Some(SslMode::VerifyFull), Some(Root::System)) => SslMode::VerifyFull,
            (Some(_), Some(Root::System)) => return Err(OpenError::SystemRoots(setting)),
            (stated, _) => stated.unwrap_or(SslMode::Prefer),
        };
        if hosts.iter().any(Host::is_remote) {
            match tls {
                // `require` alone would take any certificate.
                DatabaseTls::Verified => mode = SslMode::VerifyFull,
                DatabaseTls::Off => warn!(
                    setting,
                    "DATABASE_TLS=off: passwords and tasks may travel in plain text, and nobody checks who answers"
                ),
            }
        }
        let options: Vec<_> = variable("PGOPTIONS").into_iter().chain(given.options).collect();
        Ok(Self {
            hosts,
            user,
            password,
            filed,
            database,
            mode,
            certificates: Certificates {
                root,
                certificate: either(given.sslcert, "PGSSLCERT").map(Pem::from),
                key: either(given.sslkey, "PGSSLKEY").map(Pem::from),
            },
            application_name: either(given.application_name, "PGAPPNAME").unwrap_or("tasks-server".to_owned()),
            options: (!options.is_empty()).then(|| options.join(" ")),
        })
    }

    /// The password for one of the hosts.
    pub(crate) fn password_for(&self, host: &Host) -> Option<&str> {
        let filed = || self.filed.get(self.hosts.iter().position(|known| known == host)?)?.as_deref();
        self.password.as_deref().or_else(filed)
    }
}

impl Host {
    /// Whether the server may be on another machine: neither a socket nor a loopback host.
    fn is_remote(&self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Tcp { name, address, .. } => match address.or_else(|| name.parse().ok()) {
                Some(address) => !address.is_loopback(),
                None => !name.eq_ignore_ascii_case("localhost"),
            },
        }
    }

    /// The socket of a server on this machine, or else its port.
    fn default(port: u16) -> Self {
        let sockets = SOCKET_FOLDERS.map(|folder| socket(folder, port));
        let tcp = || Self::Tcp { name: "localhost".to_owned(), address: None, port };
        sockets.into_iter().find(|path| path.exists()).map_or_else(tcp, Self::Socket)
    }
}

fn socket(folder: &str, port: u16) -> PathBuf {
    Path::new(folder).join(format!(".s.PGSQL.{port}"))
}

/// What an address says, percent-decoded. Hosts, their addresses and their ports are lists with commas.
#[derive(Default)]
struct Given {
    host: Option<String>,
    hostaddr: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    dbname: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    sslcert: Option<String>,
    sslkey: Option<String>,
    application_name: Option<String>,
    options: Vec<String>,
    /// The names of parameters that are not known.
    ignored: Vec<String>,
}

impl Given {
    /// Reads `postgres://[user[:password]@][host][:port][,…][/database][?parameter=value&…]`, where the last `@` before
    /// the first `/` or `?` ends the password. `None` when the address breaks the grammar.
    fn read(url: &str) -> Option<Self> {
        let url = url.trim_end_matches(|last: char| last == ' ' || last.is_ascii_control());
        let (_, rest) = url.split_once("://")?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // Here they come from a password with a `/` or `?` of its own: what stands before them is part of it.
        let (login, places) = authority.rsplit_once('@').unwrap_or(("", authority));
        if rest.contains(['@', '#']) || places.contains('#') {
            return None;
        }
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (names, ports): (Vec<_>, Vec<_>) =
            places.split(',').map(place).collect::<Option<Vec<_>>>()?.into_iter().unzip();
        let mut given = Self {
            host: Some(names.join(",")),
            port: Some(ports.join(",")),
            user: Some(decoded(user)?),
            password: Some(decoded(password)?),
            dbname: Some(decoded(path.trim_start_matches('/'))?),
            ..Self::default()
        };
        let mut is_behind_password = false;
        for parameter in query.split('&') {
            if parameter.is_empty() && !is_behind_password {
                continue;
            }
            let (name, value) = parameter.split_once('=')?;
            // As in forms, a plus sign stands for a space.
            let (name, value) = (decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?);
            given.take(&name, value, is_behind_password)?;
            is_behind_password = name == "password";
        }
        Some(given)
    }

    /// Takes one parameter. A password that holds an `&` goes on in the name behind it: such a name is refused.
    fn take(&mut self, name: &str, value: String, is_behind_password: bool) -> Option<()> {
        let place = match name {
            "host" => &mut self.host,
            "hostaddr" => &mut self.hostaddr,
            "port" => &mut self.port,
            "user" => &mut self.user,
            "password" => &mut self.password,
            "dbname" => &mut self.dbname,
            "sslmode" | "ssl-mode" => &mut self.sslmode,
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => &mut self.sslrootcert,
            "sslcert" | "ssl-cert" => &mut self.sslcert,
            "sslkey" | "ssl-key" => &mut self.sslkey,
            "application_name" => &mut self.application_name,
            "options" => {
                self.options.extend((!value.is_empty()).then_some(value));
                return Some(());
            }
            // A verified certificate gives more than the one asks for, and nothing here has the other.
            "channel_binding" | "statement-cache-capacity" => return Some(()),
            _ => {
                if let Some(option) = name.strip_prefix("options[").and_then(|rest| rest.strip_suffix(']')) {
                    let option = format!("{option}={value}").replace('\\', r"\\").replace(' ', r"\ ");
                    self.options.push(format!("-c {option}"));
                    return Some(());
                }
                let is_name = (1..=64).contains(&name.len()) && is_plain(name);
                let is_suspect = is_behind_password && !FAMILIAR.contains(&name);
                return (is_name && !is_suspect).then(|| self.ignored.push(name.to_owned()));
            }
        };
        *place = Some(value);
        Some(())
    }
}

/// What percent-encoded text stands for. `None` when an escape is broken, or the result is no UTF-8 or holds control
/// characters that are not the line breaks of PEM text.
fn decoded(text: &str) -> Option<String> {
    let is_escape = |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    let text = percent_decode_str(text).decode_utf8().ok()?;
    let is_fine = |c: char| !c.is_control() || (is_pem(&text) && c.is_ascii_whitespace());
    text.chars().all(is_fine).then(|| text.into_owned())
}

/// `host`, `host:port`, `[address]` or `[address]:port`, either part of which may be empty.
fn place(text: &str) -> Option<(String, &str)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let is_whole = rest.is_empty() || rest.starts_with(':');
            // With `%25` before the zone, if there is one.
            let is_address = host.split('%').next().is_some_and(|text| text.parse::<Ipv6Addr>().is_ok());
            (is_whole && is_address).then_some((host, rest.get(1..).unwrap_or_default()))?
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    self::port(port)?;
    Some((decoded(host)?, port))
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The hosts that the address, or else the variables, name. The address's own replace all of the variables'.
fn hosts(
    setting: &'static str,
    given: &Given,
    variable: &impl Fn(&'static str) -> Option<String>,
) -> Result<Vec<Host>, OpenError> {
    let own = |text: &Option<String>| text.clone().filter(|list| !list.is_empty());
    let fault = |source| if source == setting { OpenError::Address(setting) } else { OpenError::Variable(source) };
    let ((names, names_from), (addresses, addresses_from)) = match (own(&given.host), own(&given.hostaddr)) {
        (None, None) => ((variable("PGHOST"), "PGHOST"), (variable("PGHOSTADDR"), "PGHOSTADDR")),
        (names, addresses) => ((names, setting), (addresses, setting)),
    };
    // `h1,h2` names no port, which is no more than `h` does.
    let (ports, ports_from) = match own(&given.port).filter(|list| list.bytes().any(|byte| byte != b',')) {
        None => (variable("PGPORT").unwrap_or_default(), "PGPORT"),
        Some(ports) => (ports, setting),
    };
    let names: Vec<_> = names.as_deref().map_or_else(Vec::new, |list| list.split(',').collect());
    let addresses: Vec<_> = addresses.as_deref().map_or_else(Vec::new, |list| list.split(',').collect());
    let ports = ports.split(',').map(port).collect::<Option<Vec<_>>>().ok_or(fault(ports_from))?;
    let count = names.len().max(addresses.len()).max(1);
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err(fault(addresses_from));
    }
    if ports.len() != 1 && ports.len() != count {
        return Err(fault(ports_from));
    }
    let item = |list: &[&str], at: usize| list.get(at).map(ToString::to_string).filter(|text| !text.is_empty());
    let host = |at| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
        let address =
            item(&addresses, at).map(|text| text.parse::<IpAddr>()).transpose().map_err(|_| fault(addresses_from))?;
        Ok(match (item(&names, at), address) {
            (None, None) => Host::default(port),
            (None, Some(address)) => Host::Tcp { name: address.to_string(), address: Some(address), port },
            (Some(folder), _) if folder.starts_with('/') => Host::Socket(socket(&folder, port)),
            (Some(name), address) => {
                let name = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&name);
                // The zone of an IPv6 address stands behind a percent sign.
                let (address_text, zone) = name.split_once('%').unwrap_or((name, ""));
                let is_address = address_text.parse::<Ipv6Addr>().is_ok() && is_plain(zone);
                if !is_address && !is_plain(name) {
                    return Err(fault(names_from));
                }
                Host::Tcp { name: name.to_owned(), address, port }
            }
        })
    };
    (0..count).map(host).collect()
}

/// A port of a list, where an empty one is PostgreSQL's.
fn port(text: &str) -> Option<u16> {
    if text.is_empty() {
        return Some(PORT);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten().filter(|&port| port != 0)
}

/// The password that `PGPASSFILE` or else `~/.pgpass` has for each host.
fn filed(
    hosts: &[Host],
    user: &str,
    database: Option<&str>,
    variable: &impl Fn(&'static str) -> Option<String>,
) -> Vec<Option<String>> {
    let home = variable("HOME").map(PathBuf::from).or_else(std::env::home_dir);
    let files = [
        ("PGPASSFILE", variable("PGPASSFILE").map(PathBuf::from)),
        ("~/.pgpass", home.map(|home| home.join(".pgpass"))),
    ];
    let texts: Vec<_> = files.into_iter().filter_map(|(name, path)| password_file(name, &path?)).collect();
    let lines = || texts.iter().flat_map(|text| text.lines());
    let search = |host: &Host| {
        let (names, port) = match host {
            Host::Tcp { name, address, port } => {
                (vec![name.clone(), address.map_or_else(|| name.clone(), |ip| ip.to_string())], port.to_string())
            }
            Host::Socket(path) => {
                let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
                (vec!["localhost".to_owned(), text(path.parent().map(Path::as_os_str))], text(path.extension()))
            }
        };
        let database = database.unwrap_or(user).to_owned();
        let wanted = [names, vec![port], vec![database], vec![user.to_owned()]];
        lines().find_map(|line| entry(line, &wanted))
    };
    hosts.iter().map(search).collect()
}

/// The text of a password file that only its owner can read.
fn password_file(name: &str, path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        warn!(name, "the password file is not used, because its group or others may use it: chmod 0600");
        return None;
    }
    let text = if metadata.is_file() { std::fs::read_to_string(path) } else { Err(std::io::ErrorKind::Other.into()) };
    text.inspect_err(|cause| warn!(name, cause = %cause.kind(), "the password file cannot be read")).ok()
}

/// The password in a line `host:port:database:user:password`, if it is for what is wanted. A `*` is for all.
fn entry(line: &str, wanted: &[Vec<String>; 4]) -> Option<String> {
    let mut rest = line.chars();
    let mut is_wanted = |texts: &Vec<String>| {
        let field = field(&mut rest, Some(':'));
        field == "*" || texts.contains(&field)
    };
    let is_entry = !line.starts_with('#') && wanted.iter().all(&mut is_wanted);
    is_entry.then(|| field(&mut rest, None)).filter(|password| !password.is_empty())
}

/// The text up to `end`, without the backslashes that escape.
fn field(rest: &mut Chars<'_>, end: Option<char>) -> String {
    let mut text = String::new();
    while let Some(next) = rest.next().filter(|&next| Some(next) != end) {
        text.extend(if next == '\\' { rest.next() } else { Some(next) });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use super::*;

    const SETTING: &str = "DATABASE_URL";

    /// No variables, and a home without a password file.
    const BARE: &[(&str, &str)] = &[];

    fn open(url: &str, tls: DatabaseTls, variables: &[(&str, &str)]) -> Result<Address, OpenError> {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Address::parse(SETTING, url, tls, &|name| {
            find(name).or_else(|| (name == "HOME").then(|| "/nonexistent".into()))
        })
    }

    fn with(url: &str, variables: &[(&str, &str)]) -> Address {
        open(url, DatabaseTls::Verified, variables).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn address(url: &str) -> Address {
        with(url, BARE)
    }

    /// What stands behind the question mark of an address of this machine.
    fn parameters(query: &str) -> Address {
        address(&format!("postgres://u@localhost/d?{query}"))
    }

    fn refused(url: &str) -> OpenError {
        open(url, DatabaseTls::Verified, BARE).err().unwrap_or_else(|| panic!("{url} is accepted"))
    }

    fn tcp(name: &str, port: u16) -> Host {
        Host::Tcp { name: name.to_owned(), address: None, port }
    }

    fn at(name: &str, address: &str, port: u16) -> Host {
        Host::Tcp { name: name.to_owned(), address: Some(address.parse().unwrap()), port }
    }

    fn file(path: &str) -> Host {
        Host::Socket(path.into())
    }

    fn password(address: &Address) -> Option<&str> {
        address.password_for(&address.hosts[0])
    }

    /// The result, and what was logged on the way.
    /// Without the time, whose digits may be those of a password.
    fn logged<T>(run: impl FnOnce() -> T) -> (T, String) {
        let (mut file, mut text) = (tempfile::tempfile().unwrap(), String::new());
        let writer = Arc::new(file.try_clone().unwrap());
        let log = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(writer).finish();
        let result = tracing::subscriber::with_default(log, run);
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        (result, text)
    }

    #[test]
    fn an_address_is_read_part_by_part() {
        let address = address("postgresql://me:s3cret@db.example.com:6432/tasks?application_name=x");
        assert_eq!(address.hosts, [tcp("db.example.com", 6432)]);
        assert_eq!(address.user, "me");
        assert_eq!(password(&address), Some("s3cret"));
        assert_eq!(address.database.as_deref(), Some("tasks"));
        assert_eq!(address.application_name, "x");
    }

    #[test]
    fn what_an_address_leaves_out_has_a_default() {
        // At this port no server has a socket.
        let bare = with("postgres://", &[("PGPORT", "59999")]);
        assert_eq!(bare.hosts, [tcp("localhost", 59999)]);
        assert_eq!(bare.user, whoami::username().unwrap());
        assert_eq!((password(&bare), &bare.database, &bare.options), (None, &None, &None));
        assert_eq!(bare.application_name, "tasks-server");
        assert_eq!(bare.mode, SslMode::Prefer);
        assert!(bare.certificates.root.is_none() && bare.certificates.certificate.is_none());
        for url in ["postgres://localhost", "postgres://localhost:", "postgres://localhost:/", "postgres://localhost/?"]
        {
            assert_eq!(address(url).hosts, [tcp("localhost", 5432)], "{url}");
        }
        // Secrets in files often end in a line break.
        assert_eq!(address("postgres://u:p@h/tasks \r\n").database.as_deref(), Some("tasks"));
    }

    #[test]
    fn the_servers_own_socket_is_the_default_host() {
        let socket = socket("/tmp", 59871);
        std::fs::write(&socket, "").unwrap();
        let hosts = address("postgres://app:pw@:59871/tasks").hosts;
        std::fs::remove_file(&socket).unwrap();
        assert_eq!(hosts, [Host::Socket(socket)]);
    }

    #[test]
    fn sockets_are_named_by_their_folder() {
        for (url, path) in [
            ("postgres://u@%2Frun%2Fpostgresql/db", "/run/postgresql/.s.PGSQL.5432"),
            ("postgres://u@%2Frun%2Fpostgresql:6432/db", "/run/postgresql/.s.PGSQL.6432"),
            ("postgres:///db?host=/run/postgresql/", "/run/postgresql/.s.PGSQL.5432"),
            ("postgres:///db?host=%2Frun%2Fpostgresql&port=1", "/run/postgresql/.s.PGSQL.1"),
            ("postgres://u:p@localhost:2/db?host=/x", "/x/.s.PGSQL.2"),
        ] {
            assert_eq!(address(url).hosts, [file(path)], "{url}");
        }
    }

    #[test]
    fn cloud_sqls_address_is_read() {
        let address = address("postgresql://app:pw@/tasks?host=/cloudsql/proj:region:inst");
        assert_eq!(address.hosts, [file("/cloudsql/proj:region:inst/.s.PGSQL.5432")]);
        assert_eq!((&*address.user, password(&address)), ("app", Some("pw")));
        assert_eq!(address.database.as_deref(), Some("tasks"));
        assert_eq!(address.mode, SslMode::Prefer);
    }

    #[test]
    fn several_hosts_are_read_in_their_order() {
        for (url, hosts) in [
            ("postgres://u:p@a:1,b:2/d", vec![tcp("a", 1), tcp("b", 2)]),
            (
                "postgres://u:p@a,b:2,[::1]:3,[2001:db8::1]/d",
                vec![tcp("a", 5432), tcp("b", 2), tcp("::1", 3), tcp("2001:db8::1", 5432)],
            ),
            ("postgres://a,b/d?port=7", vec![tcp("a", 7), tcp("b", 7)]),
            ("postgres:///?host=a,b&port=1,2", vec![tcp("a", 1), tcp("b", 2)]),
            ("postgres:///?host=a,b&port=1,", vec![tcp("a", 1), tcp("b", 5432)]),
            ("postgres:///?host=a,b&hostaddr=192.0.2.1,::1", vec![at("a", "192.0.2.1", 5432), at("b", "::1", 5432)]),
            ("postgres:///?host=a,b&hostaddr=,192.0.2.2", vec![tcp("a", 5432), at("b", "192.0.2.2", 5432)]),
            (
                "postgres:///?hostaddr=192.0.2.1,192.0.2.2&port=8",
                vec![at("192.0.2.1", "192.0.2.1", 8), at("192.0.2.2", "192.0.2.2", 8)],
            ),
            ("postgres://u@a,%2Frun:9/", vec![tcp("a", 5432), file("/run/.s.PGSQL.9")]),
        ] {
            assert_eq!(address(url).hosts, hosts, "{url}");
        }
        assert_eq!(with("postgres://a,b/d", &[("PGPORT", "7")]).hosts, [tcp("a", 7), tcp("b", 7)]);
        for url in [
            "postgres:///?host=a,b&port=1,2,3",
            "postgres://a:1,b:2/?host=c",
            "postgres:///?host=a,b&hostaddr=192.0.2.1",
        ] {
            assert!(matches!(refused(url), OpenError::Address(SETTING)), "{url}");
        }
    }

    #[test]
    fn hosts_of_all_kinds_are_read() {
        for (url, host) in [
            ("postgres://u:p@[::1]/d", tcp("::1", 5432)),
            ("postgres://[::1]:1/d", tcp("::1", 1)),
            ("postgres://[fe80::1%25eth0]/d", tcp("fe80::1%eth0", 5432)),
            ("postgres:///d?host=::1", tcp("::1", 5432)),
            ("postgres:///d?host=[::1]", tcp("::1", 5432)),
            ("postgres://192.0.2.1:1/d", tcp("192.0.2.1", 1)),
            ("postgres://my_db-1.example.com./d", tcp("my_db-1.example.com.", 5432)),
            ("postgres://a/d?host=b", tcp("b", 5432)),
            ("postgres://a/d?hostaddr=192.0.2.1", at("a", "192.0.2.1", 5432)),
            ("postgres:///d?hostaddr=192.0.2.1", at("192.0.2.1", "192.0.2.1", 5432)),
            ("postgres:///d?host=%2Fx&hostaddr=192.0.2.1", file("/x/.s.PGSQL.5432")),
        ] {
            assert_eq!(address(url).hosts, [host], "{url}");
        }
    }

    #[test]
    fn parameters_replace_what_stands_before_them() {
        let address = address("postgres://a:b@h:1/c?user=d&password=e&dbname=f&port=2&host=i&user=g");
        assert_eq!((&*address.user, password(&address)), ("g", Some("e")));
        assert_eq!((address.database.as_deref(), &address.hosts[..]), (Some("f"), &[tcp("i", 2)][..]));
        // An empty one names nothing.
        assert_eq!(parameters("port=&application_name=").hosts, [tcp("localhost", 5432)]);
    }

    #[test]
    fn sslmode_is_read_by_both_its_names() {
        for (value, mode) in [
            ("disable", SslMode::Disable),
            ("allow", SslMode::Disable),
            ("prefer", SslMode::Prefer),
            ("REQUIRE", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
        ] {
            assert_eq!(parameters(&format!("sslmode={value}")).mode, mode);
            assert_eq!(parameters(&format!("ssl-mode={value}")).mode, mode);
            assert_eq!(with("postgres://localhost", &[("PGSSLMODE", value)]).mode, mode);
        }
        refused("postgres://localhost/?sslmode=");
        refused("postgres://localhost/?sslmode=verify_full");
    }

    #[test]
    fn certificates_are_files_or_inline() {
        type Pick = fn(&Certificates) -> Option<&Pem>;
        let root: Pick = |all| match &all.root {
            Some(Root::Pem(pem)) => Some(pem),
            _ => None,
        };
        let all: [(&[&str], &str, Pick); 3] = [
            (&["sslrootcert", "ssl-root-cert", "ssl-ca"], "PGSSLROOTCERT", root),
            (&["sslcert", "ssl-cert"], "PGSSLCERT", |all| all.certificate.as_ref()),
            (&["sslkey", "ssl-key"], "PGSSLKEY", |all| all.key.as_ref()),
        ];
        let is_file = |pem: Option<&Pem>| matches!(pem, Some(Pem::File(path)) if path == Path::new("/x/y.pem"));
        let pem = "-----BEGIN X-----\nAA+/\n-----END X-----\n";
        let is_pem = |found: Option<&Pem>| matches!(found, Some(Pem::Inline(text)) if text == pem);
        for (names, variable, pick) in all {
            for name in names {
                let encoded = pem.replace(' ', "%20").replace('\n', "%0A").replace('+', "%2B");
                assert!(is_file(pick(&parameters(&format!("{name}=/x/y.pem")).certificates)), "{name}");
                assert!(is_pem(pick(&parameters(&format!("{name}={encoded}")).certificates)), "{name}");
            }
            assert!(is_file(pick(&with("postgres://h", &[(variable, "/x/y.pem")]).certificates)), "{variable}");
            assert!(is_pem(pick(&with("postgres://h", &[(variable, pem)]).certificates)), "{variable}");
        }
    }

    #[test]
    fn the_systems_certificates_need_the_strongest_mode() {
        let system = parameters("sslrootcert=system");
        assert!(matches!(system.certificates.root, Some(Root::System)));
        assert_eq!(system.mode, SslMode::VerifyFull);
        assert_eq!(parameters("sslrootcert=system&sslmode=verify-full").mode, SslMode::VerifyFull);
        for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
            let error = refused(&format!("postgres://h.example.com/?sslmode={mode}&sslrootcert=system"));
            assert!(error.to_string().starts_with("DATABASE_URL: sslrootcert=system"), "{error}");
        }
        let variables = [("PGSSLMODE", "require"), ("PGSSLROOTCERT", "system")];
        assert!(matches!(
            open("postgres://localhost", DatabaseTls::Off, &variables),
            Err(OpenError::SystemRoots(SETTING))
        ));
    }

    #[test]
    fn remote_hosts_are_verified_whatever_sslmode_says() {
        for url in [
            "postgresql://u:p@ep-x.eu-central-1.aws.neon.tech/tasks?sslmode=require&channel_binding=require",
            "postgres://u:p@db.example.com/tasks?sslmode=disable",
            "postgres://u:p@localhost/tasks?host=db.example.com",
            "postgres://u:p@localhost/tasks?hostaddr=192.0.2.1",
            "postgres://u:p@localhost,db.example.com/tasks",
            "postgres://u:p@localhost.example.com/tasks",
            "postgres://u:p@192.168.0.7/tasks",
            "postgres://u:p@[2001:db8::1]/tasks",
        ] {
            assert_eq!(address(url).mode, SslMode::VerifyFull, "{url}");
            let (off, log) = logged(|| open(url, DatabaseTls::Off, BARE).unwrap());
            assert_ne!(off.mode, SslMode::VerifyFull, "{url}");
            assert!(log.contains("DATABASE_TLS=off") && log.contains(SETTING), "{log}");
        }
        for url in [
            "postgres://u:p@localhost/tasks?sslmode=disable",
            "postgres://u:p@LOCALHOST/tasks?sslmode=disable",
            "postgres://u:p@127.0.0.2,[::1],%2Fvar%2Frun/tasks?sslmode=disable",
            "postgres://u:p@db.example.com/tasks?sslmode=disable&hostaddr=127.0.0.1",
            "postgres:///tasks?host=/var/run/postgresql&sslmode=disable",
        ] {
            let (address, log) = logged(|| address(url));
            assert_eq!((address.mode, &*log), (SslMode::Disable, ""), "{url}");
        }
    }

    #[test]
    fn options_are_joined() {
        for (query, options) in [
            ("options=-c%20geqo%3Doff", "-c geqo=off"),
            ("options=-c+geqo=off", "-c geqo=off"),
            ("options[search_path]=a%20b", r"-c search_path=a\ b"),
            ("options%5Bx%5D=1&options%5by%5d=%5C", r"-c x=1 -c y=\\"),
            ("options=-c%20a=1&options[b]=2", "-c a=1 -c b=2"),
        ] {
            assert_eq!(parameters(query).options.as_deref(), Some(options), "{query}");
        }
        let both = with("postgres://localhost/?options=-c%20b=2", &[("PGOPTIONS", "-c a=1")]);
        assert_eq!(both.options.as_deref(), Some("-c a=1 -c b=2"));
        refused("postgres://localhost/?options[a=1");
    }

    #[test]
    fn variables_complete_the_address() {
        let variables = [
            ("PGHOST", "a,b"),
            ("PGHOSTADDR", "192.0.2.1,"),
            ("PGPORT", "1,2"),
            ("PGUSER", "me"),
            ("PGPASSWORD", "s3 cret@"),
            ("PGDATABASE", "tasks"),
            ("PGAPPNAME", "x"),
        ];
        let address = with("postgres://", &variables);
        assert_eq!(address.hosts, [at("a", "192.0.2.1", 1), tcp("b", 2)]);
        assert_eq!((&*address.user, address.database.as_deref()), ("me", Some("tasks")));
        assert_eq!((password(&address), &*address.application_name), (Some("s3 cret@"), "x"));

        let own = with("postgres://you:pw@h:3/d?application_name=y", &variables);
        assert_eq!(own.hosts, [tcp("h", 3)]);
        assert_eq!((&*own.user, own.database.as_deref()), ("you", Some("d")));
        assert_eq!((password(&own), &*own.application_name), (Some("pw"), "y"));

        assert_eq!(with("postgres://", &[("PGHOST", "/run")]).hosts, [file("/run/.s.PGSQL.5432")]);
        let empty = variables.map(|(name, _)| (name, ""));
        assert_eq!(with("postgres://h", &empty).application_name, "tasks-server");
    }

    #[test]
    fn a_wrong_variable_is_named_and_its_value_is_not() {
        for (name, value) in [
            ("PGPORT", "s3cret"),
            ("PGPORT", "1,2"),
            ("PGHOST", "s3cret?"),
            ("PGHOSTADDR", "s3cret"),
            ("PGSSLMODE", "s3cret"),
        ] {
            let error = open("postgres://", DatabaseTls::Verified, &[(name, value)]).expect_err(name);
            assert!(error.to_string().contains(name) && !format!("{error} {error:?}").contains("s3"), "{error}");
        }
        // Those that are not needed are not looked at.
        with("postgres://h:1/?sslmode=require", &[("PGPORT", "x"), ("PGHOST", "?"), ("PGSSLMODE", "x")]);
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for url in [
            "postgres:s3cret",
            "postgres://u:s3cret@h:99999/d",
            "postgres://u:s3cret@h:0/d",
            "postgres://u:s3cret@h:+1/d",
            "postgres://u:s3cret@h:1x/d",
            "postgres://u:s3cret@h:1:2/d",
            "postgres://u:s3cret@::1/d",
            "postgres://u:s3cret@[::1/d",
            "postgres://u:s3cret@[::1]x/d",
            "postgres://u:s3cret@[h]/d",
            "postgres://u:s3cret@[]/d",
            "postgres://u:s3cret@a b/d",
            "postgres://u:s3cret@h%/d",
            "postgres://u:s3cret@h%40x/d",
            "postgres://u:s3cret@h/d%2",
            "postgres://u:s3cret@h/d%ff",
            "postgres://u:s3cret@h/d%00",
            "postgres://u:s3cret%0A@h/d",
            "postgres://u:s3cret\n@h/d",
            "postgres://u:s3cret@h/d#x",
            "postgres://u:s3cret@%2Fh#x",
            "postgres://u:s3cret@h:x/d?port=1",
            "postgres://u:s3cret@h/d?application_name=a%00b",
            "postgres://u:s3cret@h/d?application_name=%c3",
            "postgres://u:s3cret@h/d?hostaddr=h",
            "postgres://u:s3cret@h/d?sslmode",
            "postgres://u:s3cret@h/d?=x",
            "postgres://u:s3cret@h/d?a%20b=x",
        ] {
            let (error, log) = logged(|| refused(url));
            assert!(matches!(error, OpenError::Address(SETTING)), "{url}");
            assert!(!format!("{error} {error:?} {log}").contains("s3"), "{error} {log}");
        }
    }

    #[test]
    fn unknown_parameters_are_named_without_their_values() {
        let (_, log) = logged(|| parameters("pgbouncer=s3cret&x.y_z-1=s3cret&sslmode=prefer&&user=s3cret"));
        assert!(log.contains("pgbouncer") && log.contains("x.y_z-1") && !log.contains("s3cret"), "{log}");
        assert_eq!(log.lines().count(), 2);
        let (_, log) = logged(|| parameters("channel_binding=require&statement-cache-capacity=0"));
        assert_eq!(log, "");
        refused(&format!("postgres://h/?{}=1", "x".repeat(65)));
        // Where the name may be the end of a password, only those that are common elsewhere are taken.
        parameters("password=a&connect_timeout=1&x=1");
        refused("postgres://h/?password=a&x=1");
    }

    #[test]
    fn percent_encoded_passwords_are_read() {
        let every: String = (' '..='~').chain(['é', '✓']).collect();
        let encoded = percent_encoding::utf8_percent_encode(&every, percent_encoding::NON_ALPHANUMERIC);
        assert_eq!(password(&address(&format!("postgres://u:{encoded}@h/d"))), Some(&*every));
        assert_eq!(password(&address(&format!("postgres://h/d?password={encoded}"))), Some(&*every));
        assert_eq!(password(&address("postgres://u:a+b@h/d")), Some("a+b"));
        assert_eq!(password(&address("postgres://u:é@h/d")), Some("é"));
        assert_eq!(address("postgres://me@corp:pw@h/d").user, "me@corp");
        assert_eq!(address("postgres://me%40corp@h/d").user, "me@corp");
    }

    /// Each reserved character, alone and in pairs, at each place of a password that nobody encoded: it is read as it
    /// is meant, or the address is refused, and no part of it is seen.
    #[test]
    fn no_part_of_a_password_is_taken_for_something_else() {
        const RESERVED: [&str; 16] =
            ["?", "#", "/", "@", ":", "%", " ", "[", "]", "\\", "&", "=", ",", "+", ";", "%zz"];
        let pairs = RESERVED.iter().flat_map(|one| RESERVED.map(|two| format!("{one}{two}")));
        let mut read = 0;
        for text in RESERVED.map(str::to_owned).into_iter().chain(pairs) {
            for (one, two) in [("s3cret", "t0ken"), ("31337", "73331")] {
                let places = [
                    format!("{text}{one}{two}"),
                    format!("{one}{text}{two}"),
                    format!("{one}{two}{text}"),
                    format!("{text}{one}{text}{two}{text}"),
                ];
                for secret in places {
                    for url in [
                        format!("postgresql://user:{secret}@db.example.com:5432/tasks?sslmode=require&x=1"),
                        format!("postgresql://user:{secret}@db.example.com,db.example.com"),
                        format!("postgresql://user:{secret}@db.example.com?dbname=tasks"),
                        format!("postgresql://user:{secret}@/tasks?host=db.example.com"),
                        format!("postgresql://db.example.com/tasks?user=user&password={secret}&connect_timeout=9"),
                        format!("postgresql://db.example.com/tasks?user=user&password={secret}&port=5432"),
                    ] {
                        let (result, log) = logged(|| open(&url, DatabaseTls::Verified, BARE));
                        let seen = match result {
                            Err(error) => format!("{error} {error:?}"),
                            Ok(address) => {
                                let form =
                                    if url.contains("password=") { secret.replace('+', " ") } else { secret.clone() };
                                // `%31` is an escape, whatever was meant.
                                let meant = percent_decode_str(&form).decode_utf8().unwrap();
                                assert_eq!(password(&address), Some(&*meant), "{url}");
                                assert_eq!(address.hosts[0], tcp("db.example.com", 5432), "{url}");
                                assert_eq!(address.user, "user", "{url}");
                                assert!(address.database.as_deref().is_none_or(|name| name == "tasks"), "{url}");
                                read += 1;
                                format!("{address:?} {:?}", address.options)
                            }
                        };
                        let seen = seen + &log;
                        assert!(!seen.contains(one) && !seen.contains(two), "{url}\n{seen}");
                    }
                }
            }
        }
        assert!(read > 1000, "{read}");
    }

    #[test]
    fn nothing_that_can_be_printed_holds_a_secret() {
        let url = "postgres://u:s3cret@localhost/d?sslkey=-----BEGIN%20s3cret-----&options=-c%20x=s3cret";
        let text = format!("{:?}", address(url));
        assert!(text.contains("localhost") && !text.contains("s3cret"), "{text}");
    }

    /// A home with a password file.
    fn home(text: &str, mode: u32) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".pgpass");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        home
    }

    #[test]
    fn the_password_file_is_searched_for_each_host() {
        let home = home(
            "# a:1:d:u:comment\n\nbroken:1:d\na:1:d:u:one\r\nb:*:*:u:t\\:w\\\\o:s \n192.0.2.9:5432:d:*:four\n\
             \\:\\:1:5432:*:u:six\n/run/pg:5432:u:u:socket\nlocalhost:6432:*:u:local\n*:*:*:last:\\*\n*:*:*:none:\n",
            0o600,
        );
        let variables = [("HOME", home.path().to_str().unwrap())];
        for (url, passwords) in [
            ("postgres://u@a:1,b:2,c:3/d", vec![Some("one"), Some("t:w\\o:s "), None]),
            ("postgres://u@a:2/d", vec![None]),
            ("postgres://u@a:1/e", vec![None]),
            ("postgres://v@a:1/d", vec![None]),
            ("postgres://v@c/d?hostaddr=192.0.2.9", vec![Some("four")]),
            ("postgres://v@/d?hostaddr=192.0.2.9", vec![Some("four")]),
            ("postgres://u@[::1]/d", vec![Some("six")]),
            ("postgres://u@%2Frun%2Fpg", vec![Some("socket")]),
            ("postgres://u@%2Frun%2Fpg:6432", vec![Some("local")]),
            ("postgres://last@x/y", vec![Some("*")]),
            ("postgres://none@x/y", vec![None]),
            ("postgres://u:own@a:1/d", vec![Some("own")]),
        ] {
            let (address, log) = logged(|| with(url, &variables));
            let found: Vec<_> = address.hosts.iter().map(|host| address.password_for(host)).collect();
            assert_eq!((found, &*log), (passwords, ""), "{url}");
        }
        let variables = [("HOME", home.path().to_str().unwrap()), ("PGPASSWORD", "variable")];
        assert_eq!(password(&with("postgres://u@a:1/d", &variables)), Some("variable"));
    }

    #[test]
    fn pgpassfile_comes_before_the_home() {
        let (named, home) = (home("*:*:d:u:named", 0o600), home("*:*:d:u:home\n*:*:e:u:home", 0o400));
        let path = named.path().join(".pgpass");
        let variables = [("PGPASSFILE", path.to_str().unwrap()), ("HOME", home.path().to_str().unwrap())];
        assert_eq!(password(&with("postgres://u@h/d", &variables)), Some("named"));
        assert_eq!(password(&with("postgres://u@h/e", &variables)), Some("home"));
        let variables = [("PGPASSFILE", "/nonexistent/s3cret"), variables[1]];
        assert_eq!(password(&with("postgres://u@h/d", &variables)), Some("home"));
    }

    #[test]
    fn a_password_file_that_others_can_read_is_not_used() {
        for mode in [0o640, 0o604, 0o620, 0o666] {
            let home = home("*:*:*:*:s3cret", mode);
            let variables = [("HOME", home.path().to_str().unwrap())];
            let (address, log) = logged(|| with("postgres://u@h/d", &variables));
            assert_eq!(password(&address), None);
            assert!(log.contains("~/.pgpass") && log.contains("0600") && !log.contains("s3cret"), "{log}");
        }
    }
}
