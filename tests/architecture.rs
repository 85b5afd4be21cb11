//! Holds the code to the module table in the crate doc of `src/lib.rs`, and to the rules beside it: `unsafe` only in
//! `kernels/`, sockets only in `src/hub` and in the client of servers of models.
//!
//! Comments, strings and `#[cfg(test)]` items are left out: the table is about what the program uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Names that only modules which may open a socket can mention.
const NETWORK: [&str; 9] =
    ["std::net", "TcpStream", "TcpListener", "UdpSocket", "UnixStream", "reqwest", "hf_hub", "ureq", "hyper"];
/// A module, or one file of it.
const MAY_OPEN_SOCKETS: [&str; 2] = ["hub", "generator/remote/http"];

/// Module → what it may use; `None` is everything.
type Table = BTreeMap<String, Option<BTreeSet<String>>>;

/// Rows of the form ``//! | [`name`] | purpose | uses |``.
fn table() -> Table {
    let text = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).expect("src/lib.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.map(|row| {
        let (name, rest) = row.split_once("`]").expect("a module's name");
        let uses = rest.trim().trim_end_matches('|').rsplit('|').next().expect("a column of uses").trim();
        let listed = uses.split(", ").filter(|each| !each.is_empty()).map(str::to_string).collect();
        (name.to_string(), (uses != "all").then_some(listed))
    })
    .collect()
}

struct Source {
    path: PathBuf,
    /// First part below `src`: `engine`, `error`, `lib`, `main`.
    module: String,
    /// All of it: `generator/remote/http`, `hub`.
    name: String,
    /// How many `super` lead from the file's own module to the crate's root.
    depth: usize,
    code: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(ROOT).join(folder);
    let mut sources = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(source(&root, path));
            }
        }
    }
    assert!(!sources.is_empty(), "{} holds no source", root.display());
    sources
}

fn source(root: &Path, path: PathBuf) -> Source {
    let below = path.strip_prefix(root).expect("below the root").with_extension("");
    let mut parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|part| part == "mod") {
        parts.pop();
    }
    let is_test = parts.iter().any(|part| part == "tests");
    let text = fs::read_to_string(&path).expect("a source file");
    let code = if is_test { String::new() } else { without_tests(&without_comments_and_strings(&text)) };
    Source { path, module: parts[0].clone(), name: parts.join("/"), depth: parts.len(), code }
}

/// Comments go, strings and characters become empty ones.
fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if c == '"' {
            quoted(rest)
        } else if c == 'r' && !out.ends_with(is_word) && rest[1..].trim_start_matches('#').starts_with('"') {
            raw_string(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        let taken = if skipped == 0 { c.len_utf8() } else { skipped };
        out.push_str(if skipped == 0 { &rest[..taken] } else { " " });
        rest = &rest[taken..];
    }
    out
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        let step = match tail {
            [b'/', b'*', ..] => 1,
            [b'*', b'/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            break;
        }
    }
    at
}

/// Bytes of the string literal at the start.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == '"' && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let body = 2 + hashes;
    rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
}

/// Bytes of the character literal at the start; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((next, c))) => {
            let from = next + c.len_utf8();
            rest[from..].find('\'').map_or(0, |at| from + at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// Leaves out what `#[cfg(test)]` marks. Expects code without comments and strings.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at + "#[cfg(test)]".len()..];
        let end = match (item.find(';'), item.find('{')) {
            (Some(semicolon), brace) if brace.is_none_or(|brace| semicolon < brace) => semicolon + 1,
            (_, Some(brace)) => brace + balanced(&item[brace..]),
            _ => item.len(),
        };
        rest = &item[end..];
    }
    out + rest
}

