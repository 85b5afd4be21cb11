//! What tells how alike texts are: an encoder of this machine, or a server.

use crate::cli::context::Context;
use crate::compare::consistency::Embedder;
use crate::compare::types::Sent;
use crate::encoder::Encoder;
use crate::generator::remote::{Embeddings, Server};
use crate::hub::LocalEncoder;
use crate::{Error, Kind, Result};

pub enum Chosen {
    Local { found: LocalEncoder, encoder: Box<Encoder> },
    Server { name: String, embeddings: Box<Embeddings>, requests: u64, bytes: u64 },
}

/// The encoder that the user named: an id, a folder, `openai:MODEL` or `none`; without a name one that is here.
pub fn choose(context: &Context, name: Option<&str>) -> Result<Option<Chosen>> {
    if name == Some("none") {
        return Ok(None);
    }
    if let Some(server) = name.and_then(Server::named) {
        if context.offline {
            let problem = "is asked over a network, and --offline opens no connection";
            return Err(Error::new(Kind::Unavailable, &server.name, problem).hint("name an encoder of this machine"));
        }
        let (name, embeddings) = (server.name.clone(), Box::new(Embeddings::new(server)?));
        context.progress.line(format!("{name}: answers and passages go to {}", embeddings.destination()));
        return Ok(Some(Chosen::Server { name, embeddings, requests: 0, bytes: 0 }));
    }
    let hub = context.hub()?;
    let found = match name {
        Some(name) => Some(hub.encoder(name)?),
        None => hub.installed_encoder()?,
    };
    found
        .map(|found| {
            let encoder = Box::new(Encoder::load(&found.folder, found.window, &found.prefix)?);
            Ok(Chosen::Local { found, encoder })
        })
        .transpose()
}

impl Chosen {
    /// What it sent away.
    pub fn sent(&self) -> Option<Sent> {
        match self {
            Chosen::Local { .. } => None,
            Chosen::Server { requests: 0, .. } => None,
            Chosen::Server { name, embeddings, requests, bytes } => Some(Sent {
                destination: embeddings.destination(),
                model: name.clone(),
                paper: "answers and passages of all, for embeddings".into(),
                requests: *requests,
                bytes: *bytes,
            }),
        }
    }
}

impl Embedder for Chosen {
    fn name(&self) -> String {
        match self {
            Chosen::Local { found, .. } => found.name.clone(),
            Chosen::Server { name, .. } => name.clone(),
        }
    }

    fn knows(&self, language: Option<&str>) -> bool {
        match self {
            Chosen::Local { found, .. } => found
                .languages
                .as_ref()
                .is_none_or(|known| language.is_some_and(|language| known.iter().any(|tag| tag == language))),
            Chosen::Server { .. } => true,
        }
    }

    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        match self {
            Chosen::Local { encoder, .. } => encoder.encode(texts),
            Chosen::Server { embeddings, requests, bytes, .. } => {
                *requests += 1;
                *bytes += texts.iter().map(|text| text.len() as u64).sum::<u64>();
                embeddings.of(texts)
            }
        }
    }
}
