//! Text keys (RFC 7143 §6.1, §13), read and written without the initiator's codec: an independent
//! check of it.

/// One `key=value`.
pub(crate) type Pair = (String, String);

/// Splits a whole text into its pairs. Every rule it breaks is told to `complain`; what can be read
/// is read.
pub(crate) fn split(text: &[u8], mut complain: impl FnMut(String)) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    if !text.is_empty() && !text.ends_with(&[0]) {
        complain("a text that does not end with NUL (RFC 7143 §6.1)".into());
    }
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    if text.is_empty() {
        return pairs;
    }
    for part in text.split(|&byte| byte == 0) {
        let Some(equals) = part.iter().position(|&byte| byte == b'=') else {
            complain(format!("{:?} is not a key=value pair", String::from_utf8_lossy(part)));
            continue;
        };
        let key = String::from_utf8_lossy(&part[..equals]).into_owned();
        let value = String::from_utf8_lossy(&part[equals + 1..]).into_owned();
        if key.is_empty() || key.len() > 63 || !key.bytes().all(is_key_byte) {
            complain(format!("{key:?} is not a key name (RFC 7143 §6.1)"));
        }
        // CHAP_C and CHAP_R are binary values of up to 1024 bytes (§12.1.3); all others have 255.
        let limit = if key.starts_with("CHAP_") { 2 + 2 * 1024 } else { 255 };
        if value.len() > limit {
            complain(format!("the value of {key} has {} bytes", value.len()));
        }
        if value.chars().any(char::is_control) {
            complain(format!("the value of {key} has control characters"));
        }
        if pairs.iter().any(|(before, _)| *before == key) {
            complain(format!("{key} stands twice"));
        }
        pairs.push((key, value));
    }
    pairs
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'@' | b'_')
}

/// The value of `key` in `pairs`.
pub(crate) fn value<'a>(pairs: &'a [Pair], key: &str) -> Option<&'a str> {
    pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// The text of `pairs`.
pub(crate) fn join(pairs: &[Pair]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in pairs {
        text.extend_from_slice(key.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        text.push(0);
    }
    text
}

/// A number in decimal or, with `0x`, hexadecimal (§6.1).
pub(crate) fn number(value: &str) -> Option<u32> {
    match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => value.parse().ok(),
    }
}

/// A binary value: `0x…` or `0b…` (§6.1).
pub(crate) fn binary(value: &str) -> Option<Vec<u8>> {
    let (prefix, digits) = value.split_at_checked(2)?;
    match prefix {
        "0x" | "0X" => hexadecimal(digits),
        "0b" | "0B" => base64(digits),
        _ => None,
    }
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(4) {
        return None;
    }
    let digits = digits.strip_suffix("==").or_else(|| digits.strip_suffix('=')).unwrap_or(digits);
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|&letter| letter == digit)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

/// Writes a binary value in hexadecimal.
pub(crate) fn to_hexadecimal(bytes: &[u8]) -> String {
    let mut out = String::from("0x");
    for byte in bytes {
        out.push_str(&format!("{byte:02x}"));
    }
    out
}

/// Writes a binary value in base64.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::from("0b");
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (n, &byte)| bits | u32::from(byte) << (16 - 8 * n));
        for n in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * n) & 0x3f) as usize];
            out.push(if n <= group.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_and_broken_ones_are_told() {
        let text = b"A=1\0B=x=y\0junk\0A=2\0C=\0";
        let mut complaints = Vec::new();
        let pairs = split(text, |complaint| complaints.push(complaint));
        assert_eq!(value(&pairs, "B"), Some("x=y"));
        assert_eq!(value(&pairs, "C"), Some(""));
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        split(b"A=1", |complaint| assert!(complaint.contains("NUL")));
    }

    #[test]
    fn binary_values_are_the_same_in_both_encodings() {
        for len in 0..20u8 {
            let bytes: Vec<u8> = (0..len).map(|n| n.wrapping_mul(37)).collect();
            assert_eq!(binary(&to_hexadecimal(&bytes)), Some(bytes.clone()));
            assert_eq!(binary(&to_base64(&bytes)), Some(bytes));
        }
        assert_eq!(to_base64(b"Man"), "0bTWFu");
        assert_eq!(to_base64(b"Ma"), "0bTWE=");
        for bad in ["", "0", "12", "0x1", "0xzz", "0bA", "0b!!!!"] {
            assert_eq!(binary(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!((number("4096"), number("0x1000"), number("x")), (Some(4096), Some(4096), None));
    }
}
