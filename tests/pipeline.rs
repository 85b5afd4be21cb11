//! Document to report with a scripted generator: what is asked, what is asked again, what is kept and what is taken out.

use ronbun::document::{Block, BlockKind, Document, Link, LinkKind, Page, Part, Source};
use ronbun::generator::scripted::ScriptedGenerator;
use ronbun::generator::{self, FinishReason};
use ronbun::pipeline::{self, Event, Options};
use ronbun::report::{Form, Summary};
use ronbun::template::{Ask, Template};
use ronbun::{Error, Kind};

const JAPANESE: &str =
    "この論文は、注意機構だけで系列を変換するモデルを提案し、従来の手法より高い精度を短い学習時間で達成しました。";
const ENGLISH: &str = "The paper proposes a model that is built on attention alone, and that translates better than earlier \
    models after a shorter training on the same data.";
const CHINESE: &str =
    "本文提出了一种完全基于注意力机制的新型网络架构，实验结果表明该模型在机器翻译任务上取得了最好的成绩。";

fn document(links: &[(&str, LinkKind)]) -> Document {
    let text = "Attention is all you need. Our code is at https://github.com/org/ code.";
    let link = |&(url, kind): &(&str, LinkKind)| Link { url: url.into(), page: 1, bbox: None, kind };
    Document {
        sha256: "ab".repeat(32),
        title: Some("Attention".into()),
        pages: vec![Page { number: 1, width: 612.0, height: 792.0, ..Page::default() }],
        blocks: vec![Block::new(BlockKind::Paragraph, Part::Body, text, vec![])],
        links: links.iter().map(link).collect(),
        ..Document::empty("paper.pdf", Source::Pdf)
    }
}

fn with_code() -> Document {
    document(&[("https://github.com/org/code", LinkKind::Code)])
}

/// Answers every question of the template with `text`, but `id` with what the script says of it.
fn others(template: &Template, text: &str, id: &str) -> ScriptedGenerator {
    let others = template.questions.iter().filter(|question| question.id != id);
    others.fold(ScriptedGenerator::new(10_000), |generator, question| generator.says(&question.id, text))
}

fn summarize(document: &Document, template: &Template, generator: &mut ScriptedGenerator) -> Summary {
    pipeline::summarize(document, template, Ask::Each, generator, &Options::new(template), &mut |_| {}).unwrap()
}

fn answer<'a>(summary: &'a Summary, id: &str) -> &'a ronbun::report::Answer {
    summary.answers.iter().find(|answer| answer.id == id).unwrap()
}

#[test]
fn good_answers_take_one_call_over_the_whole_text() {
    let template = Template::builtin("ja").unwrap();
    let mut generator = others(&template, JAPANESE, "");
    let summary = summarize(&with_code(), &template, &mut generator);
    assert_eq!(generator.calls().len(), 1);
    assert!(generator.calls()[0].prompt.paper.contains(&with_code().text()));
    assert_eq!(summary.gist.as_deref(), Some(JAPANESE));
    assert_eq!(summary.answers.len(), 9);
    for answer in &summary.answers {
        assert_eq!((answer.text.as_str(), answer.attempts, answer.language.as_deref()), (JAPANESE, 1, Some("ja")));
        assert!(answer.warnings.is_empty() && answer.removed_links.is_empty());
    }
    let shared = summary.paper.tokens;
    assert!(summary.timings.prefill_tokens > shared && shared > 10);
}

#[test]
fn only_failing_questions_are_put_again_insisting_over_the_same_prefix() {
    let template = Template::builtin("ja").unwrap();
    let mut generator = others(&template, JAPANESE, "problem").says("problem", CHINESE).says("problem", JAPANESE);
    let mut again = Vec::new();
    let options = Options::new(&template);
    let summary =
        pipeline::summarize(&with_code(), &template, Ask::Each, &mut generator, &options, &mut |event| match event {
            Event::Again { index, reason } => again.push((index, reason.to_string())),
            Event::Generator(generator::Event::End { index, .. }) if !again.is_empty() => assert_eq!(index, 1),
            _ => {}
        })
        .unwrap();
    assert_eq!(again, [(1, "it was in Chinese".to_string())]);
    let [first, second] = generator.calls() else { panic!("{} calls", generator.calls().len()) };
    assert_eq!(second.prompt, first.prompt);
    assert_eq!(second.questions.len(), 1);
    assert!(second.questions[0].text.starts_with(&first.questions[1].text));
    assert!(second.questions[0].text.contains("回答はすべて日本語で書いてください。"));
    assert_ne!(second.sampling.seed, first.sampling.seed);
    let problem = answer(&summary, "problem");
    assert_eq!((problem.text.as_str(), problem.attempts), (JAPANESE, 2));
    assert!(!problem.question.contains("回答はすべて"), "the question is reported as the template asks it");
}

