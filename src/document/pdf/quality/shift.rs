//! Alphabets that a font shifts: every letter stands for another one, so many places away. Which way is found by search,
//! and believed only if it turns what is no language into language.

use super::super::pdfium::UNMAPPED;
use super::language::{ENOUGH_LETTERS, letters, nearness, words};
use std::collections::{HashMap, HashSet};

/// Letters that the search looks at.
const SAMPLE: usize = 4000;
/// Different words that a text must have: a few that come again and again are near to anything.
const DISTINCT: usize = 30;
/// The farthest that codes are looked for: codes of glyphs stand 29 before their letters.
const FARTHEST: i32 = 60;
/// What a shift must make of the text, as nearness to a language; running text has 0.2 and more.
const PROVEN: f64 = 0.17;
/// How much nearer than any other shift.
const MARGIN: f64 = 0.06;
/// How much nearer one letter must bring the text to be believed, and how much nearer than any other letter.
const LETTER_GAIN: f64 = 0.01;
/// Letters that a text must have before one of them is believed to have gone another way.
const MANY_LETTERS: usize = 1500;
/// What stops and commas are of a text's signs at least.
const MANY_STOPS: f64 = 0.3;
/// One letter in so many must go round the end of the alphabet before that is believed.
const WRAPPED: usize = 50;
/// Occurrences that say something about a letter.
const SEEN: usize = 8;

/// The way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All codes were moved by as much.
    Codes(i32),
    /// Letters were moved within their alphabet.
    Alphabet(u8),
}

/// How a font's characters are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Shift {
    way: Way,
    /// Letters that went another way, and what they are.
    exceptions: HashMap<char, char>,
    /// Letters that went another way, to nobody knows where.
    lost: HashSet<char>,
    /// What is no letter went the same way.
    has_signs: bool,
}

impl Shift {
    /// The shift that turns `text` into language. Expects a text that is none.
    pub fn find(text: &str) -> Option<Shift> {
        let sample: String = text.chars().take(SAMPLE).collect();
        if words(&sample).split(' ').collect::<HashSet<_>>().len() < DISTINCT {
            return None;
        }
        let codes = (-FARTHEST..=FARTHEST).filter(|by| *by != 0).map(Way::Codes);
        let ways = codes.chain((1..26).map(Way::Alphabet));
        let mut scored: Vec<(f64, Shift)> = ways.filter_map(|way| Shift::by(way, &sample)).collect();
        scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let (score, first) = scored.first()?;
        // Shifts of either kind read much of the alphabet alike.
        let (alike, others): (Vec<_>, Vec<_>) = scored.iter().partition(|(_, shift)| first.is_alike(shift));
        let other = others.first().map_or(0.0, |(score, _)| *score);
        // Fonts shift codes; within the alphabet only what codes leave unread shows.
        let small = |shift: &Shift| {
            let count = shift.read_all(&sample).chars().filter(char::is_ascii_lowercase).count();
            if shift.way.is_of_codes() { count + count / WRAPPED } else { count }
        };
        let (_, best) = alike.into_iter().max_by_key(|(_, shift)| small(shift))?;
        (*score >= PROVEN && score - other >= MARGIN).then(|| best.clone().with_exceptions(&sample))
    }

    /// How a text is read that gives a search too little, if it was moved like another.
    pub fn also(&self, text: &str) -> Option<Shift> {
        let mut shift = Shift { exceptions: HashMap::new(), ..self.clone() };
        for (&from, &to) in &self.exceptions {
            let with = |to| Shift { exceptions: [(from, to)].into(), ..shift.clone() }.nearness(text);
            if with(to) - with(UNMAPPED) >= LETTER_GAIN {
                shift.exceptions.insert(from, to);
            }
        }
        let shift = shift.settled(text);
        let before = nearness(&words(text)).unwrap_or_default();
        (shift.nearness(text) - before >= MARGIN).then_some(shift)
    }

    /// What `ch` stands for; [`UNMAPPED`] where that is not proven. What is no letter is only known to have gone the same
    /// way where all letters have.
    pub fn read(&self, ch: char) -> char {
        let read = self.exceptions.get(&ch).copied().unwrap_or_else(|| self.way.back(ch));
        let is_known = read.is_ascii_alphabetic() || self.has_signs;
        if is_known && !self.lost.contains(&ch) { read } else { UNMAPPED }
    }

