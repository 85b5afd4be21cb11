//! `ronbun eval` on long texts and `ronbun rope`: the real binary over tiny models.

mod machine;

use machine::{Machine, model};
use ronbun::engine::eval::logits;
use ronbun::model::{Checkpoint, Decoder};
use serde_json::Value;
use std::{fs, path::Path};

/// A machine with a text in a.txt, and the path of a model.
fn machine_with_text() -> (Machine, String) {
    let machine = Machine::new();
    fs::write(machine.path("a.txt"), "A paper about papers, and what they say of each other. ".repeat(4))
        .expect("a file");
    (machine, model("gguf-llama-f32"))
}

#[test]
fn likelihoods_by_position_are_those_of_the_logits() {
    let (machine, model) = machine_with_text();
    let ids: Value = machine.json(&["eval", "tokens", &model, "--text", "a.txt"]);
    let ids: Vec<u32> = serde_json::from_value(ids["ids"].clone()).expect("ids");
    let report =
        machine.json(&["eval", "nll", &model, "--text", "a.txt", "--bucket", "16", "--tokens", "40", "--json"]);
    let bucket = &report["ropes"][0]["buckets"][0];
    let checkpoint = Checkpoint::open(Path::new(&model)).expect("a model");
    let expected = (0..16).map(|position| last_loss(&checkpoint, &ids[..=position + 1])).sum::<f64>() / 16.0;
    let got = bucket["nll"]["value"].as_f64().expect("a number");
    // Keys and values are kept as bytes.
    assert!((got - expected).abs() < 0.02 * expected, "{got} is not {expected}");
    assert_eq!(report["ropes"][0]["all"]["tokens"], 39);
}

/// The loss of the last of these ids, in f32.
fn last_loss(checkpoint: &Checkpoint, ids: &[u32]) -> f64 {
    let (last, before) = ids.split_last().expect("ids");
    let logits = logits(Decoder::new(checkpoint).expect("a model"), before, None).expect("computes");
    let largest = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum();
    sum.ln() + largest - f64::from(logits[*last as usize])
}

