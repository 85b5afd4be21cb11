//! Template + the paper's facts → the prompt and its questions.

use super::{Ask, Template, language};
use crate::generator::{Prompt, Question};
use crate::{Error, Kind, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use std::collections::HashSet;

/// What a template can say about a paper.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub file: String,
    /// The file's name where the paper tells no title.
    pub title: String,
    /// Of the whole paper.
    pub text: String,
    pub pages: usize,
    /// All URLs of the paper.
    pub links: Vec<String>,
    /// Those that lead to code.
    pub code_links: Vec<String>,
}

/// Variables that every text of a template can use. `text` is only for `paper`, `question` only for `follow_up`.
const VARIABLES: [&str; 6] = ["code_links", "file", "language", "links", "pages", "title"];

impl Template {
    /// The paper as prefix, and the template's questions: one each, or one that asks all.
    pub fn prompt(&self, facts: &Facts, ask: Ask) -> Result<(Prompt, Vec<Question>)> {
        let questions = match ask {
            Ask::Each => self.each(facts)?,
            Ask::Together => vec![self.all_together(facts)?],
        };
        Ok((self.prefix(facts)?, questions))
    }

    /// The same prefix, and a user's own questions (taken as they are, braces and all) with ids `q1`, `q2`, ….
    pub fn follow_up(&self, facts: &Facts, questions: &[String]) -> Result<(Prompt, Vec<Question>)> {
        let questions = questions.iter().zip(1..).map(|(question, number)| {
            let variables = context! { question => question.trim(), ..variables(self, facts) };
            let text = render(&self.id, "follow_up", &self.follow_up, variables)?;
            let max_tokens = self.follow_up_max_tokens;
            Ok(Question { id: format!("q{number}"), text: self.in_language(text), max_tokens })
        });
        Ok((self.prefix(facts)?, questions.collect::<Result<_>>()?))
    }

    fn prefix(&self, facts: &Facts) -> Result<Prompt> {
        let variables = variables(self, facts);
        let system = render(&self.id, "system", &self.system, variables.clone())?;
        let with_text = context! { text => facts.text.trim(), ..variables };
        let paper = render(&self.id, "paper", &self.paper, with_text)?;
        let (system, paper) = (system.trim().to_string(), format!("{}\n\n", paper.trim()));
        Ok(Prompt { system, paper, language: self.language.clone() })
    }

    fn each(&self, facts: &Facts) -> Result<Vec<Question>> {
        let questions = self.questions.iter().map(|question| {
            let text = render(&self.id, &question.id, &question.prompt, variables(self, facts))?;
            Ok(Question { id: question.id.clone(), text: self.in_language(text), max_tokens: question.max_tokens })
        });
        questions.collect()
    }

    fn all_together(&self, facts: &Facts) -> Result<Question> {
        let mut text = render(&self.id, "together", &self.together, variables(self, facts))?.trim().to_string();
        let mut max_tokens = 0;
        for (question, number) in self.questions.iter().zip(1..) {
            let asked = render(&self.id, &question.id, &question.prompt, variables(self, facts))?;
            text.push_str(&format!("\n\n{number}. {}\n{}", question.title, asked.trim()));
            max_tokens = usize::saturating_add(max_tokens, question.max_tokens);
        }
        Ok(Question { id: "together".to_string(), text: self.in_language(text), max_tokens })
    }

    /// Ends a question with the language to answer in, where the template is written in another.
    fn in_language(&self, question: String) -> String {
        let question = question.trim();
        if language::primary(&self.language) == language::primary(&self.written_in) {
            return question.to_string();
        }
        format!("{question}\n{}", language::insist(&self.language))
    }
}

fn variables(template: &Template, facts: &Facts) -> Value {
    context! {
        file => facts.file.as_str(),
        title => facts.title.as_str(),
        pages => facts.pages,
        links => &facts.links,
        code_links => &facts.code_links,
        language => language::name(&template.language),
    }
}

/// Steps that a text may take; a paper with thousands of links needs some ten thousand. A loop in a loop ends with an
/// error rather than never.
const FUEL: u64 = 1_000_000;

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // A line that is only a block leaves no empty line behind.
    environment
        .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().expect("default delimiters"));
    environment
}

fn render(template: &str, part: &str, source: &str, variables: Value) -> Result<String> {
    environment().render_str(source, variables).map_err(|error| {
        Error::new(Kind::Usage, format!("template {template}"), format!("{part}: {}", describe(&error)))
    })
}

/// Refuses a text with a syntax error or an unknown variable; `extra` names the variables that only this part has.
/// Returns the variables used.
pub(super) fn check(subject: &str, part: &str, source: &str, extra: &[&str]) -> Result<HashSet<String>> {
    let environment = environment();
    let parsed = environment
        .template_from_str(source)
        .map_err(|error| Error::new(Kind::Usage, subject, format!("{part}: {}", describe(&error))))?;
    let used = parsed.undeclared_variables(false);
    let globals: HashSet<_> = environment.globals().map(|(name, _)| name.to_string()).collect();
    let mut known: Vec<&str> = VARIABLES.iter().chain(extra).copied().collect();
    known.sort_unstable();
    let mut unknown: Vec<_> =
        used.iter().filter(|name| !known.contains(&name.as_str()) && !globals.contains(*name)).collect();
    unknown.sort_unstable();
    if let Some(name) = unknown.first() {
        return Err(Error::new(Kind::Usage, subject, format!("{part}: unknown variable `{name}`"))
            .hint(format!("variables known here: {}", known.join(", "))));
    }
    try_out(&parsed).map_err(|error| Error::new(Kind::Usage, subject, format!("{part}: {}", describe(&error))))?;
    Ok(used)
}

/// Renders for a paper with links and for one without: what only shows then (an unknown filter, a first link that is
/// not there) is better known before a paper is read.
fn try_out(parsed: &minijinja::Template) -> Result<(), minijinja::Error> {
    let address = "https://github.com/org/code".to_string();
    for links in [vec![address], vec![]] {
        parsed.render(context! {
            file => "paper.pdf", title => "A title", pages => 1, language => "English",
            links => &links, code_links => &links, text => "The text.", question => "What?",
        })?;
    }
    Ok(())
}

fn describe(error: &minijinja::Error) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let line = error.line().map(|line| format!(" (its line {line})")).unwrap_or_default();
    format!("{}{detail}{line}", error.kind())
}
