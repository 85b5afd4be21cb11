//! URLs of the paper: from link annotations, and from the text, where a line's end may have broken them.

use super::{Link, LinkKind, pattern};
use regex::Regex;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Collects URLs in order, each once.
#[derive(Debug, Default)]
pub struct Links {
    links: Vec<Link>,
    seen: HashSet<String>,
}

impl Links {
    /// The URI of an annotation; anything but a web address is passed over.
    pub fn add_uri(&mut self, uri: &str, page: u32) {
        let uri: String = uri.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
        let lower = uri.to_lowercase();
        if ["http://", "https://", "ftp://"]
            .iter()
            .any(|scheme| lower.starts_with(scheme) && lower.len() > scheme.len() + 3)
        {
            self.add(uri, page);
        } else if without_scheme(&uri).is_some_and(|found| found.len() == uri.len()) {
            self.add(format!("https://{uri}"), page);
        }
    }

    /// URLs that stand in a paragraph's text.
    pub fn add_text(&mut self, text: &str, page: u32) {
        static URL: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?i)(https?|ftp)://[!#-;=?-Z_a-z~\[\]@]+"#));
        let mut rest = 0;
        for found in URL.find_iter(text) {
            self.add_bare(&text[rest..found.start()], page);
            rest = found.end();
            let url = trimmed(found.as_str());
            let host = url.split("://").nth(1).unwrap_or_default();
            if host.len() > 3 && host.contains('.') && !self.is_start_of_known(url, page) {
                self.add(url.to_string(), page);
            }
        }
        self.add_bare(&text[rest..], page);
    }

    /// Addresses written without `https://`.
    fn add_bare(&mut self, text: &str, page: u32) {
        for word in text.split(|c: char| c.is_whitespace() || matches!(c, '(' | '<' | '[' | ',' | ';')) {
            if let Some(found) = without_scheme(word) {
                let url = format!("https://{found}");
                if !self.is_start_of_known(&url, page) {
                    self.add(url, page);
                }
            }
        }
    }

    fn add(&mut self, url: String, page: u32) {
        if self.seen.insert(key(&url)) {
            let kind = kind(&url);
            self.links.push(Link { url, page, bbox: None, kind });
        }
    }

    /// A URL in the text that a line's end cut short, while the annotation over it has all of it.
    fn is_start_of_known(&self, url: &str, page: u32) -> bool {
        let start = key(url);
        self.links.iter().any(|link| link.page == page && key(&link.url).starts_with(&start))
    }

    pub fn finish(self) -> Vec<Link> {
        self.links
    }
}

/// What makes two spellings the same address.
fn key(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.strip_prefix("www.").unwrap_or(rest).trim_end_matches('/');
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    format!("{}/{path}", host.to_lowercase())
}

/// A web address without its scheme at the start of `word`: `www.…`, or a known host with a path.
fn without_scheme(word: &str) -> Option<&str> {
    static BARE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^(www\.[\w\-]+\.[\w.\-]+(/[!#-;=?-Z_a-z~]*)?|(github\.com|gitlab\.com|huggingface\.co|bitbucket\.org|doi\.org)/[!#-;=?-Z_a-z~]+)",
        )
    });
    BARE.find(word).map(|found| trimmed(found.as_str()))
}

/// Punctuation of the sentence around it is no part of a URL; closing brackets are, if they were opened in it.
fn trimmed(mut url: &str) -> &str {
    while let Some(last) = url.chars().next_back() {
        let opened = |open: char| url.matches(open).count() >= url.matches(last).count();
        let strip = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '"' | '*' | '-' => true,
            ')' => !opened('('),
            ']' => !opened('['),
            _ => false,
        };
        if !strip {
            break;
        }
        url = &url[..url.len() - last.len_utf8()];
    }
    url
}

/// What kind of thing a URL leads to, by its host and path.
pub fn kind(url: &str) -> LinkKind {
    const DATA: [&str; 10] = [
        "huggingface.co/datasets/",
        "zenodo.org/",
        "kaggle.com/",
        "figshare.com/",
        "dataverse.",
        "osf.io/",
        "archive.ics.uci.edu/",
        "opendatalab.",
        "data.world/",
        "doi.org/10.5281/zenodo",
    ];
    const CODE: [&str; 9] = [
        "github.com/",
        "github.io/",
        "gitlab.",
        "bitbucket.org/",
        "codeberg.org/",
        "sourceforge.net/",
        "huggingface.co/",
        "colab.research.google.com/",
        "paperswithcode.com/",
    ];
    let key = key(url);
    let names = |names: &[&str]| names.iter().any(|name| key.contains(name));
    let archive =
        [".zip", ".tar.gz", ".tgz", ".csv", ".json", ".jsonl", ".parquet"].iter().any(|end| key.ends_with(end));
    if names(&DATA) || (archive && !names(&CODE)) {
        LinkKind::Data
    } else if names(&CODE) {
        LinkKind::Code
    } else {
        LinkKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(uris: &[&str], text: &str) -> Vec<String> {
        let mut links = Links::default();
        uris.iter().for_each(|uri| links.add_uri(uri, 1));
        links.add_text(text, 1);
        links.finish().into_iter().map(|link| link.url).collect()
    }

    #[test]
    fn urls_in_text_lose_the_sentence_around_them() {
        for (text, expected) in [
            ("see (https://github.com/a/b).", "https://github.com/a/b"),
            ("http://en.wikipedia.org/wiki/A_(b), and", "http://en.wikipedia.org/wiki/A_(b)"),
            ("<https://a.org/x?y=1&z=%20>", "https://a.org/x?y=1&z=%20"),
            ("コードはhttps://example.com/コード", "https://example.com/"),
            ("at www.example.org/data.", "https://www.example.org/data"),
            ("code at github.com/a/b, and", "https://github.com/a/b"),
        ] {
            assert_eq!(urls(&[], text), [expected], "{text}");
        }
        assert!(urls(&[], "http://localhost, a github.com account, https:// alone").is_empty());
    }

    #[test]
    fn the_same_address_counts_once_and_the_annotation_wins_over_a_cut_text() {
        let found = urls(&["https://github.com/google-research/bert"], "https://github.com/google-research/");
        assert_eq!(found, ["https://github.com/google-research/bert"]);
        assert_eq!(
            urls(&["http://www.a.org/"], "https://A.org and http://a.org/b"),
            ["http://www.a.org/", "http://a.org/b"]
        );
    }

    #[test]
    fn annotations_that_lead_nowhere_on_the_web_are_passed_over() {
        assert!(urls(&["mailto:a@b.org", "#section.1", "file:///x", "javascript:alert(1)", ""], "").is_empty());
        assert_eq!(urls(&["github.com/a/b"], ""), ["https://github.com/a/b"]);
    }

    #[test]
    fn kinds() {
        for (url, expected) in [
            ("https://github.com/a/b", LinkKind::Code),
            ("https://a.github.io/b", LinkKind::Code),
            ("https://huggingface.co/datasets/squad", LinkKind::Data),
            ("https://huggingface.co/bert", LinkKind::Code),
            ("https://zenodo.org/record/1", LinkKind::Data),
            ("https://a.org/corpus.tar.gz", LinkKind::Data),
            ("https://arxiv.org/abs/1706.03762", LinkKind::Other),
        ] {
            assert_eq!(kind(url), expected, "{url}");
        }
    }
}
