//! Which file imports what of which: each path is followed to the file that defines its name.
//!
//! ```text
//!   use crate::face::Name  ──►  face/mod.rs: pub use self::inner::Name  ──►  face/inner.rs: struct Name
//!                               (a face is gone through, and is not what is imported)
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::crates::Crates;

/// One file speaks of a name that another defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) name: String,
}

/// What was found on the way through all paths.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    pub(crate) imports: BTreeSet<Import>,
    /// Crates that are not among those that were read: the file, the crate.
    pub(crate) foreign: BTreeSet<(PathBuf, String)>,
    /// Paths of ours that lead nowhere: the file, the path. The reader has not understood something.
    pub(crate) lost: BTreeSet<(PathBuf, String)>,
}

/// Where a path ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Module(usize),
    /// A name that this module defines.
    Item(usize, String),
    Foreign(String),
}

/// More re-exports than this on one way are a circle of them.
const LONGEST_WAY: usize = 16;

impl Imports {
    pub(crate) fn of(crates: &Crates) -> Imports {
        let mut found = Imports::default();
        for (index, module) in crates.modules.iter().enumerate() {
            for brought in module.uses.iter().filter(|brought| !brought.shown) {
                let ends = crates.follow(index, &brought.path, 0);
                if ends.is_empty() {
                    found.lost.insert((module.file.clone(), brought.path.join("::")));
                }
                let all = brought.name.is_none();
                ends.into_iter().for_each(|end| found.note(crates, index, end, all));
            }
            for path in &module.paths {
                // A single name is an import only where a re-export brought it; another `use` was counted as such.
                let ends = match &path[..] {
                    [name] => crates.shown(index, name),
                    path => crates.follow(index, path, 0),
                };
                let ours = matches!(path[0].as_str(), "crate" | "self" | "super") && path.len() > 1;
                if ours && ends.is_empty() {
                    found.lost.insert((module.file.clone(), path.join("::")));
                }
                ends.into_iter().for_each(|end| found.note(crates, index, end, false));
            }
        }
        found
    }

    /// `all` is for `use module::*`.
    fn note(&mut self, crates: &Crates, at: usize, end: End, all: bool) {
        let from = crates.modules[at].file.clone();
        let (to, name) = match end {
            End::Foreign(name) => {
                self.foreign.insert((from, name));
                return;
            }
            End::Module(_) if !all => return,
            End::Module(module) => (crates.modules[module].file.clone(), "*".to_owned()),
            End::Item(module, name) => (crates.modules[module].file.clone(), name),
        };
        if from != to {
            self.imports.insert(Import { from, to, name });
        }
    }
}

impl Crates {
    /// Where a path leads that is written in module `at`.
    fn follow(&self, at: usize, path: &[String], way: usize) -> BTreeSet<End> {
        let Some((first, rest)) = path.split_first() else { return BTreeSet::from([End::Module(at)]) };
        match first.as_str() {
            "crate" => self.descend(self.modules[at].root, rest, way),
            "self" => self.descend(at, rest, way),
            "super" => self.modules[at].parent.map(|parent| self.above(parent, rest, way)).unwrap_or_default(),
            "Self" => BTreeSet::new(),
            "::" => rest.split_first().map(|(first, rest)| self.outside(first, rest, way)).unwrap_or_default(),
            first => {
                let ends = self.descend(at, path, way);
                if ends.is_empty() { self.outside(first, rest, way) } else { ends }
            }
        }
    }

    fn above(&self, at: usize, path: &[String], way: usize) -> BTreeSet<End> {
        match path.split_first() {
            Some((first, rest)) if first == "super" => {
                self.modules[at].parent.map(|parent| self.above(parent, rest, way)).unwrap_or_default()
            }
            _ => self.descend(at, path, way),
        }
    }

    fn outside(&self, name: &str, rest: &[String], way: usize) -> BTreeSet<End> {
        match self.roots.get(name) {
            Some(&root) => self.descend(root, rest, way),
            None => BTreeSet::from([End::Foreign(name.to_owned())]),
        }
    }

    /// Where a path leads from the module that its first name is in.
    fn descend(&self, module: usize, path: &[String], way: usize) -> BTreeSet<End> {
        let Some((name, rest)) = path.split_first() else { return BTreeSet::from([End::Module(module)]) };
        if way > LONGEST_WAY {
            return BTreeSet::new();
        }
        let within = &self.modules[module];
        let mut ends = BTreeSet::new();
        for &inner in within.modules.get(name).into_iter().flatten() {
            ends.extend(self.descend(inner, rest, way));
        }
        // A module and a function may share a name; only in the first is there anything further.
        if within.items.contains(name) && (rest.is_empty() || ends.is_empty()) {
            ends.insert(End::Item(module, name.clone()));
        }
        for brought in within.uses.iter().filter(|brought| brought.name.as_ref() == Some(name)) {
            // A macro is shown by its own name.
            if brought.path == [name.as_str()] && within.items.contains(name) {
                continue;
            }
            // `use name::…` in a module that has no such name means a crate, not itself.
            if brought.path.first() == Some(name) && !within.modules.contains_key(name) {
                ends.extend(self.outside(name, &[&brought.path[1..], rest].concat(), way + 1));
            } else {
                ends.extend(self.follow(module, &[&brought.path[..], rest].concat(), way + 1));
            }
        }
        if ends.is_empty() {
            for brought in within.uses.iter().filter(|brought| brought.name.is_none()) {
                for end in self.follow(module, &brought.path, way + 1) {
                    if let End::Module(inner) = end
                        && inner != module
                    {
                        ends.extend(self.descend(inner, path, way + 1));
                    }
                }
            }
        }
        if ends.is_empty() && within.made.contains(name) {
            ends.insert(End::Item(module, name.clone()));
        }
        ends
    }

    /// What a single name stands for where a re-export brought it into scope.
    fn shown(&self, module: usize, name: &str) -> BTreeSet<End> {
        let within = &self.modules[module];
        let mut ends = BTreeSet::new();
        for brought in within.uses.iter().filter(|brought| brought.shown) {
            if brought.name.as_deref() == Some(name) {
                ends.extend(self.follow(module, &brought.path, 0));
            } else if brought.name.is_none() && !within.items.contains(name) {
                for end in self.follow(module, &brought.path, 0) {
                    if let End::Module(inner) = end {
                        ends.extend(self.descend(inner, &[name.to_owned()], 1));
                    }
                }
            }
        }
        ends
    }
}
