//! What models cost: catalogue prices from an editable file, and what a conversation or an hour of this machine comes to.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

const BUILTIN: &str = include_str!("prices.toml");
const HINT: &str = "`ronbun compare prices --source` prints the built-in file, whose comments tell the form";

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Token,
    /// White space is not counted.
    Character,
}

/// US dollars per million units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub model: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The day that it was seen: `2024-07-31`.
    pub date: String,
    pub source: String,
    pub unit: Unit,
    pub input: f64,
    pub output: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_context: Option<LongContext>,
}

/// Prices of conversations whose prompt has more than `above` tokens; all of such a conversation is billed so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContext {
    pub above: u64,
    pub input: f64,
    pub output: f64,
}

/// What a vendor counts of one conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billed {
    pub prompt_tokens: u64,
    /// Without white space.
    pub prompt_characters: u64,
    pub output_tokens: u64,
    /// Without white space.
    pub output_characters: u64,
}

impl Price {
    /// US dollars for one conversation.
    pub fn cost(&self, billed: &Billed) -> f64 {
        let long = self.long_context.filter(|long| billed.prompt_tokens > long.above);
        let (input, output) = long.map_or((self.input, self.output), |long| (long.input, long.output));
        let (read, written) = match self.unit {
            Unit::Token => (billed.prompt_tokens, billed.output_tokens),
            Unit::Character => (billed.prompt_characters, billed.output_characters),
        };
        (read as f64 * input + written as f64 * output) / 1e6
    }

    fn fault(&self) -> Option<String> {
        let mut rates = vec![self.input, self.output];
        rates.extend(self.long_context.iter().flat_map(|long| [long.input, long.output]));
        if rates.iter().any(|rate| !rate.is_finite() || *rate < 0.0) {
            return Some(format!("a price of `{}` is no amount of money", self.model));
        }
        let digits = |range: std::ops::Range<usize>| {
            self.date.get(range).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let is_date = self.date.len() == 10 && digits(0..4) && digits(5..7) && digits(8..10);
        (!is_date).then(|| format!("`date` of `{}` is {:?}, and must be written 2024-07-31", self.model, self.date))
    }
}

/// The characters of `text` that vendors bill: all but white space.
pub fn billable_characters(text: &str) -> u64 {
    text.chars().filter(|c| !c.is_whitespace()).count() as u64
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    price: Vec<Price>,
}

/// All prices, the user's own first.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices(Vec<Price>);

impl Prices {
    /// The built-in prices, and those of `file` before them. Errors: `Input` if it cannot be read, `Usage` naming what is
    /// wrong in it.
    pub fn load(file: Option<&Path>) -> Result<Prices> {
        let mut prices = Vec::new();
        if let Some(path) = file {
            let unreadable = |error| Error::new(Kind::Input, path.display(), format!("cannot be read: {error}"));
            prices = parse(&path.display().to_string(), &std::fs::read_to_string(path).map_err(unreadable)?)?;
        }
        prices.extend(parse("built-in prices", BUILTIN)?);
        Ok(Prices(prices))
    }

    /// The latest price of `model` that is not after `day`; of two of the same day the user's.
    pub fn find(&self, model: &str, day: Option<&str>) -> Option<&Price> {
        let named = |price: &&Price| {
            let mut names = price.aliases.iter().chain([&price.model]);
            names.any(|name| name.eq_ignore_ascii_case(model))
        };
        let in_time = |price: &&Price| day.is_none_or(|day| price.date.as_str() <= day);
        // `max_by_key` keeps the last of equals.
        self.0.iter().rev().filter(named).filter(in_time).max_by_key(|price| &price.date)
    }

    pub fn all(&self) -> &[Price] {
        &self.0
    }

    /// The built-in file, to start one's own from.
    pub fn source() -> &'static str {
        BUILTIN
    }
}

fn parse(origin: &str, text: &str) -> Result<Vec<Price>> {
    let wrong = |problem: String| Error::new(Kind::Usage, origin, problem).hint(HINT);
    let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string().trim().replace('\n', ", ")))?;
    match file.price.iter().find_map(Price::fault) {
        Some(fault) => Err(wrong(fault)),
        None => Ok(file.price),
    }
}

/// What a machine of one's own costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct OwnMachine {
    /// Drawn while it computes, where no meter is read.
    pub watts: Option<f64>,
    /// US dollars per kWh.
    pub kwh_price: Option<f64>,
    /// US dollars; spread over `hardware_years` of running day and night.
    pub hardware_price: Option<f64>,
    pub hardware_years: Option<f64>,
}

const JOULES_PER_KWH: f64 = 3.6e6;
const SECONDS_PER_YEAR: f64 = 365.25 * 86_400.0;

impl OwnMachine {
    /// Joules: as metered, else by the stated power.
    pub fn energy(&self, metered: Option<f64>, seconds: f64) -> Option<f64> {
        metered.or_else(|| self.watts.map(|watts| watts * seconds))
    }

