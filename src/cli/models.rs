//! `ronbun models`: what there is, what fits, and how it comes and goes.

use super::args::{Models, PlainFormat};
use super::context::Context;
use super::{engine, output};
use crate::hub::{Candidate, Card, Check, Hub, Installed, Source, Status};
use crate::{Error, Kind, Result};
use indicatif::DecimalBytes;
use serde_json::json;

pub fn run(context: &Context, command: Models) -> Result<()> {
    let hub = context.hub()?;
    match command {
        Models::List { format } => list(&hub, format),
        Models::Recommend { format } => recommend(&hub, format),
        Models::Pull { models } => models.iter().try_for_each(|model| pull(&hub, model)),
        Models::Verify { models } => verify(&hub, &models),
        Models::Rm { models } => models.iter().try_for_each(|model| remove(&hub, model)),
        Models::Pack { models, out } => {
            let packed = hub.pack(&models, &out)?;
            let pdfium = if packed.pdfium { " and PDFium" } else { "" };
            let (file, size) = (packed.file.display(), DecimalBytes(packed.bytes));
            output::finish(&format!("{file}: {}{pdfium}, {size}\n", packed.models.join(", ")))
        }
        Models::Unpack { archive } => {
            let unpacked = hub.unpack(&archive)?;
            unpacked.notes.iter().for_each(|note| context.progress.line(note));
            let mut lines: Vec<String> = unpacked.models.iter().map(|model| format!("{model}: installed\n")).collect();
            lines.extend(unpacked.pdfium.iter().map(|path| format!("PDFium: {}\n", path.display())));
            output::finish(&lines.concat())
        }
    }
}

fn list(hub: &Hub, format: PlainFormat) -> Result<()> {
    let installed = hub.installed();
    if format == PlainFormat::Json {
        return output::finish(&output::json("models", &json!({ "cards": hub.cards(), "installed": installed }))?);
    }
    let mut rows = vec![row(["model", "parameters", "size", "context", "languages", "licence", "from", "state"])];
    rows.extend(hub.cards().iter().map(|card| card_row(card, installed.iter().find(|one| one.id == card.id))));
    for one in installed.iter().filter(|one| hub.card(&one.id).is_none()) {
        rows.push(row([&one.id, "", "", "", "", "", "", &state(one)]));
    }
    output::finish(&output::table(&rows))
}

fn card_row(card: &Card, installed: Option<&Installed>) -> Vec<String> {
    let state = match (installed, card.supported) {
        (Some(installed), _) => state(installed),
        (None, true) => String::new(),
        (None, false) => format!("not yet: {}", card.unsupported_reason.as_deref().unwrap_or("unsupported family")),
    };
    let context = card.native_context.to_string();
    let size = DecimalBytes(card.memory.weight_bytes).to_string();
    let from = card.sources.iter().map(|source| match source {
        Source::Hub { .. } => "hub",
        Source::Wheels { .. } => "wheels",
    });
    let from = from.collect::<Vec<_>>().join(", ");
    let (parameters, languages) = (millions(card.parameters), card.languages.join(" "));
    row([&card.id, &parameters, &size, &context, &languages, &card.licence.name, &from, &state])
}

fn state(installed: &Installed) -> String {
    format!("installed, {}", DecimalBytes(installed.bytes))
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|cell| output::printable(cell)).collect()
}

/// `135M`, `1.5B`
fn millions(parameters: u64) -> String {
    match parameters {
        0 => "?".into(),
        999_500_000.. => format!("{:.1}B", parameters as f64 / 1e9),
        _ => format!("{:.0}M", parameters as f64 / 1e6),
    }
}

fn recommend(hub: &Hub, format: PlainFormat) -> Result<()> {
    let candidates = hub.recommend();
    if format == PlainFormat::Json {
        let answer = json!({ "available_memory_bytes": hub.available_memory(), "candidates": candidates });
        return output::finish(&output::json("models", &answer)?);
    }
    let mut rows = vec![row(["model", "memory", "fits", "from", "why"])];
    rows.extend(candidates.iter().map(candidate_row));
    let free = DecimalBytes(hub.available_memory());
    output::finish(&format!("{}\n{free} of memory are free here.\n", output::table(&rows)))
}

fn candidate_row(candidate: &Candidate) -> Vec<String> {
    let memory = DecimalBytes(candidate.memory_bytes).to_string();
    let fits = if candidate.fits { "yes" } else { "no" };
    let origin = candidate.origin.map_or_else(|| "-".into(), |origin| origin.to_string());
    row([&candidate.id, &memory, fits, &origin, &candidate.reason])
}

fn pull(hub: &Hub, name: &str) -> Result<()> {
    let model = hub.pull(name)?;
    let bytes = model.files.iter().map(|(_, bytes, _)| bytes).sum();
    output::finish(&format!("{}: installed, {}\n", model.id, DecimalBytes(bytes)))
}

fn remove(hub: &Hub, id: &str) -> Result<()> {
    let removed = hub.remove(id)?;
    engine::packed_cache(hub).sweep();
    output::finish(&format!("{}: removed, {} freed\n", removed.id, DecimalBytes(removed.bytes)))
}

fn verify(hub: &Hub, models: &[String]) -> Result<()> {
    let mut checks = Vec::new();
    if models.is_empty() {
        checks = hub.verify(None)?;
    }
    for model in models {
        checks.extend(hub.verify(Some(model))?);
    }
    let lines: String = checks.iter().map(check_line).collect();
    output::finish(if lines.is_empty() { "no model is installed\n" } else { &lines })?;
    match checks.iter().find(|check| !check.ok()) {
        None => Ok(()),
        Some(bad) => Err(Error::new(Kind::Model, bad.file.display(), status(bad.status))
            .hint(format!("`ronbun models pull {}` fetches it anew", bad.id))),
    }
}

fn check_line(check: &Check) -> String {
    format!("{}: {}: {}\n", check.id, check.file.display(), status(check.status))
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Pinned => "ok: as its pinned hash says",
        Status::Hub => "ok: as the model hub named it when it was fetched (no pinned hash)",
        Status::Unchanged => "ok: unchanged since it was first seen here (no pinned hash)",
        Status::Recorded => "its hash is recorded now, to compare with later (no hash was known)",
        Status::Wrong => "is not what it should be: its hash is wrong",
        Status::Missing => "is missing",
    }
}

#[cfg(test)]
mod tests {
    use super::millions;

    #[test]
    fn parameters_in_words() {
        for (parameters, words) in [(134_515_008, "135M"), (999_885_952, "1.0B"), (1_543_714_304, "1.5B"), (0, "?")] {
            assert_eq!(millions(parameters), words);
        }
    }
}
