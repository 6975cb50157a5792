//! From the first byte to the first ReadyForQuery.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, SecretKey,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Server;
use super::cancel::Registration;
use super::channel::{Channel, Ended};
use super::frame::{Fault, Opening, Startup};
use super::output::Severity;
use crate::session::{Identity, Session, Signals};

/// The newest minor version of protocol 3 that canon speaks.
const MINOR_MAX: u16 = 2;
/// Bytes of a cancel key: in 3.0 exactly four, from 3.2 on up to 256.
const OLD_KEY_BYTES: usize = 4;
const NEW_KEY_BYTES: usize = 32;

const DEFAULT_DATABASE: &str = "canon";

/// The ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) client: SocketAddr,
    pub(super) server: Option<SocketAddr>,
}

impl Peer {
    fn is_loopback(self) -> bool {
        self.client.ip().to_canonical().is_loopback()
    }
}

/// Whether there is a place for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    Taken,
}

/// A session, and its entry among those that can be cancelled.
pub(super) struct LoggedIn {
    pub(super) session: Session,
    pub(super) registration: Registration,
}

/// None when the connection was only for a cancel request.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    channel: &mut Channel<S>,
    server: &Arc<Server>,
    peer: Peer,
    place: Place,
) -> Result<Option<LoggedIn>, Ended> {
    let Some(startup) = negotiate(channel, server).await? else { return Ok(None) };
    if place == Place::Taken {
        return Err(fatal("53300", "sorry, too many clients already"));
    }
    let request = LoginRequest::of(&startup)?;
    if !peer.is_loopback() {
        let message = "connections without a password are accepted from this machine only";
        return Err(fatal("28000", message));
    }
    let key_bytes = if startup.minor >= 2 { NEW_KEY_BYTES } else { OLD_KEY_BYTES };
    let signals = Signals::of_server(&server.drain, &server.stop);
    let registration = server.sessions.register(key_bytes, signals);
    let identity = Identity {
        role: request.user,
        database: request.database,
        backend_pid: registration.pid,
        signals: Arc::clone(&registration.signals),
        client: Some(peer.client),
        server: peer.server,
    };
    let engine = server.engine.clone();
    let session = match Session::new(engine, identity, &request.settings, &server.activity) {
        Ok(session) => session,
        Err(error) => {
            channel.output.error(Severity::Fatal, &error);
            channel.flush().await?;
            return Err(Ended::ByClient);
        }
    };
    let mut logged_in = LoggedIn { session, registration };
    welcome(channel, &startup, &request.unknown_options, &mut logged_in);
    channel.flush().await?;
    Ok(Some(logged_in))
}

/// Encryption requests are declined; then comes the start-up packet or a cancel request.
async fn negotiate<S: AsyncRead + AsyncWrite + Unpin>(
    channel: &mut Channel<S>,
    server: &Arc<Server>,
) -> Result<Option<Startup>, Ended> {
    let mut asked = Vec::new();
    loop {
        let opening = channel.opening().await?;
        match opening {
            Opening::Startup(startup) => return Ok(Some(startup)),
            Opening::Cancel { pid, secret } => {
                server.sessions.cancel(pid, &secret);
                return Ok(None);
            }
            Opening::Ssl | Opening::Gss if asked.contains(&opening) => {
                return Err(fatal("08P01", "encryption was requested twice"));
            }
            // Whatever came in the same breath was sent before the answer, perhaps by somebody
            // else on the way; with encryption it would be taken for the client's.
            Opening::Ssl | Opening::Gss if channel.has_unread() => {
                return Err(fatal("08P01", "received unencrypted data after encryption request"));
            }
            Opening::Ssl | Opening::Gss => {
                asked.push(opening);
                channel.output.bytes.push(b'N');
                channel.flush().await?;
            }
        }
    }
}

fn fatal(sqlstate: &'static str, message: &str) -> Ended {
    Ended::Fault(Fault { sqlstate, message: message.to_owned() })
}

/// What a start-up packet asks for.
struct LoginRequest {
    user: String,
    database: String,
    settings: Vec<(String, String)>,
    /// Options of the protocol (`_pq_.…`) that canon doesn't know.
    unknown_options: Vec<String>,
}

impl LoginRequest {
    fn of(startup: &Startup) -> Result<Self, Ended> {
        let mut request = Self {
            user: String::new(),
            database: DEFAULT_DATABASE.to_owned(),
            settings: Vec::new(),
            unknown_options: Vec::new(),
        };
        // As in Postgres, a setting by its own name wins over the same one among the options.
        let mut named = Vec::new();
        for (name, value) in &startup.parameters {
            match name.as_str() {
                "user" => request.user.clone_from(value),
                "database" if value.is_empty() => {}
                "database" => request.database.clone_from(value),
                "options" => request.settings.extend(options(value)?),
                "replication" if crate::sql::settings::parse_bool(value) == Some(false) => {}
                "replication" => return Err(fatal("0A000", "replication is not supported")),
                name if name.starts_with("_pq_.") => {
                    request.unknown_options.push(name.to_owned());
                }
                name => named.push((name.to_owned(), value.clone())),
            }
        }
        request.settings.extend(named);
        match request.user.is_empty() {
            true => Err(fatal("28000", "no PostgreSQL user name specified in startup packet")),
            false => Ok(request),
        }
    }
}

/// The settings of `options=-c a=b --c-d=e`; a backslash takes the next character as it is.
fn options(text: &str) -> Result<Vec<(String, String)>, Ended> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let mut words = words.into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let assignment = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(long), _) => Some(long.to_owned()),
            (None, Some("")) => words.next(),
            (None, Some(short)) => Some(short.to_owned()),
            (None, None) => None,
        };
        let assignment = assignment.unwrap_or_default();
        let Some((name, value)) = assignment.split_once('=') else {
            let message = format!("invalid command-line argument for server process: {word}");
            return Err(fatal("42601", &message));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

/// Everything from AuthenticationOk to the first ReadyForQuery, in one packet.
fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
    channel: &mut Channel<S>,
    startup: &Startup,
    unknown_options: &[String],
    logged_in: &mut LoggedIn,
) {
    let output = &mut channel.output;
    if startup.minor > MINOR_MAX || !unknown_options.is_empty() {
        let version = i32::from(startup.major) << 16 | i32::from(startup.minor.min(MINOR_MAX));
        output.message(&NegotiateProtocolVersion::new(version, unknown_options.to_vec()));
    }
    output.message(&Authentication::Ok);
    for (name, value) in logged_in.session.take_changes() {
        output.parameter_status(name, &value);
    }
    let secret = Bytes::copy_from_slice(&logged_in.registration.secret);
    output.message(&BackendKeyData::new(logged_in.registration.pid, SecretKey::Bytes(secret)));
    output.ready(logged_in.session.status());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_startup_packet() {
        let read = |text: &str| options(text).ok();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read("-c statement_timeout=5s -cTimeZone=UTC  --search-path=a\\ b"),
            Some(vec![
                pair("statement_timeout", "5s"),
                pair("TimeZone", "UTC"),
                pair("search_path", "a b"),
            ])
        );
        assert_eq!(read(""), Some(vec![]));
        assert_eq!(read("-x"), None);
        assert_eq!(read("-c"), None);
        assert_eq!(read("-c nonsense"), None);
    }
}
