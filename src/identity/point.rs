//! Points of Curve25519 that are no keys of Ed25519, though they are written like some.
//!
//! The eight points of small order are everybody's: where one of them is the key, a signature can be made without any secret
//! that verifies every message, or every few (RFC 8032 §5.1.7 multiplies the key by a hash, of which then only the rest by 8
//! counts). Verifiers do not look; so they are looked for when a key is read.

/// The prime of the field, 2^255 − 19, as points are written: little-endian, without the sign of x in the highest bit.
const PRIME: [u8; 32] = number(0xed, 0xff, 0x7f);

/// The y of every point of small order: 0 (order 4), 1 and −1 (orders 1 and 2), and the two of order 8. Each is that of a point
/// or two, and a sign that no x has changes nothing here.
pub(super) const SMALL: [[u8; 32]; 5] = [
    number(0, 0, 0),
    number(1, 0, 0),
    number(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// A number of 32 bytes that are all alike but for the first and the last.
const fn number(first: u8, others: u8, last: u8) -> [u8; 32] {
    let mut number = [others; 32];
    number[0] = first;
    number[31] = last;
    number
}

/// Refuses a point that must be nobody's key: one of small order, or one that is not written as RFC 8032 §5.1.2 writes it,
/// behind which such a one could hide. (A y that belongs to no point verifies nothing, and does no harm.)
///
/// # Errors
/// Why it is refused.
pub(super) fn check(point: &[u8; 32]) -> Result<(), &'static str> {
    let mut y = *point;
    y[31] &= 0x7f;
    if y.iter().rev().ge(PRIME.iter().rev()) {
        return Err("its x is not written as a point of Ed25519 is");
    }
    if SMALL.contains(&y) {
        return Err("its point has a small order, and anybody can sign for it");
    }
    Ok(())
}
