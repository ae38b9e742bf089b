//! The address of the server and the credentials: options that both tools have.

use std::path::PathBuf;

use clap::Args;
use verbena_transport::{RdmaClientOptions, Target};

use super::client::{Client, ConnectError, Reason, Value};
use super::tls_options::TlsOptions;

/// Where the server is, and as whom to connect.
#[derive(Args, Clone, Debug)]
#[command(disable_help_flag = true)]
pub struct ServerOptions {
    /// Server host name or address
    #[arg(short = 'h', value_name = "HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Server port
    #[arg(short = 'p', value_name = "PORT", default_value_t = 6379)]
    pub port: u16,

    /// Unix socket of the server, in place of host and port
    #[arg(short = 's', value_name = "SOCKET")]
    pub socket: Option<PathBuf>,

    /// Password
    #[arg(short = 'a', long = "pass", value_name = "PASSWORD", allow_hyphen_values = true)]
    pub password: Option<String>,

    /// User name for AUTH; needs a password too
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,

    /// Server URI: redis://, rediss:// (TLS), valkey://, valkeys:// or rdma://[user:password@]host[:port][/db], or unix://PATH
    #[arg(short = 'u', value_name = "URI", value_parser = parse_uri)]
    pub uri: Option<Uri>,

    /// Connect over RDMA
    #[arg(long)]
    pub rdma: bool,

    /// RDMA port of the server; implies --rdma
    #[arg(long, value_name = "PORT")]
    pub rdma_port: Option<u16>,

    /// Bytes of the RDMA receive buffer
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(64 << 10..=16 << 20))]
    pub rdma_rx_size: u32,

    /// Over RDMA, spin on completions instead of sleeping until they come
    #[arg(long)]
    pub poll: bool,

    #[command(flatten)]
    pub tls: TlsOptions,
}

/// The parts of a server URI.
#[derive(Clone, Debug, PartialEq)]
pub struct Uri {
    pub transport: UriTransport,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub db: Option<u32>,
}

/// The transport that the scheme of a URI names.
#[derive(Clone, Debug, PartialEq)]
pub enum UriTransport {
    Tcp,
    Tls,
    Rdma,
    Unix(PathBuf),
}

impl ServerOptions {
    /// Completes the options by the URI, and by the files that they name. Returns the database of the URI.
    ///
    /// # Errors
    /// If a file is missing or can't be used.
    pub fn prepare(&mut self) -> Result<Option<u32>, String> {
        let db = self.apply_uri();
        self.tls.load()?;
        Ok(db)
    }

    /// Copies the parts of the URI to the other options.
    fn apply_uri(&mut self) -> Option<u32> {
        let uri = self.uri.take()?;
        match uri.transport {
            UriTransport::Tcp => {}
            UriTransport::Tls => self.tls.tls = true,
            UriTransport::Rdma => self.rdma = true,
            UriTransport::Unix(path) => self.socket = Some(path),
        }
        self.host = uri.host.unwrap_or_else(|| std::mem::take(&mut self.host));
        self.port = uri.port.unwrap_or(self.port);
        self.user = uri.user.or(self.user.take());
        self.password = uri.password.or(self.password.take());
        uri.db
    }

    /// Where to connect to.
    pub fn target(&self) -> Target {
        if let Some(path) = &self.socket {
            return Target::unix(path);
        }
        if let Some(context) = &self.tls.context {
            return Target::tls(&self.host, self.port, context.clone());
        }
        if !self.rdma && self.rdma_port.is_none() {
            return Target::tcp(&self.host, self.port);
        }
        let options = RdmaClientOptions {
            rx_size: self.rdma_rx_size as usize,
            poll_us: if self.poll { -1 } else { 0 },
        };
        Target::rdma(&self.host, self.rdma_port.unwrap_or(self.port), options)
    }

    /// The arguments of AUTH, if there is a password.
    pub fn auth(&self) -> Option<Vec<&str>> {
        let password = self.password.as_deref()?;
        Some(match &self.user {
            Some(user) => vec!["AUTH", user, password],
            None => vec!["AUTH", password],
        })
    }

    /// Connects and sends AUTH, HELLO 3 if `resp3`, and SELECT if `db` is not 0.
    pub async fn connect(&self, resp3: bool, db: u32) -> Result<Client, SetupError> {
        let mut client = Client::connect(&self.target()).await.map_err(SetupError::Connect)?;
        let mut setup: Vec<Vec<&str>> = self.auth().into_iter().collect();
        if resp3 {
            setup.push(vec!["HELLO", "3"]);
        }
        let db_text = db.to_string();
        if db != 0 {
            setup.push(vec!["SELECT", &db_text]);
        }
        for command in setup {
            match client.call(&command).await {
                Ok(Value::Error(text)) => {
                    return Err(SetupError::Refused {
                        command: command[0].to_owned(),
                        error: String::from_utf8_lossy(&text).into_owned(),
                    });
                }
                Ok(_) => {}
                Err(error) => {
                    return Err(SetupError::Connect(ConnectError { target: self.target(), error }));
                }
            }
        }
        Ok(client)
    }
}

