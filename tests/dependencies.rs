//! The dependency policy of `deny.toml`, checked without a network: licences, and which dependencies can open sockets.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Direct dependencies that can open sockets. Only `src/hub` and `src/generator/remote/http.rs` use them, which
/// `tests/architecture.rs` checks.
const NETWORK_DEPENDENCIES: [&str; 2] = ["hf-hub", "reqwest"];
/// Whoever speaks to a network depends on one of these.
const NETWORK_FOUNDATIONS: [&str; 4] = ["socket2", "rustls", "native-tls", "openssl"];

fn cargo(arguments: &[&str]) -> Result<String, String> {
    let run = Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = run.expect("cargo runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8(output.stdout).expect("cargo writes UTF-8"))
}

const METADATA: [&str; 5] = ["metadata", "--format-version", "1", "--offline", "--locked"];

fn metadata_of_this_platform() -> Value {
    let versions = cargo(&["-vV"]).expect("cargo -vV");
    let host = versions.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
    let text = cargo(&[&METADATA[..], &["--filter-platform", host]].concat()).expect("cargo metadata");
    serde_json::from_str(&text).expect("cargo metadata gives JSON")
}

/// A fresh machine has only its own platform's crates, and then those are what can be looked at.
fn metadata_of_all_platforms() -> Value {
    match cargo(&METADATA) {
        Ok(text) => serde_json::from_str(&text).expect("cargo metadata gives JSON"),
        Err(_) => {
            eprintln!("only this platform's crates are here (`cargo fetch` gets all): checking those");
            metadata_of_this_platform()
        }
    }
}

struct Policy {
    allow: BTreeSet<String>,
    exceptions: BTreeMap<String, BTreeSet<String>>,
}

impl Policy {
    fn read() -> Policy {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).expect("deny.toml");
        let policy: toml::Value = toml::from_str(&text).expect("deny.toml is TOML");
        let exceptions = policy["licenses"]["exceptions"].as_array().expect("exceptions").iter();
        Policy {
            allow: strings(&policy["licenses"]["allow"]),
            exceptions: exceptions
                .map(|each| (each["crate"].as_str().expect("crate").to_string(), strings(&each["allow"])))
                .collect(),
        }
    }

    fn accepts(&self, package: &str, license: &str) -> bool {
        self.allow.contains(license) || self.exceptions.get(package).is_some_and(|allow| allow.contains(license))
    }
}

fn strings(array: &toml::Value) -> BTreeSet<String> {
    array.as_array().expect("an array").iter().map(|each| each.as_str().expect("a string").to_string()).collect()
}

/// Whether an SPDX expression can be met with licences that `accept` takes. `A/B` is an old way to write `A OR B`.
fn satisfied(expression: &str, accept: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let (result, rest) = any_of(&tokens, accept);
    assert!(rest.is_empty(), "cannot read the licence {expression:?}");
    result
}

fn any_of<'a>(tokens: &'a [&'a str], accept: &dyn Fn(&str) -> bool) -> (bool, &'a [&'a str]) {
    let (mut result, mut rest) = all_of(tokens, accept);
    while let ["OR", tail @ ..] = rest {
        let (next, tail) = all_of(tail, accept);
        (result, rest) = (result | next, tail);
    }
    (result, rest)
}

fn all_of<'a>(tokens: &'a [&'a str], accept: &dyn Fn(&str) -> bool) -> (bool, &'a [&'a str]) {
    let (mut result, mut rest) = one_of(tokens, accept);
    while let ["AND", tail @ ..] = rest {
        let (next, tail) = one_of(tail, accept);
        (result, rest) = (result & next, tail);
    }
    (result, rest)
}

fn one_of<'a>(tokens: &'a [&'a str], accept: &dyn Fn(&str) -> bool) -> (bool, &'a [&'a str]) {
    match tokens {
        ["(", tail @ ..] => match any_of(tail, accept) {
            (result, [")", rest @ ..]) => (result, rest),
            _ => panic!("unbalanced licence expression"),
        },
        [license, "WITH", exception, rest @ ..] => (accept(&format!("{license} WITH {exception}")), rest),
        [license, rest @ ..] => (accept(license), rest),
        [] => panic!("empty licence expression"),
    }
}

#[test]
fn spdx_expressions_are_understood() {
    let accept = |license: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&license);
    for good in ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR MIT AND ISC", "(GPL-3.0 OR MIT) AND ISC", "MIT / X"] {
        assert!(satisfied(good, &accept), "{good}");
    }
    assert!(satisfied("GPL-2.0 OR Apache-2.0 WITH LLVM-exception", &accept));
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND X", "Apache-2.0", "X OR MIT AND Y"] {
        assert!(!satisfied(bad, &accept), "{bad}");
    }
}

#[test]
fn licences_are_allowed() {
    let policy = Policy::read();
    let metadata = metadata_of_all_platforms();
    let packages = metadata["packages"].as_array().expect("packages");
    let refused: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let name = package["name"].as_str().expect("name");
            let license = package["license"].as_str().unwrap_or("none given");
            let accepted = license != "none given" && satisfied(license, &|each| policy.accepts(name, each));
            (!accepted).then(|| format!("{name} {}: {license}", package["version"]))
        })
        .collect();
    assert!(refused.is_empty(), "licences that deny.toml does not allow:\n{}", refused.join("\n"));
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).expect("Cargo.lock");
    for name in policy.exceptions.keys() {
        let used = lock.contains(&format!("name = \"{name}\"\n"));
        assert!(used, "deny.toml has an exception for {name}, which is no dependency any more");
    }
}

#[test]
fn only_the_known_dependencies_can_open_sockets() {
    let metadata = metadata_of_this_platform();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes").iter();
    let graph: BTreeMap<&str, Vec<&str>> =
        nodes.map(|node| (node["id"].as_str().expect("id"), linked_dependencies(node))).collect();
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let names: BTreeMap<&str, &str> =
        packages.filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?))).collect();

    let members = metadata["workspace_members"].as_array().expect("members");
    let members: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
    let direct = members.iter().flat_map(|member| &graph[member]).filter(|id| !members.contains(id));
    let found: BTreeSet<&str> = direct
        .filter(|id| reaches(id, &graph, &|id| NETWORK_FOUNDATIONS.contains(&names[id])))
        .map(|id| names[id])
        .collect();
    assert_eq!(found, BTreeSet::from(NETWORK_DEPENDENCIES), "dependencies that can open sockets");
}

/// Ids of what is linked into the program: neither build scripts' nor tests' dependencies.
fn linked_dependencies(node: &Value) -> Vec<&str> {
    let deps = node["deps"].as_array().expect("deps").iter();
    let linked =
        deps.filter(|dep| dep["dep_kinds"].as_array().expect("kinds").iter().any(|kind| kind["kind"].is_null()));
    linked.map(|dep| dep["pkg"].as_str().expect("pkg")).collect()
}

fn reaches(start: &str, graph: &BTreeMap<&str, Vec<&str>>, goal: &dyn Fn(&str) -> bool) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(id) = open.pop() {
        if goal(id) {
            return true;
        }
        if seen.insert(id) {
            open.extend(&graph[id]);
        }
    }
    false
}
