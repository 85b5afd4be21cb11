//! Five generators of RULER (arXiv:2404.06654) that need no data: a needle in noise, a needle among others like it (two
//! ways), chains of variables, and the most frequent of made-up words. Written anew after its description.

use super::{Sample, passkey::NOISE};
use crate::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// RULER's niah_single_1.
    Single,
    /// niah_multikey_2: lines like the needle, keys are words.
    Multikey2,
    /// niah_multikey_3: keys and values are UUIDs.
    Multikey3,
    /// vt.
    Variables,
    /// fwe.
    Words,
}

/// Nouns and adjectives of keys.
const ADJECTIVES: [&str; 40] = [
    "quiet", "brave", "amber", "hollow", "gentle", "rapid", "silver", "frozen", "humble", "vivid", "ancient", "clever",
    "dusty", "eager", "faint", "golden", "hidden", "icy", "jolly", "keen", "lively", "mellow", "narrow", "odd", "pale",
    "quick", "rusty", "sharp", "tidy", "upper", "vast", "warm", "young", "zesty", "blunt", "crisp", "dense", "early",
    "fuzzy", "grand",
];
const NOUNS: [&str; 40] = [
    "harbor", "lantern", "meadow", "anchor", "basket", "candle", "desert", "engine", "falcon", "garden", "hammer",
    "island", "jacket", "kettle", "ladder", "magnet", "needle", "orchard", "pencil", "quarry", "ribbon", "saddle",
    "temple", "umbrella", "valley", "window", "yard", "zephyr", "bridge", "castle", "dragon", "forest", "glacier",
    "helmet", "insect", "jungle", "kingdom", "marble", "nation", "ocean",
];

impl Task {
    pub const ALL: [Task; 5] = [Task::Single, Task::Multikey2, Task::Multikey3, Task::Variables, Task::Words];

    pub fn name(self) -> &'static str {
        match self {
            Task::Single => "niah_single_1",
            Task::Multikey2 => "niah_multikey_2",
            Task::Multikey3 => "niah_multikey_3",
            Task::Variables => "vt",
            Task::Words => "fwe",
        }
    }

    /// A sample that grows with `amount`; `tokens` is the length it is made for.
    pub fn sample(self, random: &mut Random, amount: usize, tokens: usize) -> Sample {
        match self {
            Task::Single => needle(random, amount, word_key, seven_digits, "number", false),
            Task::Multikey2 => needle(random, amount, numbered_key, seven_digits, "number", true),
            Task::Multikey3 => needle(random, amount, uuid, uuid, "uuid", true),
            Task::Variables => variables(random, amount),
            Task::Words => words(random, amount, tokens),
        }
    }
}

type Draw = fn(&mut Random) -> String;

pub(super) fn word_key(random: &mut Random) -> String {
    format!("{}-{}", random.pick(&ADJECTIVES), random.pick(&NOUNS))
}

/// As many as a long text of them needs.
fn numbered_key(random: &mut Random) -> String {
    format!("{}-{}", word_key(random), 1 + random.below(999))
}

pub(super) fn seven_digits(random: &mut Random) -> String {
    (1_000_000 + random.below(9_000_000)).to_string()
}

fn uuid(random: &mut Random) -> String {
    [8, 4, 4, 4, 12].map(|length| random.letters("0123456789abcdef", length)).join("-")
}

/// A line that tells a value, among lines of noise or among lines like it with other keys.
fn needle(random: &mut Random, lines: usize, key: Draw, value: Draw, kind: &str, among_needles: bool) -> Sample {
    let line = |key: &str, value: &str| format!("One of the special magic {kind}s for {key} is: {value}.");
    let (asked, answer) = (key(random), value(random));
    // Where it stands is drawn before the others, so that it does not depend on their number.
    let place = random.below(10_000);
    let mut context = match among_needles {
        false => vec![NOISE.join(" "); lines],
        true => {
            let other = |random: &mut Random| loop {
                let other = key(random);
                if other != asked {
                    break line(&other, &value(random));
                }
            };
            (0..lines).map(|_| other(random)).collect()
        }
    };
    context.insert(place * (lines + 1) / 10_000, line(&asked, &answer));
    let question = format!(
        "A special magic {kind} is hidden within the following text. Make sure to memorize it. I will quiz you about \
         the {kind} afterwards.\n{}\nWhat is the special magic {kind} for {asked} mentioned in the provided text?",
        context.join("\n")
    );
    let prefix = format!(" The special magic {kind} for {asked} mentioned in the provided text is");
    Sample { question, prefix, references: vec![answer], max_tokens: 128 }
}

/// Assignments of one chain.
const HOPS: usize = 4;

