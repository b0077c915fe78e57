//! Nothing in one package stops modules from growing into each other; this does.
//!
//! The table stands in `docs/architecture.md`, and the graph there is written by this test: `TOKEND_UPDATE=1` rewrites it.

mod circles;
mod comments;
mod keys;
mod names;
mod rules;
mod source;
mod table;

use std::path::Path;

use syn::visit::Visit;
use syn::{Attribute, Fields, Item, Meta};

use self::source::{File, Tree};
use self::table::Judgement;

const BEGIN: &str = "<!-- graph:begin -->\n";
const END: &str = "<!-- graph:end -->";

/// Production lines: where a file is worth a look, and where it is too long.
const LONG: usize = 300;
const TOO_LONG: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::print_stdout, reason = "what a test found is shown by `--nocapture`, and when it fails")]
fn show(text: &str) {
    println!("{text}");
}

/// A made-up tree.
fn tree(sources: &[(&str, &str)]) -> Tree {
    Tree::parse(sources.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

fn judge(sources: &[(&str, &str)]) -> Vec<String> {
    Judgement::of(&tree(sources)).offences
}

#[test]
fn imports_follow_the_table() {
    let judgement = Judgement::of(&Tree::read(root()));
    show(&judgement.graph());
    assert!(judgement.offences.is_empty(), "\n{}\n", judgement.offences.join("\n"));
}

#[test]
fn the_documented_graph_is_the_real_one() {
    let path = root().join("docs/architecture.md");
    let Ok(text) = std::fs::read_to_string(&path) else {
        show("docs/architecture.md is not written yet");
        return;
    };
    let (before, rest) = text.split_once(BEGIN).expect("docs/architecture.md has <!-- graph:begin --> on a line of its own");
    let (shown, after) = rest.split_once(END).expect("docs/architecture.md has <!-- graph:end -->");
    let found = format!("```text\n{}```\n", Judgement::of(&Tree::read(root())).graph());
    if std::env::var_os("TOKEND_UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{found}{END}{after}")).expect("docs/architecture.md can be written");
    } else {
        assert_eq!(shown, found, "the graph in docs/architecture.md is old: run this test with TOKEND_UPDATE=1");
    }
}

/// It is what tokend is held against: a line that both share would be a mistake that neither sees.
#[test]
fn the_emulator_knows_nothing_of_tokend() {
    let manifest = std::fs::read_to_string(root().join("emulator/Cargo.toml")).expect("emulator/Cargo.toml");
    assert_eq!(dependencies(&manifest).filter(|name| name.starts_with("tokend")).collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(dependencies(&manifest).any(|name| name == "hyper"), "no dependencies were found");
    let tree = Tree::read_emulator(root());
    let ours = tree.mentions.iter().filter(|mention| mention.path[0] == "tokend");
    let ours: Vec<String> = ours.map(|mention| format!("{}:{}", mention.file, mention.line)).collect();
    assert_eq!(ours, Vec::<String>::new());
}

/// The names under a manifest's tables of dependencies, those for tests included.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            within = line.trim_end_matches(']').ends_with("dependencies");
        }
        let (name, _) = line.split_once(" = ").or_else(|| line.split_once(".workspace"))?;
        (within && !line.starts_with('#')).then_some(name)
    })
}

#[test]
fn lib_rs_declares_modules_only() {
    let tree = Tree::read(root());
    let lib = tree.files.iter().find(|file| file.module.is_empty()).expect("src/lib.rs");
    let declares = |item: &Item| matches!(item, Item::Mod(module) if module.content.is_none());
    assert!(lib.syntax.items.iter().all(declares), "src/lib.rs has more than module declarations");
}

/// A compiler that is older than what is written somewhere fails with a message about syntax.
#[test]
fn every_place_names_the_same_oldest_compiler() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("\nrust-version = \"").expect("a rust-version");
    let version = rest.split('"').next().expect("a version");
    for (name, before, after) in [
        ("README.md", "Rust (", " or newer)"),
        ("deploy/README.md", "Rust ", " or later"),
        ("deploy/Dockerfile", "/rust:", "-bookworm"),
    ] {
        let text = read(name);
        let named: Vec<&str> = text
            .match_indices(before)
            .filter_map(|(at, _)| text[at + before.len()..].split_once(after))
            .map(|(version, _)| version)
            .filter(|version| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
            .collect();
        assert!(!named.is_empty() && named.iter().all(|other| *other == version), "{name} names {named:?}, Cargo.toml {version}");
    }
}

