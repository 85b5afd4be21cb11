//! `ronbun compare prices` and `ronbun compare published`: what a comparison brings along.

use super::finish;
use crate::Result;
use crate::cli::args::Costs;
use crate::cli::output;
use crate::compare::prices::Prices;
use crate::compare::published::Published;

pub fn prices(costs: &Costs, source: bool) -> Result<()> {
    if source {
        return output::finish(Prices::source());
    }
    let costs = finish::costs(costs)?;
    let head = ["model", "in", "out", "USD per million", "long prompts", "as of", "source"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for price in costs.prices.all() {
        // Only what would be taken.
        if costs.prices.find(&price.model, costs.day.as_deref()) != Some(price) {
            continue;
        }
        let long = price.long_context.map(|long| format!("{} / {} above {}", long.input, long.output, long.above));
        let unit = format!("{:?}s", price.unit).to_lowercase();
        let (input, output) = (price.input.to_string(), price.output.to_string());
        let (date, from) = (price.date.clone(), output::printable(&price.source));
        rows.push(vec![output::printable(&price.model), input, output, unit, long.unwrap_or_default(), date, from]);
    }
    output::finish(&output::table(&rows))
}

pub fn published() -> Result<()> {
    output::finish(Published::load()?.markdown().trim_start())
}
