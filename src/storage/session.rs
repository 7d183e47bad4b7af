//! One session with PostgreSQL: connected, let in, and asked one statement after another.
//!
//! `reader.rs` asks many at a time of a session that it has for itself. The protocol is version 3.0 of "Frontend/Backend
//! Protocol" in PostgreSQL's manual; its messages are written and read by `postgres-protocol`.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ChannelBinding, ScramSha256};
use postgres_protocol::message::backend::{ErrorFields, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::storage::address::Host;
use crate::storage::connection::{Endpoint, Stream, Target};
use crate::storage::failure::{Failure, Said};
use crate::storage::statement::{Reply, Statement};

/// How long the request to cancel a statement may keep its own request waiting.
pub(crate) const CANCEL: Duration = Duration::from_millis(500);
/// How long the outcome of a statement that was cancelled is waited for.
pub(crate) const OUTCOME: Duration = Duration::from_millis(700);
/// The longest answer, in bytes: ten times the largest page.
const LONGEST: usize = 8 << 20;

/// Answers as they come in.
#[derive(Default)]
struct Inbox {
    buffer: BytesMut,
    /// Up to where the buffer was looked at.
    seen: usize,
    /// Whether a statement of the answer in hand was prepared, and what was said against it.
    is_parsed: bool,
    said: Option<Said>,
}

/// The answer to one statement, or to one text of statements.
pub(crate) struct Answer {
    bytes: Bytes,
    is_parsed: bool,
    said: Option<Said>,
    /// `I` outside of a transaction, `T` in one, `E` in one that failed.
    status: u8,
}

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By its name, and prepared first where this session has not done it.
    Named,
    /// Prepared anew, by its name.
    Anew,
    /// Without a name. Always works, and is planned each time.
    Unnamed,
}

impl Way {
    /// The next way, when a statement sent this way met another past than the session's: a pooler has put another server
    /// behind it, or the tables have changed.
    pub(crate) fn next(self, failure: &Failure) -> Option<Self> {
        match (self, failure) {
            (Self::Named, Failure::Said(said)) if is_of_the_past(said) => Some(Self::Anew),
            (Self::Anew, Failure::Said(said)) if is_of_the_past(said) => Some(Self::Unnamed),
            _ => None,
        }
    }
}

fn is_of_the_past(said: &Said) -> bool {
    !said.is_fatal && matches!(said.code.as_str(), "26000" | "0A000")
}

/// An open session. Dropping it ends it.
pub(crate) struct Session {
    stream: Box<dyn Stream>,
    inbox: Inbox,
    /// Names of the statements that this session has prepared.
    prepared: HashSet<Box<str>>,
    /// Whether statements go without names.
    is_unnamed: bool,
    /// Whether an answer is missing.
    is_waiting: bool,
    cancel: Cancel,
    pub(crate) born: Instant,
    /// When it last answered.
    pub(crate) heard: Instant,
}

/// What it takes to give up the statement that a session runs.
#[derive(Clone)]
pub(crate) struct Cancel {
    target: Arc<Target>,
    endpoint: Endpoint,
    key: Option<(i32, i32)>,
}

fn malformed() -> Failure {
    Failure::Lost(ErrorKind::InvalidData)
}

impl Inbox {
    /// The next answer, when it is there as a whole.
    ///
    /// # Errors
    /// When the session has ended, or what came is no answer.
    fn answer(&mut self) -> Result<Option<Answer>, Failure> {
        while let Some(rest) = self.buffer.get(self.seen..)
            && let Some((&tag, rest)) = rest.split_first()
            && let Some((length, rest)) = rest.split_first_chunk()
        {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if !(4..=LONGEST).contains(&length) {
                return Err(malformed());
            }
            let Some(body) = rest.get(..length - 4) else {
                self.buffer.reserve(length - 4 - rest.len());
                break;
            };
            match tag {
                b'1' => self.is_parsed = true,
                b'E' => {
                    let said = said(self.buffer.get(self.seen..=self.seen + length).unwrap_or_default())?;
                    if said.is_fatal {
                        return Err(Failure::Said(said));
                    }
                    self.said.get_or_insert(said);
                }
                b'Z' => {
                    let status = body.first().copied().unwrap_or_default();
                    let bytes = self.buffer.split_to(self.seen + 1 + length).freeze();
                    self.seen = 0;
                    let is_parsed = std::mem::take(&mut self.is_parsed);
                    return Ok(Some(Answer { bytes, is_parsed, said: self.said.take(), status }));
                }
                _ => {}
            }
            self.seen += 1 + length;
        }
        if self.buffer.len() > LONGEST { Err(malformed()) } else { Ok(None) }
    }
}

