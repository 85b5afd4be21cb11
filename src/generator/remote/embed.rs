//! Embeddings from a server that speaks OpenAI's protocol.

use super::http::{Http, Request, Trouble};
use super::{Server, Vendor};
use crate::{Error, Kind, Result};
use serde_json::{Value, json};

/// Texts of one request.
const BATCH: usize = 64;

pub struct Embeddings {
    server: Server,
    http: Http,
}

impl Embeddings {
    /// Opens no connection yet. Errors: `Usage`.
    pub fn new(server: Server) -> Result<Embeddings> {
        server.check()?;
        if server.vendor != Vendor::OpenAi {
            return Err(Error::new(Kind::Usage, &server.name, "gives no embeddings that ronbun can ask for")
                .hint("write openai:MODEL, or openai:MODEL@http://HOST:PORT/v1"));
        }
        let http = Http::new(&server)?;
        Ok(Embeddings { server, http })
    }

    pub fn destination(&self) -> String {
        self.server.destination()
    }

    /// One vector for each text, in their order.
    pub fn of(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            vectors.extend(self.batch(batch)?);
        }
        Ok(vectors)
    }

    fn batch(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let request = Request {
            url: format!("{}/embeddings", self.server.address()),
            key_header: ("authorization", "Bearer "),
            headers: Vec::new(),
            body: json!({ "model": self.server.model, "input": texts, "encoding_format": "float" }),
        };
        let vectors = self.http.patiently(|| {
            let mut answer = Value::Null;
            self.http.events(&request, &mut |event| {
                answer = event.clone();
                Ok(())
            })?;
            vectors(&answer, texts.len()).ok_or_else(|| Trouble::Wrong("no list of embeddings".into()))
        });
        vectors.map_err(|trouble| self.http.error(&self.server, trouble))
    }
}

/// `data[i].embedding`, by `index`; none where one is missing, or where their lengths differ.
fn vectors(answer: &Value, count: usize) -> Option<Vec<Vec<f32>>> {
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; count];
    for (place, item) in answer["data"].as_array()?.iter().enumerate() {
        let index = item["index"].as_u64().map_or(place, |index| index as usize);
        let numbers: Option<Vec<f32>> =
            item["embedding"].as_array()?.iter().map(|number| number.as_f64().map(|number| number as f32)).collect();
        *vectors.get_mut(index)? = Some(numbers?);
    }
    let vectors: Vec<Vec<f32>> = vectors.into_iter().collect::<Option<_>>()?;
    let length = vectors.first().map_or(0, Vec::len);
    (length > 0 && vectors.iter().all(|vector| vector.len() == length)).then_some(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_the_order_of_the_texts() {
        let answer = json!({"data": [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0.5]}]});
        assert_eq!(vectors(&answer, 2), Some(vec![vec![1.0, 0.5], vec![0.0, 1.0]]));
        for wrong in [
            json!({"data": [{"index": 0, "embedding": [1]}]}),
            json!({"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}]}),
            json!({"data": [{"index": 0, "embedding": [1]}, {"index": 9, "embedding": [1]}]}),
            json!({"error": "x"}),
        ] {
            assert_eq!(vectors(&wrong, 2), None, "{wrong}");
        }
    }
}
