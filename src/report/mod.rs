//! The summary of a paper and its forms: Markdown, JSON, HTML, plain text.
