//! What every target holds an error to.

/// An error is one sentence, to be shown as it is.
pub fn sentence(error: impl std::fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "not a sentence: {text:?}");
}
