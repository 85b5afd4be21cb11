//! A template's TOML: reading it, and refusing what is not understood by name.

use super::{BUILTIN, MOST_TOKENS, TEMPERATURES, Template, TemplateQuestion, language, prompt};
use crate::{Error, Kind, Result, generator::Sampling};
use serde::Deserialize;
use std::collections::HashSet;

/// The file as it is written. What is left out comes from the built-in template in the same language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    #[serde(default)]
    description: String,
    language: String,
    sampling: Option<Sampling>,
    system: Option<String>,
    paper: Option<String>,
    together: Option<String>,
    follow_up: Option<String>,
    follow_up_max_tokens: Option<usize>,
    questions: Vec<TemplateQuestion>,
}

/// Reads `source`; `subject` names it in errors. `answer_in` is the language of the answers, if not the template's own.
pub(super) fn parse(subject: &str, source: &str, answer_in: Option<&str>) -> Result<Template> {
    let file = read(subject, source)?;
    let defaults = read("built-in template", builtin_source(&file.language))?;
    let template = Template {
        id: file.id,
        description: file.description,
        language: answer_in.unwrap_or(&file.language).to_string(),
        written_in: file.language,
        sampling: file.sampling.or(defaults.sampling).unwrap_or_default(),
        system: file.system.or(defaults.system).unwrap_or_default(),
        paper: file.paper.or(defaults.paper).unwrap_or_default(),
        together: file.together.or(defaults.together).unwrap_or_default(),
        follow_up: file.follow_up.or(defaults.follow_up).unwrap_or_default(),
        follow_up_max_tokens: file.follow_up_max_tokens.or(defaults.follow_up_max_tokens).unwrap_or(400),
        questions: file.questions,
        source: source.to_string(),
    };
    check_questions(subject, &template)?;
    check_sampling(subject, &template.sampling)?;
    check_texts(subject, &template)?;
    Ok(template)
}

fn builtin_source(language: &str) -> &'static str {
    let primary = language::primary(language);
    let (_, _, source) = BUILTIN.iter().find(|(_, written_in, _)| *written_in == primary).unwrap_or(&BUILTIN[0]);
    source
}

fn read(subject: &str, source: &str) -> Result<File> {
    toml::from_str(source).map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start.min(source.len()));
        let line = source.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let message = error.message().trim().replace('\n', ", ");
        Error::new(Kind::Usage, subject, format!("line {line}: {message}"))
            .hint("`ronbun template show` prints a template to start from")
    })
}

fn check_questions(subject: &str, template: &Template) -> Result<()> {
    let refuse = |problem: String| Err(Error::new(Kind::Usage, subject, problem));
    if template.questions.is_empty() {
        return refuse("it asks no question".into());
    }
    let mut ids = HashSet::new();
    for question in &template.questions {
        if question.id.trim().is_empty() {
            return refuse("a question's `id` is empty".into());
        }
        if !ids.insert(&question.id) {
            return refuse(format!("two questions have the id `{}`", question.id));
        }
        if question.prompt.trim().is_empty() {
            return refuse(format!("the `prompt` of question `{}` is empty", question.id));
        }
        if !(1..=MOST_TOKENS).contains(&question.max_tokens) {
            return refuse(format!("`max_tokens` of question `{}` must lie between 1 and {MOST_TOKENS}", question.id));
        }
    }
    if !(1..=MOST_TOKENS).contains(&template.follow_up_max_tokens) {
        return refuse(format!("`follow_up_max_tokens` must lie between 1 and {MOST_TOKENS}"));
    }
    Ok(())
}

/// Infinities and what is no number lie in none of these ranges.
fn check_sampling(subject: &str, sampling: &Sampling) -> Result<()> {
    let ranges = [
        ("temperature", sampling.temperature, TEMPERATURES),
        ("top_p", sampling.top_p, 0.0..=1.0),
        ("min_p", sampling.min_p, 0.0..=1.0),
        ("repetition_penalty", sampling.repetition_penalty, 0.1..=10.0),
        ("dry_multiplier", sampling.dry_multiplier, 0.0..=100.0),
    ];
    match ranges.iter().find(|(_, value, range)| !range.contains(value)) {
        None => Ok(()),
        Some((key, value, range)) => {
            let (least, most) = (range.start(), range.end());
            let problem = format!("[sampling] `{key}` is {value}, and must lie between {least} and {most}");
            Err(Error::new(Kind::Usage, subject, problem))
        }
    }
}

fn check_texts(subject: &str, template: &Template) -> Result<()> {
    prompt::check(subject, "system", &template.system, &[])?;
    let used = prompt::check(subject, "paper", &template.paper, &["text"])?;
    if !used.contains("text") {
        return Err(Error::new(
            Kind::Usage,
            subject,
            "`paper` has no {{ text }}, so that the model would not see the paper",
        ));
    }
    prompt::check(subject, "together", &template.together, &[])?;
    let used = prompt::check(subject, "follow_up", &template.follow_up, &["question"])?;
    if !used.contains("question") {
        return Err(Error::new(Kind::Usage, subject, "`follow_up` has no {{ question }}"));
    }
    for question in &template.questions {
        prompt::check(subject, &format!("prompt of question `{}`", question.id), &question.prompt, &[])?;
    }
    Ok(())
}
