//! Clients of servers of models against a server on this machine that speaks their protocols: streams, errors, silence, cut
//! connections and nonsense. No key may be seen anywhere but in its header.

mod common;

use common::server::{Act, Server, openai, refuse, says};
use ronbun::generator::remote::{Embeddings, RemoteGenerator, Server as Named};
use ronbun::generator::{Event, FinishReason, Generator, Prompt, Question, Reply, Sampling, Usage};
use ronbun::{Error, Kind};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Written by a program instead of a variable: tests run at once and share their environment.
const KEY: &str = "sk-very-secret";

fn named(vendor: &str, server: &Server) -> Named {
    let mut named = Named::named(&format!("{vendor}:test-model@{}", server.address())).expect("a server");
    named.key_command = Some(vec!["echo".into(), KEY.into()]);
    named
}

fn prompt() -> Prompt {
    Prompt { system: "Be brief.".into(), paper: "The paper. ".into(), language: "en".into() }
}

fn ask(named: Named) -> Result<(Reply, Usage), Error> {
    let mut generator = RemoteGenerator::new(named)?;
    let question = Question { id: "a".into(), text: "What is it?".into(), max_tokens: 77 };
    let sampling = Sampling { temperature: 0.25, top_p: 0.5, seed: 9, ..Sampling::default() };
    let mut pieces = String::new();
    let (mut replies, usage) = generator.answer(&prompt(), &[question], &sampling, &mut |event| {
        if let Event::Text { piece, .. } = event {
            pieces.push_str(piece);
        }
    })?;
    let reply = replies.remove(0);
    assert!(pieces.ends_with(&reply.text), "what was streamed last is the answer: {pieces}");
    Ok((reply, usage))
}

fn fails(named: Named, kind: Kind, part: &str) {
    let error = ask(named).expect_err("fails");
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.to_string().contains(part), "{part:?} is not in {error}");
    assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
}

#[test]
fn openai_is_streamed_with_its_usage() {
    let server = Server::start(|_, _| Act::Stream(openai(&["An ", "answer."], "stop"), Duration::from_millis(5)));
    let (reply, usage) = ask(named("openai", &server)).expect("answers");
    assert_eq!((reply.text.as_str(), reply.tokens, reply.finish_reason), ("An answer.", 2, FinishReason::Stop));
    assert_eq!(usage.prompt_tokens, 1200);
    assert!(usage.time_to_first_token_seconds > 0.0);
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.header("authorization"), Some("Bearer sk-very-secret"));
    assert_eq!((asked.user(), &asked.body["model"]), ("The paper. What is it?", &json!("test-model")));
    assert_eq!(asked.body["messages"][0]["content"], "Be brief.");
    assert_eq!((&asked.body["max_tokens"], &asked.body["seed"]), (&json!(77), &json!(9)));
    assert_eq!((&asked.body["temperature"], &asked.body["top_p"]), (&json!(0.25), &json!(0.5)));
}

#[test]
fn a_server_that_does_not_stream_is_understood_and_requests_can_be_changed() {
    let whole = json!({
        "choices": [{ "message": { "content": "Whole." }, "finish_reason": "length" }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 2 },
    });
    let server = Server::start(move |_, _| Act::Say(200, "", whole.to_string()));
    let mut named = named("openai", &server);
    named.omit = vec!["seed".into()];
    named.extra.insert("top_k".into(), json!(1));
    let (reply, usage) = ask(named).expect("answers");
    assert_eq!((reply.text.as_str(), reply.finish_reason), ("Whole.", FinishReason::Length));
    assert_eq!(usage.prompt_tokens, 5);
    let body = &server.asked()[0].body;
    assert!(body.get("seed").is_none() && body["top_k"] == 1);
}

#[test]
fn anthropic_is_streamed() {
    let events = [
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 90, "cache_read_input_tokens": 10}}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Good "}}),
        json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "answer"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 12}}),
        json!({"type": "message_stop"}),
    ];
    let events: Vec<String> =
        events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"])).collect();
    let server = Server::start(move |_, _| Act::Stream(events.clone(), Duration::ZERO));
    let (reply, usage) = ask(named("anthropic", &server)).expect("answers");
    assert_eq!((reply.text.as_str(), reply.tokens, reply.finish_reason), ("Good answer", 12, FinishReason::Length));
    assert_eq!(usage.prompt_tokens, 100);
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!((asked.header("x-api-key"), asked.header("anthropic-version")), (Some(KEY), Some("2023-06-01")));
    assert_eq!((&asked.body["system"], &asked.body["max_tokens"]), (&json!("Be brief."), &json!(77)));
}

