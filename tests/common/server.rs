//! A server of models that a test writes the answers of: what it was asked is kept, and it can be slow, cut a connection or
//! say nonsense.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The user's message in OpenAI's form.
    pub fn user(&self) -> &str {
        self.body["messages"][1]["content"].as_str().unwrap_or_default()
    }
}

/// What the server does with a request.
pub enum Act {
    /// A whole answer of this status, with more headers.
    Say(u16, &'static str, String),
    /// Events of a stream, each after a pause.
    Stream(Vec<String>, Duration),
    /// The beginning of a stream, then the connection is closed without an end.
    Cut(Vec<String>),
    /// Nothing at all for so long.
    Silence(Duration),
}

pub struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// `act` is given each request and its number, from 0.
    pub fn start(act: impl Fn(&Asked, usize) -> Act + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, act) = (Arc::clone(&asked), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, act) = (Arc::clone(&kept), Arc::clone(&act));
                std::thread::spawn(move || serve(stream, &kept, act.as_ref()));
            }
        });
        Server { address, asked }
    }

    /// With `/v1`, as clients are told it.
    pub fn address(&self) -> String {
        format!("{}/v1", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("a lock").clone()
    }
}

/// A client that goes away ends its thread, no more.
fn serve(stream: TcpStream, kept: &Mutex<Vec<Asked>>, act: &dyn Fn(&Asked, usize) -> Act) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_string();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_string())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let asked = Asked { path, headers, body: serde_json::from_slice(&body).ok()? };
    let number = {
        let mut kept = kept.lock().ok()?;
        kept.push(asked.clone());
        kept.len() - 1
    };
    answer(stream, act(&asked, number))
}

fn answer(mut stream: TcpStream, act: Act) -> Option<()> {
    let head = |code: u16, kind: &str, more: &str| {
        format!("HTTP/1.1 {code} X\r\ncontent-type: {kind}\r\nconnection: close\r\n{more}")
    };
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    match act {
        Act::Say(code, more, body) => {
            let head = head(code, "application/json", more);
            write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).ok()?;
        }
        Act::Stream(events, pause) => {
            write!(stream, "{}\r\n", head(200, "text/event-stream", "transfer-encoding: chunked\r\n")).ok()?;
            for event in events {
                std::thread::sleep(pause);
                stream.write_all(chunk(&event).as_bytes()).ok()?;
            }
            stream.write_all(b"0\r\n\r\n").ok()?;
        }
        Act::Cut(events) => {
            write!(stream, "{}\r\n", head(200, "text/event-stream", "transfer-encoding: chunked\r\n")).ok()?;
            events.iter().try_for_each(|event| stream.write_all(chunk(event).as_bytes())).ok()?;
        }
        Act::Silence(time) => std::thread::sleep(time),
    }
    Some(())
}

/// An error in OpenAI's form.
pub fn refuse(code: u16, words: &str) -> Act {
    Act::Say(code, "retry-after: 0\r\n", json!({ "error": { "message": words } }).to_string())
}

/// `words` in OpenAI's form, an event for each.
pub fn openai(words: &[&str], finish_reason: &str) -> Vec<String> {
    let mut events: Vec<Value> =
        words.iter().map(|word| json!({ "choices": [{ "index": 0, "delta": { "content": word } }] })).collect();
    events.push(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": finish_reason }] }));
    events.push(json!({ "choices": null, "usage": { "prompt_tokens": 1200, "completion_tokens": words.len() } }));
    let mut events: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    events.push("data: [DONE]\n\n".into());
    events
}

/// Answers every question at once with `text`.
pub fn says(text: &'static str) -> Act {
    Act::Stream(openai(&[text], "stop"), Duration::ZERO)
}
