//! The built-in templates, users' own, and what is refused in them.

use super::*;
use crate::generator::Question;
use std::collections::HashSet;

const IDS: [&str; 9] =
    ["gist", "problem", "prior_work", "novelty", "method", "evaluation", "limits", "reading", "code"];

fn facts() -> Facts {
    Facts {
        file: "paper.pdf".into(),
        title: "A title".into(),
        text: "All {{ of }} the {% text %}.".into(),
        pages: 3,
        links: vec!["https://a.example".into(), "https://github.com/org/code".into()],
        code_links: vec!["https://github.com/org/code".into()],
    }
}

fn minimal(more: &str) -> String {
    format!(
        "id = \"mine\"\nlanguage = \"en\"\n{more}\n[[questions]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"What?\"\nmax_tokens = 9\n"
    )
}

fn refused(source: &str) -> Error {
    file::parse("mine.toml", source, None).expect_err(source)
}

#[test]
fn both_languages_ask_the_same_questions() {
    for language in ["en", "ja"] {
        let template = Template::builtin(language).unwrap();
        assert_eq!(template.written_in, language);
        let ids: Vec<_> = template.questions.iter().map(|question| question.id.as_str()).collect();
        assert_eq!(ids, IDS);
        let longest = template.questions.iter().max_by_key(|question| question.max_tokens).unwrap();
        assert_eq!(longest.id, "method");
    }
    let (english, japanese) = (Template::builtin("en").unwrap(), Template::builtin("ja").unwrap());
    assert_eq!(english.sampling, japanese.sampling);
}

#[test]
fn the_paper_comes_first_whole_and_unrendered() {
    let (prompt, questions) = Template::builtin("ja").unwrap().prompt(&facts(), Ask::Each).unwrap();
    assert!(prompt.paper.contains("<paper>\nAll {{ of }} the {% text %}.\n</paper>\n\n"), "{}", prompt.paper);
    assert_eq!(questions.len(), 9);
    assert!(questions.iter().all(|question| question.text.contains("日本語")), "{questions:?}");
}

#[test]
fn the_code_question_tells_the_links_that_there_are() {
    let code = |facts: &Facts| {
        let (_, questions) = Template::builtin("en").unwrap().prompt(facts, Ask::Each).unwrap();
        questions.into_iter().find(|question| question.id == "code").unwrap().text
    };
    let with_code = code(&facts());
    assert!(with_code.contains("\n- https://github.com/org/code\nFor each"), "{with_code}");
    assert!(!with_code.contains("a.example"));
    let other = code(&Facts { code_links: vec![], ..facts() });
    assert!(other.contains("\n- https://a.example\n") && !other.contains("\n\n"), "{other}");
    let none = code(&Facts { code_links: vec![], links: vec![], ..facts() });
    assert!(none.contains("no links at all"), "{none}");
}

#[test]
fn other_languages_get_the_english_template_and_an_instruction() {
    for (tag, instruction) in [("fr", "Rédige toute la réponse en français."), ("tlh", "in tlh.")] {
        let template = Template::builtin(tag).unwrap();
        assert_eq!((template.written_in.as_str(), template.language.as_str()), ("en", tag));
        let (_, questions) = template.prompt(&facts(), Ask::Each).unwrap();
        assert!(questions.iter().all(|question| question.text.ends_with(instruction)), "{questions:?}");
    }
    let (_, british) = Template::builtin("en-GB").unwrap().prompt(&facts(), Ask::Each).unwrap();
    assert_eq!(british, Template::builtin("en").unwrap().prompt(&facts(), Ask::Each).unwrap().1);
}

#[test]
fn together_is_one_question_with_all_in_it() {
    let template = Template::builtin("en").unwrap();
    let (prompt, questions) = template.prompt(&facts(), Ask::Together).unwrap();
    assert_eq!(prompt, template.prompt(&facts(), Ask::Each).unwrap().0);
    let [Question { text, max_tokens, .. }] = questions.as_slice() else { panic!("{questions:?}") };
    assert!(text.contains("\n\n2. Problem\nWhat problem"), "{text}");
    assert_eq!(*max_tokens, template.questions.iter().map(|question| question.max_tokens).sum::<usize>());
}

