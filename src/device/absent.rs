//! The GPU of a build that has no kernels for one: a value of these types cannot be made.

use candle_core::{Device, Error, Result, Tensor, quantized::GgmlDType};
use ronbun_kernels::{
    attention::Shape,
    elementwise::{Activation, Pairing},
};
use std::sync::Arc;

#[derive(Debug)]
pub enum Gpu {}

impl Gpu {
    pub fn open(_: usize) -> Result<Gpu> {
        Err(Error::Msg("this build of ronbun has no kernels for GPUs".into()))
    }

    pub fn count() -> usize {
        0
    }

    pub fn device(&self) -> Device {
        match *self {}
    }

    pub fn name(&self) -> Result<String> {
        match *self {}
    }

    pub fn memory(&self) -> Result<(u64, u64)> {
        match *self {}
    }

    pub fn peak_memory(&self) -> Option<u64> {
        match *self {}
    }

    pub fn copy_rate(&self) -> Result<f64> {
        match *self {}
    }

    pub fn matrix_rate(&self) -> Result<f64> {
        match *self {}
    }

    pub fn finish(&self) -> Result<()> {
        match *self {}
    }

    pub fn rms_norm(&self, _: &Tensor, _: &Tensor, _: f64, _: &Tensor) -> Result<()> {
        match *self {}
    }

    pub fn gate(&self, _: Activation, _: &Tensor, _: &Tensor) -> Result<()> {
        match *self {}
    }

    pub fn add(&self, _: &Tensor, _: &Tensor) -> Result<()> {
        match *self {}
    }
}

pub enum Linear {}

impl Linear {
    pub fn new(gpu: Arc<Gpu>, _: GgmlDType, _: &[u8], _: (usize, usize), _: Option<&[f32]>) -> Result<Linear> {
        match *gpu {}
    }

    pub fn forward(&self, _: &Tensor, _: &Tensor) -> Result<()> {
        match *self {}
    }

    pub fn forward_to_host(&self, _: &Tensor, _: &mut [f32]) -> Result<()> {
        match *self {}
    }
}

pub enum Cache {}

impl Cache {
    pub fn new(gpu: Arc<Gpu>, _: usize, _: usize, _: usize, _: bool) -> Cache {
        match *gpu {}
    }

    pub fn len(&self) -> usize {
        match *self {}
    }

    pub fn is_empty(&self) -> bool {
        match *self {}
    }

    pub fn make_room(&mut self, _: usize) -> Result<()> {
        match *self {}
    }

    pub fn truncate(&mut self, _: usize) -> usize {
        match *self {}
    }

    pub fn bytes_for(_: usize, _: usize, _: usize, _: usize, _: bool) -> u64 {
        0
    }
}

pub enum Turn {}

impl Turn {
    pub fn new(gpu: &Gpu, _: &[f32], _: &[f32], _: usize, _: Pairing) -> Result<Turn> {
        match *gpu {}
    }
}

pub enum Batch {}

impl Batch {
    pub fn new(gpu: Arc<Gpu>, _: usize, _: Option<&Cache>, _: &mut [(usize, &mut Cache)]) -> Result<Batch> {
        match *gpu {}
    }

    pub fn append(&self, _: usize, _: &Tensor, _: &Tensor, _: Option<&Turn>, _: &mut [&mut Cache]) -> Result<()> {
        match *self {}
    }

    pub fn attend(&self, _: usize, _: Shape, _: &Tensor, _: Option<&Turn>, _: &Tensor) -> Result<()> {
        match *self {}
    }
}
