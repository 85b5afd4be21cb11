//! Models side by side on the same papers: papers × models × trials, every answer kept, and the figures that a decision
//! needs. Knows no tensors and opens no socket; who asks brings the generators.

pub mod prices;