/// Those of tokend and of the emulator.
fn all_files() -> Vec<File> {
    let mut files = Tree::read(root()).files;
    files.extend(Tree::read_emulator(root()).files);
    files
}

#[test]
fn every_file_says_why_it_exists() {
    let files = all_files();
    let silent: Vec<&str> = files.iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.name.as_str()).collect();
    assert!(silent.is_empty(), "these files do not start with `//! `: {silent:#?}");
}

#[test]
fn no_file_grows_too_long() {
    let mut files = all_files();
    files.sort_by_key(|file| std::cmp::Reverse(file.lines));
    let over =
        |limit: usize| files.iter().filter(move |file| file.lines > limit).map(|file| format!("{} ({})", file.name, file.lines));
    over(LONG).for_each(|file| show(&format!("over {LONG} lines: {file}")));
    assert_eq!(over(TOO_LONG).collect::<Vec<_>>(), Vec::<String>::new(), "over {TOO_LONG} lines of production code");
}

/// serde accepts unknown members silently where `flatten` meets `deny_unknown_fields`, in one struct or one inside the other.
#[test]
fn flatten_never_meets_deny_unknown_fields() {
    let tree = Tree::read(root());
    let files = tree.files.iter().filter(|file| file.module.first().is_some_and(|top| top == "http" || top == "config"));
    let mut structs = Vec::new();
    for file in files {
        collect_structs(&file.name, &file.syntax.items, &mut structs);
    }
    let offences = flatten_offences(&structs);
    assert!(offences.is_empty(), "{offences:#?}");
}

fn collect_structs<'a>(file: &'a str, items: &'a [Item], structs: &mut Vec<(&'a str, &'a syn::ItemStruct)>) {
    for item in items {
        match item {
            Item::Struct(item) => structs.push((file, item)),
            Item::Mod(module) => {
                collect_structs(file, module.content.as_ref().map_or(&[], |(_, items)| items.as_slice()), structs);
            }
            _ => {}
        }
    }
}

/// The names in a type.
#[derive(Default)]
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.0.push(ident.to_string());
    }
}

fn flatten_offences(structs: &[(&str, &syn::ItemStruct)]) -> Vec<String> {
    let strict = |item: &syn::ItemStruct| serde_says(&item.attrs, "deny_unknown_fields");
    let mut offences = Vec::new();
    for (file, item) in structs {
        let Fields::Named(fields) = &item.fields else { continue };
        for field in fields.named.iter().filter(|field| serde_says(&field.attrs, "flatten")) {
            let mut inner = Names::default();
            inner.visit_type(&field.ty);
            let meets =
                strict(item) || structs.iter().any(|(_, other)| strict(other) && inner.0.contains(&other.ident.to_string()));
            if meets {
                offences.push(format!("{file}:{}: {}", item.ident.span().start().line, item.ident));
            }
        }
    }
    offences
}

fn serde_says(attributes: &[Attribute], word: &str) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        attribute.path().is_ident("serde") && list.tokens.to_string().split(',').any(|part| part.trim() == word)
    })
}

// What the checker itself can see.

#[test]
fn flatten_is_seen_in_one_struct_and_across_two() {
    let text = "#[serde(deny_unknown_fields)] struct Inner { a: u8 } \
                struct Outer { #[serde(default, flatten)] inner: Option<Inner> } \
                #[serde(rename_all = \"x\", deny_unknown_fields)] struct Both { #[serde(flatten)] rest: Map } \
                struct Fine { #[serde(flatten)] rest: Map }";
    let syntax = syn::parse_file(text).expect("Rust");
    let mut structs = Vec::new();
    collect_structs("f.rs", &syntax.items, &mut structs);
    assert_eq!(flatten_offences(&structs), ["f.rs:1: Outer", "f.rs:1: Both"]);
}

#[test]
fn every_spelling_of_a_forbidden_import_is_seen() {
    for text in [
        "use crate::flow::App;",
        "use crate::{token, flow::{self, App}};",
        "use super::super::flow::App as Other;",
        "fn f() { crate::flow::start() }",
        "fn f() { use crate::flow::start; start() }",
        "fn f(app: &crate::flow::App) {}",
        "fn f() -> Option<crate::flow::App> { None }",
        "fn f() { tracing::info!(app = %crate::flow::NAME, \"x\") }",
        "macro_rules! m { () => { $crate::flow::start() } }",
        "#[serde(with = \"crate::flow::form\")] struct S;",
        "#[utoipa::path(request_body = crate::flow::App)] fn f() {}",
        "mod inner { use super::super::super::flow; }",
        "impl crate::flow::Door for S {}",
        "pub(in crate::cache) fn f() { crate::flow::start::<u8>() }",
    ] {
        let offences = judge(&[("src/cache/key.rs", text), ("src/flow/mod.rs", ""), ("src/token/mod.rs", "")]);
        assert!(!offences.is_empty(), "{text}");
        assert!(offences.iter().all(|offence| offence.starts_with("src/cache/key.rs:1: cache: ")), "{text}: {offences:?}");
    }
}