#[test]
fn ids_come_from_a_file_too() {
    let machine = Machine::new();
    let model = model("gguf-llama-f32");
    fs::write(machine.path("ids"), "5, 6,7\n8\n").expect("a file");
    let greedy = |from: [&str; 2]| machine.json(&["eval", "greedy", &model, from[0], from[1], "--tokens", "2"]);
    assert_eq!(greedy(["--ids-file", "ids"]), greedy(["--ids", "5,6,7,8"]));
    for (content, problem) in [("5,x", "'x' is no token id"), (" \n", "holds no token ids")] {
        fs::write(machine.path("ids"), content).expect("a file");
        let refused = machine.run(&["eval", "logits", &model, "--ids-file", "ids"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(3) && said.contains(&format!("ids: {problem}")), "{said}");
    }
}

#[test]
fn threads_are_limited_alike() {
    let (machine, model) = machine_with_text();
    let (ids, text) = (["--ids", "5,6,7"], ["--text", "a.txt"]);
    let commands =
        [("logits", ids, &[][..]), ("greedy", ids, &["--tokens", "2"]), ("divergence", text, &[]), ("nll", text, &[])];
    for (command, input, more) in commands {
        let run = |threads| {
            let command = [&["eval", command, &model, "--threads", threads][..], &input, more].concat();
            machine.run(&command)
        };
        let (one, none) = (run("1"), run("0"));
        assert!(one.status.success() && !one.stdout.is_empty(), "{command}: {}", String::from_utf8_lossy(&one.stderr));
        assert_eq!(none.status.code(), Some(2), "{command}");
    }
}

#[test]
fn key_tokens_are_those_that_the_whole_text_foretells() {
    let machine = Machine::new();
    let model = model("gguf-llama-f32");
    let checkpoint = Checkpoint::open(Path::new(&model)).expect("a model");
    fs::write(machine.path("a.txt"), "A paper about papers, and what they say of each other; no letters. ".repeat(2))
        .expect("a file");
    let ids: Vec<u32> =
        serde_json::from_value(machine.json(&["eval", "tokens", &model, "--text", "a.txt"])["ids"].clone())
            .expect("ids");
    // A short context of 8 tokens, moved on by 2: token n is read behind the 8 or 9 before it.
    let whole: Vec<f64> = (1..ids.len()).map(|n| last_loss(&checkpoint, &ids[..=n])).collect();
    let short: Vec<f64> = (8..ids.len()).map(|n| last_loss(&checkpoint, &ids[n - 8 - n % 2..=n])).collect();
    // Between two tokens, so that rounding moves none of them over.
    let saved = |n: usize| short[n - 8] - whole[n - 1];
    let mut all: Vec<f64> = (8..ids.len()).map(saved).collect();
    all.sort_by(f64::total_cmp);
    let gap =
        (all.len() * 3 / 4..all.len() - 1).max_by(|a, b| (all[a + 1] - all[*a]).total_cmp(&(all[b + 1] - all[*b])));
    let gap = gap.expect("some");
    let threshold = (all[gap] + all[gap + 1]) / 2.0;
    let key: Vec<usize> = (8..ids.len()).filter(|n| saved(*n) > threshold).collect();
    let expected = key.iter().map(|n| whole[n - 1]).sum::<f64>() / key.len() as f64;
    let saved = threshold.to_string();
    let args = ["eval", "longppl", &model, "--text", "a.txt", "--window", "8", "--saved", &saved, "--most", "99"];
    let several = ["--rope", "native", "--rope", "linear:2", "--rope", "native", "--json", "--out", "l.json"];
    let report = machine.json(&[args.as_slice(), &several].concat());
    let row = |rope: usize| report["ropes"][rope].clone();
    assert_eq!(
        (row(0)["key_tokens"].as_u64(), row(0)["tokens"].as_u64()),
        (Some(key.len() as u64), Some(ids.len() as u64 - 1))
    );
    let got = row(0)["longppl"]["value"].as_f64().expect("a number").ln();
    assert!((got - expected).abs() < 0.02 * expected, "{got} is not {expected}");
    let all = whole.iter().sum::<f64>() / whole.len() as f64;
    assert!((row(0)["perplexity"].as_f64().expect("a number").ln() - all).abs() < 0.02 * all, "{report}");
    assert!(row(0)["against_first"].is_null() && row(1)["against_first"]["value"] != 0.0, "{report}");
    assert_eq!((&row(2)["against_first"]["value"], &row(2)["against_first"]["verdict"]), (&0.0.into(), &"tie".into()));
    // The tokens that one model chooses are taken from their places in the text; nothing is chosen where none can be.
    let kept = machine.read("l.json.samples.jsonl");
    let chosen: Value = serde_json::from_str(kept.lines().nth(1).expect("a line")).expect("JSON");
    assert_eq!(chosen["result"], serde_json::json!(key));
    let other = self::model("gguf-qwen2-bf16");
    let args = ["eval", "longppl", &model, "--text", "a.txt", "--window", "8", "--chooser", &other, "--plot", "l.svg"];
    let (table, _) = machine.works(&args);
    assert!(
        table.contains("none") && table.contains("qwen2-bf16") && machine.read("l.svg").contains("<svg"),
        "{table}"
    );
}

#[test]
fn ways_to_extend_are_compared_on_the_same_tokens() {
    let machine = Machine::new();
    let model = model("gguf-qwen2-bf16");
    fs::write(machine.path("a.txt"), "A paper about papers. ".repeat(100)).expect("a file");
    let args = [
        "eval", "nll", &model, "--text", "a.txt", "--tokens", "1200", "--bucket", "600", "--rope", "native", "--rope",
        "yarn:2", "--rope", "native", "--plot", "n.svg", "--out", "n.json",
    ];
    let (table, stderr) = machine.works(&args);
    assert!(table.contains("600-1199") && stderr.contains("YaRN, factor 2 over 1024"), "{table}{stderr}");
    let report: Value = serde_json::from_str(&machine.read("n.json")).expect("JSON");
    let against = |rope: usize| report["ropes"][rope]["all"]["against_first"]["value"].as_f64();
    assert_eq!(against(0), None);
    assert!(against(1).is_some_and(|difference| difference != 0.0), "{report}");
    assert_eq!((against(2), &report["ropes"][2]["all"]["against_first"]["verdict"]), (Some(0.0), &"tie".into()));
    assert!(table.contains("a tie") && !table.contains("texts"), "{table}");
    fs::write(machine.path("b.txt"), "Letters about letters. ".repeat(100)).expect("a file");
    let args = ["eval", "nll", &model, "--text", "a.txt", "b.txt", "--tokens", "1100", "--rope", "native", "--rope"];
    let several = machine.json(&[args.as_slice(), &["yarn:2", "--json"]].concat());
    let by_text = |rope: usize| several["ropes"][rope]["texts_against_first"].clone();
    let bound = |name: &str| by_text(1)[name].as_f64().expect("a number");
    assert!(by_text(0).is_null() && bound("low") < bound("value") && bound("value") < bound("high"), "{several}");
    assert_eq!(machine.read("n.svg").matches("<polyline").count(), 3);
}

#[test]
fn ways_that_turn_positions_alike_are_measured_once() {
    let machine = Machine::new();
    let model = model("gguf-qwen2-bf16");
    fs::write(machine.path("a.txt"), "A paper about papers. ".repeat(100)).expect("a file");
    // 1,200 tokens over its own 1,024: what dynamic NTK comes to, planned.
    let ropes = ["--rope", "ntk:1.171875", "--rope", "dynamic", "--rope", "yarn:2"];
    let args = ["eval", "nll", &model, "--text", "a.txt", "--tokens", "1200", "--out", "n.json"];
    machine.works(&[args.as_slice(), &ropes].concat());
    let report: Value = serde_json::from_str(&machine.read("n.json")).expect("JSON");
    let against = |rope: usize| report["ropes"][rope]["all"]["against_first"]["value"].as_f64().expect("a number");
    assert!(report["ropes"][1]["rope"] == "dynamic" && against(1) == 0.0 && against(2) != 0.0, "{report}");
    // The settings, NTK and YaRN.
    assert_eq!(machine.read("n.json.samples.jsonl").lines().count(), 3);
}

#[test]
fn questions_on_papers_are_held_to_their_answers() {
    let machine = Machine::new();
    let model = model("gguf-llama-f32");
    let question = |question: &str, answers: &[&str]| serde_json::json!({ "question": question, "answers": answers });
    let of =
        |text: &str, questions: &[Value]| serde_json::json!({ "paper": "p", "text": text, "questions": questions });
    let (one, two) = (question("What is it about?", &["papers", "other papers"]), question("Is it long?", &["No"]));
    let short = "A paper about papers. ".repeat(20);
    let listed = serde_json::json!({ "input": "Letters.", "instructions": ["Who writes?"], "outputs": ["nobody"] });
    let set = format!(
        "{}\n{}\n{}\n",
        of(&short, &[one.clone(), two]),
        listed,
        of(&short.repeat(60), std::slice::from_ref(&one))
    );
    fs::write(machine.path("set.jsonl"), &set).expect("a file");
    let args = ["eval", "qa", &model, "--set", "set.jsonl", "--max-tokens", "12", "--plot", "q.svg", "--rope", "auto"];
    let several = ["--rope", "yarn:2", "--rope", "auto"];
    let all = machine.run(&[args.as_slice(), &several, &["--out", "q.json"]].concat());
    let (table, stderr) = (String::from_utf8_lossy(&all.stdout), String::from_utf8_lossy(&all.stderr));
    assert_eq!(all.status.code(), Some(12), "{stderr}");
    assert!(stderr.contains("1 of 3 papers were left out") && stderr.contains("do not fit"), "{stderr}");
    assert!(table.contains("F1") && table.contains("ROUGE-L") && table.contains("a tie"), "{table}");
    let report: Value = serde_json::from_str(&machine.read("q.json")).expect("JSON");
    let row = &report["ropes"][0];
    assert_eq!((row["papers"].as_u64(), row["answers"].as_array().map(Vec::len)), (Some(2), Some(3)));
    for answer in row["answers"].as_array().expect("answers") {
        let references: Vec<String> = serde_json::from_value(answer["references"].clone()).expect("references");
        let text = answer["answer"].as_str().expect("an answer");
        assert_eq!(answer["f1"], ronbun::eval::overlap::token_f1(text, &references));
        assert_eq!(answer["rouge_l"], ronbun::eval::overlap::rouge_l(text, &references));
    }
    assert_eq!(report["ropes"][2]["against_first"]["value"], 0.0);
    assert_eq!(report["ropes"][2]["answers"], row["answers"]);
    assert!(machine.read("q.svg").contains("<polyline"));
    // Alone a question is answered as it is beside others, and what was answered is not asked again.
    fs::write(machine.path("alone.jsonl"), of(&short, &[one]).to_string()).expect("a file");
    let alone = machine.json(&["eval", "qa", &model, "--set", "alone.jsonl", "--max-tokens", "12", "--json"]);
    assert_eq!(alone["ropes"][0]["answers"][0]["answer"], row["answers"][0]["answer"]);
    let journal = machine.read("q.json.samples.jsonl");
    let part: String =
        journal.lines().take(2).map(|line| line.replace("\"answer\":\"", "\"answer\":\"kept ") + "\n").collect();
    fs::write(machine.path("r.json.samples.jsonl"), part).expect("a file");
    machine.run(&[args.as_slice(), &several, &["--out", "r.json"]].concat());
    let resumed = machine.read("r.json");
    assert_eq!(resumed.matches("\"kept ").count(), 2, "as the first way and again as the third: {resumed}");
    assert_eq!(resumed.replace("\"kept ", "\""), machine.read("q.json"));
    fs::write(machine.path("bad.jsonl"), "{\"text\": 1}").expect("a file");
    let bad = machine.run(&["eval", "qa", &model, "--set", "bad.jsonl"]);
    assert_eq!(bad.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("bad.jsonl: line 1: has neither"), "{bad:?}");
}

#[test]
fn samples_are_finished_once_and_the_same_by_their_seed() {
    let machine = Machine::new();
    let model = model("gguf-qwen2-bf16");
    let passkey = |out: &str, more: &[&str]| {
        let mut args = vec!["eval", "passkey", &model, "--lengths", "300,600", "--depths", "2", "--samples", "2"];
        args.extend(["--out", out, "--plot", "p.svg"]);
        args.extend(more);
        machine.works(&args)
    };
    let (table, _) = passkey("a.json", &[]);
    assert_eq!(table.lines().count(), 1 + 2 * (2 + 1), "{table}");
    let report: Value = serde_json::from_str(&machine.read("a.json")).expect("JSON");
    for cell in report["cells"].as_array().expect("cells") {
        let length = cell["length"].as_u64().expect("a length");
        assert_eq!(cell["samples"].as_array().map(Vec::len), Some(2));
        for sample in cell["samples"].as_array().expect("samples") {
            let tokens = sample["prompt_tokens"].as_u64().expect("tokens") + 10;
            assert!(tokens <= length && tokens + 40 > length, "{tokens} of {length}");
        }
    }
    assert!(machine.read("p.svg").matches("hsl(").count() == 4);
    // Stopped after some samples: what was written is kept as it is, the rest comes out as before.
    let journal = machine.read("a.json.samples.jsonl");
    let marked = journal.lines().take(3).collect::<Vec<_>>().join("\n").replace("\"answer\":\"", "\"answer\":\"kept ");
    fs::write(machine.path("b.json.samples.jsonl"), marked + "\n{\"sample\": \"cut").expect("a file");
    passkey("b.json", &[]);
    let resumed = machine.read("b.json");
    assert_eq!(resumed.matches("\"kept ").count(), 2, "{resumed}");
    assert_eq!(resumed.replace("\"kept ", "\""), machine.read("a.json"));
    let other = machine.run(&["eval", "passkey", &model, "--lengths", "300", "--seed", "1", "--out", "a.json"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("other settings"));
}

#[test]
fn rulers_tasks_are_put_beyond_the_context_too() {
    let machine = Machine::new();
    let model = model("gguf-qwen2-bf16");
    let (table, stderr) = machine.works(&["eval", "ruler", &model, "--length", "1500", "--samples", "1", "--plain"]);
    for task in ["niah_single_1", "niah_multikey_2", "niah_multikey_3", "vt", "fwe", "all"] {
        assert!(table.contains(task), "{task}: {table}");
    }
    assert!(stderr.contains("YaRN, factor 1.5 over 1024"), "{stderr}");
    let (table, stderr) = machine.works(&[
        "eval",
        "ruler",
        &model,
        "--length",
        "1500",
        "--samples",
        "1",
        "--task",
        "vt",
        "--rope",
        "native",
    ]);
    assert!(table.contains("vt") && !table.contains("fwe") && !stderr.contains("extended"), "{table}{stderr}");
    for (args, part) in [(["--length", "60", "--task", "vt"], "no room"), (["--length", "1k", "--task", "x"], "fwe")] {
        let failed = machine.run(&[["eval", "ruler", &model].as_slice(), &args].concat());
        assert_eq!(failed.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&failed.stderr).contains(part), "{failed:?}");
    }
}

#[test]
fn frequencies_are_shown_as_they_are_and_as_they_are_extended() {
    let machine = Machine::new();
    let model = model("gguf-qwen2-bf16");
    let own = machine.json(&["rope", "show", &model, "--json"]);
    let pairs = own["ropes"][0]["pairs"].as_array().expect("pairs");
    assert!(pairs.iter().all(|pair| pair["factor"] == 1.0) && own["extension"]["method"] == "native", "{own}");
    assert!(pairs[0]["wavelength"].as_f64().is_some_and(|length| (length - std::f64::consts::TAU).abs() < 1e-9));
    let linear = machine.json(&["rope", "show", &model, "--rope", "linear:2", "--json", "--plot", "r.svg"]);
    let linear = linear["ropes"][0]["pairs"].as_array().expect("pairs").clone();
    assert!(linear.iter().all(|pair| pair["factor"] == 2.0), "{linear:?}");
    assert!(machine.read("r.svg").contains("<polyline"));
    let (table, _) = machine.works(&["rope", "show", &model, "--tokens", "2000"]);
    assert!(table.contains("YaRN, factor 2 over 1024") && table.contains("effective wavelength"), "{table}");
    let (llama3, _) = machine.works(&["rope", "show", &self::model("gguf-llama3-rope-f16")]);
    assert!(llama3.contains("rope_freqs"), "{llama3}");
}