/// Bytes up to and with the brace that closes the one at the start.
fn balanced(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` stands in the code as a whole word or path.
fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word))
}

/// First names after each `prefix::`, groups in braces included: `crate::{a::B, c}` gives a and c.
fn first_names(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, found) in code.match_indices(prefix) {
        let before = &code[..at];
        let after = code[at + found.len()..].trim_start();
        if before.ends_with(is_word) || before.ends_with("::") {
            continue;
        }
        if after.starts_with('{') {
            let group = &after[1..balanced(after) - 1];
            names.extend(top_level_parts(group).iter().map(|part| leading_name(part)));
        } else {
            names.push(leading_name(after));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn top_level_parts(group: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    group
        .split(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        })
        .collect()
}

fn leading_name(text: &str) -> String {
    text.trim_start().chars().take_while(|&c| is_word(c)).collect()
}

/// The modules that a file uses, other than its own.
fn used_modules(source: &Source, table: &Table) -> BTreeSet<String> {
    let mut names = first_names(&source.code, "crate::");
    names.extend(first_names(&source.code, "ronbun::"));
    for supers in source.depth..source.depth + 3 {
        let climbed = first_names(&source.code, &"super::".repeat(supers));
        names.extend(climbed.into_iter().filter(|name| table.contains_key(name) && !is_child(source, name)));
    }
    names
        .into_iter()
        // lib.rs gives the types of `error` again.
        .map(|name| if ["Error", "Kind", "Result"].contains(&name.as_str()) { "error".to_string() } else { name })
        .filter(|name| *name != source.module)
        .collect()
}

/// Whether `super::name`, inside the tests of a module, can mean the module's own child.
fn is_child(source: &Source, name: &str) -> bool {
    let folder = Path::new(ROOT).join("src").join(&source.module);
    folder.join(name).is_dir() || folder.join(name).with_extension("rs").is_file()
}

#[test]
fn modules_use_what_the_table_says() {
    let table = table();
    let mut broken = Vec::new();
    for source in sources("src").iter().filter(|source| !["lib", "main"].contains(&source.module.as_str())) {
        let Some(allowed) = table.get(&source.module) else {
            broken.push(format!("{}: its module is not in the table", source.path.display()));
            continue;
        };
        for used in used_modules(source, &table) {
            if allowed.as_ref().is_some_and(|allowed| !allowed.contains(&used)) {
                broken.push(format!("{}: `{}` may not use `{used}`", source.path.display(), source.module));
            }
        }
    }
    assert!(broken.is_empty(), "against the table in src/lib.rs:\n{}", broken.join("\n"));
}

#[test]
fn the_table_lists_the_modules_and_has_no_circle() {
    let table = table();
    let lib = sources("src").into_iter().find(|source| source.module == "lib").expect("src/lib.rs");
    let declared: BTreeSet<String> = lib.code.split("mod ").skip(1).map(leading_name).collect();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), declared, "the table against `mod` in src/lib.rs");

    // Take away modules that use nothing that is left; what remains goes in a circle.
    let mut left: BTreeMap<&String, BTreeSet<String>> = table
        .iter()
        .map(|(name, uses)| (name, uses.clone().unwrap_or_else(|| declared.iter().cloned().collect())))
        .map(|(name, uses)| (name, uses.into_iter().filter(|used| used != name).collect()))
        .collect();
    for (name, uses) in &left {
        assert!(uses.is_subset(&declared), "`{name}` uses a module that does not exist: {uses:?}");
    }
    while let Some(name) = left.iter().find(|(_, uses)| uses.iter().all(|used| !left.contains_key(used))) {
        let name = *name.0;
        left.remove(name);
    }
    assert!(left.is_empty(), "these modules use each other in a circle: {:?}", left.keys());
}

#[test]
fn unsafe_lives_in_the_kernels() {
    for root in ["src/lib.rs", "src/main.rs"] {
        let text = fs::read_to_string(Path::new(ROOT).join(root)).expect(root);
        assert!(text.contains("#![forbid(unsafe_code)]"), "{root} must forbid unsafe code");
    }
    for source in sources("src") {
        assert!(!mentions(&source.code, "unsafe"), "{}: unsafe outside kernels/", source.path.display());
    }
}

#[test]
fn sockets_are_opened_where_the_table_says() {
    for source in sources("src").iter().chain(&sources("kernels/src")) {
        let in_kernels = source.path.starts_with(Path::new(ROOT).join("kernels"));
        let may = MAY_OPEN_SOCKETS.iter().any(|may| source.name == *may || source.name.starts_with(&format!("{may}/")));
        if !in_kernels && may {
            continue;
        }
        for name in NETWORK {
            let path = source.path.display();
            assert!(!mentions(&source.code, name), "{path}: `{name}` outside {}", MAY_OPEN_SOCKETS.join(" and "));
        }
    }
    for may in MAY_OPEN_SOCKETS {
        let place = Path::new(ROOT).join("src").join(may);
        assert!(place.is_dir() || place.with_extension("rs").is_file(), "{may} may open sockets, and is not there");
    }
}

#[test]
fn the_reading_of_source_is_right() {
    let text = r##"
        use crate::{Result, model::{Weights, crate_name}, engine}; // crate::hub
        /* crate::cli /* nested */ */
        fn f<'a>(x: &'a str) -> char { let _ = ("crate::report \" unsafe", r#"crate::chat"#, '"', '\''); crate::rope::f() }
        #[cfg(test)]
        mod tests { use crate::pipeline; }
        fn g() { super::super::attention::h(); my_crate::x(); }
    "##;
    let code = without_tests(&without_comments_and_strings(text));
    assert_eq!(first_names(&code, "crate::"), ["Result", "model", "engine", "rope"]);
    assert_eq!(first_names(&code, "super::super::"), ["attention"]);
    assert!(!mentions(&code, "unsafe"));
    assert!(mentions(&code, "super::super::attention::h"));
}
