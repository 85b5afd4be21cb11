//! Memory of one kind for a layer's keys and values, which grows.

use super::{
    extent::{Memory, line_of},
    gpu::{DTYPE, Gpu},
    plan::BLOCK,
};
use candle_core::{DType, Result, Tensor};

/// Room that nobody has told the end of is made for this many tokens at a time.
const STEP: usize = 256;

/// Tensors (heads, capacity, width) of the same tokens, or none yet; one of blocks has a row for each.
#[derive(Default)]
pub struct Store {
    pub tensors: Vec<Tensor>,
    capacity: usize,
}

/// A tensor of a store: its type, the tokens that a row is of, and the row's width.
pub type Form = (DType, usize, usize);

impl Store {
    /// Makes room for `tokens` tokens, and for `ahead` more where there is none.
    pub fn grow(&mut self, tokens: usize, ahead: usize, heads: usize, forms: &[Form], gpu: &Gpu) -> Result<()> {
        if tokens <= self.capacity {
            return Ok(());
        }
        let capacity = (tokens + ahead).next_multiple_of(STEP);
        let grown = |(at, (dtype, of, width)): (usize, &Form)| {
            let new = Tensor::zeros((heads, capacity / of, *width), *dtype, &gpu.device())?;
            if let Some(old) = self.tensors.get(at) {
                new.slice_set(old, 1, 0)?;
            }
            Ok(new)
        };
        self.tensors = forms.iter().enumerate().map(grown).collect::<Result<_>>()?;
        self.capacity = capacity;
        Ok(())
    }

    /// Where they lie; nowhere yet where there are none.
    pub fn memory(&self, gpu: &Gpu) -> Result<Memory> {
        let at = |number: usize| {
            let tensor = self.tensors.get(number);
            tensor.map_or(Ok(0), |tensor| gpu.address(tensor, tensor.dtype()))
        };
        Ok(Memory { keys: at(0)?, values: at(1)?, factors: at(2)?, capacity: self.capacity })
    }
}

/// Keys and values in 16 bits, where each line of a head counts as a head.
pub fn exact_forms(head_dim: usize) -> [Form; 2] {
    [(DTYPE, 1, line_of(head_dim)); 2]
}

/// Codes of keys and of values, and of each block scales of keys, their mean and scales of values: `tiles::factors`.
pub fn rounded_forms(head_dim: usize) -> [Form; 3] {
    let codes = (DType::U8, 1, head_dim);
    [codes, codes, (DType::F32, BLOCK, BLOCK + 2 * head_dim)]
}