    /// US dollars for so many seconds of work: energy, and the share of the hardware's price. `None` where neither a price
    /// of energy nor one of hardware is stated.
    pub fn cost(&self, metered: Option<f64>, seconds: f64) -> Option<f64> {
        let energy = self.kwh_price.and_then(|price| Some(self.energy(metered, seconds)? / JOULES_PER_KWH * price));
        let years = self.hardware_years.filter(|years| *years > 0.0);
        let wear = self.hardware_price.zip(years).map(|(price, years)| price * seconds / (years * SECONDS_PER_YEAR));
        match (energy, wear) {
            (None, None) => None,
            (energy, wear) => Some(energy.unwrap_or(0.0) + wear.unwrap_or(0.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        Prices::load(None).unwrap()
    }

    fn tokens(prompt: u64, output: u64) -> Billed {
        Billed { prompt_tokens: prompt, output_tokens: output, ..Billed::default() }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn gpt_4o_read_llama_2_for_38_cents() {
        let prices = prices();
        let price = prices.find("gpt-4o", Some("2024-07-31")).unwrap();
        // 75,000 × 5 / 10⁶ = 0.375, 533 × 15 / 10⁶ = 0.007995.
        let cost = price.cost(&tokens(75_000, 533));
        near(cost, 0.382_995);
        assert_eq!(format!("{cost:.3}"), "0.383");
        // At 160 yen to the dollar: 61.2792.
        near(cost * 160.0, 61.279_2);
    }

    #[test]
    fn characters_are_billed_without_white_space() {
        assert_eq!(billable_characters("a b\n日本　語"), 5);
        let prices = prices();
        let price = prices.find("gemini-1.5-pro", Some("2024-12-31")).unwrap();
        let billed =
            Billed { prompt_tokens: 75_000, prompt_characters: 200_000, output_tokens: 900, output_characters: 1_600 };
        // 200,000 × 1.25 / 10⁶ = 0.25, 1,600 × 3.75 / 10⁶ = 0.006.
        near(price.cost(&billed), 0.256);
    }

    #[test]
    fn the_surcharge_begins_past_128_000_tokens_and_is_for_all_of_it() {
        let prices = prices();
        let price = prices.find("gemini-1.5-flash", Some("2024-12-31")).unwrap();
        let billed = |prompt_tokens| Billed {
            prompt_tokens,
            prompt_characters: 400_000,
            output_tokens: 500,
            output_characters: 2_000,
        };
        // 400,000 × 0.125 + 2,000 × 0.375 = 50,750 millionths; twice that above.
        near(price.cost(&billed(128_000)), 0.050_75);
        near(price.cost(&billed(128_001)), 0.101_5);
    }

    #[test]
    fn the_latest_price_of_the_day_asked_for_is_taken() {
        let prices = prices();
        assert_eq!(prices.find("gpt-4o", None).unwrap().input, 2.5);
        assert_eq!(prices.find("GPT-4o", Some("2025-01-01")).unwrap().input, 5.0);
        assert_eq!(prices.find("gpt-4o", Some("2024-01-01")), None);
        assert_eq!(prices.find("claude-3-haiku-20240307", None).unwrap().output, 1.25);
        let mut own = prices.clone();
        own.0.insert(0, Price { input: 1.0, ..prices.find("gpt-4o", None).unwrap().clone() });
        assert_eq!(own.find("gpt-4o", None).unwrap().input, 1.0, "the user's own wins on the same day");
    }

    #[test]
    fn every_model_of_the_published_comparison_has_a_price_of_its_time() {
        let prices = prices();
        for model in [
            "gpt-4o-mini",
            "gpt-4o",
            "claude-3-haiku",
            "claude-3-sonnet",
            "claude-3.5-sonnet",
            "gemini-1.5-flash",
            "gemini-1.0-pro",
            "gemini-1.5-pro",
        ] {
            assert_eq!(prices.find(model, Some("2024-07-31")).unwrap().date, "2024-07-31", "{model}");
        }
    }

    #[test]
    fn a_wrong_file_is_named_with_its_fault() {
        let entry = |rest: &str| format!("[[price]]\nmodel = \"m\"\nsource = \"s\"\nunit = \"token\"\n{rest}");
        for (text, fault) in [
            (entry("date = \"2024-07-31\"\ninput = -1.0\noutput = 1.0"), "no amount of money"),
            (entry("date = \"2024-07-31\"\ninput = inf\noutput = 1.0"), "no amount of money"),
            (entry("date = \"July\"\ninput = 1.0\noutput = 1.0"), "must be written 2024-07-31"),
            (entry("date = \"2024-07-31\"\ninput = 1.0\noutput = 1.0\nyen = 1"), "unknown field `yen`"),
        ] {
            let error = parse("mine.toml", &text).unwrap_err();
            assert_eq!((error.kind, error.subject.as_str()), (Kind::Usage, "mine.toml"));
            assert!(error.problem.contains(fault), "{error}");
        }
    }

    #[test]
    fn a_machine_of_ones_own_costs_energy_and_wear() {
        let machine = OwnMachine { watts: Some(100.0), kwh_price: Some(0.30), ..OwnMachine::default() };
        // 100 W for an hour is 0.1 kWh.
        near(machine.cost(None, 3600.0).unwrap(), 0.03);
        // As metered: 1.8 MJ is 0.5 kWh.
        near(machine.cost(Some(1.8e6), 3600.0).unwrap(), 0.15);
        let wear = OwnMachine { hardware_price: Some(8_766.0), hardware_years: Some(4.0), ..OwnMachine::default() };
        // 4 years are 35,064 hours.
        near(wear.cost(None, 3600.0).unwrap(), 0.25);
        assert_eq!(OwnMachine::default().cost(Some(1.0), 1.0), None);
    }
}
