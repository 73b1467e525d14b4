//! CRC32C, the digest of headers and data (RFC 7143 §13.1; the polynomial of Castagnoli, reflected,
//! with initial and final complement). It goes onto the wire least significant byte first.

/// How a driver computes CRC32C: a type without a value, so that no function pointer is needed.
pub trait Crc32c {
    /// The digest of everything `crc` covers so far, followed by `bytes`. Starts from 0.
    fn append(crc: u32, bytes: &[u8]) -> u32;
}

/// CRC32C by tables, eight bytes a step: for drivers that have nothing faster.
#[derive(Debug, Clone, Copy)]
pub struct SoftCrc32c;

/// `TABLES[k][b]` is the digest of byte `b` followed by `k` zero bytes.
static TABLES: [[u32; 256]; 8] = tables();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a wrong index does not compile")]
const fn tables() -> [[u32; 256]; 8] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut byte = 0;
    while byte < 256 {
        let mut zeroes = 1;
        while zeroes < 8 {
            let before = tables[zeroes - 1][byte];
            tables[zeroes][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            zeroes += 1;
        }
        byte += 1;
    }
    tables
}

/// `table[byte]`, where `byte` is the low byte of `word`: always within the 256 entries.
#[expect(clippy::indexing_slicing, reason = "both indices are masked to their table's size")]
#[inline(always)]
fn entry(table: usize, word: u32) -> u32 {
    TABLES[table & 7][(word & 0xff) as usize]
}

impl Crc32c for SoftCrc32c {
    fn append(crc: u32, bytes: &[u8]) -> u32 {
        let mut crc = !crc;
        let (words, rest) = bytes.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in words {
            let low = crc ^ u32::from_le_bytes([a, b, c, d]);
            crc = entry(7, low)
                ^ entry(6, low >> 8)
                ^ entry(5, low >> 16)
                ^ entry(4, low >> 24)
                ^ entry(3, e.into())
                ^ entry(2, f.into())
                ^ entry(1, g.into())
                ^ entry(0, h.into());
        }
        for &byte in rest {
            crc = crc >> 8 ^ entry(0, crc ^ u32::from(byte));
        }
        !crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7143 appendix A.4 (RFC 3720 B.4), as the bytes that go onto the wire.
    #[test]
    fn the_examples_of_the_standard() {
        let ascending: [u8; 32] = core::array::from_fn(|n| n as u8);
        let descending: [u8; 32] = core::array::from_fn(|n| 31 - n as u8);
        for (data, wire) in [
            ([0; 32], [0xaa, 0x36, 0x91, 0x8a]),
            ([0xff; 32], [0x43, 0xab, 0xa8, 0x62]),
            (ascending, [0x4e, 0x79, 0xdd, 0x46]),
            (descending, [0x5c, 0xdb, 0x3f, 0x11]),
        ] {
            assert_eq!(SoftCrc32c::append(0, &data).to_le_bytes(), wire);
        }
    }

    // check: stream-segments
    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let data: [u8; 61] = core::array::from_fn(|n| (n * 37) as u8);
        let whole = SoftCrc32c::append(0, &data);
        for cut in 0..data.len() {
            let (head, tail) = data.split_at(cut);
            assert_eq!(SoftCrc32c::append(SoftCrc32c::append(0, head), tail), whole, "cut at {cut}");
        }
    }
}
