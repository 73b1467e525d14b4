//! A unit's name as the name of a file.

/// The longest name of a file that every file system has.
const LONGEST: usize = 255;

/// The name of a unit's file in a file system of its own.
pub(crate) const FILE_NAME: &str = "disk";

/// A unit's file name: its name, with `,` before the number, and with everything escaped that would be a
/// path, or that other programs would stumble over. `None` if that is too long for a file.
pub(crate) fn file_name(unit: &str) -> Option<String> {
    let (target, lun) = crate::block::name_parts(unit);
    let mut name = String::new();
    for (index, letter) in target.chars().enumerate() {
        let plain = letter.is_alphanumeric() || matches!(letter, '-' | ':' | '_') || (letter == '.' && index > 0);
        if plain {
            name.push(letter);
        } else {
            for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                name.push_str(&format!("%{byte:02x}"));
            }
        }
    }
    name.push(',');
    name.extend(lun.chars().filter(|letter| letter.is_ascii_alphanumeric()));
    (name.len() <= LONGEST).then_some(name)
}

/// The unit that has this file name. What is none stays as it is.
pub(crate) fn unit_of(file_name: &str) -> String {
    let (target, lun) = file_name.rsplit_once(',').unwrap_or((file_name, ""));
    let mut bytes = Vec::with_capacity(target.len());
    let mut rest = target.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    format!("{}/{lun}", String::from_utf8_lossy(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_unit_is_found_again() {
        for unit in ["iqn.2001-04.com.example:disk/0", "../../etc/0", "iqn.a,0/1", "a b\\\n/2", "iqn.a:größe/3"] {
            assert_eq!(unit_of(&file_name(unit).expect("short")), unit);
        }
        assert_eq!(unit_of("%4"), "%4/");
    }

    #[test]
    fn a_unit_s_file_is_one_component_that_nothing_else_has() {
        let name = |unit| file_name(unit).expect("short");
        assert_eq!(name("iqn.2001-04.com.example:disk/0"), "iqn.2001-04.com.example:disk,0");
        assert_eq!(name("../../etc/0"), "%2e.%2f..%2fetc,0");
        assert_eq!(name("iqn.a,0/1"), "iqn.a%2c0,1");
        assert_eq!(name("a b\\\n/2"), "a%20b%5c%0a,2");
        assert_eq!(file_name(&"x".repeat(300)), None);
    }
}
