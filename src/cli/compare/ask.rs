//! Asking the models of an experiment, one after the other.

use super::{answers_in, finish, make};
use crate::cli::args::{AskMode, Experiment as Args, Generation};
use crate::cli::config::{Config, Over};
use crate::cli::context::{Context, usage};
use crate::cli::{engine, inputs, output, reading, template};
use crate::compare::asking::Outcome;
use crate::compare::experiment::{File, Named, paper_key};
use crate::compare::meter::{Meter, forget_peak_memory};
use crate::compare::run::{Experiment, Run, Shard, Step};
use crate::compare::store::Store;
use crate::compare::types::{Model, Origin, Paper, Question};
use crate::generator::remote::{RemoteGenerator, Server};
use crate::generator::{self, Generator};
use crate::hub::Hub;
use crate::progress::{Bar, Unit};
use crate::template::{Ask, Template};
use crate::{Error, Kind, Result, interrupt};
use std::time::Instant;

pub fn run(context: &Context, config: &Config, args: Args) -> Result<()> {
    let args = Args { reading: args.reading.over(config), leave_out: args.leave_out.over(config), ..args };
    let file = args.experiment.as_deref().map(File::read).transpose()?.unwrap_or_default();
    let models = file.models(&args.models)?;
    if models.is_empty() {
        return Err(usage("compare", "no model was named", "--models A,B, or an --experiment file"));
    }
    refuse_servers(context, &models)?;
    let folder = args.out.clone().or(file.out.clone());
    let folder = folder.ok_or_else(|| usage("compare", "has no folder to keep answers in", "--out DIR"))?;
    engine::policy(&args.positions, None)?;
    engine::limit_threads(args.threads)?;
    let lang = args.lang.clone().or(file.lang.clone()).or(config.lang.clone());
    let name = args.template.clone().or(file.template.clone()).or(config.template.clone());
    let template = template::find(name.as_deref(), lang.as_deref())?;
    let experiment = experiment(&args, &file, &template)?;
    let hub = context.hub()?;
    let locals = models.iter().filter_map(|model| if let Named::Local(name) = model { Some(name) } else { None });
    locals.clone().try_for_each(|name| hub.check_name(name))?;
    let (papers, unread) = papers(context, &hub, &args, &file)?;
    make(&folder)?;
    let store = Store::open(&answers_in(&folder, &experiment.shard.suffix()), &experiment.settings())?;
    papers.iter().try_for_each(|paper| store.put_paper(paper))?;
    store.put_questions(&questions(&template))?;
    let outcomes = {
        let run = Run { experiment: &experiment, store: &store, papers: &papers, meter: Meter::of_this_machine() };
        let asking = Asking { context, hub: &hub, args: &args, run };
        asking.all(&models)?
    };
    if experiment.shard == Shard::WHOLE {
        finish::report(context, &store, &folder, &args.findings)?;
    } else {
        context.progress.line(format!("when all shards are done: ronbun compare merge {}", folder.display()));
    }
    verdict(&models, &outcomes, unread)
}

/// Before anything else: nothing may leave the machine.
fn refuse_servers(context: &Context, models: &[Named]) -> Result<()> {
    let server = models.iter().find(|model| matches!(model, Named::Server(_))).filter(|_| context.offline);
    server.map_or(Ok(()), |model| {
        Err(Error::new(Kind::Unavailable, model.id(), "is asked over a network, and --offline opens no connection")
            .hint("leave it out, or take its answers from elsewhere with `ronbun compare import`"))
    })
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
        engine: format!("{:?} {:?}", args.positions, args.weights),
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
        let mut model = Model { id: name.into(), origin: Origin::Local, price: None, destination: None, facts: None };
        if self.run.missing(&model, number)? == 0 {
            return Ok(self.nothing(name));
        }
        forget_peak_memory();
        let available = self.hub.available_memory();
        let local = self.hub.model(name)?;
        let start = Instant::now();
        let (weights, positions) = (self.args.weights, self.args.positions.clone());
        // Threads are limited once, for all models.
        let generation = Generation { weights, positions, ..Generation::default() };
        let mut generator = engine::load(self.hub, local, &generation, available)?;
        let seconds = start.elapsed().as_secs_f64();
        model.facts = Some(generator.facts().clone());
        self.run.store.put_model(&model)?;
        self.context.progress.line(format!("{name}: loaded in {seconds:.1} s"));
        let mut watch = Watch::new(self.context, name);
        self.run.local(&model, number, generator.as_mut(), seconds, &mut |step| watch.see(step))
    }

    fn server(&self, server: &Server, number: usize) -> Result<Outcome> {
        let price = server.price.clone().unwrap_or_else(|| server.model.clone());
        let mut model = Model {
            id: server.name.clone(),
            origin: Origin::Remote,
            price: Some(price),
            destination: Some(server.destination()),
            facts: None,
        };
        let missing = self.run.missing(&model, number)?;
        if missing == 0 {
            return Ok(self.nothing(&server.name));
        }
        let generator = RemoteGenerator::new(server.clone())?;
        model.facts = Some(generator.facts().clone());
        self.run.store.put_model(&model)?;
        let destination = server.destination();
        let line = format!("{}: {missing} conversations, with the papers' text, go to {destination}", server.name);
        self.context.progress.line(line);
        let worker = || Box::new(generator.clone()) as Box<dyn Generator + Send>;
        let workers = (0..server.concurrency.min(missing)).map(|_| worker()).collect();
        let mut watch = Watch::new(self.context, &server.name);
        self.run.remote(&model, number, workers, &mut |step| watch.see(step))
    }

    fn nothing(&self, model: &str) -> Outcome {
        self.context.progress.line(format!("{model}: all is answered"));
        Outcome::default()
    }
}

/// A bar over the calls of one model.
struct Watch<'a> {
    context: &'a Context,
    model: String,
    bar: Option<Bar>,
}

impl<'a> Watch<'a> {
    fn new(context: &'a Context, model: &str) -> Watch<'a> {
        Watch { context, model: output::printable(model), bar: None }
    }

    fn see(&mut self, step: Step) {
        match step {
            Step::Begin(calls) => {
                self.bar = Some(self.context.progress.bar(&self.model, calls as u64, Unit::Answers));
            }
            Step::Generator(generator::Event::Prefill { done, total }) => {
                self.label(&format!("reads {} %", 100 * done / total.max(1)));
            }
            Step::Generator(generator::Event::Text { .. }) => self.label("writes"),
            Step::Generator(_) => {}
            Step::Answered { paper, trial } => {
                self.context.progress.detail(format!("{}: {paper}, trial {trial}", self.model));
                self.advance();
            }
            Step::Failed { paper, trial, error } => {
                self.context.progress.warn(format!("{}: {paper}, trial {trial}: {}", self.model, error.problem));
                self.advance();
            }
        }
    }

    fn label(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.label(&format!("{} {what}", self.model));
        }
    }

    fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.advance(1);
        }
    }
}
