//! Quantised matrices as candle makes them.

use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor},
};
use ronbun_kernels::blocks::BlockType;

fn candle_type(kind: BlockType) -> GgmlDType {
    match kind {
        BlockType::F32 => GgmlDType::F32,
        BlockType::F16 => GgmlDType::F16,
        BlockType::BF16 => GgmlDType::BF16,
        BlockType::Q4_0 => GgmlDType::Q4_0,
        BlockType::Q4_1 => GgmlDType::Q4_1,
        BlockType::Q5_0 => GgmlDType::Q5_0,
        BlockType::Q5_1 => GgmlDType::Q5_1,
        BlockType::Q8_0 => GgmlDType::Q8_0,
        BlockType::Q2K => GgmlDType::Q2K,
        BlockType::Q3K => GgmlDType::Q3K,
        BlockType::Q4K => GgmlDType::Q4K,
        BlockType::Q5K => GgmlDType::Q5K,
        BlockType::Q6K => GgmlDType::Q6K,
    }
}

/// The bytes of a matrix in a type, and what they stand for.
pub fn quantised(kind: BlockType, matrix: &[f32], columns: usize) -> (Vec<u8>, Vec<f32>) {
    let matrix = Tensor::from_slice(matrix, (matrix.len() / columns, columns), &Device::Cpu).expect("a matrix");
    let quantised = QTensor::quantize(&matrix, candle_type(kind)).expect("quantises");
    let values = quantised.dequantize(&Device::Cpu).and_then(|values| values.flatten_all()?.to_vec1());
    (quantised.data().expect("bytes").into_owned(), values.expect("values"))
}
