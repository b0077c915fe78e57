//! Which module may import which: the table of `docs/architecture.md`, and the judgement of a tree by it.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Kind, Mention, Target, Tree};

/// The leaves, each of which may import those before it. Everything but `main` may import all of them.
const LEAVES: [&str; 7] = ["clock", "secret", "finding", "pem", "tasks", "reload", "telemetry"];

/// The other modules, in the order of a request's way, and what each may import besides the leaves.
const ROWS: [(&str, &[(&str, Part)]); 20] = {
    use Part::{All, Items, Settings};
    [
        ("main", &[("cli", All)]),
        ("cli", &[("demo", All), ("sidecar", All), ("config", All), ("lifecycle", All), ("listen", Settings)]),
        ("demo", &[("sidecar", All), ("lifecycle", All), ("config", All)]),
        (
            "sidecar",
            &[
                ("lifecycle", All),
                ("admin", All),
                ("config", All),
                ("listen", All),
                ("http", All),
                ("caller", All),
                ("inbound", All),
                ("flow", All),
                ("cache", All),
                ("store", All),
                ("source", All),
                ("credential", All),
                ("authority", All),
                ("transport", All),
            ],
        ),
        ("lifecycle", &[("config", Settings)]),
        ("admin", &[("listen", Items(&["Gate", "Peer", "Trespass"]))]),
        (
            "config",
            &[
                ("listen", Settings),
                ("http", Settings),
                ("caller", Settings),
                ("inbound", Settings),
                ("flow", Settings),
                ("cache", Settings),
                ("store", Settings),
                ("credential", Settings),
                ("authority", Settings),
                ("transport", Settings),
                ("token", All),
            ],
        ),
        ("listen", &[]),
        ("http", &[("caller", All), ("flow", All), ("listen", All), ("oauth", All), ("token", All)]),
        (
            "caller",
            &[
                ("listen", Items(&["Address", "Connection", "Peer"])),
                ("inbound", All),
                ("authority", All),
                ("oauth", All),
                ("token", All),
            ],
        ),
        ("inbound", &[("authority", All), ("oauth", All), ("token", All)]),
        (
            "flow",
            &[
                ("caller", All),
                ("cache", All),
                ("source", All),
                ("credential", All),
                ("authority", All),
                ("inbound", All),
                ("oauth", All),
                ("token", All),
            ],
        ),
        ("cache", &[("store", All), ("token", All)]),
        ("store", &[("token", All)]),
        ("source", &[("authority", All), ("credential", All), ("oauth", All), ("token", All)]),
        ("credential", &[("oauth", All)]),
        ("authority", &[("transport", All), ("oauth", All), ("token", All)]),
        ("transport", &[]),
        ("oauth", &[]),
        ("token", &[]),
    ]
};

/// The emulator's crate, and who may use it.
const EMULATOR: (&str, [&str; 2]) = ("tokend_emulator", ["cli", "demo"]);

/// How much of a module may be imported.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    All,
    /// What its `settings.rs` defines.
    Settings,
    /// Items by name.
    Items(&'static [&'static str]),
}

/// What was found: every import between two modules, and everything that is against the table.
#[derive(Default)]
pub(super) struct Judgement {
    pub(super) offences: Vec<String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

// === impl Judgement ===

impl Judgement {
    /// Judges a whole tree.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut judgement = Self::default();
        for mention in &tree.mentions {
            if let Some(target) = tree.target(mention) {
                judgement.judge(tree, mention, &target);
            } else {
                judgement.judge_emulator(mention);
            }
        }
        judgement.find_cycles();
        judgement.offences.sort();
        judgement.offences.dedup();
        judgement
    }

    fn judge(&mut self, tree: &Tree, mention: &Mention, target: &Target) {
        let (Some(from), Some(to)) = (mention.module.first(), target.module.first()) else { return };
        let crosses = from != to;
        let spelt = mention.path.join("::");
        let mut offend = |what: &str| self.offences.push(format!("{}:{}: {from}: `{spelt}` {what}", mention.file, mention.line));
        if mention.kind == Kind::Reexport && (crosses || mention.path[0] == "crate") {
            offend("is re-exported: a name has one home, import it from there");
        }
        if !crosses {
            return;
        }
        if mention.kind == Kind::Glob {
            offend("is a glob import of another module: name what is used");
        }
        match allowed(from, to) {
            None => offend("is not an import that the table in docs/architecture.md allows"),
            Some(Part::All) => {}
            // A module as a whole is only a handle: what is reached through it is judged where it is used.
            Some(Part::Settings | Part::Items(_)) if target.item.is_empty() && target.module.len() == 1 => {}
            Some(Part::Settings) if tree.is_written(&target.module[..1]) => {
                if target.module.get(1).is_none_or(|file| file != "settings") {
                    offend("is not defined in that module's settings.rs, the only part of it that may be imported here");
                }
            }
            Some(Part::Settings) => {}
            Some(Part::Items(items)) => {
                if !target.item.first().is_some_and(|item| items.contains(&item.as_str())) {
                    offend(&format!("is not one of {items:?}, the only parts of that module that may be imported here"));
                }
            }
        }
        self.edges.entry(from.clone()).or_default().insert(to.clone());
    }

    fn judge_emulator(&mut self, mention: &Mention) {
        let (name, users) = EMULATOR;
        let from = mention.module.first().map_or("", String::as_str);
        if mention.path.first().is_some_and(|first| first == name) && !users.contains(&from) {
            let spelt = mention.path.join("::");
            self.offences
                .push(format!("{}:{}: {from}: `{spelt}` is the emulator's, for {users:?} alone", mention.file, mention.line));
        }
    }

    fn find_cycles(&mut self) {
        for start in self.edges.keys() {
            let (mut reached, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(next) = open.pop() {
                for to in self.edges.get(next).into_iter().flatten() {
                    if reached.insert(to) {
                        open.push(to);
                    }
                }
            }
            if reached.contains(start) {
                self.offences.push(format!("src: {start} imports itself by way of {reached:?}"));
            }
        }
    }

    /// The graph as text: one line per module, its imports, and in brackets the leaves it uses.
    pub(super) fn graph(&self) -> String {
        let order: Vec<&str> = ROWS.iter().map(|(name, _)| *name).chain(LEAVES).collect();
        let mut lines = String::new();
        for from in &order {
            let Some(to) = self.edges.get(*from) else { continue };
            let named = |leaf: bool| {
                let names = order.iter().copied().filter(|name| to.contains(*name) && LEAVES.contains(name) == leaf);
                names.collect::<Vec<_>>().join(" ")
            };
            let (others, leaves) = (named(false), named(true));
            let leaves = if leaves.is_empty() { leaves } else { format!("({leaves})") };
            let both = [others, leaves].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
            lines.push_str(&format!("{from:<10} → {both}"));
            lines.push('\n');
        }
        lines
    }
}

/// How much of `to` the module `from` may import; `None`: nothing.
fn allowed(from: &str, to: &str) -> Option<Part> {
    let place = |name: &str| LEAVES.iter().position(|leaf| *leaf == name);
    match (place(from), place(to)) {
        (Some(from), Some(to)) => return (to < from).then_some(Part::All),
        (Some(_), None) => return None,
        (None, Some(_)) if from != "main" => return Some(Part::All),
        (None, _) => {}
    }
    let (_, row) = ROWS.iter().find(|(name, _)| *name == from)?;
    row.iter().find(|(name, _)| *name == to).map(|(_, part)| *part)
}
