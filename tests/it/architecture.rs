//! Who may know whom: the table of the design, compared with the `use` lines and the manifests. A new edge is a decision, made here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::plugins::{names, workspace};

/// Modules of the host, and the modules that each may name. `lib.rs` and `main.rs` only join them.
const MODULES: &[(&str, &[&str])] = &[
    // What only the writer may do, asked for by an operator: a retry is made from the journal, which is the worker's.
    ("admin", &["worker"]),
    ("answer", &[]),
    ("api", &["config", "service", "stream"]),
    ("broker", &[]),
    // The operator's verbs: they ask the host or take its place (`admin`, `worker::retry`), and rehearse journals (`worker::rehearse`).
    ("cli", &["admin", "config", "work", "worker"]),
    ("config", &[]),
    ("gate", &[]),
    ("host", &["admin", "api", "broker", "config", "gate", "registry", "service", "work", "worker"]),
    ("intake", &["answer", "registry", "work"]),
    // An agent without the settings that it requires is not served.
    ("registry", &["config"]),
    ("service", &["broker", "config", "intake", "registry", "stream", "work"]),
    ("stream", &[]),
    ("work", &["broker", "config", "registry"]),
    ("worker", &["answer", "broker", "config", "gate", "intake", "registry", "work"]),
];

/// Crates of ours, and the crates of ours that each may depend on. Development is left out.
const CRATES: &[(&str, &[&str])] = &[
    ("host", &["kennel-client", "kennel-egress", "kennel-protocol", "kennel-sandbox", "kennel-store"]),
    ("host/protocol", &[]),
    ("host/store", &["kennel-protocol"]),
    ("host/sandbox", &["kennel-protocol"]),
    ("host/egress", &[]),
    ("host/client", &["kennel-protocol"]),
    ("sdk/rust", &["kennel-macros"]),
    ("sdk/rust/macros", &[]),
];

/// Crates from outside that belong to few of ours.
const ALONE: &[(&str, &[&str])] = &[
    ("axum", &["host"]),
    ("hyper", &["host"]),
    ("rusqlite", &["host/store"]),
    ("libsqlite3-sys", &["host/store"]),
    ("wasmtime", &["host/sandbox"]),
    ("wasmtime-wasi", &["host/sandbox"]),
    ("reqwest", &["host/client", "host/egress"]),
];

/// What only some modules of the host may name: a crate, and where.
const WITHIN: &[(&str, &[&str])] = &[
    ("axum", &["admin", "api"]),
    ("http", &["api"]),
    ("http_body", &["api"]),
    ("http_body_util", &["admin", "api"]),
    ("httpdate", &["api"]),
    ("hyper", &["admin", "api"]),
    ("hyper_util", &["admin", "api"]),
    ("clap", &["cli"]),
    ("rust_embed", &["cli"]),
    // The worker speaks to agents elsewhere with it, by the way out that the host guards.
    ("kennel_client", &["cli", "worker"]),
    ("jsonschema", &["answer"]),
    // What an agent's card says is read by those who show or check it; running agents is the worker's.
    ("kennel_sandbox", &["api", "host", "intake", "registry", "service", "work", "worker"]),
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(rust_files(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            false => {}
        }
    }
    files
}

/// The module of the host that a file belongs to, and the file's code without comments.
fn host_files() -> Vec<(String, PathBuf, String)> {
    let root = workspace().join("host/src");
    let files = rust_files(&root).into_iter().map(|path| {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        let module = first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let code = std::fs::read_to_string(&path).unwrap();
        let code = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
        (module, path, code)
    });
    files.filter(|(module, ..)| module != "lib" && module != "main").collect()
}

/// The names that follow `before` in the code: `crate::` gives the modules, `use ` the crates.
fn names_after<'a>(code: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    code.split(before).skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        &rest[..end]
    })
}

/// Whether code names a crate, by `use` or by a path.
fn mentions(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let whole = |at: usize| !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
    code.match_indices(&path).any(|(at, _)| whole(at)) || names_after(code, "use ").any(|used| used == name)
}

