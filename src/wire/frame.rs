//! Bytes to messages: lengths and types by the state of the connection, bodies read to their last
//! byte. No bytes from a client can make this panic, allocate ahead of their arrival, or read
//! beyond their message.
//!
//! Source: PostgreSQL manual, "Message Formats", and `src/backend/tcop/postgres.c`, `SocketBackend`.

use bytes::{Buf, Bytes, BytesMut};

/// A start-up packet is small; nobody has logged in yet.
const STARTUP_BYTES_MAX: usize = 10_000;
/// Messages that only name something.
const SMALL_BYTES_MAX: usize = 10_000;

/// What is wrong with bytes: code and message of the ErrorResponse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Fault {
    pub(super) sqlstate: &'static str,
    pub(super) message: String,
}

fn protocol(message: impl Into<String>) -> Fault {
    Fault { sqlstate: "08P01", message: message.into() }
}

/// What may come before log-in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Ssl,
    Gss,
    Cancel { pid: i32, secret: Bytes },
    Startup(Startup),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Startup {
    pub(super) major: u16,
    pub(super) minor: u16,
    pub(super) parameters: Vec<(String, String)>,
}

/// What may come after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Query(String),
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe {
        target: Target,
        name: String,
    },
    Close {
        target: Target,
        name: String,
    },
    Execute {
        portal: String,
        rows_max: i32,
    },
    Flush,
    Sync,
    Terminate,
    FunctionCall,
    /// Copy data outside of a copy, which Postgres ignores as well.
    Copy,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) portal: String,
    pub(super) statement: String,
    pub(super) formats: Vec<i16>,
    /// None: NULL.
    pub(super) values: Vec<Option<Bytes>>,
    pub(super) result_formats: Vec<i16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Statement,
    Portal,
}

/// The first packet of a connection, if it is complete.
///
/// # Errors
/// Any length that can't be, at once; and bodies that aren't as they should be.
pub(super) fn take_opening(input: &mut BytesMut) -> Result<Option<Opening>, Fault> {
    let Some(length) = length_at(input, 0) else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(0);
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(protocol("invalid length of startup packet"));
    }
    if input.len() < length {
        return Ok(None);
    }
    let mut packet = input.split_to(length).freeze();
    packet.advance(4);
    let mut body = Body { rest: packet };
    let (major, minor) = (body.u16()?, body.u16()?);
    match (major, minor, length) {
        (1234, 5679, 8) => Ok(Some(Opening::Ssl)),
        (1234, 5680, 8) => Ok(Some(Opening::Gss)),
        (1234, 5678, 16..=268) => {
            let pid = body.i32()?;
            Ok(Some(Opening::Cancel { pid, secret: body.rest }))
        }
        (1234, _, _) => Err(protocol("invalid length of startup packet")),
        (3, _, _) => Ok(Some(Opening::Startup(startup(major, minor, body)?))),
        (major, minor, _) => Err(Fault {
            sqlstate: "0A000",
            message: format!(
                "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2"
            ),
        }),
    }
}

/// Pairs of strings up to an empty one, which must be the last byte.
fn startup(major: u16, minor: u16, mut body: Body) -> Result<Startup, Fault> {
    let mut parameters = Vec::new();
    loop {
        let name = body.string()?;
        if name.is_empty() {
            break;
        }
        parameters.push((name, body.string()?));
    }
    if !body.rest.is_empty() {
        let message = "invalid startup packet layout: expected terminator as last byte";
        return Err(protocol(message));
    }
    Ok(Startup { major, minor, parameters })
}

/// A message's type and body, if it is complete.
///
/// # Errors
/// As soon as its first byte is no type of message, or its length can't be. Where the next message
/// begins isn't known then, so the connection can't go on.
pub(super) fn take_message(
    input: &mut BytesMut,
    large_bytes_max: usize,
) -> Result<Option<(u8, Bytes)>, Fault> {
    let Some(kind) = input.first().copied() else { return Ok(None) };
    let bytes_max = match kind {
        b'Q' | b'P' | b'B' | b'F' | b'd' => large_bytes_max,
        b'D' | b'C' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' => SMALL_BYTES_MAX,
        b'p' => return Err(protocol("unexpected password message: already logged in")),
        kind => return Err(protocol(format!("invalid frontend message type {kind}"))),
    };
    let Some(length) = length_at(input, 1) else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(0);
    if length < 4 {
        return Err(protocol("invalid message length"));
    }
    if length > bytes_max {
        return Err(Fault {
            sqlstate: if bytes_max == large_bytes_max { "54000" } else { "08P01" },
            message: format!("message of {length} bytes is longer than {bytes_max} bytes"),
        });
    }
    if input.len() < length + 1 {
        return Ok(None);
    }
    let mut message = input.split_to(length + 1).freeze();
    message.advance(5);
    Ok(Some((kind, message)))
}