/// `VAR A = 12345`, `VAR B = VAR A` and so on, in order among lines of noise; asked are all variables of that value.
fn variables(random: &mut Random, lines: usize) -> Sample {
    let (example, example_answer) = chain(random, 3);
    let (context, answer) = chain(random, lines);
    let ask = |context: &str, value: &str| {
        format!(
            "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n{context}\n\
             Question: Find all variables that are assigned the value {value} in the text above."
        )
    };
    let begin = |value: &str| {
        format!(
            " Answer: According to the chain(s) of variable assignment in the text above, {} variables are assigned \
             the value {value}, they are:",
            HOPS + 1
        )
    };
    let (shown, (value, references)) = (example_answer, answer);
    let example = format!("{}{} {}", ask(&example, &shown.0), begin(&shown.0), shown.1.join(" "));
    let question = format!("{example}\n\n{}", ask(&context, &value));
    Sample { question, prefix: begin(&value), references, max_tokens: 30 }
}

/// A text with a chain, and its value and variables.
fn chain(random: &mut Random, lines: usize) -> (String, (String, Vec<String>)) {
    let value = (10_000 + random.below(90_000)).to_string();
    let mut names: Vec<String> = Vec::new();
    while names.len() <= HOPS {
        let name = random.letters("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 5);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut places: Vec<usize> = names.iter().map(|_| random.below(10_000)).collect();
    places.sort_unstable();
    let mut text = vec![NOISE.join(" "); lines];
    for (number, (name, place)) in names.iter().zip(places).enumerate() {
        let line = match number {
            0 => format!("VAR {name} = {value}"),
            _ => format!("VAR {name} = VAR {}", names[number - 1]),
        };
        text.insert(place * (lines + 1) / 10_000 + number, line);
    }
    (text.join("\n"), (value, names))
}

/// Words whose frequencies fall with the square of their rank; the first is replaced by dots, the next three are asked.
fn words(random: &mut Random, count: usize, tokens: usize) -> Sample {
    let zeta = std::f64::consts::PI.powi(2) / 6.0;
    let ranks = (tokens / 50).max(8);
    let mut coded: Vec<String> = Vec::new();
    while coded.len() < ranks {
        let word = random.letters("abcdefghijklmnopqrstuvwxyz", 6);
        if !coded.contains(&word) {
            coded.push(word);
        }
    }
    // However short the text, the order of the three is told by it.
    let least = [0, 4, 3, 2];
    let mut text: Vec<&str> = Vec::new();
    for (rank, word) in coded.iter().enumerate() {
        let times = (count as f64 / (rank + 1).pow(2) as f64 / zeta) as usize;
        let times = times.max(least.get(rank).copied().unwrap_or(0));
        text.extend(std::iter::repeat_n(if rank == 0 { "..." } else { word.as_str() }, times));
    }
    random.shuffle(&mut text);
    let question = format!(
        "Read the following coded text and track the frequency of each coded word. Find the three most frequently \
         appeared coded words. {}\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the \
         three most frequently appeared words in the above coded text?",
        text.join(" ")
    );
    let prefix = " Answer: According to the coded text above, the three most frequently appeared words are:".into();
    Sample { question, prefix, references: coded[1..4].to_vec(), max_tokens: 50 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(task: Task, amount: usize) -> Sample {
        task.sample(&mut Random::new(3, task.name()), amount, 4096)
    }

    #[test]
    fn samples_grow_with_their_amount_and_keep_their_answer() {
        for task in Task::ALL {
            let (small, large) = (sample(task, 20), sample(task, 400));
            assert!(large.question.len() > small.question.len() * 3, "{task:?}");
            assert_eq!(small.references, large.references, "{task:?}");
            assert_eq!(small, sample(task, 20));
        }
    }

    #[test]
    fn a_needle_is_told_once_and_its_key_is_no_others() {
        for task in [Task::Single, Task::Multikey2, Task::Multikey3] {
            let Sample { question, prefix, references, .. } = sample(task, 300);
            assert_eq!(question.matches(&references[0]).count(), 1, "{task:?}");
            let key = prefix.split(" for ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a key");
            assert_eq!(question.matches(&format!("for {key} is:")).count(), 1, "{task:?}");
            let needles = question.matches("One of the special magic").count();
            assert_eq!(needles, if task == Task::Single { 1 } else { 301 });
        }
    }

    #[test]
    fn variables_form_one_chain_in_order() {
        let Sample { question, references, .. } = sample(Task::Variables, 50);
        let text = question.rsplit("Memorize and track").next().expect("the last text");
        assert_eq!(references.len(), HOPS + 1);
        let places: Vec<usize> =
            references.iter().map(|name| text.find(&format!("VAR {name} =")).expect("is assigned")).collect();
        assert!(places.is_sorted(), "{places:?}");
        for pair in references.windows(2) {
            assert!(text.contains(&format!("VAR {} = VAR {}", pair[1], pair[0])));
        }
    }

    #[test]
    fn the_three_words_are_the_most_frequent() {
        for amount in [0, 300, 3000] {
            let Sample { question, references, .. } = sample(Task::Words, amount);
            let counts: Vec<usize> = references.iter().map(|word| question.matches(word.as_str()).count()).collect();
            assert!(counts.windows(2).all(|pair| pair[0] > pair[1]), "{counts:?}");
            let text = question.split("coded words. ").nth(1).and_then(|t| t.split('\n').next()).expect("a text");
            let most = text.split(' ').filter(|word| *word != "...").map(|word| text.matches(word).count()).max();
            assert_eq!(most, Some(counts[0]));
        }
    }
}