#[test]
fn gemini_is_streamed() {
    let part = |text: &str| json!({ "candidates": [{ "content": { "parts": [{ "text": text }] } }] });
    let thought = json!({ "candidates": [{ "content": { "parts": [{ "text": "hm", "thought": true }] } }] });
    let usage = json!({"promptTokenCount": 40, "candidatesTokenCount": 3, "thoughtsTokenCount": 4});
    let end = json!({ "candidates": [{ "finishReason": "RECITATION" }], "usageMetadata": usage });
    let events: Vec<String> =
        [thought, part("One "), part("two"), end].iter().map(|event| format!("data: {event}\r\n\r\n")).collect();
    let server = Server::start(move |_, _| Act::Stream(events.clone(), Duration::ZERO));
    let (reply, usage) = ask(named("gemini", &server)).expect("answers");
    assert_eq!((reply.text.as_str(), reply.tokens, reply.finish_reason), ("One two", 7, FinishReason::Refused));
    assert_eq!(usage.prompt_tokens, 40);
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/v1/models/test-model:streamGenerateContent?alt=sse");
    assert_eq!(asked.header("x-goog-api-key"), Some(KEY));
    assert_eq!(asked.body["generationConfig"]["maxOutputTokens"], 77);
}

#[test]
fn what_may_pass_is_tried_again() {
    for code in [429, 500, 503, 529] {
        let server = Server::start(move |_, number| if number == 0 { refuse(code, "busy") } else { says("Late.") });
        let (reply, _) = ask(named("openai", &server)).expect("answers at last");
        assert_eq!((reply.text.as_str(), server.asked().len()), ("Late.", 2), "{code}");
    }
}

#[test]
fn what_will_not_pass_is_asked_once_and_told() {
    for (code, kind, part) in [
        (400, Kind::Model, "says 400: no [key] here"),
        (401, Kind::Usage, "does not take the key (401): no [key] here"),
        (403, Kind::Usage, "does not take the key (403)"),
        (404, Kind::Usage, "has no such model or address (404)"),
    ] {
        let server = Server::start(move |_, _| refuse(code, &format!("no {KEY} here")));
        fails(named("openai", &server), kind, part);
        assert_eq!(server.asked().len(), 1, "{code}");
    }
    let server = Server::start(|_, _| refuse(400, "This model's maximum context length is 8192 tokens"));
    fails(named("openai", &server), Kind::Context, "the paper is too long for it (400)");
}

#[test]
fn patience_ends() {
    let server = Server::start(|_, _| refuse(529, "overloaded"));
    let named = Named { attempts: 3, ..named("anthropic", &server) };
    fails(named, Kind::Unavailable, "says 529: overloaded");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_cut_connection_is_tried_again_and_half_an_answer_is_none() {
    let half = || Act::Cut(openai(&["Half "], "stop").into_iter().take(1).collect());
    let server = Server::start(move |_, number| if number == 0 { half() } else { says("Whole.") });
    assert_eq!(ask(named("openai", &server)).expect("answers").0.text, "Whole.");
    // A stream that ends in order, but without a reason, was cut as well.
    let quiet = || Act::Stream(openai(&["Half "], "stop").into_iter().take(1).collect(), Duration::ZERO);
    let server = Server::start(move |_, number| if number == 0 { quiet() } else { says("Whole.") });
    assert_eq!(ask(named("openai", &server)).expect("answers").0.text, "Whole.");
    let server = Server::start(move |_, _| half());
    fails(Named { attempts: 2, ..named("openai", &server) }, Kind::Unavailable, "cut");
}

#[test]
fn a_server_that_cuts_answers_when_another_is_asked_for_is_asked_one_at_a_time() {
    let (busy, crowded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, late) = (busy.clone(), crowded.clone());
    let server = Server::start(move |_, number| {
        let others = inside.fetch_add(1, Ordering::SeqCst);
        // The first is cut while another is under way; what begins before that is known may still meet others.
        while number == 0 && inside.load(Ordering::SeqCst) < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(match number {
            0 => 0,
            1 | 2 => 2_000,
            _ => 50,
        }));
        inside.fetch_sub(1, Ordering::SeqCst);
        late.fetch_add(usize::from(number > 2 && others > 0), Ordering::SeqCst);
        match number {
            0 => Act::Cut(openai(&["Half "], "stop").into_iter().take(1).collect()),
            _ => says("Whole."),
        }
    });
    let generator = RemoteGenerator::new(named("openai", &server)).expect("one");
    let told = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (mut generator, told) = (generator.clone(), &told);
            scope.spawn(move || {
                let question = Question { id: "a".into(), text: "?".into(), max_tokens: 9 };
                for _ in 0..2 {
                    let asked = [question.clone()];
                    let mut hear = |event: Event| {
                        told.fetch_add(usize::from(event == Event::OneAtATime), Ordering::SeqCst);
                    };
                    let (replies, _) =
                        generator.answer(&prompt(), &asked, &Sampling::default(), &mut hear).expect("answers");
                    assert_eq!(replies[0].text, "Whole.");
                }
            });
        }
    });
    assert_eq!((server.asked().len(), crowded.load(Ordering::SeqCst), told.into_inner()), (7, 0, 1));
}

