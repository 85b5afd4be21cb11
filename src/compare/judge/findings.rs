//! Judgements → what they say: contests won, tied and lost, answers against the right ones, sentences entailed, and what the
//! judging cost.

use super::{Case, Judgement, Side, Verdict};
use crate::compare::figures::{self, Costs, Value};
use crate::compare::statistics::{self, Difference, average};
use crate::compare::summary::Summary;
use crate::compare::types::{Measured, Model, Origin};
use serde::Serialize;
use std::collections::BTreeMap;

/// One model against another, or against the right answers, before one judge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contest {
    pub a: String,
    pub b: Side,
    /// Whether the judge was shown the paper.
    pub with_paper: bool,
    /// Of a; each of answers to one question, in both orders.
    pub wins: usize,
    pub ties: usize,
    pub losses: usize,
    /// Of the ties, those where the verdict changed with the order.
    pub changed: usize,
    /// The judge refused, or its verdict could not be read, in one order or both: neither won, tied nor lost.
    pub undecided: usize,
    /// Of a win (1) and a loss (-1), over papers; none where nothing was decided.
    #[serde(flatten)]
    pub preference: Option<Difference>,
    /// Whether it is more than chance, all contests before this judge together.
    pub stated: bool,
}

/// Sentences of one model's answers before one judge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sentences {
    pub yes: usize,
    pub no: usize,
    pub unclear: usize,
    pub refused: usize,
    pub unreadable: usize,
}

/// What judging took; apart from what the answers took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spent {
    pub conversations: usize,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    pub seconds: f64,
    /// None where there is no price, or the server did not tell what it counted.
    pub usd: Option<f64>,
}

/// All that one judge said.
#[derive(Debug, Serialize)]
pub struct Judged {
    pub judge: Model,
    pub spent: Spent,
    pub refused: usize,
    pub unreadable: usize,
    pub contests: Vec<Contest>,
    /// By model.
    pub sentences: BTreeMap<String, Sentences>,
    #[serde(skip)]
    pub values: Vec<Value>,
    #[serde(flatten)]
    pub summary: Summary,
    /// With the reasons, the passages and their pages.
    pub judgements: Vec<Judgement>,
}

/// What each judge said. `models` gives the order of rows.
pub fn of(judges: Vec<Model>, judgements: Vec<Judgement>, models: &[String], costs: &Costs) -> Vec<Judged> {
    let each = judges.into_iter().map(|judge| {
        let mine: Vec<Judgement> = judgements.iter().filter(|said| said.judge == judge.id).cloned().collect();
        Judged::of(judge, mine, models, costs)
    });
    each.filter(|judged| !judged.judgements.is_empty()).collect()
}

impl Judged {
    fn of(judge: Model, judgements: Vec<Judgement>, models: &[String], costs: &Costs) -> Judged {
        let decided = decided(&judgements, models);
        let mut values = against_gold(&decided);
        values.extend(entailed(&judgements));
        let count = |verdict| judgements.iter().filter(|said| said.verdict == verdict).count();
        Judged {
            spent: Spent::of(&judge, &judgements, costs),
            refused: count(Verdict::Refused),
            unreadable: count(Verdict::Unreadable),
            contests: contests(&decided),
            sentences: sentences(&judgements),
            summary: Summary::of(&values, models),
            values,
            judge,
            judgements,
        }
    }

    /// Whether it judged answers of its own.
    pub fn judges_itself(&self) -> bool {
        let own = |case: &Case| match case {
            Case::Better { first, second, .. } => [first, second].iter().any(|side| side.name() == self.judge.id),
            Case::Entailed { model, .. } => *model == self.judge.id,
        };
        self.judgements.iter().any(|said| own(&said.matter.case))
    }
}

