//! Models side by side on the same papers: papers × models × trials, every answer kept, and the figures that a decision
//! needs. Knows no tensors and opens no socket; who asks brings the generators.
//!
//! [`run`] asks (through [`asking`]), [`store`] keeps, [`import`] takes in answers from elsewhere; [`figures`] and its modules
//! measure what is kept, [`judge`] lets a model judge it, [`statistics`] tells how sure that is, [`report`] writes it down.

pub mod adherence;
pub mod asking;
pub mod catalogue;
pub mod consistency;
pub mod experiment;
pub mod export;
pub mod faithfulness;
pub mod figures;
pub mod import;
pub mod judge;
pub mod language;
pub mod meter;
pub mod prices;
pub mod published;
pub mod report;
pub mod run;
pub mod statistics;
pub mod store;
pub mod summary;
pub mod support;
#[cfg(test)]
mod tests;
pub mod types;
