//! Asking the models of an experiment, one after the other.

use super::models::{self, Loaded};
use super::watch::Watch;
use super::{answers_in, finish, make};
use crate::cli::args::{AskMode, Experiment as Args};
use crate::cli::config::{Config, Over};
use crate::cli::context::{Context, usage};
use crate::cli::{inputs, output, reading, template};
use crate::compare::asking::Outcome;
use crate::compare::experiment::{File, Named, paper_key};
use crate::compare::run::{Experiment, Run, Shard};
use crate::compare::store::Store;
use crate::compare::types::{Model, Paper, Question};
use crate::generator::{ModelFacts, remote::Server};
use crate::hub::Hub;
use crate::template::{Ask, Template};
use crate::{Error, Kind, Result, interrupt};

pub fn run(context: &Context, config: &Config, args: Args) -> Result<()> {
    let (reading, leave_out, local) = (args.reading.over(config), args.leave_out.over(config), args.local.over(config));
    let args = Args { reading, leave_out, local, ..args };
    let file = args.experiment.as_deref().map(File::read).transpose()?.unwrap_or_default();
    let named = file.models(&args.models)?;
    if named.is_empty() {
        return Err(usage("compare", "no model was named", "--models A,B, or an --experiment file"));
    }
    models::refuse_servers(context, &named)?;
    let folder = args.out.clone().or(file.out.clone());
    let folder = folder.ok_or_else(|| usage("compare", "has no folder to keep answers in", "--out DIR"))?;
    models::prepare(&named, &args.local)?;
    let lang = args.lang.clone().or(file.lang.clone()).or(config.lang.clone());
    let name = args.template.clone().or(file.template.clone()).or(config.template.clone());
    let template = template::find(name.as_deref(), lang.as_deref())?;
    let experiment = experiment(&args, &file, &template)?;
    let hub = context.hub()?;
    let locals = named.iter().filter_map(|model| if let Named::Local(name) = model { Some(name) } else { None });
    locals.clone().try_for_each(|name| hub.check_name(name))?;
    let (papers, unread) = papers(context, &hub, &args, &file)?;
    make(&folder)?;
    let store = Store::open(&answers_in(&folder, &experiment.shard.suffix()), &experiment.settings())?;
    papers.iter().try_for_each(|paper| store.put_paper(paper))?;
    store.put_questions(&questions(&template))?;
    let outcomes = {
        let run = Run { experiment: &experiment, store: &store, papers: &papers };
        let asking = Asking { context, hub: &hub, args: &args, run };
        asking.all(&named)?
    };
    if experiment.shard == Shard::WHOLE {
        finish::report(context, &store, &folder, &args.findings)?;
    } else {
        context.progress.line(format!("when all shards are done: ronbun compare merge {}", folder.display()));
    }
    verdict(&named, &outcomes, unread)
}

fn experiment<'a>(args: &Args, file: &File, template: &'a Template) -> Result<Experiment<'a>> {
    let mut sampling = file.sampling(&template.sampling)?;
    sampling.temperature = args.temperature.unwrap_or(sampling.temperature);
    sampling.seed = args.seed.unwrap_or(sampling.seed);
    let ask = args.ask.map(|ask| match ask {
        AskMode::Each => Ask::Each,
        AskMode::Together => Ask::Together,
    });
    let mut leave_out = args.leave_out.clone();
    leave_out.no_references = leave_out.no_references.or(file.no_references);
    leave_out.no_appendix = leave_out.no_appendix.or(file.no_appendix);
    leave_out.no_appendix_tables = leave_out.no_appendix_tables.or(file.no_appendix_tables);
    Ok(Experiment {
        template,
        ask: ask.or(file.ask).unwrap_or(Ask::Together),
        sampling,
        max_tokens: args.max_tokens.or(file.max_tokens),
        selection: leave_out.selection(),
        engine: format!("{:?} {:?}", args.local.positions, args.local.weights),
        trials: args.trials.or(file.trials).unwrap_or(3),
        shard: args.shard.unwrap_or(Shard::WHOLE),
    })
}

