//! What judges said, as part of the report and as CSV.

use super::Side;
use super::findings::{Contest, Judged, Sentences, Spent};
use crate::Result;
use crate::compare::figures::Costs;
use crate::compare::report::{cell, csv, numbers};
use crate::compare::statistics::{Estimate, Scope};
use crate::compare::summary::Summary;
use std::fmt::Write;

impl Judged {
    /// A section of the report; `summary` holds what the encoder found, to stand beside.
    pub fn tell(&self, summary: &Summary, costs: &Costs, text: &mut String) {
        let _ = write!(text, "\n## Judged by {}\n", cell(&self.judge.id));
        self.introduce(costs, text);
        if !self.contests.is_empty() {
            self.tell_contests(text);
        }
        if !self.sentences.is_empty() {
            self.tell_sentences(summary, text);
        }
    }

    fn introduce(&self, costs: &Costs, text: &mut String) {
        let Spent { conversations, prompt_tokens, output_tokens, seconds, usd } = self.spent;
        let place = match &self.judge.destination {
            Some(destination) => format!("asked at {}", cell(destination)),
            None => "asked on this machine".into(),
        };
        let mut held = Vec::new();
        if !self.contests.is_empty() {
            held.push("a question and two answers, without the names of who wrote them");
        }
        if self.contests.iter().any(|contest| contest.with_paper) {
            held.push("the paper's text before them");
        }
        if !self.sentences.is_empty() {
            held.push("a sentence of an answer and a passage of the paper");
        }
        let _ = write!(
            text,
            "\nA model's opinion, {place}. {conversations} conversations held {}. Refused: {}, without a verdict that can be \
             read: {}; neither counts as a verdict.\n",
            held.join("; "),
            self.refused,
            self.unreadable
        );
        let money = match usd {
            Some(usd) => format!("{usd:.4} US dollars, {:.2} yen", usd * costs.usd_jpy),
            None => "no price is known".into(),
        };
        let _ = write!(
            text,
            "\nThe judging took {seconds:.1} s, {prompt_tokens} tokens read and {output_tokens} written: {money}. It is not \
             among the models' costs.\n"
        );
        if self.judges_itself() {
            text.push_str("\n> It judged answers of its own, which judges are known to prefer.\n");
        }
    }

    fn tell_contests(&self, text: &mut String) {
        text.push_str(
            "\nEach pair of answers was judged in both orders; where the verdict changed with the order it is a tie. The \
             preference is the mean over papers of 1 for a win and -1 for a loss.\n\n\
             | answers of | against | paper shown | wins | ties | of these by order | losses | undecided | preference | 95 % |\n\
             |---|---|---|--:|--:|--:|--:|--:|--:|---|\n",
        );
        for contest in &self.contests {
            let Contest { wins, ties, changed, losses, undecided, .. } = contest;
            let shown = if contest.with_paper { "yes" } else { "no" };
            let estimate = contest.preference.as_ref().map(|found| found.estimate);
            let value = estimate.map_or("–".into(), |found| format!("{:+.2}", found.value));
            let (a, b) = (cell(&contest.a), cell(contest.b.name()));
            let interval = estimate.and_then(|found| found.interval);
            let interval = interval.map_or("–".into(), |(low, high)| format!("{low:+.2} to {high:+.2}"));
            let _ = writeln!(
                text,
                "| {a} | {b} | {shown} | {wins} | {ties} | {changed} | {losses} | {undecided} | {value} | {interval} |"
            );
        }
        let stated: Vec<String> = self.contests.iter().filter_map(preferred).collect();
        match stated.is_empty() {
            true => text.push_str("\nNo preference is more than chance.\n"),
            false => {
                let _ = write!(text, "\n{}", stated.concat());
            }
        }
    }

    fn tell_sentences(&self, summary: &Summary, text: &mut String) {
        text.push_str(
            "\nEach sentence was put to the judge with the passage of the paper that is nearest to it, by the encoder.\n\n\
             | model | sentences | entailed | not | unclear | refused or unreadable | near to a passage, share |\n\
             |---|--:|--:|--:|--:|--:|--:|\n",
        );
        for (model, Sentences { yes, no, unclear, refused, unreadable }) in &self.sentences {
            let without = refused + unreadable;
            let all = yes + no + unclear + without;
            let near = summary.means_of("supported").into_iter().find(|mean| mean.model == *model);
            let near = near.map_or("–".into(), |mean| format!("{:.2}", mean.estimate.value));
            let _ = writeln!(text, "| {} | {all} | {yes} | {no} | {unclear} | {without} | {near} |", cell(model));
        }
    }
}

/// A preference that may be stated.
fn preferred(contest: &Contest) -> Option<String> {
    let found = contest.preference.as_ref().filter(|_| contest.stated)?;
    let Estimate { value, papers, .. } = found.estimate;
    let (a, b) = (cell(&contest.a), cell(contest.b.name()));
    let (better, worse) = if value > 0.0 { (a, b) } else { (b, a) };
    let scope = match found.scope {
        Scope::Papers => format!("{papers} papers"),
        Scope::Trials => format!("on these {papers} papers, by their trials"),
    };
    Some(format!("- {better} is preferred to {worse}: p {:.4}, {scope}.\n", found.p.unwrap_or(1.0)))
}

/// All contests before all judges.
pub fn contests_csv(judged: &[Judged]) -> Result<String> {
    let head = [
        "judge",
        "a",
        "b",
        "with_paper",
        "wins",
        "ties",
        "changed",
        "losses",
        "undecided",
        "preference",
        "low",
        "high",
        "papers",
        "p",
        "scope",
        "stated",
    ];
    let row = |judge: &str, contest: &Contest| {
        let b = if contest.b == Side::Gold { "gold" } else { contest.b.name() };
        let names = [judge, &contest.a, b].map(str::to_string).to_vec();
        let Contest { wins, ties, changed, losses, undecided, .. } = contest;
        let counts = [wins, ties, changed, losses, undecided].map(|count| count.to_string()).to_vec();
        let found = contest.preference.as_ref().map(numbers).unwrap_or_default().to_vec();
        [names, vec![contest.with_paper.to_string()], counts, found, vec![contest.stated.to_string()]].concat()
    };
    let rows = judged.iter().flat_map(|each| each.contests.iter().map(move |contest| row(&each.judge.id, contest)));
    csv(&head, rows)
}