impl Spent {
    fn of(judge: &Model, judgements: &[Judgement], costs: &Costs) -> Spent {
        let calls: Vec<&Measured> = judgements.iter().map(|said| &said.measured).collect();
        let sum = |of: fn(&Measured) -> u64| calls.iter().map(|call| of(call)).sum();
        let seconds = calls.iter().map(|call| call.seconds).sum();
        let metered: Option<f64> = calls.iter().map(|call| call.energy_joules).sum();
        let usd = match judge.origin {
            Origin::Local => costs.machine.cost(metered, seconds),
            Origin::Remote | Origin::Recorded => figures::price_of(judge, costs, &calls),
        };
        let (prompt_tokens, output_tokens) = (sum(|call| call.prompt_tokens), sum(|call| call.output_tokens));
        Spent { conversations: calls.len(), prompt_tokens, output_tokens, seconds, usd }
    }
}

/// The answers of a and b to one question, in both orders.
#[derive(Debug, Clone, PartialEq)]
struct Decided {
    a: String,
    b: Side,
    with_paper: bool,
    paper: String,
    trial: u32,
    question: String,
    /// 1 where a won, -1 where b did, and whether the verdict changed with the order; none without a verdict.
    outcome: Option<(f64, bool)>,
}

/// Those that were asked in both orders.
fn decided(judgements: &[Judgement], models: &[String]) -> Vec<Decided> {
    let place = |side: &Side| match side {
        Side::Model(id) => models.iter().position(|known| known == id).unwrap_or(models.len()),
        Side::Gold => usize::MAX,
    };
    let mut both: BTreeMap<_, [Option<Verdict>; 2]> = BTreeMap::new();
    for Judgement { matter, verdict, .. } in judgements {
        let (Case::Better { first, second, with_paper }, Some(question)) = (&matter.case, &matter.question) else {
            continue;
        };
        let turned = (place(second), second) < (place(first), first);
        let (a, b) = if turned { (second, first) } else { (first, second) };
        let key = (place(a), a, place(b), b, with_paper, &matter.paper, matter.trial, question);
        both.entry(key).or_default()[usize::from(turned)] = Some(*verdict);
    }
    let decided = both.into_iter().filter_map(|((_, a, _, b, with_paper, paper, trial, question), verdicts)| {
        let [Some(straight), Some(turned)] = verdicts else { return None };
        Some(Decided {
            a: a.name().to_string(),
            b: b.clone(),
            with_paper: *with_paper,
            paper: paper.clone(),
            trial,
            question: question.clone(),
            outcome: outcome(straight, turned),
        })
    });
    decided.collect()
}

/// A verdict that changes with the order is a tie.
fn outcome(straight: Verdict, turned: Verdict) -> Option<(f64, bool)> {
    let of = |verdict, first: f64| match verdict {
        Verdict::First => Some(first),
        Verdict::Second => Some(-first),
        Verdict::Tie => Some(0.0),
        _ => None,
    };
    let (straight, turned) = (of(straight, 1.0)?, of(turned, -1.0)?);
    Some(if straight == turned { (straight, false) } else { (0.0, true) })
}

fn contests(decided: &[Decided]) -> Vec<Contest> {
    let same =
        |one: &Decided, other: &Decided| (&one.a, &one.b, one.with_paper) == (&other.a, &other.b, other.with_paper);
    let mut contests: Vec<Contest> = decided.chunk_by(same).map(contest).collect();
    let p: Vec<Option<f64>> =
        contests.iter().map(|contest| contest.preference.as_ref().and_then(|found| found.p)).collect();
    for (contest, held) in contests.iter_mut().zip(statistics::holm(&p)) {
        let interval = contest.preference.as_ref().and_then(|found| found.estimate.interval);
        contest.stated = held && interval.is_none_or(|(low, high)| low > 0.0 || high < 0.0);
    }
    contests
}

fn contest(decided: &[Decided]) -> Contest {
    let count = |holds: &dyn Fn(f64, bool) -> bool| {
        decided.iter().filter(|each| each.outcome.is_some_and(|(won, changed)| holds(won, changed))).count()
    };
    // Questions of one trial were answered by one draw: they count as one.
    let mut papers: BTreeMap<&str, BTreeMap<u32, Vec<f64>>> = BTreeMap::new();
    for each in decided {
        if let Some((won, _)) = each.outcome {
            papers.entry(&each.paper).or_default().entry(each.trial).or_default().push(won);
        }
    }
    let papers: Vec<Vec<f64>> =
        papers.values().map(|trials| trials.values().map(|won| average(won)).collect()).collect();
    Contest {
        a: decided[0].a.clone(),
        b: decided[0].b.clone(),
        with_paper: decided[0].with_paper,
        wins: count(&|won, _| won > 0.0),
        ties: count(&|won, _| won == 0.0),
        losses: count(&|won, _| won < 0.0),
        changed: count(&|_, changed| changed),
        undecided: decided.iter().filter(|each| each.outcome.is_none()).count(),
        preference: (!papers.is_empty()).then(|| statistics::preference(&papers)),
        stated: false,
    }
}

