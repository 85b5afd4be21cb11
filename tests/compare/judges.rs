//! `ronbun compare judge`: what a judge is asked, what is kept of it, and what is made of its verdicts.

use super::common::server::{Act, Asked, Server, refuse, says};
use super::{Machine, model, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

const GOOD: &str = "The good answer says that the model reaches 28.4 BLEU in this paper.";
const BAD: &str = "The bad answer says that the model is made of cheese and moonlight.";

impl Machine {
    /// A comparison of a good and a bad model on both papers, two trials each.
    fn compared(&self) -> [String; 2] {
        let (good, bad) = (Server::start(|_, _| says(GOOD)), Server::start(|_, _| says(BAD)));
        let models = [model(&good), model(&bad)];
        let named = models.join(",");
        let args = ["compare", "one.md", "two.md", "--models", &named, "--trials", "2", "--lang", "en", "--out", "cmp"];
        self.works(&args);
        models
    }

    fn report(&self) -> (Value, String) {
        let read = |name: &str| fs::read_to_string(self.path("cmp").join(name)).expect(name);
        (serde_json::from_str(&read("report.json")).expect("JSON"), read("report.md"))
    }

    fn judgements(&self) -> Vec<Value> {
        let lines = fs::read_to_string(self.path("cmp/judgements.jsonl")).expect("judgements");
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Prefers the good answer, wherever it stands.
fn fair(asked: &Asked) -> Act {
    let (first, second) = asked.user().split_once("Answer B:").expect("two answers");
    assert!(first.contains("Answer A:") && first.contains("The question:"), "{first}");
    if first.contains(GOOD) && second.contains(BAD) { says("It is right.\nVERDICT: A") } else { says("VERDICT: B") }
}

#[test]
fn a_judge_sees_each_pair_in_both_orders_once() {
    let machine = Machine::new();
    let [good, bad] = machine.compared();
    let server = Server::start(|asked, _| fair(asked));
    let judge = format!("openai:judge@{}", server.address());
    let own = "[[price]]\nmodel = \"judge\"\ndate = \"2026-01-01\"\nsource = \"a test\"\nunit = \"token\"\ninput = 1000.0\n\
        output = 0.0\n";
    machine.file("prices.toml", own);
    let args = ["compare", "judge", "cmp", "--judge", &judge, "--prices", "prices.toml", "--usd-jpy", "100"];
    machine.fails(&[&args[..], &["--offline"]].concat(), 10, "--offline opens no");
    assert!(server.asked().is_empty());
    let said = machine.works(&args);
    assert!(said.contains("8 conversations, with answers, go to http://127.0.0.1"), "{said}");
    // Two papers, two trials, two orders.
    assert_eq!(server.asked().len(), 8);
    let shown = server.asked().iter().map(|asked| asked.user().to_string()).collect::<Vec<_>>();
    assert!(shown.iter().all(|user| !user.contains("We measure") && !user.contains(&good)), "neither paper nor names");
    let (json, markdown) = machine.report();
    let judged = &json["judged"][0];
    let contest = &judged["contests"][0];
    assert_eq!((&contest["a"], &contest["b"]), (&json!(good), &json!({ "model": bad })));
    assert_eq!((&contest["wins"], &contest["ties"], &contest["losses"]), (&json!(4), &json!(0), &json!(0)));
    // Four trials, all won: 2 of 2⁴ arrangements are as far out.
    assert_eq!(contest["stated"], false, "two papers of two trials do not carry it");
    assert!(markdown.contains("No preference is more than chance."), "{markdown}");
    // 8 × 1,200 tokens at 1,000 dollars a million; and nothing of it among the models'.
    assert_eq!(judged["spent"]["usd"], 9.6);
    assert!(markdown.contains("9.6000 US dollars, 960.00 yen. It is not among the models' costs."), "{markdown}");
    assert!(json["means"].as_array().expect("means").iter().all(|mean| mean["figure"] != "cost_usd"));
    assert!(markdown.contains(&format!("| {} | {judge} (judge) | one | 4 |", server.address())), "{markdown}");
    let names = fs::read_to_string(machine.path("cmp/judged.csv")).expect("a table");
    assert!(names.contains(&format!("{judge},{good},{bad},false,4,0,0,0,0,1,1,1,2,")), "{names}");
    let lines = machine.judgements();
    assert_eq!((lines.len(), &lines[0]["measured"]["prompt_tokens"]), (8, &json!(1200)));
    assert!(machine.works(&args).contains("all is judged"));
    machine.works(&["compare", "report", "cmp"]);
    assert_eq!((server.asked().len(), machine.judgements().len()), (8, 8), "nothing is asked twice");
    machine.works(&[&args[..], &["--with-paper"]].concat());
    assert_eq!(server.asked().len(), 16, "with the paper it is another question");
    assert!(
        server.asked()[8..].iter().all(|asked| asked.user().starts_with("The paper:") && asked.user().contains("We "))
    );
    machine.holds_no_key("cmp");
}

#[test]
fn a_judge_that_goes_by_the_order_prefers_nobody() {
    let machine = Machine::new();
    machine.compared();
    let server = Server::start(|_, _| says("The first one.\nVERDICT: A"));
    machine.works(&["compare", "judge", "cmp", "--judge", &model(&server)]);
    let (json, _) = machine.report();
    let contest = &json["judged"][0]["contests"][0];
    assert_eq!((&contest["ties"], &contest["changed"], &contest["stated"]), (&json!(4), &json!(4), &json!(false)));
    assert_eq!(contest["estimate"]["value"], 0.0);
}

#[test]
fn refusals_and_riddles_are_counted_and_failures_are_put_again() {
    let machine = Machine::new();
    machine.compared();
    let server = Server::start(|_, number| match number {
        0 => refuse(400, "too many words"),
        1 | 2 => says("I'm sorry, but I cannot help with that."),
        3 => says("Both have something to them."),
        _ => says("VERDICT: TIE"),
    });
    // One at a time, so that the answers come in this order.
    let address = server.address();
    let described = "[[model]]\nname = \"j\"\nvendor = \"openai\"\nmodel = \"j\"\nconcurrency = 1\n";
    machine.file("e.toml", &format!("{described}base-url = \"{address}\"\n"));
    let args = ["compare", "judge", "cmp", "--judge", "j", "--experiment", "e.toml"];
    machine.fails(&args, 12, "1 verdicts did not come");
    assert_eq!(machine.judgements().len(), 7);
    assert!(machine.report().1.contains("j (judge), one, trial 1, together"), "what failed is told");
    machine.works(&args);
    assert_eq!((server.asked().len(), machine.judgements().len()), (9, 8), "only what is missing is asked");
    let (json, markdown) = machine.report();
    let judged = &json["judged"][0];
    assert_eq!((&judged["refused"], &judged["unreadable"]), (&json!(2), &json!(1)));
    let contest = &judged["contests"][0];
    let undecided = contest["undecided"].as_u64().expect("a number");
    assert!((2..=3).contains(&undecided) && contest["ties"] == 4 - undecided, "{contest}");
    assert!(json["failures"].as_array().expect("failures").is_empty(), "made good");
    assert!(markdown.contains("Refused: 2, without a verdict that can be read: 1"), "{markdown}");
}

#[test]
fn answers_meet_the_right_ones_where_there_are_some() {
    let machine = Machine::new();
    let line = |paper: &str| {
        let answers = json!({ "a": GOOD, "b": BAD });
        json!({ "paper": paper, "id": "q", "q": "How good is it?", "right": "28.4", "answers": answers }).to_string()
    };
    machine.file("set.jsonl", &[line("p"), line("q")].join("\n"));
    let mapping =
        "paper = \"paper\"\nquestion = \"id\"\nquestion-text = \"q\"\ngold = \"right\"\nanswers = \"answers\"\n";
    machine.file("map.toml", mapping);
    machine.works(&["compare", "import", "set.jsonl", "--mapping", "map.toml", "--out", "cmp"]);
    let server = Server::start(|asked, _| {
        assert!(asked.user().contains("How good is it?"), "{}", asked.user());
        let first = asked.user().split("Answer B:").next().unwrap_or_default().to_string();
        let right_first = !first.contains(GOOD) && !first.contains(BAD);
        match (asked.user().contains(GOOD), right_first) {
            (true, _) => says("VERDICT: TIE"),
            (false, true) => says("VERDICT: A"),
            (false, false) => says("VERDICT: B"),
        }
    });
    machine.works(&["compare", "judge", "cmp", "--judge", &model(&server)]);
    assert_eq!(
        server.asked().len(),
        8,
        "each answer against the right one, in both orders, and not against each other"
    );
    let means = fs::read_to_string(machine.path("cmp/means.csv")).expect("means");
    let judge = model(&server);
    assert!(means.contains(&format!("judge_gold,a,,0.5,,0.5,0.5,2,{judge}")), "{means}");
    assert!(means.contains(&format!("judge_gold,b,,0,,0,0,2,{judge}")), "{means}");
    assert!(machine.report().1.contains("| a | the right answer | no | 0 | 2 | 0 | 0 | 0 | +0.00 |"));
    let error = machine.run(&["compare", "judge", "cmp", "--judge", &judge, "--with-paper"]);
    assert!(text(&error.stderr).contains("its text is not known here"), "{}", text(&error.stderr));
}

#[test]
fn sentences_are_put_to_a_judge_with_their_passage() {
    let machine = Machine::new();
    machine.file("two.md", "# Second paper\n\nWe train the model for 3.5 days on very many sentences.\n");
    machine.compared();
    let server = Server::start(|asked, _| {
        if asked.path.ends_with("/embeddings") {
            let texts = asked.body["input"].as_array().expect("texts").iter();
            let vector = |text: &Value| if text.to_string().contains("cheese") { [0.0, 1.0] } else { [1.0, 0.1] };
            let each: Vec<Value> = texts.map(|text| json!({ "embedding": vector(text) })).collect();
            return Act::Say(200, "", json!({ "data": each }).to_string());
        }
        let entailed =
            asked.user().contains("28.4 BLEU in this paper") && asked.user().contains("We measure 28.4 BLEU");
        if entailed { says("It says so.\nVERDICT: YES") } else { says("VERDICT: NO") }
    });
    let (judge, encoder) = (model(&server), format!("openai:embed@{}", server.address()));
    machine.fails(&["compare", "judge", "cmp", "--judge", &judge, "--what", "sentences"], 10, "need an encoder");
    machine.works(&["compare", "judge", "cmp", "--judge", &judge, "--what", "sentences", "--encoder", &encoder]);
    let (json, markdown) = machine.report();
    let lines = machine.judgements();
    let passages: BTreeSet<&str> = lines.iter().filter_map(|line| line["passage"].as_str()).collect();
    assert!(passages.iter().any(|passage| passage.contains("We measure 28.4 BLEU")), "{passages:?}");
    assert!(lines.iter().all(|line| line["kind"] == "entailed" && line["page"] == 1), "{lines:?}");
    assert_eq!((lines.len(), json["judged"][0]["judgements"].as_array().map(Vec::len)), (8, Some(8)));
    let means = json["judged"][0]["means"].as_array().expect("means").clone();
    assert_eq!(means.len(), 2, "{means:?}");
    // Of the first paper the good model's sentence is entailed, of the second it is not.
    let values: BTreeSet<String> = means.iter().map(|mean| mean["value"].to_string()).collect();
    assert_eq!(values, BTreeSet::from(["0.0".to_string(), "0.5".to_string()]));
    assert!(markdown.contains("| 4 | 2 | 2 | 0 | 0 | 1.00 |"), "beside what the encoder found: {markdown}");
    let asked = server.asked().len();
    machine.works(&["compare", "report", "cmp", "--encoder", "none"]);
    assert_eq!(server.asked().len(), asked);
    assert!(machine.report().1.contains("| 4 | 2 | 2 | 0 | 0 | – |"), "kept without the encoder");
}

#[test]
fn a_judge_of_this_machine_sends_nothing() {
    let machine = Machine::new();
    let fixture = |name: &str| format!("{}/tests/fixtures/models/{name}", env!("CARGO_MANIFEST_DIR"));
    let (one, other) = (fixture("qwen2-tied-bf16"), fixture("llama-tied-f32"));
    let models = format!("{one},{other}");
    let args = ["compare", "one.md", "--models", &models, "--trials", "2", "--max-tokens", "4", "--out", "cmp"];
    machine.works(&[&args[..], &["--lang", "en", "--threads", "1", "--offline"]].concat());
    machine.works(&["compare", "judge", "cmp", "--judge", &other, "--max-tokens", "6", "--threads", "1", "--offline"]);
    let (json, markdown) = machine.report();
    let judged = &json["judged"][0];
    // A model of a few thousand random weights says nothing that could be a verdict.
    assert_eq!((&judged["unreadable"], &judged["contests"][0]["undecided"]), (&json!(4), &json!(2)));
    assert_eq!(judged["contests"][0]["stated"], false);
    assert!(
        markdown.contains("Nothing left this machine.") && markdown.contains("judged answers of its own"),
        "{markdown}"
    );
    let lines = machine.judgements();
    assert!(lines.iter().all(|line| line["measured"]["together"] == 4), "all over one prefix: {lines:?}");
}