    fn by(way: Way, sample: &str) -> Option<(f64, Shift)> {
        let shift = Shift { way, exceptions: HashMap::new(), lost: HashSet::new(), has_signs: false };
        let read = words(&shift.read_all(sample));
        // Nearness knows no case, and capitals stand 32 codes before small letters.
        let small = read.chars().filter(char::is_ascii_lowercase).count();
        (letters(&read) >= ENOUGH_LETTERS / 2 && 2 * small > letters(&read)).then(|| Some((nearness(&read)?, shift)))?
    }

    fn is_alike(&self, other: &Shift) -> bool {
        ('a'..='z').filter(|ch| self.way.back(*ch) == other.way.back(*ch)).count() > 8
    }

    /// As it is read, sure or not, white space where it was.
    fn read_all(&self, text: &str) -> String {
        text.chars()
            .map(
                |ch| {
                    if ch == ' ' { ' ' } else { self.exceptions.get(&ch).copied().unwrap_or_else(|| self.way.back(ch)) }
                },
            )
            .collect()
    }

    fn nearness(&self, text: &str) -> f64 {
        nearness(&words(&self.read_all(text))).unwrap_or_default()
    }

    /// Finds what the characters are that stand among small letters and are read as something else.
    fn with_exceptions(mut self, sample: &str) -> Shift {
        let odd = if letters(sample) < MANY_LETTERS { Vec::new() } else { self.odd(sample) };
        for odd in odd {
            let mut with = |letter: char| {
                self.exceptions.insert(odd, letter);
                self.nearness(sample)
            };
            // A capital is as near as its small letter: what counts is what no letter at all would give.
            let without = with(UNMAPPED);
            let mut scored: Vec<(f64, char)> = ('a'..='z').map(|letter| (with(letter), letter)).collect();
            scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            self.exceptions.remove(&odd);
            if let [(best, letter), (other, _), ..] = scored[..]
                && best - without >= LETTER_GAIN
                && best - other >= LETTER_GAIN
            {
                self.exceptions.insert(odd, letter);
            }
        }
        self.settled(sample)
    }

    /// Knows what is lost, and whether signs can be believed: that takes codes of which none went another way, and full
    /// stops and commas where there were fewer.
    fn settled(mut self, text: &str) -> Shift {
        self.lost = self.odd(text).into_iter().collect();
        let is_exact = self.exceptions.is_empty() && self.lost.is_empty();
        self.has_signs =
            is_exact && self.way.is_of_codes() && stops(&self.read_all(text)) > stops(text).max(MANY_STOPS);
        self
    }

    /// Characters that mostly stand between small letters and are read as none, the most frequent first.
    fn odd(&self, sample: &str) -> Vec<char> {
        let read: Vec<char> = self.read_all(sample).chars().collect();
        let mut seen: HashMap<char, (usize, usize)> = HashMap::new();
        for (index, ch) in sample.chars().enumerate() {
            if ch == ' ' || read[index].is_ascii_lowercase() {
                continue;
            }
            let small = |at: Option<usize>| at.and_then(|at| read.get(at)).is_some_and(char::is_ascii_lowercase);
            let (all, within) = seen.entry(ch).or_default();
            *all += 1;
            *within += usize::from(small(index.checked_sub(1)) && small(Some(index + 1)));
        }
        let mut odd: Vec<(usize, char)> = seen
            .into_iter()
            .filter(|(_, (all, within))| 3 * within >= *all && *within > 0)
            .filter(|(ch, (all, _))| *all >= SEEN || self.way.back(*ch).is_ascii_uppercase())
            .map(|(ch, (all, _))| (all, ch))
            .collect();
        odd.sort_unstable_by(|a, b| b.cmp(a));
        odd.into_iter().map(|(_, ch)| ch).collect()
    }
}

/// Share of full stops and commas among what is neither letter nor digit.
fn stops(text: &str) -> f64 {
    let signs = text.chars().filter(|ch| !ch.is_alphanumeric() && *ch != ' ');
    let (stops, all) = signs.fold((0, 0), |(stops, all), ch| (stops + u32::from(matches!(ch, '.' | ',')), all + 1));
    f64::from(stops) / f64::from(all.max(1))
}

impl Way {
    fn is_of_codes(self) -> bool {
        matches!(self, Way::Codes(_))
    }