/// 1 where an answer is preferred to the right one, ½ where neither is; of an output the mean over its questions.
fn against_gold(decided: &[Decided]) -> Vec<Value> {
    let mut outputs: BTreeMap<(&str, &str, u32), Vec<f64>> = BTreeMap::new();
    for each in decided.iter().filter(|each| each.b == Side::Gold) {
        if let Some((won, _)) = each.outcome {
            outputs.entry((&each.a, &each.paper, each.trial)).or_default().push((won + 1.0) / 2.0);
        }
    }
    outputs.into_iter().map(|(output, scores)| value("judge_gold", output, average(&scores))).collect()
}

/// The share of the sentences with a verdict that are entailed.
fn entailed(judgements: &[Judgement]) -> Vec<Value> {
    let mut outputs: BTreeMap<(&str, &str, u32), Vec<f64>> = BTreeMap::new();
    for Judgement { matter, verdict, .. } in judgements {
        if let (Case::Entailed { model, .. }, true) = (&matter.case, verdict.is_given()) {
            let share = f64::from(u8::from(*verdict == Verdict::Yes));
            outputs.entry((model, &matter.paper, matter.trial)).or_default().push(share);
        }
    }
    outputs.into_iter().map(|(output, shares)| value("entailed", output, average(&shares))).collect()
}

fn value(figure: &'static str, (model, paper, trial): (&str, &str, u32), value: f64) -> Value {
    Value { figure, model: model.to_string(), paper: paper.to_string(), trial: Some(trial), question: None, value }
}

