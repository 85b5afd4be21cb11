//! Counters, as LaTeX counts: stepping one sets back those that count within it.

use super::token::Token;
use std::collections::HashMap;

#[derive(Debug, Default)]
struct Counter {
    value: i64,
    /// Counters that start again with each step of this one.
    within: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Counters {
    all: HashMap<String, Counter>,
}

impl Counters {
    pub fn new(chapters: bool) -> Counters {
        let mut counters = Counters::default();
        let sections = ["part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph"];
        for pair in sections[1..].windows(2) {
            counters.within(pair[1], Some(pair[0]));
        }
        for name in ["part", "table", "figure", "equation", "footnote", "algorithm", "algocf", "lstlisting", "listing"]
        {
            counters.within(name, (chapters && name != "part").then_some("chapter"));
        }
        for pair in ["enumi", "enumii", "enumiii", "enumiv"].windows(2) {
            counters.within(pair[1], Some(pair[0]));
        }
        counters
    }

    /// Makes a counter, or lets one count within another.
    pub fn within(&mut self, name: &str, outer: Option<&str>) {
        self.all.entry(name.to_string()).or_default();
        if let Some(outer) = outer.filter(|outer| *outer != name) {
            let inner = &mut self.all.entry(outer.to_string()).or_default().within;
            if !inner.iter().any(|each| each == name) {
                inner.push(name.to_string());
            }
        }
    }

    pub fn is_known(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    pub fn value(&self, name: &str) -> i64 {
        self.all.get(name).map_or(0, |counter| counter.value)
    }

    pub fn set(&mut self, name: &str, value: i64) {
        self.all.entry(name.to_string()).or_default().value = value;
    }

    pub fn step(&mut self, name: &str) {
        let counter = self.all.entry(name.to_string()).or_default();
        counter.value = counter.value.saturating_add(1);
        let mut open = counter.within.clone();
        let mut seen = vec![name.to_string()];
        while let Some(inner) = open.pop() {
            if !seen.contains(&inner) {
                let counter = self.all.entry(inner.clone()).or_default();
                counter.value = 0;
                open.extend(counter.within.iter().cloned());
                seen.push(inner);
            }
        }
    }
}

/// A number as `\roman` and the like print it; none for other commands.
pub fn printed(command: &str, value: i64) -> Option<String> {
    let letter = |first: u8| match u8::try_from(value) {
        Ok(number @ 1..=26) => char::from(first + number - 1).to_string(),
        _ => value.to_string(),
    };
    Some(match command {
        "arabic" | "value" => value.to_string(),
        "alph" => letter(b'a'),
        "Alph" => letter(b'A'),
        "roman" => roman(value).to_lowercase(),
        "Roman" => roman(value),
        "fnsymbol" => ["*", "†", "‡", "§", "¶"][usize::try_from(value - 1).unwrap_or(0).min(4)].to_string(),
        _ => return None,
    })
}

fn roman(value: i64) -> String {
    const DIGITS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut rest = value.clamp(0, 4000);
    let mut text = String::new();
    for (worth, digit) in DIGITS {
        while rest >= worth {
            text.push_str(digit);
            rest -= worth;
        }
    }
    text
}

/// `\thesection` of `section`.
pub fn the(counter: &str) -> Vec<Token> {
    vec![Token::command(&format!("the{counter}"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_sets_back_what_counts_within() {
        let mut counters = Counters::new(false);
        for name in ["section", "subsection", "subsection", "section", "equation"] {
            counters.step(name);
        }
        let values: Vec<i64> = ["section", "subsection", "equation"].map(|name| counters.value(name)).to_vec();
        assert_eq!(values, [2, 0, 1]);
        counters.within("equation", Some("section"));
        counters.step("section");
        assert_eq!(counters.value("equation"), 0);
    }

    #[test]
    fn circles_of_counters_end() {
        let mut counters = Counters::default();
        counters.within("a", Some("b"));
        counters.within("b", Some("a"));
        counters.step("a");
        assert_eq!(counters.value("a"), 1);
    }

    #[test]
    fn numbers_are_printed_in_each_way() {
        let all = |value| ["arabic", "alph", "Alph", "roman", "Roman"].map(|way| printed(way, value).expect("a way"));
        assert_eq!(all(4), ["4", "d", "D", "iv", "IV"]);
        assert_eq!(all(27), ["27", "27", "27", "xxvii", "XXVII"]);
        assert_eq!((printed("bold", 1), printed("fnsymbol", 0)), (None, Some("*".into())));
    }
}