/// The reason why a connection is not ready for commands.
#[derive(Debug)]
pub enum SetupError {
    Connect(ConnectError),
    /// The server answered one of the first commands with an error.
    Refused {
        command: String,
        error: String,
    },
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SetupError::Connect(error) => error.fmt(f),
            SetupError::Refused { command, error } => write!(f, "{command} failed: {error}"),
        }
    }
}

impl std::error::Error for SetupError {}

/// An I/O error on a connection that was in use.
pub fn broken(error: &std::io::Error) -> String {
    format!("Error: {}", Reason(error))
}

/// Splits `scheme://[user[:password]@]host[:port][/db]` or `unix://path` into its parts.
pub fn parse_uri(text: &str) -> Result<Uri, String> {
    let (scheme, rest) =
        text.split_once("://").ok_or("a URI begins with its scheme, as in redis://")?;
    let mut uri = Uri {
        transport: UriTransport::Tcp,
        host: None,
        port: None,
        user: None,
        password: None,
        db: None,
    };
    match scheme {
        "redis" | "valkey" | "verbena" => {}
        "rediss" | "valkeys" | "verbenas" => uri.transport = UriTransport::Tls,
        "rdma" => uri.transport = UriTransport::Rdma,
        "unix" => {
            uri.transport = UriTransport::Unix(rest.into());
            return Ok(uri);
        }
        _ => {
            return Err(format!(
                "'{scheme}' is none of redis, rediss, valkey, valkeys, verbena, rdma and unix"
            ));
        }
    }
    let rest = match rest.rsplit_once('@') {
        Some((login, rest)) => {
            match login.split_once(':') {
                Some((user, password)) => {
                    uri.user = Some(percent_decode(user)?).filter(|user| !user.is_empty());
                    uri.password = Some(percent_decode(password)?);
                }
                None => uri.password = Some(percent_decode(login)?),
            }
            rest
        }
        None => rest,
    };
    let (address, db) = rest.split_once('/').unwrap_or((rest, ""));
    // An IPv6 address stands in brackets, since it has colons itself.
    let (host, port) = match address.strip_prefix('[').and_then(|a| a.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    uri.host = Some(host.to_owned()).filter(|host| !host.is_empty());
    if let Some(port) = port {
        uri.port = Some(port.parse().map_err(|_| format!("'{port}' is not a port"))?);
    }
    let db = db.split('?').next().unwrap_or_default();
    if !db.is_empty() {
        uri.db = Some(db.parse().map_err(|_| format!("'{db}' is not a database number"))?);
    }
    Ok(uri)
}

fn percent_decode(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' has a '%' that two hexadecimal digits do not follow");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit =
                    || bytes.next().and_then(|b| (b as char).to_digit(16)).ok_or_else(wrong);
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| format!("'{text}' is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_transport_server_user_and_database() {
        let uri = parse_uri("rdma://al%40x:p%3ass@[::1]:6380/3").unwrap();
        assert_eq!(uri.transport, UriTransport::Rdma);
        assert_eq!(uri.host.as_deref(), Some("::1"));
        assert_eq!(uri.port, Some(6380));
        assert_eq!(uri.user.as_deref(), Some("al@x"));
        assert_eq!(uri.password.as_deref(), Some("p:ss"));
        assert_eq!(uri.db, Some(3));

        let uri = parse_uri("redis://:secret@host").unwrap();
        assert_eq!((uri.user, uri.password.as_deref()), (None, Some("secret")));
        assert_eq!((uri.host.as_deref(), uri.port, uri.db), (Some("host"), None, None));

        let uri = parse_uri("rediss://h:1").unwrap();
        assert_eq!((uri.transport, uri.port), (UriTransport::Tls, Some(1)));
        assert_eq!(
            parse_uri("unix:///run/v.sock").unwrap().transport,
            UriTransport::Unix("/run/v.sock".into())
        );
        for wrong in
            ["host:1", "http://h", "redis://h:x", "redis://h/x", "redis://%4@h", "redis://h:70000"]
        {
            assert!(parse_uri(wrong).is_err(), "{wrong}");
        }
    }
}