#[test]
fn modules_of_the_host_know_only_whom_they_may_know() {
    let modules: BTreeSet<String> = host_files().into_iter().map(|(module, ..)| module).collect();
    let listed: BTreeSet<String> = MODULES.iter().map(|(module, _)| (*module).to_owned()).collect();
    assert_eq!(modules, listed, "every module stands in the table");
    for (module, path, code) in host_files() {
        let (_, may) = MODULES.iter().find(|(listed, _)| *listed == module).unwrap();
        for known in names_after(&code, "crate::").filter(|name| listed.contains(*name) && *name != module) {
            assert!(may.contains(&known), "{}: {module} must not know {known}", path.display());
        }
        assert!(!code.contains("use crate::{"), "{}: one use per module, so that this test reads them", path.display());
    }
}

#[test]
fn no_edge_of_the_table_is_unused() {
    for (module, may) in MODULES {
        let files = host_files();
        let of_module = || files.iter().filter(|(of, ..)| of == module);
        for known in *may {
            let used = of_module().any(|(_, _, code)| names_after(code, "crate::").any(|name| name == *known));
            assert!(used, "{module} may know {known}, but does not: take the edge out");
        }
    }
}

#[test]
fn only_the_wire_knows_http_and_only_the_worker_runs_agents() {
    for (module, path, code) in host_files() {
        for (name, within) in WITHIN {
            let allowed = within.contains(&module.as_str());
            assert!(allowed || !mentions(&code, name), "{}: {module} must not know {name}", path.display());
        }
        for name in ["rusqlite", "wasmtime", "wasmtime_wasi"] {
            assert!(!mentions(&code, name), "{}: the host must not know {name}", path.display());
        }
    }
}

fn manifest(folder: &str) -> toml::Table {
    let text = std::fs::read_to_string(workspace().join(folder).join("Cargo.toml")).unwrap();
    text.parse().unwrap_or_else(|error| panic!("{folder}: {error}"))
}

/// The names in `[dependencies]` and `[build-dependencies]`.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let manifest = manifest(folder);
    let tables = ["dependencies", "build-dependencies"].into_iter().filter_map(|table| manifest.get(table)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn crates_depend_only_on_whom_they_may_know() {
    for (folder, may) in CRATES {
        let ours: BTreeSet<String> =
            dependencies(folder).into_iter().filter(|name| name.starts_with("kennel")).collect();
        let may: BTreeSet<String> = may.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(ours, may, "{folder}");
        for (name, owners) in ALONE {
            assert!(
                owners.contains(folder) || !dependencies(folder).contains(*name),
                "{folder} must not depend on {name}"
            );
        }
    }
    let workspace = manifest("");
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let listed: BTreeSet<&str> = CRATES.iter().map(|(folder, _)| *folder).chain(["plugins/*"]).collect();
    let members: BTreeSet<&str> = members.iter().map(|member| member.as_str().unwrap()).collect();
    assert_eq!(members, listed, "every crate stands in the table");
}

#[test]
fn plugins_know_the_sdk_and_nothing_else_of_ours() {
    for name in names() {
        let ours = dependencies(&format!("plugins/{name}")).into_iter().filter(|name| name.starts_with("kennel"));
        assert_eq!(ours.collect::<Vec<_>>(), ["kennel-sdk"], "{name}");
    }
}

#[test]
fn every_plugin_is_used_by_a_test() {
    let tests = rust_files(&workspace().join("tests/it"));
    let code: String = tests.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for name in names() {
        assert!(code.contains(&format!("Kennel::start(&[\"{name}\"])")), "no test is about {name} alone");
    }
}

#[test]
fn files_and_functions_keep_their_bounds() {
    for folder in ["host", "sdk", "tests/it", "plugins"] {
        for path in rust_files(&workspace().join(folder)) {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 800, "{} has {lines} lines", path.display());
        }
    }
}
