//! document + template + generator → summary. Knows no tensors and no PDF library.
//!
//! Every answer is checked: one that is empty, goes in circles or is in another language than the one asked for is asked
//! for again, over the same prefix; links that the paper does not have are taken out. Nothing is made up in their place.

mod clean;
mod language;
mod links;
mod repeats;
mod rounds;
mod timings;

use crate::document::{Document, LinkKind, Selection};
use crate::generator::{self, Generator, Plan, Prompt, Question, Sampling};
use crate::report::{Answer, Paper, SCHEMA_VERSION, Summary, TemplateFacts, words};
use crate::template::{Ask, Facts, Template};
use crate::{Result, interrupt};
pub(crate) use clean::{bare, clean};
pub(crate) use language::{detect as language, is_cjk};
pub(crate) use links::{Known, addresses};
pub(crate) use repeats::sentences;
use rounds::Attempt;
use timings::Clock;
pub use timings::{now, peak_memory};

/// What a caller decides beside the template.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Start from `template.sampling`.
    pub sampling: Sampling,
    /// What of the paper the model sees.
    pub selection: Selection,
    /// Instead of the questions' own limits.
    pub max_tokens: Option<usize>,
    /// How often a question may be put in all before its best answer is kept; at least 1.
    pub attempts: u32,
    /// Seconds that the caller took to load the model, for the report.
    pub load_seconds: f64,
    /// Seconds that the caller took to read the PDF, for the report.
    pub extract_seconds: f64,
}

impl Options {
    /// The template's own sampling and limits, the whole paper, three attempts.
    pub fn new(template: &Template) -> Options {
        Options {
            sampling: template.sampling.clone(),
            selection: Selection::default(),
            max_tokens: None,
            attempts: 3,
            load_seconds: 0.0,
            extract_seconds: 0.0,
        }
    }
}

/// What happens while a paper is answered. Indices count the questions in the order of the summary's answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The paper fits; work begins.
    Planned(&'a Plan),
    Generator(generator::Event<'a>),
    /// Answer `index` was not good enough (`reason`) and its question is put again.
    Again {
        index: usize,
        reason: &'a str,
    },
}

/// Answers the template's questions about `document`. Errors: `Context` if the paper is too long, before any work;
/// whatever the generator reports.
pub fn summarize(
    document: &Document,
    template: &Template,
    ask: Ask,
    generator: &mut dyn Generator,
    options: &Options,
    watch: &mut dyn FnMut(Event),
) -> Result<Summary> {
    let (prompt, questions) = self::prompt(document, template, ask, &options.selection)?;
    let titles = match ask {
        Ask::Each => template.questions.iter().map(|question| question.title.clone()).collect(),
        Ask::Together => vec![words::of(&template.language).together.to_string()],
    };
    Run { document, template, ask, options }.answer(prompt, questions, titles, generator, watch)
}

/// Answers a user's own questions, over the same prompt as [`summarize`] with the same template.
pub fn ask(
    document: &Document,
    template: &Template,
    questions: &[String],
    generator: &mut dyn Generator,
    options: &Options,
    watch: &mut dyn FnMut(Event),
) -> Result<Summary> {
    let (prompt, asked) = template.follow_up(&facts(document, &options.selection), questions)?;
    let titles = questions.iter().map(|question| question.trim().to_string()).collect();
    Run { document, template, ask: Ask::Each, options }.answer(prompt, asked, titles, generator, watch)
}

/// The prompt and the questions that [`summarize`] begins with.
pub fn prompt(
    document: &Document,
    template: &Template,
    ask: Ask,
    selection: &Selection,
) -> Result<(Prompt, Vec<Question>)> {
    template.prompt(&facts(document, selection), ask)
}

fn facts(document: &Document, selection: &Selection) -> Facts {
    let urls = |kind: Option<LinkKind>| {
        let links = document.links.iter().filter(|link| kind.is_none_or(|kind| link.kind == kind));
        links.map(|link| link.url.clone()).collect()
    };
    Facts {
        file: document.file.clone(),
        title: document.title.clone().unwrap_or_else(|| document.file.clone()),
        text: document.select(selection),
        pages: document.pages.len(),
        links: urls(None),
        code_links: urls(Some(LinkKind::Code)),
    }
}

/// One paper's questions on their way to a summary.
struct Run<'a> {
    document: &'a Document,
    template: &'a Template,
    ask: Ask,
    options: &'a Options,
}

