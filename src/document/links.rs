//! URLs of the paper: from link annotations, and from the text; each with where it stands and what it leads to.

use super::{Link, LinkKind, pattern, urls};
use regex::Regex;
use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

/// Where a link stands: its page, from 1, and there its box or that of the block around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub page: u32,
    pub bbox: Option<[f32; 4]>,
}

impl From<u32> for Place {
    fn from(page: u32) -> Place {
        Place { page, bbox: None }
    }
}

/// Collects URLs in order, each once.
#[derive(Debug, Default)]
pub struct Links {
    links: Vec<Link>,
    /// By what makes two spellings the same address.
    known: HashMap<String, usize>,
    /// The same by page and address, with the link's index.
    by_page: BTreeSet<(u32, String, usize)>,
}

impl Links {
    /// The URI of an annotation; anything but a web address is passed over.
    pub fn add_uri(&mut self, uri: &str, place: impl Into<Place>) {
        let uri: String = uri.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
        let lower = uri.to_lowercase();
        if ["http://", "https://", "ftp://"]
            .iter()
            .any(|scheme| lower.starts_with(scheme) && lower.len() > scheme.len() + 3)
        {
            self.add(uri, place.into(), "");
        } else if without_scheme(&uri).is_some_and(|found| found.len() == uri.len()) {
            self.add(format!("https://{uri}"), place.into(), "");
        }
    }

    /// URLs that stand in a paragraph's text.
    pub fn add_text(&mut self, text: &str, place: impl Into<Place>) {
        let place = place.into();
        let mut rest = 0;
        for (range, url) in urls::find(text) {
            self.add_bare(text, rest..range.start, place);
            rest = range.end;
            self.add(url, place, &text[..range.start]);
        }
        self.add_bare(text, rest..text.len(), place);
    }

    /// Addresses written without `https://`.
    fn add_bare(&mut self, text: &str, range: std::ops::Range<usize>, place: Place) {
        let part = &text[range.clone()];
        let mut at = 0;
        for word in part.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '(' | '<' | '[' | ',' | ';')) {
            if let Some(found) = without_scheme(word) {
                self.add(format!("https://{found}"), place, &text[..range.start + at]);
            }
            at += word.len();
        }
    }

    /// `before` is the text that leads to the URL: an annotation has none, its words come with the text.
    fn add(&mut self, url: String, place: Place, before: &str) {
        let key = key(&url);
        let known = self.known.get(&key).copied().or_else(|| self.cut_short(&key, place.page));
        match known {
            Some(index) if !before.is_empty() => {
                let link = &mut self.links[index];
                let kind = kind(&link.url, before);
                if link.kind == LinkKind::Other || kind != self::kind(&link.url, "") {
                    link.kind = kind;
                }
            }
            Some(_) => {}
            None => {
                self.known.insert(key.clone(), self.links.len());
                self.by_page.insert((place.page, key, self.links.len()));
                let kind = kind(&url, before);
                self.links.push(Link { url, page: place.page, bbox: place.bbox, kind });
            }
        }
    }

    /// The known link whose start this is: a URL in the text that a line's end cut, under an annotation that has it all.
    fn cut_short(&self, start: &str, page: u32) -> Option<usize> {
        /// More addresses than this that start alike are not told apart by who came first.
        const MOST_ALIKE: usize = 64;
        let from = (page, start.to_string(), 0);
        let alike = self.by_page.range(from..).take(MOST_ALIKE);
        alike.take_while(|(of, key, _)| *of == page && key.starts_with(start)).map(|(_, _, index)| *index).min()
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
    BARE.find(word).map(|found| urls::trimmed(found.as_str()))
}

/// What a URL leads to: by its host and path, and by the words before it, because code and data share their hosts.
pub fn kind(url: &str, before: &str) -> LinkKind {
    let words = Words::before(before);
    match by_address(&key(url)) {
        Some(LinkKind::Data) if words.code && !words.data => LinkKind::Code,
        Some(LinkKind::Code | LinkKind::Project) if words.data && !words.code && !words.project => LinkKind::Data,
        Some(LinkKind::Project) if words.code && !words.project => LinkKind::Code,
        Some(kind) => kind,
        None if words.code => LinkKind::Code,
        None if words.data => LinkKind::Data,
        None if words.project => LinkKind::Project,
        None => LinkKind::Other,
    }
}

