//! Rooms, and who may import whom: as the table of docs/architecture.md says.
//!
//! ```text
//!   ## Rooms
//!   | `src/export/` | producers of block I/O … | `block` |      export may import block, and nothing else of ours
//! ```
//! A room is called by the last part of its path. What is in backticks in the last column is a room; other words there
//! are for people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::imports::Import;

/// The rooms by their paths, and the names of those that each may import.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: BTreeMap<PathBuf, BTreeSet<String>>,
}

impl Rooms {
    /// The rooms of the table below a page's heading "Rooms".
    pub(crate) fn of_page(page: &str) -> Rooms {
        let below = page.lines().skip_while(|&line| line != "## Rooms").skip(1);
        let rows = below.take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
        let rooms = rows.filter_map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
            let (first, last) = (cells.first()?, cells.last()?);
            Some((PathBuf::from(marked(first).next()?), marked(last).map(str::to_owned).collect()))
        });
        Rooms { rooms: rooms.collect() }
    }

    /// What is wrong with the imports, or with the table: sentences.
    pub(crate) fn judge(&self, imports: &BTreeSet<Import>) -> BTreeSet<String> {
        let mut wrong = BTreeSet::new();
        let names: BTreeSet<&str> = self.rooms.keys().map(|path| name(path)).collect();
        for (room, may) in &self.rooms {
            for unknown in may.iter().filter(|other| !names.contains(other.as_str())) {
                wrong.insert(format!("{} may import `{unknown}`, which is no room", room.display()));
            }
        }
        for Import { from, to, name: what } in imports {
            match (self.room_of(from), self.room_of(to)) {
                (Some(here), Some(there)) => {
                    let may = self.rooms.get(here).is_some_and(|may| may.contains(name(there)));
                    if here != there && !may {
                        wrong.insert(format!(
                            "{} imports {what} of {}: {} may not import {}",
                            from.display(),
                            to.display(),
                            name(here),
                            name(there)
                        ));
                    }
                }
                (None, _) => drop(wrong.insert(format!("{} is in no room", from.display()))),
                (_, None) => drop(wrong.insert(format!("{} is in no room", to.display()))),
            }
        }
        wrong
    }

    /// The innermost room that a file is in.
    fn room_of(&self, file: &Path) -> Option<&Path> {
        let holds = |room: &&Path| file == *room || file.starts_with(room.with_extension(""));
        self.rooms.keys().map(PathBuf::as_path).filter(holds).max_by_key(|room| room.components().count())
    }
}

/// What is between backticks.
fn marked(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn name(room: &Path) -> &str {
    room.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}
