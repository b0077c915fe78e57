//! Reads a crate's sources as modules and the paths they mention: the compiler knows all this, but tells nobody.
//!
//! Names are resolved as far as module borders need it: `crate`, `self`, `super`, imported names, re-exports, and paths inside
//! macros and attributes. What only tests see is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Meta, UseTree, Visibility};

/// A module's path below the crate; the library's root is empty, the binary's is `main`.
pub(super) type ModPath = Vec<String>;

/// All modules, and all paths in them.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) files: Vec<File>,
    pub(super) mentions: Vec<Mention>,
    modules: BTreeSet<ModPath>,
    aliases: BTreeMap<(ModPath, String), Vec<ModPath>>,
    test_only: Vec<ModPath>,
}

/// One source file.
pub(super) struct File {
    pub(super) name: String,
    pub(super) module: ModPath,
    pub(super) text: String,
    pub(super) syntax: syn::File,
    /// Lines that a release has: all but those of test items.
    pub(super) lines: usize,
}

/// A path as it stands in the source.
pub(super) struct Mention {
    pub(super) module: ModPath,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) path: ModPath,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Import,
    Reexport,
    Glob,
    Code,
}

/// Where a path leads: the module that defines the item, and the rest of the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) module: ModPath,
    pub(super) item: ModPath,
}

/// Walks one file.
struct Reader<'a> {
    tree: &'a mut Tree,
    file: String,
    module: ModPath,
    test_lines: usize,
}

// === impl Tree ===

impl Tree {
    /// Reads every Rust file of tokend's own crate.
    pub(super) fn read(root: &Path) -> Self {
        Self::parse(texts(root, "src"))
    }

    /// Reads every Rust file of the emulator's crate.
    pub(super) fn read_emulator(root: &Path) -> Self {
        Self::parse(texts(root, "emulator/src"))
    }

    /// Reads files given as name (`src/a/b.rs`) and text.
    pub(super) fn parse(sources: Vec<(String, String)>) -> Self {
        let mut tree = Self::default();
        let mut files = Vec::new();
        for (name, text) in sources {
            let module = module_of(&name);
            let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{name}:{}: {error}", error.span().start().line));
            for end in 0..=module.len() {
                tree.modules.insert(module[..end].to_vec());
            }
            let mut reader = Reader { tree: &mut tree, file: name.clone(), module: module.clone(), test_lines: 0 };
            reader.visit_file(&syntax);
            let lines = text.lines().count().saturating_sub(reader.test_lines);
            files.push(File { name, module, text, syntax, lines });
        }
        // A file that is declared under `#[cfg(test)]` says so only in its parent.
        let is_test = |module: &ModPath| tree.test_only.iter().any(|test| module.starts_with(test));
        tree.mentions.retain(|mention| !is_test(&mention.module));
        for file in &mut files {
            if is_test(&file.module) {
                file.lines = 0;
            }
        }
        tree.files = files;
        tree
    }

    /// Whether the module has a file of its own yet, so that its re-exports are known.
    pub(super) fn is_written(&self, module: &[String]) -> bool {
        self.files.iter().any(|file| file.module == module)
    }

    /// The file that a module is written in: its own, or that of the module around it.
    pub(super) fn file_of(&self, module: &[String]) -> Option<&str> {
        let written = |end: usize| self.files.iter().find(|file| file.module == module[..end]);
        (0..=module.len()).rev().find_map(written).map(|file| file.name.as_str())
    }

    /// Where a mention leads; `None`: to another crate, or to something local.
    pub(super) fn target(&self, mention: &Mention) -> Option<Target> {
        self.absolute(&mention.module, &mention.path, 0).map(|path| self.canonical(path, 0))
    }

    fn absolute(&self, module: &[String], path: &[String], depth: usize) -> Option<ModPath> {
        let (first, rest) = path.split_first()?;
        let binary = module.first().is_some_and(|top| top == "main");
        let join = |base: &[String]| Some([base, rest].concat());
        match first.as_str() {
            "crate" if binary => join(&module[..1]),
            "crate" => join(&[]),
            "self" => join(module),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let base = &module[..module.len().checked_sub(ups)?];
                Some([base, &path[ups..]].concat())
            }
            "tokend" if binary => join(&[]),
            // `use a::a;` names itself: the depth ends what would go round.
            _ if depth > 8 => None,
            name => {
                let child = [module, &[name.to_owned()]].concat();
                let aliases = self.aliases.get(&(module.to_vec(), name.to_owned()));
                let imported = aliases.into_iter().flatten().find_map(|alias| self.absolute(module, alias, depth + 1));
                match imported {
                    Some(base) => join(&base),
                    None if self.modules.contains(&child) && !module.is_empty() => join(&child),
                    None => None,
                }
            }
        }
    }

    fn canonical(&self, path: ModPath, depth: usize) -> Target {
        let mut end = 0;
        while end < path.len() && self.modules.contains(&path[..=end]) {
            end += 1;
        }
        // An unknown module at the top is still a module: only its file is not written yet.
        let end = end.max(usize::from(!path.is_empty()));
        let (module, item) = path.split_at(end);
        let alias = item.first().and_then(|name| self.aliases.get(&(module.to_vec(), name.clone())));
        let next = alias.into_iter().flatten().find_map(|alias| self.absolute(module, alias, 0));
        match next {
            Some(base) if depth < 8 => self.canonical([&base, &item[1..]].concat(), depth + 1),
            _ => Target { module: module.to_vec(), item: item.to_vec() },
        }
    }
}

