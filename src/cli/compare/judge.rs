//! `ronbun compare judge`: a model judges what the others answered.

use super::models::{self, Loaded};
use super::watch::Watch;
use super::{answers_in, finish};
use crate::cli::args::{Judge as Args, JudgedThing};
use crate::cli::config::{Config, Over};
use crate::cli::context::{Context, usage};
use crate::compare::asking::Outcome;
use crate::compare::experiment::{File, Named};
use crate::compare::judge::Matter;
use crate::compare::judge::cases::{self, Answers};
use crate::compare::judge::desk::Desk;
use crate::compare::store::Store;
use crate::compare::types::Model;
use crate::{Error, Kind, Result};

pub fn run(context: &Context, config: &Config, args: Args) -> Result<()> {
    let args = &Args { local: args.local.over(config), ..args };
    let file = args.experiment.as_deref().map(File::read).transpose()?.unwrap_or_default();
    let named = file.models(std::slice::from_ref(&args.judge))?;
    models::refuse_servers(context, &named)?;
    let Some(named) = named.into_iter().next() else {
        return Err(usage("compare judge", "no judge was named", "--judge MODEL"));
    };
    models::prepare(std::slice::from_ref(&named), &args.local)?;
    if let Named::Local(name) = &named {
        context.hub()?.check_name(name)?;
    }
    let store = Store::existing(&answers_in(&args.dir, ""))?;
    let outcome = judge(context, args, &store, &named)?;
    finish::report(context, &store, &args.dir, &args.findings)?;
    match outcome {
        Outcome { failed: 0, given_up: None, .. } => Ok(()),
        Outcome { done: 0, given_up: Some(error), .. } => Err(error),
        Outcome { failed, .. } => {
            Err(Error::new(Kind::Partial, &args.judge, format!("{failed} verdicts did not come"))
                .hint("the same command asks for what is missing, and only for that"))
        }
    }
}

fn judge(context: &Context, args: &Args, store: &Store, named: &Named) -> Result<Outcome> {
    let (answers, gold, questions, papers) = (store.answers()?, store.gold()?, store.questions()?, store.papers()?);
    let ids: Vec<String> = store.models()?.into_iter().map(|model| model.id).collect();
    let answers = Answers::of(&answers, &gold, &questions, &ids);
    let mut matters = Vec::new();
    if args.what.contains(&JudgedThing::Answers) {
        matters.extend(answers.contests(args.with_paper));
    }
    if args.what.contains(&JudgedThing::Sentences) {
        matters.extend(sentences(context, args, store)?);
    }
    if matters.is_empty() {
        return Err(Error::new(
            Kind::Input,
            args.dir.display(),
            "holds nothing to be judged: answers of one model alone, \
            without right ones",
        )
        .hint("answers of another model, or right answers, give it something to compare"));
    }
    let model = match named {
        Named::Local(name) => models::local(name),
        Named::Server(server) => models::remote(server),
    };
    let desk = Desk::of(store, &model, matters, &answers, &papers, args.max_tokens)?;
    match desk.missing() {
        0 => {
            context.progress.line(format!("{}: all is judged", model.id));
            Ok(Outcome::default())
        }
        missing => ask(context, args, store, named, &model, &desk, missing),
    }
}

fn ask(
    context: &Context,
    args: &Args,
    store: &Store,
    named: &Named,
    model: &Model,
    desk: &Desk,
    missing: usize,
) -> Result<Outcome> {
    let mut watch = Watch::new(context, &model.id);
    match named {
        Named::Local(_) => {
            let Loaded { model, mut generator, machine } =
                models::load(context, &context.hub()?, model.clone(), &args.local)?;
            store.put_judge(&model)?;
            desk.local(generator.as_mut(), machine, &mut |step| watch.see(step))
        }
        Named::Server(server) => {
            let (model, workers) = models::workers(server, model.clone(), missing)?;
            store.put_judge(&model)?;
            let what = if args.with_paper { "answers and the papers' text" } else { "answers" };
            let destination = server.destination();
            context.progress.line(format!("{}: {missing} conversations, with {what}, go to {destination}", model.id));
            desk.remote(workers, &mut |step| watch.see(step))
        }
    }
}

/// Each sentence with the passage that an encoder finds.
fn sentences(context: &Context, args: &Args, store: &Store) -> Result<Vec<Matter>> {
    let material = finish::Material::of(store)?;
    let (measures, encoder) = material.measure(context, store, &args.findings)?;
    if encoder.is_none() {
        return Err(Error::new(Kind::Unavailable, "compare judge", "sentences need an encoder to find their passages")
            .hint("--encoder all-minilm-l6-v2 fetches one for English"));
    }
    Ok(cases::sentences(&measures.details))
}
