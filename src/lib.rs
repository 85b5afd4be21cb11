//! ronbun (論文, "paper") reads research papers on your own machine.
//!
//! Data flows one way: PDF → document → prompt → engine → answers → report. The maths knows no text, the text side no
//! tensors. Modules in reading order, each with what it may use; `tests/architecture.rs` holds the code to this table.
//!
//! | module | what it is for | uses |
//! |---|---|---|
//! | [`error`] | one error type, one place that maps kinds to exit codes | |
//! | [`progress`] | bars and lines on stderr | |
//! | [`interrupt`] | Ctrl-C as a flag that long work looks at | error |
//! | [`random`] | draws that are the same on every machine | |
//! | [`document`] | PDF bytes → [`document::Document`]; knows nothing of models | error, progress, interrupt |
//! | [`template`] | the questions, their languages, the prompts | error, generator |
//! | [`rope`] | RoPE tables in f64, once for all models, and LongRoPE's search | error, random |
//! | [`device`] | where the decoder computes: the CPU or a GPU | error |
//! | [`attention`] | the KV cache and `attend`; picks a kernel | error, device |
//! | [`model`] | weights (GGUF, safetensors) and one decoder stack | error, progress, interrupt, rope, attention, device |
//! | [`engine`] | prefill, batched decode, sampling over token ids | error, interrupt, rope, model, attention |
//! | [`chat`] | tokenizer and chat template: text ↔ token ids | error |
//! | [`generator`] | the trait `Generator` and who implements it | error, interrupt, rope, chat, engine, model, device |
//! | [`pipeline`] | document + template + generator → [`report::Summary`]; knows no tensors and no PDF library | error, interrupt, document, template, generator, report |
//! | [`report`] | the summary and its forms: Markdown, JSON, HTML, text | error, document, template, generator |
//! | [`eval`] | tests of long contexts as text, scores and their intervals; knows no tensors | error, random |
//! | [`compare`] | papers × models × trials: answers kept, figures, what they cost | error, progress, interrupt, document, template, generator, pipeline, eval, random, report |
//! | [`encoder`] | texts as vectors, to tell how alike they are | error |
//! | [`plot`] | curves and heat maps as SVG | |
//! | [`hub`] | model cards, downloads, packs, the cache; opens sockets, as `generator::remote::http` does and nothing else | error, progress, interrupt |
//! | [`cli`] | arguments → work → exit code; the only module that sees all others | all |
//!
//! Deliberately absent: retrieval (the model reads the whole text), a request scheduler (one paper, branches over its
//! prefix), and `unsafe` (it lives in the `ronbun-kernels` crate).
#![forbid(unsafe_code)]

pub mod attention;
pub mod chat;
pub mod cli;
pub mod compare;
pub mod device;
pub mod document;
pub mod encoder;
pub mod engine;
pub mod error;
pub mod eval;
pub mod generator;
pub mod hub;
pub mod interrupt;
pub mod model;
pub mod pipeline;
pub mod plot;
pub mod progress;
pub mod random;
pub mod report;
pub mod rope;
pub mod template;

pub use error::{Error, Kind, Result};
