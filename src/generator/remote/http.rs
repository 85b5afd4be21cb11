//! Requests to servers of models: at the rate asked for, with patience, and again where what went wrong may pass. The only
//! part of `generator` that opens a socket.

use super::{Key, Server};
use crate::{Error, Kind, Result, interrupt};
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock, TryLockError, mpsc};
use std::time::{Duration, Instant};

/// No answer is longer, in bytes.
const LONGEST_ANSWER: u64 = 64 << 20;
/// Of what a server says about an error, so many characters are told.
const SHOWN: usize = 300;
/// Waits between attempts double from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a wait looks at Ctrl-C.
const GLANCE: Duration = Duration::from_millis(100);

pub struct Request {
    pub url: String,
    /// The header that carries the key, and what stands before it.
    pub key_header: (&'static str, &'static str),
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Value,
}

/// What can go wrong with a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// The server refused it, with its own words.
    Status { code: u16, wait: Option<Duration>, words: String },
    /// No connection, or no answer on it.
    Broken(String),
    /// A connection that ended within the answer.
    Cut(String),
    /// Silence for too long.
    Silent(Duration),
    /// An answer that is none in this protocol.
    Wrong(String),
    /// Ctrl-C.
    Stopped(Error),
}

impl Trouble {
    /// Whether the same conversation may go well later.
    fn passes(&self) -> bool {
        match self {
            Trouble::Status { code, .. } => matches!(code, 408 | 409 | 425 | 429 | 500..=599),
            Trouble::Broken(_) | Trouble::Cut(_) | Trouble::Silent(_) => true,
            Trouble::Wrong(_) | Trouble::Stopped(_) => false,
        }
    }
}

/// What the reading thread sends.
enum Piece {
    Head { code: u16, wait: Option<Duration>, streams: bool },
    Line(String),
    Broken(String),
    Cut(String),
}

pub struct Http {
    client: Client,
    key: Option<Key>,
    timeout: Duration,
    attempts: u32,
    /// Between the beginnings of two conversations.
    interval: Duration,
    /// When the next one may begin.
    next: Mutex<Instant>,
    lane: Lane,
}

/// How many conversations a server of one's own is in at a time. Some cut an answer when another conversation begins
/// (llama-cpp-python's does): such a server is in one at a time from then on. A vendor's is in as many as are asked for.
struct Lane {
    /// Held by everyone in a conversation: by several as readers, by one alone as the writer.
    held: RwLock<()>,
    alone: AtomicBool,
    /// Whether anyone was told of that.
    told: AtomicBool,
    vendors: bool,
}

impl Lane {
    fn new(server: &Server) -> Lane {
        let [alone, told] = [(); 2].map(|()| AtomicBool::new(false));
        Lane { held: RwLock::new(()), alone, told, vendors: server.is_vendors_own() }
    }

    /// Has `conversation` as soon as there is a place for it.
    fn enter<T>(&self, conversation: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
        if self.alone.load(Ordering::Relaxed) {
            let _alone = self.held.write();
            return conversation();
        }
        let done = {
            let _shared = self.held.read();
            conversation()
        };
        let others = || matches!(self.held.try_write(), Err(TryLockError::WouldBlock));
        if !self.vendors && matches!(done, Err(Trouble::Cut(_))) && others() {
            self.alone.store(true, Ordering::Relaxed);
        }
        done
    }
}

impl Http {
    pub fn new(server: &Server) -> Result<Http> {
        server.check()?;
        let key = server.key()?;
        // A redirect could lead the key elsewhere. Silence is told by `receive`; this only ends threads nobody listens to.
        let agent = concat!("ronbun/", env!("CARGO_PKG_VERSION"));
        let client = Client::builder().user_agent(agent).redirect(Policy::none()).timeout(server.timeout() * 2);
        let client = client.connect_timeout(Duration::from_secs(20).min(server.timeout())).build();
        let client = client.map_err(|error| Error::new(Kind::Internal, &server.name, error.without_url()))?;
        let interval = match server.requests_per_minute {
            0 => Duration::ZERO,
            rate => Duration::from_secs(60) / rate,
        };
        let next = Mutex::new(Instant::now());
        let (timeout, attempts, lane) = (server.timeout(), server.attempts, Lane::new(server));
        Ok(Http { client, key, timeout, attempts, interval, next, lane })
    }