#[test]
fn silence_and_a_closed_door_are_told() {
    let server = Server::start(|_, _| Act::Silence(Duration::from_secs(30)));
    let start = Instant::now();
    let quick = Named { attempts: 1, timeout_seconds: 1, ..named("openai", &server) };
    fails(quick, Kind::Unavailable, "silent for 1 s");
    assert!(start.elapsed() < Duration::from_secs(20));
    // Slow is not silent.
    let events = openai(&["a ", "b ", "c"], "stop");
    let server = Server::start(move |_, _| Act::Stream(events.clone(), Duration::from_millis(300)));
    let slow = Named { attempts: 1, timeout_seconds: 1, ..named("openai", &server) };
    assert_eq!(ask(slow).expect("answers").0.text, "a b c");
    let mut nobody = named("openai", &server);
    (nobody.base_url, nobody.attempts) = (Some("http://127.0.0.1:1/v1".into()), 1);
    fails(nobody, Kind::Unavailable, "no connection");
}

#[test]
fn nonsense_is_no_answer() {
    for nonsense in ["data: {\"choices\": [\n\n", "data: {\"hello\": 1}\n\n", "data: [1, 2]\n\n"] {
        let server = Server::start(move |_, _| Act::Stream(vec![nonsense.into()], Duration::ZERO));
        for vendor in ["openai", "anthropic", "gemini"] {
            fails(named(vendor, &server), Kind::Unavailable, "does not answer as");
        }
    }
    let server = Server::start(|_, _| Act::Say(200, "", "<html>hello</html>".into()));
    fails(named("openai", &server), Kind::Unavailable, "no JSON");
    let late = || Act::Stream(vec!["data: {\"error\": {\"message\": \"no memory\"}}\n\n".into()], Duration::ZERO);
    let server = Server::start(move |_, _| late());
    fails(named("openai", &server), Kind::Unavailable, "the server says: no memory");
}

#[test]
fn the_rate_is_kept_by_all_who_share_it() {
    let server = Server::start(|_, _| says("Yes."));
    // 60 ms between two.
    let generator = RemoteGenerator::new(Named { requests_per_minute: 1000, ..named("openai", &server) }).expect("one");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let mut generator = generator.clone();
            scope.spawn(move || {
                let question = Question { id: "a".into(), text: "?".into(), max_tokens: 9 };
                for _ in 0..2 {
                    let asked = [question.clone()];
                    generator.answer(&prompt(), &asked, &Sampling::default(), &mut |_| {}).expect("answers");
                }
            });
        }
    });
    assert_eq!(server.asked().len(), 6);
    assert!(start.elapsed() >= Duration::from_millis(300), "five intervals lie between six");
}

#[test]
fn a_missing_key_is_named_before_anything_is_sent() {
    let server = Server::start(|_, _| says("Yes."));
    let mut named = Named::named(&format!("openai:m@{}", server.address())).expect("a server");
    named.key_env = Some("RONBUN_TEST_KEY_THAT_IS_NOT_SET".into());
    let error = ask(named).expect_err("no key");
    assert!(
        error.kind == Kind::Usage && error.problem.contains("RONBUN_TEST_KEY_THAT_IS_NOT_SET is not set"),
        "{error}"
    );
    assert!(server.asked().is_empty());
}

#[test]
fn embeddings_come_from_a_server_too() {
    let server = Server::start(|asked, _| {
        let texts = asked.body["input"].as_array().expect("texts");
        let vector = |text: &serde_json::Value| json!([text.as_str().map_or(0, str::len), 1.0]);
        let data: Vec<_> = texts.iter().map(|text| json!({ "embedding": vector(text) })).collect();
        Act::Say(200, "", json!({ "data": data }).to_string())
    });
    let embeddings = Embeddings::new(named("openai", &server)).expect("one");
    assert_eq!(embeddings.of(&["a", "bcd"]).expect("vectors"), [vec![1.0, 1.0], vec![3.0, 1.0]]);
    assert_eq!(server.asked()[0].path, "/v1/embeddings");
    let wrong = Server::start(|_, _| Act::Say(200, "", json!({ "data": [] }).to_string()));
    let error = Embeddings::new(named("openai", &wrong)).expect("one").of(&["a"]).expect_err("nothing came");
    assert!(error.problem.contains("no list of embeddings"), "{error}");
}