impl Run<'_> {
    fn answer(
        &self,
        prompt: Prompt,
        mut questions: Vec<Question>,
        titles: Vec<String>,
        generator: &mut dyn Generator,
        watch: &mut dyn FnMut(Event),
    ) -> Result<Summary> {
        let mut clock = Clock::start(self.options.load_seconds, self.options.extract_seconds);
        interrupt::check()?;
        if let Some(max_tokens) = self.options.max_tokens {
            questions.iter_mut().for_each(|question| question.max_tokens = max_tokens);
        }
        let plan = generator.plan(&prompt, &questions)?;
        watch(Event::Planned(&plan));
        let asked = rounds::Asked {
            prompt: &prompt,
            questions: &questions,
            titles: &titles,
            ask: self.ask,
            language: &self.template.language,
            options: self.options,
        };
        let attempts = asked.answer(generator, &mut clock, watch)?;
        let known = links::Known::of(self.document);
        let answers: Vec<Answer> = questions
            .into_iter()
            .zip(titles)
            .zip(attempts)
            .map(|((question, title), attempt)| self.finish(question, title, attempt, &known))
            .collect();
        Ok(Summary {
            schema_version: SCHEMA_VERSION,
            ronbun_version: env!("CARGO_PKG_VERSION").to_string(),
            created: timings::now(),
            paper: self.paper(plan.shared_tokens),
            model: generator.facts().clone(),
            template: TemplateFacts {
                id: self.template.id.clone(),
                language: self.template.language.clone(),
                ask: self.ask,
            },
            sampling: self.options.sampling.clone(),
            gist: answers.iter().find(|answer| answer.id == "gist" && !answer.text.is_empty()).map(one_line),
            answers,
            timings: clock.stop(),
        })
    }

    /// The best attempt as it is reported: its links held to the paper, the paper's own code links beside it.
    fn finish(&self, question: Question, title: String, attempt: Attempt, known: &links::Known) -> Answer {
        let words = words::of(&self.template.language);
        let (text, removed_links) = links::keep_known(&attempt.text, known, words.link_removed);
        let links =
            if self.is_about_code(&question) { links::code_links_missing(&text, self.document) } else { Vec::new() };
        let mut warnings = Vec::new();
        if attempt.text.is_empty() {
            warnings.push(words.empty(attempt.attempts));
        }
        if let Some(found) = language::wrong(&text, &self.template.language) {
            warnings.push(words.wrong_language(&self.template.language, found));
        }
        warnings.extend(words.ending(attempt.finish_reason).map(str::to_string));
        Answer {
            id: question.id,
            title,
            question: question.text,
            language: language::detect(&text).map(str::to_string),
            text,
            tokens: attempt.tokens,
            finish_reason: attempt.finish_reason,
            attempts: attempt.attempts,
            links,
            removed_links,
            evidence: Vec::new(),
            warnings,
        }
    }

    fn is_about_code(&self, question: &Question) -> bool {
        question.id == "code"
            || self.ask == Ask::Together && self.template.questions.iter().any(|question| question.id == "code")
    }

    fn paper(&self, tokens: usize) -> Paper {
        Paper {
            file: self.document.file.clone(),
            sha256: self.document.sha256.clone(),
            title: self.document.title.clone(),
            pages: self.document.pages.len(),
            tokens,
            links: self.document.links.clone(),
            warnings: self.document.warnings.clone(),
            left_out: self.document.left_out(&self.options.selection),
        }
    }
}

/// The gist stands alone on top: its first sentence, whatever bullets, breaks or more sentences the model wrote.
fn one_line(answer: &Answer) -> String {
    let words: Vec<_> = answer.text.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.trim_start_matches(['-', '*', '•', '#', ' ']).trim_end_matches('*');
    line[..first_sentence(line)].to_string()
}

/// Where the first sentence of `line` ends, in bytes: after "。", or after a full stop that is followed by a capital and
/// does not belong to an abbreviation.
fn first_sentence(line: &str) -> usize {
    const ABBREVIATIONS: [&str; 8] = ["al", "e.g", "i.e", "vs", "Fig", "Eq", "Sec", "cf"];
    let ends = line.char_indices().find(|&(at, c)| match c {
        '。' | '！' | '？' => true,
        '.' | '!' | '?' => {
            let mut after = line[at + 1..].chars();
            let word = line[..at].rsplit([' ', '(']).next().unwrap_or_default();
            after.next() == Some(' ')
                && after.next().is_some_and(char::is_uppercase)
                && word.chars().count() > 1
                && !ABBREVIATIONS.contains(&word)
        }
        _ => false,
    });
    ends.map_or(line.len(), |(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::first_sentence;

    #[test]
    fn a_gist_is_one_sentence() {
        for (text, first) in [
            ("We reach 28.4 BLEU, as Vaswani et al. Did. It is new.", "We reach 28.4 BLEU, as Vaswani et al. Did."),
            ("手法を提案する。精度が上がった。", "手法を提案する。"),
            ("One sentence without an end", "One sentence without an end"),
            ("J. Smith shows it (cf. Table 1). Then more.", "J. Smith shows it (cf. Table 1)."),
        ] {
            assert_eq!(&text[..first_sentence(text)], first);
        }
    }
}