    fn back(self, ch: char) -> char {
        match self {
            Way::Codes(by) => {
                let code = (ch as u32).checked_add_signed(by).filter(|code| (0x20..0x7F).contains(code));
                code.and_then(char::from_u32).unwrap_or(UNMAPPED)
            }
            Way::Alphabet(by) if ch.is_ascii_alphabetic() => {
                let first = if ch.is_ascii_uppercase() { b'A' } else { b'a' };
                char::from((ch as u8 - first + by) % 26 + first)
            }
            Way::Alphabet(_) => ch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::language::tests::{ENGLISH, shifted};
    use super::*;

    const MORE: &str = "Recurrent models typically factor computation along the symbol positions of the input and output \
        sequences. Aligning the positions to steps in computation time, they generate a sequence of hidden states as a \
        function of the previous hidden state and the input for that position. This inherently sequential nature \
        precludes parallelization within training examples, which becomes critical at longer sequence lengths, as memory \
        constraints limit batching across examples. Recent work has achieved significant improvements in computational \
        efficiency through factorization tricks and conditional computation, while also improving model performance in \
        case of the latter. The fundamental constraint of sequential computation, however, remains. Attention mechanisms \
        have become an integral part of compelling sequence modeling and transduction models in various tasks, allowing \
        modeling of dependencies without regard to their distance in the input or output sequences. In all but a few \
        cases, however, such attention mechanisms are used in conjunction with a recurrent network. In this work we \
        propose the Transformer, a model architecture eschewing recurrence and instead relying entirely on an attention \
        mechanism to draw global dependencies between input and output. The Transformer allows for significantly more \
        parallelization and can reach a new state of the art in translation quality after being trained for as little as \
        twelve hours on eight machines.";

    fn read(shift: &Shift, text: &str) -> String {
        text.chars().map(|ch| if ch == ' ' { ' ' } else { shift.read(ch) }).collect()
    }

    /// Every code but the space's moved.
    fn moved(text: &str, by: i32) -> String {
        let code = |ch: char| (ch as u32).checked_add_signed(by).and_then(char::from_u32).unwrap_or(UNMAPPED);
        text.chars().map(|ch| if ch == ' ' { ' ' } else { code(ch) }).collect()
    }

    #[test]
    fn codes_that_all_moved_alike_are_read_with_their_digits() {
        let text = format!("{ENGLISH} In 2017, on 62.5% of (all) sentences.");
        for by in [-29, -1, 3] {
            let shift = Shift::find(&moved(&text, by)).expect("a shift");
            assert_eq!(read(&shift, &moved(&text, by)), text, "{by}");
        }
    }

    #[test]
    fn signs_that_stayed_are_not_moved() {
        let text: String = moved(ENGLISH, -1).replace('-', ".").replace('+', ",");
        let shift = Shift::find(&text).expect("a shift");
        assert!(read(&shift, &text).starts_with("The dominant sequence transduction models"));
        assert_eq!(shift.read('.'), UNMAPPED);
    }

    #[test]
    fn letters_moved_within_the_alphabet_say_nothing_of_digits() {
        let text = shifted(&format!("{ENGLISH} In 2017"), 13);
        let shift = Shift::find(&text).expect("a shift");
        assert!(read(&shift, &text).starts_with("The dominant sequence transduction models"));
        assert!(read(&shift, &text).ends_with("In \u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"));
    }

    #[test]
    fn a_letter_that_went_another_way_is_found_and_then_signs_are_not_believed() {
        let text = moved(&format!("{ENGLISH} {MORE} As of 2017"), -1).replace('`', "Z");
        let shift = Shift::find(&text).expect("a shift");
        let read = read(&shift, &text);
        assert!(read.contains("machine translation tasks"), "{read}");
        assert!(read.ends_with("As of \u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"), "{read}");
    }

    #[test]
    fn a_short_text_is_read_as_its_neighbour_and_not_otherwise() {
        let shift = Shift::find(&moved(ENGLISH, -1)).expect("a shift");
        let title = "Proceedings of the annual meeting of the association for computational linguistics";
        assert!(shift.also(&moved(title, -1)).is_some());
        assert!(shift.also(title).is_none());
    }

    #[test]
    fn what_no_shift_turns_into_language_is_left() {
        let noise: String = (0..3000_u32)
            .map(|at| match (at * at / 7 + at * 31) % 29 {
                letter @ 0..26 => char::from(b'a' + letter as u8),
                _ => ' ',
            })
            .collect();
        assert_eq!(Shift::find(&noise), None);
    }
}