/// What the host and the path say; nothing where they may hold anything.
fn by_address(key: &str) -> Option<LinkKind> {
    const DATA: [&str; 11] = [
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
        "datadryad.org/",
    ];
    const CODE: [&str; 8] = [
        "github.com/",
        "gitlab.",
        "bitbucket.org/",
        "codeberg.org/",
        "sourceforge.net/",
        "colab.research.google.com/",
        "code.google.com/",
        "paperswithcode.com/",
    ];
    const PROJECT: [&str; 2] = ["github.io/", "huggingface.co/"];
    /// Where papers, people and licences are: never what the paper itself offers.
    const OTHER: [&str; 15] = [
        "arxiv.org/",
        "doi.org/",
        "aclweb.org/",
        "aclanthology.org/",
        "openreview.net/",
        "wikipedia.org/",
        "creativecommons.org/",
        "orcid.org/",
        "dl.acm.org/",
        "semanticscholar.org/",
        "ncbi.nlm.nih.gov/pubmed",
        "neurips.cc/",
        "nips.cc/",
        "huggingface.co/docs/",
        "huggingface.co/blog/",
    ];
    let key = &key.replacen("hf.co/", "huggingface.co/", 1);
    let names = |names: &[&str]| names.iter().any(|name| key.contains(name));
    let archive =
        [".zip", ".tar.gz", ".tgz", ".csv", ".json", ".jsonl", ".parquet"].iter().any(|end| key.ends_with(end));
    if names(&DATA) || (archive && !names(&CODE)) {
        Some(LinkKind::Data)
    } else if names(&CODE) {
        Some(LinkKind::Code)
    } else if names(&OTHER) {
        Some(LinkKind::Other)
    } else {
        names(&PROJECT).then_some(LinkKind::Project)
    }
}

/// What the words of the sentence before a URL speak of.
#[derive(Debug, Default)]
struct Words {
    code: bool,
    data: bool,
    project: bool,
}

impl Words {
    fn before(text: &str) -> Words {
        static CODE: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r"(?i)\b(?:source[ -])?codes?\b|\bimplementations?\b|\brepositor(?:y|ies)\b|\bscripts?\b|\bsoftware\b|コード|実装",
            )
        });
        static DATA: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r"(?i)\bdata(?:\s?sets?|bases?)?\b|\bcorp(?:us|ora)\b|\bannotations\b|\bbenchmarks?\b|データ|コーパス",
            )
        });
        static PROJECT: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r"(?i)\bproject (?:web)?(?:page|site)|\bweb ?(?:site|page)|\bhome ?page|\bdemos?\b|\bcheckpoints?\b|\bweights\b|\bmodels? (?:is|are|at|can)\b|デモ",
            )
        });
        let near = text.char_indices().rev().nth(120).map_or(text, |(at, _)| &text[at..]);
        // The sentence that leads to the URL; without one, as in a list of addresses, the words say nothing.
        let sentence = near.rsplit(". ").next().unwrap_or(near);
        Words { code: CODE.is_match(sentence), data: DATA.is_match(sentence), project: PROJECT.is_match(sentence) }
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
            ("https://a.github.io/b", LinkKind::Project),
            ("https://huggingface.co/datasets/squad", LinkKind::Data),
            ("https://huggingface.co/bert", LinkKind::Project),
            ("https://zenodo.org/record/1", LinkKind::Data),
            ("https://a.org/corpus.tar.gz", LinkKind::Data),
            ("https://arxiv.org/abs/1706.03762", LinkKind::Other),
        ] {
            assert_eq!(kind(url, ""), expected, "{url}");
        }
    }

    #[test]
    fn the_words_before_a_url_tell_what_it_is() {
        for (before, url, expected) in [
            ("Our dataset is available at ", "https://github.com/a/b", LinkKind::Data),
            ("Code and data are available at ", "https://github.com/a/b", LinkKind::Code),
            ("Code is available at ", "https://a.org/b", LinkKind::Code),
            ("See the project page: ", "https://a.org/b", LinkKind::Project),
            ("We use the data. Details: ", "https://a.org/b", LinkKind::Other),
            ("The dataset is described in ", "https://arxiv.org/abs/1", LinkKind::Other),
            ("データは", "https://a.org/b", LinkKind::Data),
        ] {
            assert_eq!(kind(url, before), expected, "{before}{url}");
        }
    }

    #[test]
    fn an_annotation_keeps_its_box_and_takes_its_kind_from_the_text() {
        let mut links = Links::default();
        links.add_uri("https://a.org/corpus", Place { page: 2, bbox: Some([1.0, 2.0, 3.0, 4.0]) });
        links.add_text("The corpus is at https://a.org/corpus.", 2);
        let expected = Link {
            url: "https://a.org/corpus".into(),
            page: 2,
            bbox: Some([1.0, 2.0, 3.0, 4.0]),
            kind: LinkKind::Data,
        };
        assert_eq!(links.finish(), [expected]);
    }
}
