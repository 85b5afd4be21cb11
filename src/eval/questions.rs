//! Questions on papers with their gold answers: a file with a JSON object for each paper, a line each.
//!
//! `{"paper": "name", "text": "…", "questions": [{"question": "…", "answers": ["…", "…"]}]}`, every answer as good as
//! the others; or as L-Eval has it, `{"source": "name", "input": "…", "instructions": ["…"], "outputs": ["…"]}`.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Paper {
    #[serde(default)]
    pub paper: String,
    pub text: String,
    pub questions: Vec<Question>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Question {
    pub question: String,
    pub answers: Vec<String>,
}

/// L-Eval's form.
#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    source: String,
    input: String,
    instructions: Vec<String>,
    outputs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Own(Paper),
    Listed(Listed),
}

/// The papers of a file's text, named by their lines where they have no names of their own. What is wrong names the
/// line.
pub fn read(text: &str) -> Result<Vec<Paper>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let papers: Vec<Paper> = lines
        .map(|(number, line)| paper(number + 1, line).map_err(|problem| format!("line {}: {problem}", number + 1)))
        .collect::<Result<_, _>>()?;
    if papers.is_empty() { Err("holds no paper".into()) } else { Ok(papers) }
}

fn paper(number: usize, line: &str) -> Result<Paper, String> {
    let line: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("is not JSON: {error}"))?;
    let known = serde_json::from_value(line);
    let mut paper =
        match known.map_err(|_| "has neither paper, text and questions nor input, instructions and outputs")? {
            Line::Own(paper) => paper,
            Line::Listed(Listed { source, input, instructions, outputs }) => {
                if instructions.len() != outputs.len() {
                    return Err(format!("has {} instructions and {} outputs", instructions.len(), outputs.len()));
                }
                let pairs = instructions.into_iter().zip(outputs);
                let questions = pairs.map(|(question, answer)| Question { question, answers: vec![answer] }).collect();
                Paper { paper: source, text: input, questions }
            }
        };
    // Names of a set need not differ; its lines do.
    paper.paper = format!("{number} {}", paper.paper).trim_end().to_string();
    match paper.questions.iter().find(|question| question.answers.is_empty()) {
        Some(question) => Err(format!("has no answer to '{}'", question.question)),
        None if paper.questions.is_empty() => Err("has no question".into()),
        None => Ok(paper),
    }
}

/// What is asked about a paper, after its text.
pub fn asked(question: &str) -> String {
    format!(
        "Above is a scientific paper. Answer the question about it as briefly as you can, with a name, a number, a \
         phrase or one sentence, and without an explanation. If it is a question of yes or no, answer \"Yes\" or \"No\". \
         If the paper does not tell, answer \"Unanswerable\".\n\nQuestion: {question}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_mistakes_named() {
        let own = r#"{"paper": "p", "text": "t", "questions": [{"question": "q", "answers": ["a", "b"]}]}"#;
        let listed = r#"{"input": "t", "instructions": ["q"], "outputs": ["a"], "evaluation": "f1"}"#;
        let papers = read(&format!("{own}\n\n{listed}\n")).expect("both");
        assert_eq!(papers[0].questions[0].answers, ["a", "b"]);
        assert_eq!((papers[0].paper.as_str(), papers[1].paper.as_str()), ("1 p", "3"));
        assert_eq!(papers[1].questions, [Question { question: "q".into(), answers: vec!["a".into()] }]);
        for (line, problem) in [
            ("{", "line 1: is not JSON"),
            ("{}", "line 1: has neither"),
            (r#"{"input": "t", "instructions": ["q"], "outputs": []}"#, "1 instructions and 0 outputs"),
            (r#"{"text": "t", "questions": [{"question": "q", "answers": []}]}"#, "no answer to 'q'"),
            (r#"{"text": "t", "questions": []}"#, "no question"),
            ("\n", "no paper"),
        ] {
            assert!(read(line).expect_err(line).contains(problem), "{line}");
        }
    }
}