/// Reads a whole error message.
fn said(message: &[u8]) -> Result<Said, Failure> {
    match Message::parse(&mut BytesMut::from(message)) {
        Ok(Some(Message::ErrorResponse(body))) => said_of(&body),
        _ => Err(malformed()),
    }
}

fn said_of(body: &ErrorResponseBody) -> Result<Said, Failure> {
    use postgres_protocol::message::backend::ErrorField;
    let (mut code, mut message, mut is_fatal) = (String::new(), String::new(), false);
    let mut fields: ErrorFields<'_> = body.fields();
    while let Some(field) = fallible_iterator::FallibleIterator::next(&mut fields).map_err(|_| malformed())? {
        let field: ErrorField<'_> = field;
        let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => code = value(),
            b'M' => message = value(),
            // The severity in the server's language; that which is not translated comes as V, since 9.6.
            b'S' | b'V' => is_fatal |= matches!(field.value_bytes(), b"FATAL" | b"PANIC"),
            _ => {}
        }
    }
    Ok(Said { code, message, is_fatal })
}

impl Answer {
    /// What was answered, or what was said against the statement.
    pub(crate) fn into_reply(self) -> Result<Reply, Failure> {
        match self.said {
            Some(said) => Err(Failure::Said(said)),
            None => Ok(Reply::Postgres(self.bytes)),
        }
    }
}

impl Session {
    /// A session at this address. `accepted` is set once the connection is there.
    pub(crate) async fn open(
        target: &Arc<Target>,
        endpoint: Endpoint,
        accepted: Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let (stream, binding) = target.stream(&endpoint, &accepted).await?;
        let cancel = Cancel { target: Arc::clone(target), endpoint, key: None };
        let now = Instant::now();
        let mut session = Self {
            stream,
            inbox: Inbox::default(),
            prepared: HashSet::new(),
            is_unnamed: false,
            is_waiting: false,
            cancel,
            born: now,
            heard: now,
        };
        match session.start(target, binding).await {
            Ok(()) => Ok(session),
            Err(Failure::Lost(ErrorKind::UnexpectedEof)) => {
                Err(Failure::Away("the database closed the connection while it was being made".into()))
            }
            Err(Failure::Lost(kind)) => Err(Failure::Away(format!("the connection could not be made: {kind}").into())),
            Err(other) => Err(other),
        }
    }

    /// Is let in, and sees whether this is a database that can be used.
    async fn start(&mut self, target: &Target, binding: Option<Vec<u8>>) -> Result<(), Failure> {
        let address = target.address();
        let mut parameters = vec![("user", address.user.as_str()), ("client_encoding", "UTF8")];
        parameters.extend(address.database.as_deref().map(|database| ("database", database)));
        parameters.push(("application_name", &address.application_name));
        // Nothing else is asked for: poolers refuse what they cannot keep.
        parameters.extend(address.options.as_deref().map(|options| ("options", options)));
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out)
            .map_err(|_| Failure::Bug("the start-up message is too long"))?;
        self.send(&out).await?;
        let password = address.password_for(&self.cancel.endpoint.host).map(str::to_owned);
        let password = || {
            let password = password.as_deref();
            password.ok_or_else(|| Failure::Away("the database wants a password, and there is none".into()))
        };
        loop {
            match self.message().await? {
                Message::AuthenticationOk => break,
                Message::AuthenticationCleartextPassword => {
                    self.send_password(password()?.as_bytes()).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(address.user.as_bytes(), password()?.as_bytes(), body.salt());
                    self.send_password(hash.as_bytes()).await?;
                }
                Message::AuthenticationSasl(body) => {
                    let mut offers = Vec::new();
                    let mut mechanisms = body.mechanisms();
                    while let Some(name) =
                        fallible_iterator::FallibleIterator::next(&mut mechanisms).map_err(|_| malformed())?
                    {
                        offers.push(name.to_owned());
                    }
                    self.scram(password()?, &offers, binding.clone()).await?;
                }
                _ => {
                    return Err(Failure::Away(
                        "the database wants a way to log in that is not known here: it takes passwords (SCRAM, MD5, \
                         plain) and certificates"
                            .into(),
                    ));
                }
            }
        }
        loop {
            match self.message().await? {
                Message::ParameterStatus(body) => {
                    if body.name().is_ok_and(|name| name == "server_encoding")
                        && let Ok(encoding) = body.value()
                        && encoding != "UTF8"
                    {
                        let cause = format!(
                            "the database's encoding is {encoding}, which cannot hold every title: create it with \
                             ENCODING 'UTF8'"
                        );
                        return Err(Failure::Unfit(cause.into()));
                    }
                }
                Message::BackendKeyData(body) => self.cancel.key = Some((body.process_id(), body.secret_key())),
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
        }
    }