#[test]
fn the_best_of_three_is_kept_with_a_warning() {
    let template = Template::builtin("en").unwrap();
    let mut generator = others(&template, ENGLISH, "limits")
        .says("limits", JAPANESE)
        .ending("limits", ENGLISH, FinishReason::Loop)
        .says("limits", "<think>nothing</think>");
    let summary = summarize(&with_code(), &template, &mut generator);
    let limits = answer(&summary, "limits");
    assert_eq!((limits.text.as_str(), limits.attempts, limits.finish_reason), (ENGLISH, 3, FinishReason::Loop));
    assert_eq!(limits.warnings.len(), 1);

    let mut stubborn = others(&template, ENGLISH, "limits").says("limits", JAPANESE);
    let summary = summarize(&with_code(), &template, &mut stubborn);
    let limits = answer(&summary, "limits");
    assert_eq!((limits.attempts, limits.language.as_deref()), (3, Some("ja")));
    assert_eq!(limits.warnings, ["The answer is in Japanese, although English was asked for."]);
}

#[test]
fn nothing_is_made_up_for_an_empty_answer() {
    let template = Template::builtin("ja").unwrap();
    let mut generator = others(&template, JAPANESE, "method").says("method", "  \n");
    let summary = summarize(&with_code(), &template, &mut generator);
    let method = answer(&summary, "method");
    assert_eq!((method.text.as_str(), method.attempts, method.warnings.len()), ("", 3, 1));
    assert!(summary.render(Form::Markdown).unwrap().contains("モデルから回答が得られませんでした。"));
}

#[test]
fn headings_and_thoughts_are_cleaned_off() {
    let template = Template::builtin("en").unwrap();
    let wrapped = format!("<think>Let me see.</think>\n\n## 1. Problem\n\n{ENGLISH}");
    let mut generator = others(&template, ENGLISH, "problem").says("problem", &wrapped);
    let summary = summarize(&with_code(), &template, &mut generator);
    assert_eq!(answer(&summary, "problem").text, ENGLISH);
    assert_eq!(generator.calls().len(), 1);
}

#[test]
fn made_up_links_go_and_the_papers_own_stay() {
    let template = Template::builtin("en").unwrap();
    let text = "The code is at http://GitHub.com/org/code/ and https://github.com/made/up.\n- https://made.up/demo";
    let mut generator = others(&template, ENGLISH, "code").says("code", text);
    let summary = summarize(&with_code(), &template, &mut generator);
    let code = answer(&summary, "code");
    assert_eq!(code.text, "The code is at http://GitHub.com/org/code/ and (link removed: it is not in the paper).");
    assert_eq!(code.removed_links, ["https://github.com/made/up", "https://made.up/demo"]);
    assert!(code.links.is_empty(), "it names the paper's own link");
}

#[test]
fn the_papers_code_links_are_listed_where_the_answer_names_none() {
    let template = Template::builtin("en").unwrap();
    let mut generator = others(&template, ENGLISH, "code").says("code", "https://github.com/made/up");
    let summary = summarize(&with_code(), &template, &mut generator);
    let code = answer(&summary, "code");
    assert_eq!((code.text.as_str(), code.links.len()), ("", 1));
    let markdown = summary.render(Form::Markdown).unwrap();
    assert!(markdown.contains("found in the paper itself:\n\n- <https://github.com/org/code> (p. 1)"), "{markdown}");

    let mut generator = others(&template, ENGLISH, "code").says("code", "None.");
    let summary = summarize(&document(&[]), &template, &mut generator);
    assert!(summary.render(Form::Markdown).unwrap().contains("ronbun found no link to code in the paper itself."));
}