/// The papers that can be read, and how many cannot.
fn papers(context: &Context, hub: &Hub, args: &Args, file: &File) -> Result<(Vec<Paper>, usize)> {
    let words = if args.inputs.is_empty() { &file.papers } else { &args.inputs };
    if words.is_empty() {
        return Err(usage("compare", "no paper was named", "ronbun compare PAPERS… --models A,B --out DIR"));
    }
    let read = reading::read_all(context, hub, &args.reading, inputs::expand(words))?;
    let (mut papers, mut errors) = (Vec::new(), Vec::new());
    for (_, paper) in read {
        match paper {
            Ok(paper) => {
                let key = paper_key(&paper.document.file);
                papers.push(Paper { key, document: Some(paper.document) });
            }
            Err(error) => errors.push(error),
        }
    }
    match errors.as_slice() {
        [only] if papers.is_empty() => return Err(only.clone()),
        errors => errors.iter().for_each(output::complain),
    }
    match papers.is_empty() {
        true => Err(Error::new(errors[0].kind, "compare", format!("all {} papers failed", errors.len()))),
        false => Ok((papers, errors.len())),
    }
}

/// Also where they are asked together: what comes back is held to them.
fn questions(template: &Template) -> Vec<Question> {
    let each = template.questions.iter().map(|question| Question {
        id: question.id.clone(),
        title: question.title.clone(),
        text: question.prompt.trim().to_string(),
    });
    each.collect()
}

/// `Partial` where something is missing.
fn verdict(models: &[Named], outcomes: &[Outcome], unread: usize) -> Result<()> {
    let failed: usize = outcomes.iter().map(|outcome| outcome.failed).sum();
    let given_up = outcomes.iter().filter(|outcome| outcome.given_up.is_some()).count();
    if failed == 0 && given_up == 0 && unread == 0 {
        return Ok(());
    }
    if let ([_], [Outcome { done: 0, given_up: Some(error), .. }]) = (models, outcomes) {
        return Err(error.clone());
    }
    let problem = format!("{failed} calls failed, {given_up} models were given up, {unread} papers could not be read");
    Err(Error::new(Kind::Partial, "compare", problem)
        .hint("the same command asks for what is missing, and only for that"))
}

struct Asking<'a> {
    context: &'a Context,
    hub: &'a Hub,
    args: &'a Args,
    run: Run<'a>,
}

impl Asking<'_> {
    fn all(&self, models: &[Named]) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for (number, named) in models.iter().enumerate() {
            interrupt::check()?;
            let asked = match named {
                Named::Local(name) => self.local(name, number),
                Named::Server(server) => self.server(server, number),
            };
            outcomes.push(match asked {
                Err(error) if matches!(error.kind, Kind::Interrupted | Kind::Output | Kind::Internal) => {
                    return Err(error);
                }
                Err(error) => {
                    output::complain(&error);
                    Outcome { given_up: Some(error), ..Outcome::default() }
                }
                Ok(outcome) => outcome,
            });
        }
        Ok(outcomes)
    }

    fn local(&self, name: &str, number: usize) -> Result<Outcome> {
        let model = models::local(name);
        if self.run.missing(&model, number)? == 0 {
            return Ok(self.nothing(name));
        }
        let Loaded { model, mut generator, machine } = models::load(self.context, self.hub, model, &self.args.local)?;
        self.run.store.put_model(&model)?;
        let mut watch = Watch::new(self.context, name);
        let outcome = self.run.local(&model, number, generator.as_mut(), machine, &mut |step| watch.see(step));
        // A paper may have moved layers.
        let device = |facts: &ModelFacts| facts.device.clone();
        if model.facts.as_ref().map(device) != Some(device(generator.facts())) {
            self.run.store.put_model(&Model { facts: Some(generator.facts().clone()), ..model })?;
        }
        outcome
    }

    fn server(&self, server: &Server, number: usize) -> Result<Outcome> {
        let model = models::remote(server);
        let missing = self.run.missing(&model, number)?;
        if missing == 0 {
            return Ok(self.nothing(&server.name));
        }
        let (model, workers) = models::workers(server, model, missing)?;
        self.run.store.put_model(&model)?;
        let destination = server.destination();
        let line = format!("{}: {missing} conversations, with the papers' text, go to {destination}", server.name);
        self.context.progress.line(line);
        let mut watch = Watch::new(self.context, &server.name);
        self.run.remote(&model, number, workers, &mut |step| watch.see(step))
    }

    fn nothing(&self, model: &str) -> Outcome {
        self.context.progress.line(format!("{model}: all is answered"));
        Outcome::default()
    }
}