fn sentences(judgements: &[Judgement]) -> BTreeMap<String, Sentences> {
    let mut found: BTreeMap<String, Sentences> = BTreeMap::new();
    for Judgement { matter, verdict, .. } in judgements {
        let Case::Entailed { model, .. } = &matter.case else { continue };
        let counts = found.entry(model.clone()).or_default();
        let count = match verdict {
            Verdict::Yes => &mut counts.yes,
            Verdict::No => &mut counts.no,
            Verdict::Unclear => &mut counts.unclear,
            Verdict::Refused => &mut counts.refused,
            _ => &mut counts.unreadable,
        };
        *count += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Matter;
    use super::*;
    use crate::compare::prices::{OwnMachine, Prices};
    use crate::compare::statistics::Scope;

    fn judged(said: Vec<(Matter, Verdict)>) -> Judged {
        let prices = Prices::load(None).unwrap();
        let costs = Costs { prices, day: None, usd_jpy: 160.0, machine: OwnMachine::default() };
        let judge = Model { id: "j".into(), origin: Origin::Local, price: None, destination: None, facts: None };
        let measured = Measured { seconds: 2.0, prompt_tokens: 10, ..Measured::default() };
        let judgement = |(matter, verdict)| Judgement {
            judge: "j".into(),
            matter,
            verdict,
            text: String::new(),
            measured: measured.clone(),
        };
        let judgements = said.into_iter().map(judgement).collect();
        of(vec![judge], judgements, &["a", "b"].map(String::from), &costs).remove(0)
    }

    fn side(name: &str) -> Side {
        if name == "gold" { Side::Gold } else { Side::Model(name.into()) }
    }

    /// Both orders of one question.
    fn both(a: &str, b: &str, paper: usize, verdicts: [Verdict; 2]) -> Vec<(Matter, Verdict)> {
        let matter = |first: &str, second: &str| Matter {
            paper: format!("p{paper}"),
            trial: 1,
            question: Some("q".into()),
            case: Case::Better { first: side(first), second: side(second), with_paper: false },
        };
        vec![(matter(a, b), verdicts[0]), (matter(b, a), verdicts[1])]
    }

    #[test]
    fn a_verdict_that_changes_with_the_order_is_a_tie_and_none_is_guessed() {
        use Verdict::{First, Refused, Second, Tie, Unreadable};
        let rounds = [
            ([First, Second], (1, 0, 0, 0, 0)),
            ([Second, First], (0, 0, 1, 0, 0)),
            ([Tie, Tie], (0, 1, 0, 0, 0)),
            ([First, First], (0, 1, 0, 1, 0)),
            ([Tie, Second], (0, 1, 0, 1, 0)),
            ([First, Unreadable], (0, 0, 0, 0, 1)),
            ([Refused, Refused], (0, 0, 0, 0, 1)),
        ];
        for (verdicts, expected) in rounds {
            let found = judged(both("b", "a", 1, verdicts));
            let Contest { a, b, wins, ties, losses, changed, undecided, .. } = found.contests[0].clone();
            assert_eq!((a.as_str(), &b), ("a", &side("b")), "in the order of the models");
            // Seen from b, whom the verdicts name first.
            assert_eq!((losses, ties, wins, changed, undecided), expected, "{verdicts:?}");
        }
        let half = judged(both("a", "b", 1, [First, Second])[..1].to_vec());
        assert!(half.contests.is_empty(), "the other order is still to be asked");
        assert_eq!((half.spent.conversations, half.spent.seconds, half.spent.usd), (1, 2.0, None));
    }

    #[test]
    fn a_preference_is_stated_only_where_it_is_more_than_chance() {
        use Verdict::{First, Second};
        let always: Vec<_> = (0..8).flat_map(|paper| both("a", "b", paper, [First, Second])).collect();
        let found = judged(always).contests.remove(0);
        let preference = found.preference.unwrap();
        assert!(found.stated && preference.scope == Scope::Papers && preference.estimate.value == 1.0);
        let mixed = |paper: usize| if paper < 5 { [First, Second] } else { [Second, First] };
        let found = judged((0..8).flat_map(|paper| both("a", "b", paper, mixed(paper))).collect()).contests.remove(0);
        assert_eq!((found.wins, found.losses, found.stated), (5, 3, false));
        let once = judged(both("a", "b", 1, [First, Second])).contests.remove(0);
        assert!(!once.stated, "one answer of one paper proves nothing");
    }

    #[test]
    fn answers_are_scored_against_the_right_ones() {
        use Verdict::{First, Second, Tie, Unreadable};
        let mut said = both("a", "gold", 1, [First, Second]);
        said.extend(both("a", "gold", 2, [Tie, Tie]));
        said.extend(both("b", "gold", 1, [Second, First]));
        said.extend(both("b", "gold", 2, [Unreadable, First]));
        let found = judged(said);
        let means: Vec<(&str, f64)> =
            found.summary.means.iter().map(|mean| (mean.model.as_str(), mean.estimate.value)).collect();
        assert_eq!(means, [("a", 0.75), ("b", 0.0)]);
        assert_eq!((found.unreadable, found.contests[1].undecided, &found.contests[1].b), (1, 1, &Side::Gold));
    }

    #[test]
    fn entailed_sentences_are_a_share_of_those_with_a_verdict() {
        use Verdict::{No, Refused, Unclear, Unreadable, Yes};
        let matter = |number: usize| Matter {
            paper: "p".into(),
            trial: 1,
            question: None,
            case: Case::Entailed {
                model: "a".into(),
                sentence: number.to_string(),
                passage: "The passage.".into(),
                page: 3,
            },
        };
        let verdicts = [Yes, Yes, No, Unclear, Refused, Unreadable];
        let found = judged(verdicts.iter().enumerate().map(|(at, verdict)| (matter(at), *verdict)).collect());
        assert_eq!(found.values[0].value, 0.5);
        let expected = Sentences { yes: 2, no: 1, unclear: 1, refused: 1, unreadable: 1 };
        assert_eq!(found.sentences["a"], expected);
        assert!(!found.judges_itself());
    }
}
