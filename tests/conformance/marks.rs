//! Which test stands for which check, read from the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Check → tests, as `file::test`.
pub(crate) type Marks = BTreeMap<String, Vec<String>>;

const MARK: &str = "// check: ";

/// Where tests are.
const ROOMS: [&str; 3] = ["proto/src", "src", "tests"];

/// Reads all marks of the repository at `root`.
pub(crate) fn read(root: &Path) -> Result<Marks, String> {
    let mut files = Vec::new();
    for room in ROOMS {
        sources(&root.join(room), &mut files)?;
    }
    files.sort();
    let mut marks = Marks::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        for (check, test) in marks_of(&text).map_err(|why| format!("{name}: {why}"))? {
            marks.entry(check).or_default().push(format!("{name}::{test}"));
        }
    }
    Ok(marks)
}

fn sources(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", dir.display());
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.ends_with("tests/conformance") {
            continue;
        }
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The marks of a source, with the tests they stand in or above.
pub(crate) fn marks_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut marks = Vec::new();
    let mut waiting: Vec<String> = Vec::new();
    let mut is_test = false;
    // The test whose body this is, and the line that ends it.
    let mut body: Option<(String, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if let Some(list) = code.strip_prefix(MARK) {
            let checks = list.split(',').map(|check| check.trim().to_owned());
            match &body {
                Some((test, _)) => marks.extend(checks.map(|check| (check, test.clone()))),
                None => waiting.extend(checks),
            }
        } else if code.starts_with("#[test]") || code.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(function) = function(code).filter(|_| body.is_none()) {
            if std::mem::take(&mut is_test) {
                let indent = &line[..line.len() - code.len()];
                marks.extend(waiting.drain(..).map(|check| (check, function.to_owned())));
                body = Some((function.to_owned(), format!("{indent}}}")));
            } else if !waiting.is_empty() {
                return Err(format!("line {}: a check is marked above `{function}`, which is no test", number + 1));
            }
        } else if body.as_ref().is_some_and(|(_, end)| end == line) {
            body = None;
        }
    }
    match waiting.is_empty() {
        true => Ok(marks),
        false => Err(format!("no test follows the marks {}", waiting.join(", "))),
    }
}

/// The name of the function that a line declares.
fn function(code: &str) -> Option<&str> {
    let (before, after) = code.split_once("fn ")?;
    let plain = before.split_whitespace().all(|word| word == "async" || word.starts_with("pub"));
    let end = after.find(['(', '<']).unwrap_or(after.len());
    plain.then(|| &after[..end])
}