    async fn scram(&mut self, password: &str, offers: &[String], binding: Option<Vec<u8>>) -> Result<(), Failure> {
        let has = |name: &str| offers.iter().any(|offer| offer == name);
        let (mechanism, binding) = match (has(sasl::SCRAM_SHA_256_PLUS), has(sasl::SCRAM_SHA_256), binding) {
            (true, _, Some(hash)) => (sasl::SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash)),
            (false, true, Some(_)) => (sasl::SCRAM_SHA_256, ChannelBinding::unrequested()),
            (_, true, None) => (sasl::SCRAM_SHA_256, ChannelBinding::unsupported()),
            _ => return Err(Failure::Away("the database wants a way to log in that is not known here".into())),
        };
        let mut scram = ScramSha256::new(password.as_bytes(), binding);
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut out).map_err(|_| malformed())?;
        self.send(&out).await?;
        let Message::AuthenticationSaslContinue(body) = self.message().await? else { return Err(malformed()) };
        scram.update(body.data()).map_err(|_| malformed())?;
        out.clear();
        frontend::sasl_response(scram.message(), &mut out).map_err(|_| malformed())?;
        self.send(&out).await?;
        let Message::AuthenticationSaslFinal(body) = self.message().await? else { return Err(malformed()) };
        scram
            .finish(body.data())
            .map_err(|_| Failure::Away("whoever answers does not know the database's password".into()))
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        frontend::password_message(password, &mut out)
            .map_err(|_| Failure::Away("the database's password holds a null character".into()))?;
        self.send(&out).await
    }

    async fn send(&mut self, out: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(out).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// The next message, of those that come before the session is open.
    async fn message(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some([_, length @ ..]) = self.inbox.buffer.first_chunk::<5>()
                && u32::from_be_bytes(*length) > 1 << 16
            {
                return Err(malformed());
            }
            match Message::parse(&mut self.inbox.buffer).map_err(|_| malformed())? {
                // Whatever severity it names, as poolers and proxies of their own name one: nothing comes after it.
                Some(Message::ErrorResponse(body)) => {
                    return Err(Failure::Said(Said { is_fatal: true, ..said_of(&body)? }));
                }
                Some(Message::NoticeResponse(_)) => {}
                Some(message) => return Ok(message),
                None if self.inbox.buffer.len() > 1 << 16 => return Err(malformed()),
                None => {
                    if self.stream.read_buf(&mut self.inbox.buffer).await? == 0 {
                        return Err(Failure::Lost(ErrorKind::UnexpectedEof));
                    }
                }
            }
        }
    }

    /// Where it leads to.
    pub(crate) fn host(&self) -> &Host {
        &self.cancel.endpoint.host
    }

    /// Whether nothing is under way and nothing is left over.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.is_waiting && self.inbox.buffer.is_empty()
    }

    /// What it takes to give up the statement that runs.
    pub(crate) fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// From now on, sends statements without names.
    pub(crate) fn go_unnamed(&mut self) {
        self.is_unnamed = true;
    }

    /// Appends the messages that run a bound statement.
    pub(crate) fn write(
        &mut self,
        statement: &Statement,
        bound: &Bytes,
        way: Way,
        out: &mut BytesMut,
    ) -> Result<(), Failure> {
        let name = statement.name();
        if way == Way::Unnamed || self.is_unnamed || !statement.is_kept() {
            statement.write_parse("", out)?;
            return unnamed(bound, name.len(), out).ok_or(Failure::Bug("a statement is not bound"));
        }
        if way == Way::Anew || !self.prepared.contains(name) {
            statement.write_parse(name, out)?;
            self.prepared.insert(name.into());
        }
        out.put_slice(bound);
        Ok(())
    }

    /// Takes note of an answer to a statement.
    fn note(&mut self, statement: &Statement, answer: &Answer) {
        self.heard = Instant::now();
        // What failed before it was prepared has to be prepared the next time.
        if answer.said.is_some() && !answer.is_parsed {
            self.prepared.remove(statement.name());
        }
    }

    /// Runs a statement outside of a transaction.
    pub(crate) async fn run(&mut self, statement: &Statement, bound: &Bytes) -> Result<Reply, Failure> {
        let mut way = Way::Named;
        loop {
            let mut out = BytesMut::new();
            self.write(statement, bound, way, &mut out)?;
            let answer = self.exchange(&out).await?;
            self.note(statement, &answer);
            match answer.into_reply() {
                Err(failure) if let Some(next) = way.next(&failure) => way = next,
                done => return done,
            }
        }
    }

    /// Runs a statement in a transaction; with a text, after that, in one message. Where the text is refused, the statement
    /// has run outside of a transaction: the first one of a transaction must do no harm by itself.
    pub(crate) async fn run_within(
        &mut self,
        before: Option<&str>,
        statement: &Statement,
        bound: &Bytes,
    ) -> Result<Reply, Failure> {
        let mut out = BytesMut::new();
        if let Some(text) = before {
            frontend::query(text, &mut out).map_err(|_| Failure::Bug("a statement cannot be written"))?;
        }
        self.write(statement, bound, Way::Named, &mut out)?;
        let mut answer = self.exchange(&out).await?;
        if before.is_some() {
            self.is_waiting = true;
            let begun = answer.into_reply();
            answer = self.receive().await?;
            begun?;
        }
        self.note(statement, &answer);
        answer.into_reply()
    }

    /// Runs a text of statements without values; the status of the transaction afterwards.
    pub(crate) async fn run_text(&mut self, text: &str) -> Result<(Reply, u8), Failure> {
        let mut out = BytesMut::new();
        frontend::query(text, &mut out).map_err(|_| Failure::Bug("a statement cannot be written"))?;
        let answer = self.exchange(&out).await?;
        self.heard = Instant::now();
        let status = answer.status;
        Ok((answer.into_reply()?, status))
    }

    /// Whether the database answers in this time.
    pub(crate) async fn ping(&mut self, limit: Duration) -> bool {
        let mut out = BytesMut::new();
        frontend::sync(&mut out);
        matches!(timeout(limit, self.exchange(&out)).await, Ok(Ok(answer)) if answer.said.is_none())
    }

    async fn exchange(&mut self, out: &[u8]) -> Result<Answer, Failure> {
        self.is_waiting = true;
        self.send(out).await?;
        self.receive().await
    }

    async fn receive(&mut self) -> Result<Answer, Failure> {
        loop {
            if let Some(answer) = self.inbox.answer()? {
                self.is_waiting = false;
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.inbox.buffer).await? == 0 {
                return Err(Failure::Lost(ErrorKind::UnexpectedEof));
            }
        }
    }

    /// Waits for the answer that is missing, after its statement was cancelled.
    pub(crate) async fn outcome(&mut self) -> Result<Reply, Failure> {
        self.receive().await?.into_reply()
    }

    /// Ends the session as the protocol wants it.
    pub(crate) async fn close(mut self) {
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        let _ = timeout(Duration::from_millis(100), async {
            let _ = self.send(&out).await;
            let _ = self.stream.shutdown().await;
        })
        .await;
    }

    // For the reader, which asks many at a time.

    /// Writes some of this, if that is possible now.
    pub(crate) fn poll_send(&mut self, context: &mut Context<'_>, out: &mut BytesMut) -> Poll<Result<(), Failure>> {
        while out.has_remaining() {
            let written = ready!(Pin::new(&mut *self.stream).poll_write(context, out))?;
            if written == 0 {
                return Poll::Ready(Err(Failure::Lost(ErrorKind::WriteZero)));
            }
            out.advance(written);
        }
        Pin::new(&mut *self.stream).poll_flush(context).map_err(Into::into)
    }

    /// The next answer, if it is there.
    pub(crate) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        loop {
            if let Some(answer) = self.inbox.answer()? {
                return Poll::Ready(Ok(answer));
            }
            self.inbox.buffer.reserve(4096);
            let read = ready!(pin!(self.stream.read_buf(&mut self.inbox.buffer)).poll(context))?;
            if read == 0 {
                return Poll::Ready(Err(Failure::Lost(ErrorKind::UnexpectedEof)));
            }
        }
    }

    /// Takes note of an answer to a statement; what it answered, or how to send it again.
    pub(crate) fn judge(
        &mut self,
        statement: &Statement,
        way: Way,
        answer: Answer,
    ) -> Result<Result<Reply, Failure>, Way> {
        self.note(statement, &answer);
        match answer.into_reply() {
            Err(failure) if let Some(next) = way.next(&failure) => Err(next),
            done => Ok(done),
        }
    }
}

