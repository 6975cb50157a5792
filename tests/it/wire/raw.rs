//! A client of bytes: it sends what it is told, sound or not, and splits answers into messages.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for any answer on a busy machine; reached only when one is missing.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Raw {
    pub(super) stream: TcpStream,
}

/// A message's type and body.
pub(super) type Message = (char, Vec<u8>);

impl Raw {
    /// Connected, and nothing sent.
    pub(super) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Logged in as ana.
    pub(super) async fn login(address: SocketAddr) -> Self {
        let mut raw = Self::open(address).await;
        raw.send(&startup(3, 0, &[("user", "ana")])).await;
        raw.until('Z').await;
        raw
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next message; None at the end of the connection.
    pub(super) async fn message(&mut self) -> Option<Message> {
        let read = async {
            let kind = self.stream.read_u8().await.ok()?;
            let length = self.stream.read_u32().await.ok()?;
            let mut body = vec![0; usize::try_from(length).unwrap() - 4];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((char::from(kind), body))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("no answer")
    }

    /// All messages up to one of that type.
    pub(super) async fn until(&mut self, kind: char) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.message().await.unwrap_or_else(|| panic!("closed: {messages:?}"));
            let last = message.0 == kind;
            messages.push(message);
            if last {
                return messages;
            }
        }
    }

    /// The types of the messages up to ReadyForQuery, which ends with the transaction's status.
    pub(super) async fn kinds(&mut self) -> String {
        let messages = self.until('Z').await;
        let status = char::from(messages.last().unwrap().1[0]);
        let kinds: String = messages.iter().map(|(kind, _)| *kind).collect();
        kinds + &status.to_string()
    }

    /// Every message until the connection ends.
    pub(super) async fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            messages.push(message);
        }
        messages
    }

    /// The code of the FATAL error that the connection ends with.
    pub(super) async fn fatal(&mut self) -> String {
        let messages = self.rest().await;
        let [(kind, body)] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!((*kind, field(body, 'S')), ('E', "FATAL".to_owned()));
        field(body, 'C')
    }
}

/// A field of an ErrorResponse or NoticeResponse.
pub(super) fn field(body: &[u8], code: char) -> String {
    let fields = body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    let mut found = fields.filter(|field| char::from(field[0]) == code);
    found.next().map_or(String::new(), |field| String::from_utf8(field[1..].to_vec()).unwrap())
}

/// The codes of the errors among messages.
pub(super) fn errors(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|(kind, _)| *kind == 'E').map(|(_, body)| field(body, 'C')).collect()
}

pub(super) fn startup(major: u16, minor: u16, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = [major.to_be_bytes(), minor.to_be_bytes()].concat();
    for (name, value) in parameters {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], &body].concat()
}

pub(super) fn message(kind: char, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[u8::try_from(kind).unwrap()], &length.to_be_bytes()[..], body].concat()
}

pub(super) fn query(text: &str) -> Vec<u8> {
    message('Q', format!("{text}\0").as_bytes())
}

pub(super) fn parse(name: &str, text: &str, types: &[u32]) -> Vec<u8> {
    let mut body = format!("{name}\0{text}\0").into_bytes();
    body.extend_from_slice(&u16::try_from(types.len()).unwrap().to_be_bytes());
    types.iter().for_each(|oid| body.extend_from_slice(&oid.to_be_bytes()));
    message('P', &body)
}

pub(super) fn bind(
    portal: &str,
    statement: &str,
    formats: &[i16],
    values: &[Option<&[u8]>],
    result_formats: &[i16],
) -> Vec<u8> {
    let count = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let mut body = format!("{portal}\0{statement}\0").into_bytes();
    body.extend_from_slice(&count(formats.len()));
    formats.iter().for_each(|code| body.extend_from_slice(&code.to_be_bytes()));
    body.extend_from_slice(&count(values.len()));
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(value.unwrap_or_default());
    }
    body.extend_from_slice(&count(result_formats.len()));
    result_formats.iter().for_each(|code| body.extend_from_slice(&code.to_be_bytes()));
    message('B', &body)
}

pub(super) fn describe(kind: char, name: &str) -> Vec<u8> {
    message('D', format!("{kind}{name}\0").as_bytes())
}

pub(super) fn close(kind: char, name: &str) -> Vec<u8> {
    message('C', format!("{kind}{name}\0").as_bytes())
}

pub(super) fn execute(portal: &str, rows_max: i32) -> Vec<u8> {
    message('E', &[format!("{portal}\0").as_bytes(), &rows_max.to_be_bytes()].concat())
}

pub(super) fn sync() -> Vec<u8> {
    message('S', b"")
}

pub(super) fn flush() -> Vec<u8> {
    message('H', b"")
}
