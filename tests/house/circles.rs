//! Circles among files: for each file that is in one, the shortest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use crate::imports::Import;

/// Every shortest circle, each once, as a person reads it: file → file, with the names that each imports.
pub(crate) fn circles(imports: &BTreeSet<Import>) -> BTreeSet<String> {
    let mut names: BTreeMap<(&Path, &Path), Vec<&str>> = BTreeMap::new();
    let mut next: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for import in imports {
        names.entry((&import.from, &import.to)).or_default().push(&import.name);
        next.entry(&import.from).or_default().insert(&import.to);
    }
    let mut found = BTreeSet::new();
    for &start in next.keys() {
        if let Some(mut circle) = shortest(start, &next) {
            let least = (0..circle.len()).min_by_key(|&at| circle[at]).unwrap_or(0);
            circle.rotate_left(least);
            found.insert(circle);
        }
    }
    found.iter().map(|circle| told(circle, &names)).collect()
}

/// The shortest way from a file back to itself, without its end.
fn shortest<'a>(start: &'a Path, next: &BTreeMap<&'a Path, BTreeSet<&'a Path>>) -> Option<Vec<&'a Path>> {
    let mut before: BTreeMap<&Path, &Path> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for &to in next.get(at).into_iter().flatten() {
            if to == start {
                let mut way = vec![at];
                while let Some(&from) = before.get(way[way.len() - 1]) {
                    way.push(from);
                }
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(to) {
                before.insert(to, at);
                queue.push_back(to);
            }
        }
    }
    None
}

fn told(circle: &[&Path], names: &BTreeMap<(&Path, &Path), Vec<&str>>) -> String {
    let mut text = circle[0].display().to_string();
    for (at, from) in circle.iter().enumerate() {
        let to = circle[(at + 1) % circle.len()];
        text += &format!(" -> {} ({})", to.display(), names[&(*from, to)].join(", "));
    }
    text
}
