//! `ronbun extract --plan`: how long each part of a paper is, and which parts go to the model.

use super::args::{Extract, Format};
use super::context::Context;
use super::output;
use crate::chat::Tokenizer;
use crate::document::{Document, Portion, Share, TextQuality};
use crate::generator::local;
use crate::hub::Hub;
use crate::{Error, Kind, Result};
use indicatif::HumanCount;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What the JSON holds.
#[derive(Debug, Serialize)]
struct Plan {
    file: String,
    /// Whose tokens are counted; absent where no model is installed.
    model: Option<String>,
    parts: Vec<Row>,
    /// All that goes to the model.
    sent: Size,
    /// Lines that are in no part: running heads, page numbers, stamps.
    dropped_lines: usize,
    dropped_characters: usize,
    /// Pages that were not asked for.
    skipped_pages: Vec<u32>,
    /// Pages whose text is no text.
    refused_pages: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(rename = "part")]
    share: Share,
    blocks: usize,
    #[serde(flatten)]
    size: Size,
    sent: bool,
}

#[derive(Debug, Serialize)]
struct Size {
    characters: usize,
    tokens: Option<usize>,
}

pub fn render(context: &Context, hub: &Hub, args: &Extract, document: &Document) -> Result<String> {
    let counter = counter(hub, args.model.as_deref())?;
    if counter.is_none() {
        context
            .progress
            .line("no model is installed, so no tokens are counted; `ronbun models recommend` proposes some");
    }
    let plan = plan(document, args, counter)?;
    match args.format {
        Format::Json => output::json(&args.input, &plan),
        _ => Ok(table(&plan)),
    }
}

/// The model to count with: the one named, else the installed one that ronbun would rather take. Nothing is fetched.
fn counter(hub: &Hub, model: Option<&str>) -> Result<Option<(String, Tokenizer)>> {
    if let Some(path) = model.map(Path::new).filter(|path| path.exists()) {
        return Ok(Some((path.display().to_string(), local::tokenizer(path)?)));
    }
    let installed = hub.installed();
    let found = match model {
        Some(name) => Some(installed.into_iter().find(|here| here.id == name).ok_or_else(|| {
            Error::new(Kind::Unavailable, name, "no such model is installed")
                .hint("`ronbun models list` shows those that are, `ronbun models pull` fetches one")
        })?),
        None => installed
            .into_iter()
            .filter(|here| hub.card(&here.id).is_none_or(|card| card.supported))
            .max_by_key(|here| hub.card(&here.id).map_or(i32::MIN, |card| card.preference)),
    };
    let Some(found) = found else { return Ok(None) };
    let gguf = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "gguf");
    let weights = found.files.iter().find(gguf).unwrap_or(&found.folder);
    Ok(Some((found.id, local::tokenizer(weights)?)))
}

fn plan(document: &Document, args: &Extract, counter: Option<(String, Tokenizer)>) -> Result<Plan> {
    let selection = args.leave_out.selection();
    let size = |text: &str| -> Result<Size> {
        let tokens = counter.as_ref().map(|(_, tokenizer)| tokenizer.encode(&tokenizer.defuse(text))).transpose()?;
        Ok(Size { characters: text.chars().count(), tokens: tokens.map(|tokens| tokens.len()) })
    };
    let row = |Portion { share, blocks, .. }| -> Result<Row> {
        Ok(Row { share, blocks, size: size(&document.share(share))?, sent: selection.sends(share) })
    };
    let parts = document.portions().into_iter().map(row).collect::<Result<_>>()?;
    let sent = size(&document.select(&selection))?;
    let dropped = || document.pages.iter().filter(|page| !page.skipped).flat_map(|page| &page.dropped);
    let refused = document.pages.iter().filter(|page| page.text_quality == TextQuality::Refused && !page.skipped);
    Ok(Plan {
        file: document.file.clone(),
        parts,
        sent,
        dropped_lines: dropped().count(),
        dropped_characters: dropped().map(|line| line.chars().count()).sum(),
        skipped_pages: document.left_out(&selection).pages,
        refused_pages: refused.map(|page| page.number).collect(),
        model: counter.map(|(id, _)| id),
    })
}

fn table(plan: &Plan) -> String {
    let number = |count: usize| HumanCount(count as u64).to_string();
    let tokens = |size: &Size| size.tokens.map_or("-".to_string(), number);
    let mut rows = vec![["part", "blocks", "characters", "tokens", "goes to the model"].map(String::from).to_vec()];
    for Row { share, blocks, size, sent } in &plan.parts {
        let sent = if *sent { "yes" } else { "no, left out" };
        rows.push(vec![share.to_string(), number(*blocks), number(size.characters), tokens(size), sent.into()]);
    }
    if plan.dropped_lines > 0 {
        let (lines, characters) = (number(plan.dropped_lines), number(plan.dropped_characters));
        rows.push(vec!["page heads and numbers".into(), lines, characters, "-".into(), "no, never".into()]);
    }
    let sent = &plan.sent;
    let total = [number(sent.characters), tokens(sent)];
    rows.push(vec!["what the model reads".into(), String::new(), total[0].clone(), total[1].clone(), String::new()]);
    let mut text = output::table(&rows);
    for (what, pages) in [("not asked for", &plan.skipped_pages), ("without readable text", &plan.refused_pages)] {
        if !pages.is_empty() {
            text.push_str(&format!("\npages {what}: {}\n", crate::document::Pages::of(pages)));
        }
    }
    if let Some(model) = &plan.model {
        text.push_str(&format!(
            "\ntokens of {}; the template's words and the answers come on top\n",
            output::printable(model)
        ));
    }
    text
}