/// Name and text of every Rust file in a folder and below.
pub(super) fn texts(root: &Path, folder: &str) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    collect(&root.join(folder), folder, &mut sources);
    sources
}

fn collect(folder: &Path, name: &str, sources: &mut Vec<(String, String)>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("{name}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            collect(&path, &name, sources);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            sources.push((name, text));
        }
    }
}

fn module_of(name: &str) -> ModPath {
    let path = name.strip_prefix("emulator/").unwrap_or(name).trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

// === impl Reader ===

impl Reader<'_> {
    fn mention(&mut self, line: usize, path: ModPath, kind: Kind) {
        self.tree.mentions.push(Mention { module: self.module.clone(), file: self.file.clone(), line, path, kind });
    }

    fn read_use(&mut self, tree: &UseTree, prefix: &ModPath, kind: Kind) {
        match tree {
            UseTree::Path(path) => self.read_use(&path.tree, &extended(prefix, &path.ident), kind),
            UseTree::Name(name) => self.import(&name.ident, prefix, &name.ident, kind),
            UseTree::Rename(rename) => self.import(&rename.ident, prefix, &rename.rename, kind),
            UseTree::Glob(glob) => self.mention(glob.star_token.spans[0].start().line, prefix.clone(), Kind::Glob),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.read_use(tree, prefix, kind)),
        }
    }

    fn import(&mut self, ident: &Ident, prefix: &ModPath, name: &Ident, kind: Kind) {
        let path = if ident == "self" { prefix.clone() } else { extended(prefix, ident) };
        let name = if name == "self" { prefix.last().cloned().unwrap_or_default() } else { plain(name) };
        self.tree.aliases.entry((self.module.clone(), name)).or_default().push(path.clone());
        self.mention(ident.span().start().line, path, kind);
    }

    /// Finds `a::b::c` among tokens that are not parsed; in attributes also inside strings (`#[serde(with = "crate::a")]`).
    fn read_tokens(&mut self, tokens: TokenStream, strings: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.read_tokens(group.stream(), strings),
                TokenTree::Literal(literal) if strings => {
                    let text = literal.to_string();
                    let path: ModPath = text.trim_matches('"').split("::").map(str::to_owned).collect();
                    if path.len() > 1 && path.iter().all(|name| syn::parse_str::<syn::PathSegment>(name).is_ok()) {
                        self.mention(literal.span().start().line, path, Kind::Code);
                    }
                }
                TokenTree::Ident(first) => {
                    let continued = at >= 2 && is(at - 1, ':') && is(at - 2, ':');
                    let mut path = vec![plain(first)];
                    while let (true, true, Some(TokenTree::Ident(next))) = (is(at + 1, ':'), is(at + 2, ':'), tokens.get(at + 3)) {
                        path.push(plain(next));
                        at += 3;
                    }
                    if path.len() > 1 && !continued {
                        self.mention(first.span().start().line, path, Kind::Code);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Whether an item is for tests only; its lines are counted if so.
    fn skip(&mut self, attributes: &[Attribute], item: &dyn syn::spanned::Spanned) -> bool {
        let test = attributes.iter().any(is_test);
        if test {
            let span = item.span();
            self.test_lines += span.end().line + 1 - span.start().line;
        }
        test
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if self.skip(attributes(item), item) {
            if let Item::Mod(module) = item {
                self.tree.test_only.push(extended(&self.module, &module.ident));
            }
            return;
        }
        match item {
            Item::Use(import) if import.leading_colon.is_some() => {}
            Item::Use(import) => {
                let kind = if matches!(import.vis, Visibility::Inherited) { Kind::Import } else { Kind::Reexport };
                self.read_use(&import.tree, &Vec::new(), kind);
            }
            Item::Mod(module) if module.content.is_some() => {
                self.module.push(plain(&module.ident));
                self.tree.modules.insert(self.module.clone());
                visit::visit_item(self, item);
                self.module.pop();
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            _ => &[],
        };
        if !self.skip(attributes, item) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        // A single name was imported by a `use` that is seen itself.
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let names = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
            self.mention(path.segments[0].ident.span().start().line, names, Kind::Code);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.read_tokens(invocation.tokens.clone(), false);
        visit::visit_macro(self, invocation);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.read_tokens(list.tokens.clone(), true);
        }
    }
}

fn plain(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

fn extended(prefix: &[String], ident: &Ident) -> ModPath {
    [prefix, &[plain(ident)]].concat()
}

/// `#[cfg(test)]`, alone or as one of `all(…)`.
fn is_test(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    let condition = list.tokens.to_string().replace(' ', "");
    let all = condition.strip_prefix("all(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(&condition);
    attribute.path().is_ident("cfg") && all.split(',').any(|part| part == "test")
}

/// Whether an item exists for tests only.
pub(super) fn is_for_tests(item: &Item) -> bool {
    attributes(item).iter().any(is_test)
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
