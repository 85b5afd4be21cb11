//! A GGUF file's keys and values.

use super::read;
use crate::Result;
use candle_core::quantized::gguf_file::Value;
use std::{collections::HashMap, path::Path};

/// A GGUF file's keys and values.
#[derive(Debug)]
pub struct Metadata(pub(super) HashMap<String, Value>);

impl Metadata {
    /// Of the file at `path`, whatever tensors it holds.
    pub fn of_file(path: &Path) -> Result<Metadata> {
        read(path).map(|(_, content)| Metadata(content.metadata))
    }

    pub fn string(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_string().ok()).map(String::as_str)
    }

    /// Any integer type.
    pub fn integer(&self, key: &str) -> Option<u64> {
        Some(match self.0.get(key)? {
            Value::U8(n) => (*n).into(),
            Value::U16(n) => (*n).into(),
            Value::U32(n) => (*n).into(),
            Value::U64(n) => *n,
            Value::I8(n) => u64::try_from(*n).ok()?,
            Value::I16(n) => u64::try_from(*n).ok()?,
            Value::I32(n) => u64::try_from(*n).ok()?,
            Value::I64(n) => u64::try_from(*n).ok()?,
            _ => return None,
        })
    }

    pub fn number(&self, key: &str) -> Option<f64> {
        match self.0.get(key)? {
            Value::F32(x) => Some(f64::from(*x)),
            Value::F64(x) => Some(*x),
            _ => self.integer(key).map(|n| n as f64),
        }
    }

    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.0.get(key).and_then(|value| value.to_bool().ok())
    }

    /// A list of truths.
    pub fn booleans(&self, key: &str) -> Option<Vec<bool>> {
        let Value::Array(list) = self.0.get(key)? else { return None };
        list.iter().map(|value| value.to_bool().ok()).collect()
    }

    /// A list of strings.
    pub fn strings(&self, key: &str) -> Option<Vec<String>> {
        let Value::Array(list) = self.0.get(key)? else { return None };
        list.iter().map(|value| value.to_string().ok().cloned()).collect()
    }

    /// A list of numbers of any type.
    pub fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        let Value::Array(list) = self.0.get(key)? else { return None };
        list.iter()
            .map(|value| match value {
                Value::F32(x) => Some(f64::from(*x)),
                Value::F64(x) => Some(*x),
                Value::I32(n) => Some(f64::from(*n)),
                Value::U32(n) => Some(f64::from(*n)),
                Value::I8(n) => Some(f64::from(*n)),
                Value::U8(n) => Some(f64::from(*n)),
                _ => None,
            })
            .collect()
    }
}
