//! Models that are named for a comparison or as a judge, made ready to be asked.

use crate::cli::args::Local;
use crate::cli::context::Context;
use crate::cli::engine;
use crate::compare::asking::Machine;
use crate::compare::experiment::Named;
use crate::compare::meter::{Meter, forget_peak_memory};
use crate::compare::types::{Model, Origin};
use crate::generator::Generator;
use crate::generator::remote::{RemoteGenerator, Server};
use crate::hub::Hub;
use crate::{Error, Kind, Result};
use std::time::Instant;

/// A model of this machine, ready.
pub struct Loaded {
    pub model: Model,
    pub generator: Box<dyn Generator>,
    pub machine: Machine,
}

/// Before anything else: nothing may leave the machine.
pub fn refuse_servers(context: &Context, models: &[Named]) -> Result<()> {
    let server = models.iter().find(|model| matches!(model, Named::Server(_))).filter(|_| context.offline);
    server.map_or(Ok(()), |model| {
        Err(Error::new(Kind::Unavailable, model.id(), "is asked over a network, and --offline opens no connection")
            .hint("leave it out, or take its answers from elsewhere with `ronbun compare import`"))
    })
}

/// What is for models of this machine is looked at only where there are some; encoders compute here too.
pub fn prepare(models: &[Named], local: &Local) -> Result<()> {
    match models.iter().any(|model| matches!(model, Named::Local(_))) {
        true => engine::prepare(local),
        false => engine::limit_threads(local.threads),
    }
}

pub fn local(name: &str) -> Model {
    Model { id: name.into(), origin: Origin::Local, price: None, destination: None, facts: None }
}

pub fn remote(server: &Server) -> Model {
    let price = server.price.clone().unwrap_or_else(|| server.model.clone());
    let (id, destination) = (server.name.clone(), Some(server.destination()));
    Model { id, origin: Origin::Remote, price: Some(price), destination, facts: None }
}

/// Loads `model`; threads are limited before.
pub fn load(context: &Context, hub: &Hub, model: Model, local: &Local) -> Result<Loaded> {
    forget_peak_memory();
    let available = hub.available_memory();
    let found = hub.model(&model.id)?;
    let start = Instant::now();
    let generator = engine::load(hub, found, local, available)?;
    let seconds = start.elapsed().as_secs_f64();
    context.progress.line(format!("{}: loaded in {seconds:.1} s", model.id));
    let machine = Machine { meter: Meter::of_this_machine(&generator.facts().device), load_seconds: seconds };
    Ok(Loaded { model: Model { facts: Some(generator.facts().clone()), ..model }, generator, machine })
}

/// Who asks a server, for so many conversations.
pub fn workers(server: &Server, model: Model, conversations: usize) -> Result<(Model, Vec<Box<dyn Generator + Send>>)> {
    let generator = RemoteGenerator::new(server.clone())?;
    let model = Model { facts: Some(generator.facts().clone()), ..model };
    let worker = |_| Box::new(generator.clone()) as Box<dyn Generator + Send>;
    Ok((model, (0..server.concurrency.min(conversations)).map(worker).collect()))
}