/// Appends bound messages without their statement's name, which is so long: the Bind message is `B`, length, portal's
/// name, statement's name, and so on.
fn unnamed(bound: &[u8], name: usize, out: &mut BytesMut) -> Option<()> {
    let (length, rest) = bound.get(1..)?.split_first_chunk()?;
    let length = u32::from_be_bytes(*length).checked_sub(u32::try_from(name).ok()?)?;
    out.put_u8(b'B');
    out.put_u32(length);
    // The end of the portal's empty name.
    out.put_u8(0);
    out.put_slice(rest.get(1 + name..)?);
    Some(())
}

impl Cancel {
    /// Asks the database to give up what the session runs, and waits, so long at most, until it has taken note. It must run nothing of
    /// anybody else's, and nothing afterwards: the request is about the session, not about a statement.
    pub(crate) async fn send(self, limit: Duration) {
        let Some((process, secret)) = self.key else { return };
        let work = async {
            let (mut stream, _) = self.target.stream(&self.endpoint, &AtomicBool::new(false)).await?;
            let mut out = BytesMut::new();
            frontend::cancel_request(process, secret, &mut out);
            stream.write_all(&out).await?;
            stream.flush().await?;
            // The database closes once it has passed the request on.
            let _ = stream.read_u8().await;
            Ok::<_, Failure>(())
        };
        let _ = timeout(limit, work).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::statement::{Kind, Value};

    /// A message of the database.
    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag], &length.to_be_bytes()[..], body].concat()
    }

    fn error(severity: &str, code: &str) -> Vec<u8> {
        let text = format!("S{severity}\0V{severity}\0C{code}\0Mtext\0Ds3cret\0\0");
        message(b'E', text.as_bytes())
    }

    #[test]
    fn answers_are_told_apart_however_they_come_in() {
        let first = [message(b'1', b""), message(b'2', b""), message(b'D', b"\0\0"), message(b'Z', b"I")].concat();
        let second = [error("ERROR", "23505"), message(b'Z', b"E")].concat();
        let all = [first.clone(), second].concat();
        for size in 1..all.len() {
            let mut inbox = Inbox::default();
            let mut answers = Vec::new();
            for piece in all.chunks(size) {
                inbox.buffer.extend_from_slice(piece);
                while let Some(answer) = inbox.answer().unwrap() {
                    answers.push(answer);
                }
            }
            let [one, two] = answers.as_slice() else { panic!("{size}: {}", answers.len()) };
            assert!(one.said.is_none() && one.is_parsed && one.status == b'I' && one.bytes == first, "{size}");
            let said = two.said.as_ref().unwrap();
            assert!(said.code == "23505" && !said.is_fatal && !two.is_parsed && two.status == b'E', "{size}");
            assert!(inbox.buffer.is_empty());
        }
    }

    #[test]
    fn the_end_of_a_session_is_told_at_once_and_nonsense_ends_it() {
        let mut inbox = Inbox { buffer: BytesMut::from(&*error("FATAL", "57P01")), ..Inbox::default() };
        assert!(matches!(inbox.answer(), Err(Failure::Said(said)) if said.code == "57P01" && said.is_fatal));
        for nonsense in [&b"Z\0\0\0\x03"[..], b"D\xff\xff\xff\xff", b"E\0\0\0\x05x"] {
            let mut inbox = Inbox { buffer: BytesMut::from(nonsense), ..Inbox::default() };
            assert!(inbox.answer().is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn a_bound_statement_can_lose_its_name() {
        let statement = Statement::new("SELECT $1", &[Kind::Text]);
        let values = [Value::Text("x")];
        let mut out = BytesMut::new();
        unnamed(&statement.bind(statement.name(), &values).unwrap(), statement.name().len(), &mut out).unwrap();
        assert_eq!(out.freeze(), statement.bind("", &values).unwrap());
    }

    #[test]
    fn names_are_made_of_text_and_types() {
        let name = |text: &str, kinds: &[Kind]| Statement::new(text, kinds).name().to_owned();
        assert_eq!(name("SELECT $1", &[Kind::Text]), name("SELECT $1", &[Kind::Text]));
        assert_ne!(name("SELECT $1", &[Kind::Text]), name("SELECT $1", &[Kind::Uuid]));
        assert_ne!(name("SELECT $1", &[Kind::Text]), name("SELECT  $1", &[Kind::Text]));
    }
}