#[test]
fn follow_ups_are_taken_as_they_are() {
    let template = Template::builtin("en").unwrap();
    let (prompt, questions) = template.follow_up(&facts(), &["What is {{ x }}?".into(), "Why?".into()]).unwrap();
    assert_eq!(prompt, template.prompt(&facts(), Ask::Each).unwrap().0);
    assert!(questions[0].text.contains("What is {{ x }}?"));
    let ids: HashSet<_> = questions.iter().map(|question| question.id.as_str()).collect();
    assert_eq!(ids, HashSet::from(["q1", "q2"]));
}

#[test]
fn a_short_template_of_ones_own_takes_the_rest_from_the_built_in_one() {
    let template = file::parse("mine.toml", &minimal("[sampling]\ntemperature = 0.0"), Some("ja")).unwrap();
    assert_eq!(template.sampling.temperature, 0.0);
    assert_eq!(template.sampling.top_k, Sampling::default().top_k);
    assert_eq!(template.system, Template::builtin("en").unwrap().system);
    let (_, questions) = template.prompt(&facts(), Ask::Each).unwrap();
    assert_eq!(questions[0].text, "What?\n回答はすべて日本語で書いてください。");
}

#[test]
fn what_is_wrong_is_named() {
    for (source, named) in [
        (minimal("colour = 1"), "line 3: unknown field `colour`, expected one of `id`"),
        (minimal("[sampling]\nheat = 1"), "unknown field `heat`, expected one of `temperature`"),
        (minimal("system = \"{{ titel }}\""), "system: unknown variable `titel`"),
        (minimal("system = \"{{ text }}\""), "system: unknown variable `text`"),
        (minimal("system = \"{{ title\""), "system: syntax error"),
        (minimal("system = \"{{ title | shout }}\""), "shout"),
        (minimal("paper = \"no paper\""), "`paper` has no {{ text }}"),
        (minimal("follow_up = \"?\""), "`follow_up` has no {{ question }}"),
        (minimal("[sampling]\ntemperature = -1"), "`temperature` is -1"),
        (minimal("[sampling]\ntemperature = inf"), "`temperature` is inf"),
        (minimal("[sampling]\ntop_p = nan"), "`top_p` is NaN"),
        (minimal("[sampling]\nrepetition_penalty = inf"), "`repetition_penalty` is inf"),
        (minimal("[sampling]\ndry_multiplier = inf"), "`dry_multiplier` is inf"),
        (minimal("follow_up_max_tokens = 9223372036854775807"), "`follow_up_max_tokens` must lie"),
        (minimal("system = '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}'"), "fuel"),
        (minimal("").replace("max_tokens = 9", "max_tokens = 0"), "`max_tokens` of question `a` must lie"),
        (minimal("").replace("max_tokens = 9", "max_tokens = 9\nhint = 1"), "unknown field `hint`"),
        (minimal("").replace("What?", " "), "`prompt` of question `a` is empty"),
        (minimal("").repeat(2).replacen("language = \"en\"\n", "", 1), "duplicate key"),
        ("id = \"mine\"\nlanguage = \"en\"\nquestions = []".into(), "it asks no question"),
        ("id = \"mine\"".into(), "missing field `language`"),
        (format!("{}{}", minimal(""), minimal("").split_once("\n\n").unwrap().1), "two questions have the id `a`"),
    ] {
        let error = refused(&source);
        assert_eq!((error.kind, error.subject.as_str()), (Kind::Usage, "mine.toml"));
        assert!(error.problem.contains(named), "{named:?} is not in {:?}", error.problem);
    }
    let hint = refused(&minimal("system = \"{{ titel }}\"")).hint.unwrap();
    assert_eq!(hint, "variables known here: code_links, file, language, links, pages, title");
}

#[test]
fn a_missing_file_is_an_input_error() {
    let error = Template::load(Path::new("/nonexistent/mine.toml"), None).unwrap_err();
    assert_eq!((error.kind, error.subject.as_str()), (Kind::Input, "/nonexistent/mine.toml"));
}

#[test]
fn what_is_shown_can_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    for language in ["en", "ja"] {
        let template = Template::builtin(language).unwrap();
        std::fs::write(&path, template.source()).unwrap();
        Template::check(&path).unwrap();
        assert_eq!(Template::load(&path, None).unwrap(), template);
    }
}