fn length_at(input: &BytesMut, at: usize) -> Option<i32> {
    let bytes = input.get(at..at + 4)?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

/// A message from its body.
///
/// # Errors
/// 08P01 for bodies that end too early or too late, 22021 for text that isn't UTF-8. The frame was
/// whole, so the connection can go on.
pub(super) fn request(kind: u8, body: Bytes) -> Result<Request, Fault> {
    let mut body = Body { rest: body };
    let request = match kind {
        b'Q' => Request::Query(body.string()?),
        b'P' => {
            let (name, text) = (body.string()?, body.string()?);
            let types = (0..body.u16()?).map(|_| body.u32()).collect::<Result<_, _>>()?;
            Request::Parse { name, text, types }
        }
        b'B' => Request::Bind(bind(&mut body)?),
        b'D' => Request::Describe { target: body.target()?, name: body.string()? },
        b'C' => Request::Close { target: body.target()?, name: body.string()? },
        b'E' => Request::Execute { portal: body.string()?, rows_max: body.i32()? },
        b'H' => Request::Flush,
        b'S' => Request::Sync,
        b'X' => Request::Terminate,
        b'F' => return Ok(Request::FunctionCall),
        b'd' | b'c' | b'f' => return Ok(Request::Copy),
        kind => return Err(protocol(format!("invalid frontend message type {kind}"))),
    };
    match body.rest.is_empty() {
        true => Ok(request),
        false => Err(protocol("invalid message format")),
    }
}

fn bind(body: &mut Body) -> Result<Bind, Fault> {
    let (portal, statement) = (body.string()?, body.string()?);
    let formats = (0..body.u16()?).map(|_| body.i16()).collect::<Result<_, _>>()?;
    let values = (0..body.u16()?).map(|_| body.value()).collect::<Result<_, _>>()?;
    let result_formats = (0..body.u16()?).map(|_| body.i16()).collect::<Result<_, _>>()?;
    Ok(Bind { portal, statement, formats, values, result_formats })
}

/// What is left of a message.
struct Body {
    rest: Bytes,
}

impl Body {
    fn take(&mut self, length: usize) -> Result<Bytes, Fault> {
        match length <= self.rest.len() {
            true => Ok(self.rest.split_to(length)),
            false => Err(protocol("insufficient data left in message")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.take(N)?;
        bytes.as_ref().try_into().map_err(|_| protocol("insufficient data left in message"))
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    fn i16(&mut self) -> Result<i16, Fault> {
        self.array().map(i16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, Fault> {
        self.array().map(i32::from_be_bytes)
    }

    /// Up to the next NUL, which must be there.
    fn string(&mut self) -> Result<String, Fault> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| protocol("invalid string in message"))?;
        let bytes = self.take(end)?;
        self.take(1)?;
        utf8(&bytes).map(str::to_owned)
    }

    /// A length and that many bytes; -1 is NULL.
    fn value(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length)
                    .map_err(|_| protocol("insufficient data left in message"))?;
                self.take(length).map(Some)
            }
        }
    }

    fn target(&mut self) -> Result<Target, Fault> {
        match self.array()? {
            [b'S'] => Ok(Target::Statement),
            [b'P'] => Ok(Target::Portal),
            [other] => Err(protocol(format!("invalid subtype {other} of message"))),
        }
    }
}

/// Text in Postgres's sense: UTF-8 without NUL.
///
/// # Errors
/// 22021, naming the first bytes that are wrong.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    let fault = |wrong: &[u8]| {
        let wrong: Vec<String> = wrong.iter().map(|byte| format!("0x{byte:02x}")).collect();
        let message = format!("invalid byte sequence for encoding \"UTF8\": {}", wrong.join(" "));
        Fault { sqlstate: "22021", message }
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let from = bytes.get(error.valid_up_to()..).unwrap_or_default();
        fault(from.get(..error.error_len().unwrap_or(from.len()).min(4)).unwrap_or(from))
    })?;
    if text.contains('\0') { Err(fault(&[0])) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};

    fn message(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::from(&[kind][..]);
        bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn impossible_lengths_are_refused_at_once() {
        for length in [0, 1, 3, 4, 7, 10_001, i32::MAX, -1, i32::MIN] {
            let mut input = BytesMut::from(&length.to_be_bytes()[..]);
            assert!(take_opening(&mut input).is_err(), "{length}");
        }
        for length in [0, 3, -1, i32::MAX] {
            let mut input = BytesMut::from(&b"Q"[..]);
            input.extend_from_slice(&length.to_be_bytes());
            assert!(take_message(&mut input, 1 << 20).is_err(), "{length}");
        }
        assert!(take_message(&mut BytesMut::from(&b"\0"[..]), 1 << 20).is_err());
        assert!(take_message(&mut BytesMut::from(&b"S\0\0\x27\x11"[..]), 1 << 20).is_err());
    }

    #[test]
    fn every_cut_of_a_body_is_an_error_and_no_panic() {
        let bodies: [(u8, &[u8]); 6] = [
            (b'Q', b"SELECT 1\0"),
            (b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
            (b'B', b"p\0s\0\0\x01\0\0\0\x01\0\0\0\x011\0\x01\0\x01"),
            (b'D', b"Ss\0"),
            (b'C', b"Pp\0"),
            (b'E', b"p\0\0\0\0\0"),
        ];
        for (kind, body) in bodies {
            assert!(request(kind, Bytes::from_static(body)).is_ok(), "{kind}");
            for cut in 0..body.len() {
                assert!(
                    request(kind, Bytes::copy_from_slice(&body[..cut])).is_err(),
                    "{kind} {cut}"
                );
            }
            let longer = [body, b"x"].concat();
            assert!(request(kind, Bytes::from(longer)).is_err(), "{kind}");
        }
    }

    #[test]
    fn text_must_be_utf8() {
        let fault = request(b'Q', Bytes::from_static(b"SELECT '\xff'\0")).unwrap_err();
        assert_eq!(fault.sqlstate, "22021");
        assert_eq!(fault.message, "invalid byte sequence for encoding \"UTF8\": 0xff");
        let nul = request(b'Q', Bytes::from_static(b"SELECT 1\0; DROP\0")).unwrap_err();
        assert_eq!(nul.sqlstate, "08P01");
        assert_eq!(utf8(b"a\0b").unwrap_err().sqlstate, "22021");
    }

    #[test]
    fn openings() {
        let mut input = BytesMut::from(&b"\0\0\0\x08\x04\xd2\x16\x2f"[..]);
        assert_eq!(take_opening(&mut input), Ok(Some(Opening::Ssl)));
        let mut input = BytesMut::from(&b"\0\0\0\x0f\0\x03\0\0user\0a\0"[..]);
        assert!(take_opening(&mut input).is_err());
        let mut input = BytesMut::from(&b"\0\0\0\x10\0\x03\0\0user\0a\0\0rest"[..]);
        let parameters = vec![("user".to_owned(), "a".to_owned())];
        let startup = Startup { major: 3, minor: 0, parameters };
        assert_eq!(take_opening(&mut input), Ok(Some(Opening::Startup(startup))));
        assert_eq!(&input[..], b"rest");
        let mut input = BytesMut::from(&b"\0\0\0\x08\0\x02\0\0"[..]);
        assert_eq!(take_opening(&mut input).unwrap_err().sqlstate, "0A000");
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        for _ in 0..20_000 {
            let mut body = vec![0; random.random_range(0..64)];
            random.fill_bytes(&mut body);
            let kind = b"QPBDCEHSXFdcf"[random.random_range(0..13)];
            let _ = request(kind, Bytes::from(body.clone()));
            let mut input = message(kind, &body);
            let cut = random.random_range(0..=input.len());
            input.truncate(cut);
            while let Ok(Some((kind, body))) = take_message(&mut input, 1 << 20) {
                let _ = request(kind, body);
            }
            let _ = take_opening(&mut BytesMut::from(&body[..]));
        }
    }
}