#[test]
fn what_is_allowed_or_not_ours_is_left_alone() {
    let cache = "use crate::{store, token::CachedToken, telemetry::Metrics}; use http::Request; use ::flow::x; \
                 use super::flow as not_there; fn f() { store::get(); self::key::new(); http::get(); Kind::flow() } \
                 mod key; #[cfg(test)] mod tests; #[cfg(test)] mod inline { use crate::flow::App; } \
                 impl S { #[cfg(all(test, unix))] fn t() { crate::flow::f() } }";
    let offences = judge(&[
        ("src/cache/mod.rs", cache),
        ("src/cache/key.rs", "use super::*; pub use super::f; use std::fmt;"),
        ("src/cache/tests.rs", "use crate::flow::App; mod deeper;"),
        ("src/cache/tests/deeper.rs", "use crate::http::App;"),
        ("src/flow/mod.rs", ""),
        ("src/main.rs", "use tokend::cli; fn main() { cli::run(tokend::cli::parse()) }"),
        ("src/cli.rs", ""),
    ]);
    // `super` of a module at the top is the crate's root: `super::flow` is `crate::flow`, and forbidden.
    assert_eq!(offences.len(), 1, "{offences:#?}");
    assert!(offences[0].contains("`super::flow`"), "{offences:?}");
}

#[test]
fn globs_reexports_and_cycles_are_offences() {
    let one = |text: &str| judge(&[("src/cache/mod.rs", text), ("src/token/mod.rs", "")]);
    assert!(one("use crate::token::*;")[0].contains("glob"));
    assert!(one("pub use crate::token::CachedToken;")[0].contains("re-exported"));
    assert!(one("use crate::token; pub(crate) use token::CachedToken;")[0].contains("re-exported"));
    assert!(one("mod key; pub use crate::cache::key::Key;")[0].contains("re-exported"));
    let cycle = judge(&[("src/flow/mod.rs", "use crate::cache::C;"), ("src/cache/mod.rs", "use crate::flow::F;")]);
    assert!(cycle.iter().any(|offence| offence.contains("by way of")), "{cycle:?}");
}

#[test]
fn leaves_import_leftwards() {
    let one = |name: &str, text: &str| judge(&[(name, text), ("src/clock.rs", ""), ("src/tasks.rs", "")]).len();
    assert_eq!(one("src/reload.rs", "use crate::tasks::Tasks;"), 0);
    assert_eq!(one("src/secret.rs", "use crate::tasks::Tasks;"), 1);
    assert_eq!(one("src/tasks.rs", "use crate::token::T;"), 1);
    assert_eq!(one("src/newcomer.rs", "use crate::token::T;"), 1);
}

#[test]
fn only_the_commands_use_the_emulator() {
    let one = |name: &str| judge(&[(name, "use tokend_emulator::{Options, bind};"), ("src/demo/mod.rs", "")]).len();
    assert_eq!(one("src/cli/run.rs"), 0);
    assert_eq!(one("src/flow/mod.rs"), 2);
    let manifest = "[package]\nname = \"x\"\n[dev-dependencies]\ntokend = { path = \"..\" }\n[lints]\nworkspace = true\n";
    assert_eq!(dependencies(manifest).collect::<Vec<_>>(), ["tokend"]);
}

#[test]
fn settings_are_known_by_the_file_that_defines_them() {
    let listen = "mod settings; mod peer; pub use settings::{Settings, Address}; pub use peer::Peer;";
    let one = |name: &str, text: &str| {
        judge(&[(name, text), ("src/listen/mod.rs", listen), ("src/listen/peer.rs", ""), ("src/listen/settings.rs", "")]).len()
    };
    assert_eq!(one("src/config/mod.rs", "use crate::listen::{self, Settings}; fn f(a: listen::Address) {}"), 0);
    assert_eq!(one("src/config/mod.rs", "use crate::listen; fn f(a: listen::Peer) {}"), 1);
    assert_eq!(one("src/config/mod.rs", "use crate::listen::Peer;"), 1);
    assert_eq!(one("src/admin/mod.rs", "use crate::listen::Peer;"), 0);
    assert_eq!(one("src/admin/mod.rs", "use crate::listen::Settings;"), 1);
}