#[test]
fn a_paper_that_is_too_long_is_refused_before_any_work() {
    let template = Template::builtin("en").unwrap();
    let mut generator = ScriptedGenerator::new(100);
    let mut events = 0;
    let options = Options::new(&template);
    let error = pipeline::summarize(&with_code(), &template, Ask::Each, &mut generator, &options, &mut |_| events += 1)
        .unwrap_err();
    assert_eq!(error.kind, Kind::Context);
    assert!(error.problem.contains("the model holds 100"), "{error}");
    assert!(generator.calls().is_empty() && events == 0);
}

#[test]
fn a_failing_generator_fails_the_paper() {
    let template = Template::builtin("en").unwrap();
    let failure = Error::new(Kind::Memory, "scripted", "out of memory");
    let mut generator = others(&template, ENGLISH, "reading").fail("reading", failure.clone());
    let options = Options::new(&template);
    let result = pipeline::summarize(&with_code(), &template, Ask::Each, &mut generator, &options, &mut |_| {});
    assert_eq!(result.unwrap_err(), failure);
}

#[test]
fn limits_and_sampling_from_the_command_line_win() {
    let template = Template::builtin("en").unwrap();
    let mut options = Options::new(&template);
    options.max_tokens = Some(5);
    options.sampling.seed = 7;
    let mut generator = others(&template, ENGLISH, "");
    let summary =
        pipeline::summarize(&with_code(), &template, Ask::Each, &mut generator, &options, &mut |_| {}).unwrap();
    assert_eq!((generator.calls()[0].sampling.seed, summary.sampling.seed), (7, 7));
    assert!(summary.answers.iter().all(|answer| answer.tokens == 5));
    assert!(summary.answers.iter().all(|answer| answer.finish_reason == FinishReason::Length));
}

#[test]
fn together_is_one_answer() {
    let template = Template::builtin("en").unwrap();
    let text = format!("## 1. In one sentence\n{ENGLISH}\n\n## 2. Problem\n{ENGLISH}");
    let mut generator = ScriptedGenerator::new(10_000).says("together", &text);
    let options = Options::new(&template);
    let summary =
        pipeline::summarize(&with_code(), &template, Ask::Together, &mut generator, &options, &mut |_| {}).unwrap();
    assert_eq!((summary.answers.len(), summary.gist.as_deref()), (1, None));
    assert_eq!(summary.answers[0].text, text);
    assert_eq!(generator.calls()[0].questions.len(), 1);
}

#[test]
fn follow_up_questions_go_through_the_same_checks() {
    let template = Template::builtin("ja").unwrap();
    let mut generator = ScriptedGenerator::new(10_000).says("q1", CHINESE).says("q1", JAPANESE).says("q2", JAPANESE);
    let questions = ["なぜ速いのですか。".to_string(), "{{ 何 }}ですか。".to_string()];
    let options = Options::new(&template);
    let summary = pipeline::ask(&with_code(), &template, &questions, &mut generator, &options, &mut |_| {}).unwrap();
    let attempts: Vec<_> = summary.answers.iter().map(|answer| (answer.title.as_str(), answer.attempts)).collect();
    assert_eq!(attempts, [("なぜ速いのですか。", 2), ("{{ 何 }}ですか。", 1)]);
}

#[test]
fn the_json_is_as_the_committed_schema_says() {
    let schema: serde_json::Value = serde_json::from_str(include_str!("../src/report/summary.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (language, text) in [("ja", JAPANESE), ("en", ENGLISH)] {
        let template = Template::builtin(language).unwrap();
        let mut generator = others(&template, text, "code").says("code", "https://github.com/made/up");
        let json = summarize(&with_code(), &template, &mut generator).render(Form::Json).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        for name in ["id", "question", "text", "tokens", "finish_reason", "evidence"] {
            assert!(value["answers"][0].get(name).is_some(), "no answers[].{name}");
            let mut without = value.clone();
            without["answers"][0].as_object_mut().unwrap().remove(name);
            assert!(!validator.is_valid(&without), "the schema does not ask for answers[].{name}");
        }
        for name in ["prefill_tokens_per_second", "decode_tokens_per_second"] {
            assert!(value["timings"][name].is_number(), "no timings.{name}");
        }
    }
}