    /// Does `work` until it goes well, what went wrong will not pass, or there were attempts enough.
    pub fn patiently<T>(&self, mut work: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            self.turn()?;
            let done = self.lane.enter(|| {
                interrupt::check().map_err(Trouble::Stopped)?;
                work()
            });
            match done {
                Err(trouble) if trouble.passes() && attempt < self.attempts => {
                    let told = match &trouble {
                        Trouble::Status { wait, .. } => *wait,
                        _ => None,
                    };
                    // What one conversation is told to wait, all of this server wait.
                    self.hold(told.unwrap_or(wait + jitter(wait)).min(LONGEST_WAIT));
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                done => return done,
            }
        }
        Err(Trouble::Broken("no attempt was made".into()))
    }

    /// True once, when conversations have become one at a time.
    pub fn went_alone(&self) -> bool {
        self.lane.alone.load(Ordering::Relaxed) && !self.lane.told.swap(true, Ordering::Relaxed)
    }

    /// Waits until the next conversation may begin, and takes that place.
    fn turn(&self) -> Result<(), Trouble> {
        let begin = match self.next.lock() {
            Ok(mut next) => {
                let begin = (*next).max(Instant::now());
                *next = begin + self.interval;
                begin
            }
            Err(_) => Instant::now(),
        };
        loop {
            interrupt::check().map_err(Trouble::Stopped)?;
            let left = begin.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(GLANCE));
        }
    }

    /// Nobody begins before so long has passed.
    fn hold(&self, wait: Duration) {
        if let Ok(mut next) = self.next.lock() {
            *next = (*next).max(Instant::now() + wait);
        }
    }

    /// Sends the request and gives each event of the answer to `hear`; an answer that is no stream is one event.
    pub fn events(
        &self,
        request: &Request,
        hear: &mut dyn FnMut(&Value) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let pieces = self.send(request);
        let (mut refused, mut streams, mut whole) = (None, true, String::new());
        while let Some(piece) = self.receive(&pieces)? {
            match piece {
                Piece::Head { code, wait, streams: are_events } => {
                    streams = are_events;
                    refused = (!(200..300).contains(&code)).then_some((code, wait));
                }
                Piece::Broken(problem) => return Err(Trouble::Broken(problem)),
                Piece::Cut(problem) => return Err(Trouble::Cut(problem)),
                Piece::Line(line) if refused.is_some() || !streams => whole += &(line + "\n"),
                Piece::Line(line) => {
                    // `event:` and `id:` repeat what the data says, lines that begin with a colon are comments.
                    let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
                    if data == "[DONE]" {
                        return Ok(());
                    }
                    hear(&json(data)?)?;
                }
            }
        }
        match refused {
            Some((code, wait)) => Err(Trouble::Status { code, wait, words: words(&whole) }),
            None if !streams => hear(&json(&whole)?),
            None => Ok(()),
        }
    }

    /// The next piece; none at the answer's end. Looks at Ctrl-C while it waits.
    fn receive(&self, pieces: &mpsc::Receiver<Piece>) -> Result<Option<Piece>, Trouble> {
        let start = Instant::now();
        loop {
            interrupt::check().map_err(Trouble::Stopped)?;
            match pieces.recv_timeout(GLANCE.min(self.timeout)) {
                Ok(piece) => return Ok(Some(piece)),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(None),
                Err(mpsc::RecvTimeoutError::Timeout) if start.elapsed() >= self.timeout => {
                    return Err(Trouble::Silent(self.timeout));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Reads in a thread of its own, which ends by itself when nobody listens any more: a socket cannot be waited for and
    /// Ctrl-C be heard at the same time.
    fn send(&self, request: &Request) -> mpsc::Receiver<Piece> {
        let mut prepared = self.client.post(&request.url).header(CONTENT_TYPE, "application/json");
        for (name, value) in &request.headers {
            prepared = prepared.header(*name, *value);
        }
        if let Some(key) = &self.key {
            let (name, before) = request.key_header;
            prepared = prepared.header(name, format!("{before}{}", key.reveal()));
        }
        let prepared = prepared.body(request.body.to_string());
        let (to_caller, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let answer = match prepared.send() {
                Ok(answer) => answer,
                Err(error) => return drop(to_caller.send(Piece::Broken(reason(&error)))),
            };
            let _ = read(answer, &to_caller);
        });
        pieces
    }

    /// What went wrong, for people; no key in it.
    pub fn error(&self, server: &Server, trouble: Trouble) -> Error {
        let place = server.destination();
        let error = |kind: Kind, problem: String| {
            let problem = self.key.as_ref().map_or(problem.clone(), |key| key.hide(&problem));
            Error::new(kind, &server.name, problem)
        };
        match trouble {
            Trouble::Stopped(error) => error,
            Trouble::Silent(time) => {
                error(Kind::Unavailable, format!("{place} was silent for {} s", time.as_secs_f64()))
                    .hint("give it longer with `timeout-seconds`; what is missing is asked for by the same command")
            }
            Trouble::Broken(problem) | Trouble::Cut(problem) => error(Kind::Unavailable, format!("{place}: {problem}"))
                .hint("the same command goes on with what is missing"),
            Trouble::Wrong(problem) => {
                error(Kind::Unavailable, format!("{place} does not answer as {} does: {problem}", server.vendor.name()))
                    .hint("is the address right, with its version, such as http://localhost:8000/v1?")
            }
            Trouble::Status { code: code @ (401 | 403), words, .. } => {
                error(Kind::Usage, format!("{place} does not take the key ({code}): {words}"))
                    .hint("check the key, and which variable it is taken from")
            }
            Trouble::Status { code: 404, words, .. } => {
                error(Kind::Usage, format!("{place} has no such model or address (404): {words}"))
                    .hint("check the model's name, and the address with its version")
            }
            Trouble::Status { code, words, .. } if is_too_long(code, &words) => {
                error(Kind::Context, format!("the paper is too long for it ({code}): {words}"))
            }
            Trouble::Status { code, words, .. } => {
                let kind = if code < 500 && code != 429 { Kind::Model } else { Kind::Unavailable };
                error(kind, format!("{place} says {code}: {words}"))
                    .hint("the same command goes on with what is missing")
            }
        }
    }
}

fn read(answer: Response, to_caller: &mpsc::Sender<Piece>) -> Result<(), mpsc::SendError<Piece>> {
    let headers = answer.headers();
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let streams = !kind.starts_with("application/json");
    to_caller.send(Piece::Head { code: answer.status().as_u16(), wait: told_wait(headers), streams })?;
    let mut lines = BufReader::new(answer.take(LONGEST_ANSWER));
    loop {
        let mut line = Vec::new();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => to_caller.send(Piece::Line(String::from_utf8_lossy(&line).trim_end().to_string()))?,
            Err(error) => return to_caller.send(Piece::Cut(format!("the connection was cut: {error}"))),
        }
    }
}

/// `Retry-After` in seconds; a date is not understood, and the usual wait taken.
fn told_wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (0.0..=3600.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// Up to half of `wait`, different for each thread and time, so that several do not come back at once.
fn jitter(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(Instant::now());
    wait / 2 * (random % 1000) as u32 / 1000
}

fn json(text: &str) -> Result<Value, Trouble> {
    serde_json::from_str(text).map_err(|error| Trouble::Wrong(format!("no JSON ({error}): {}", shown(text))))
}

/// What a server says of an error: its JSON's message, else its text.
fn words(body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    // Gemini wraps its errors in a list.
    let json = json.as_array().and_then(|list| list.first()).unwrap_or(&json);
    let message = json["error"]["message"].as_str().or(json["message"].as_str()).or(json["error"].as_str());
    shown(message.or(json["detail"].as_str()).unwrap_or(body))
}

fn shown(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    if line.is_empty() { "nothing".into() } else { line }
}

fn is_too_long(code: u16, words: &str) -> bool {
    let words = words.to_lowercase();
    let signs =
        ["context length", "context window", "context_length", "too long", "maximum context", "exceeds the max"];
    code == 413 || code == 400 && signs.iter().any(|sign| words.contains(sign))
}

/// The innermost reason that reqwest gives, without the address, which it repeats.
fn reason(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let what = if error.is_timeout() { "no answer in time" } else { "no connection" };
    format!("{what} ({inner})")
}
