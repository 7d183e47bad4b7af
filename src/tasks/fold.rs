//! Texts as they are looked for: by `NFKC_Casefold` (The Unicode Standard, section 3.13.3), so that capital and small letters, wide
//! and narrow forms, and what is put together or taken apart are one, and characters that nobody sees are none. Folded here and not
//! by the databases, whose ideas of letters differ.

use std::borrow::Cow;
use std::collections::HashMap;

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// The folded text: that of each character (what becomes of one may be a sentence), composed.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut known = HashMap::new();
    let mut folded = String::with_capacity(text.len());
    // Taken apart first, as the order of marks may change by their folds.
    for c in DecomposingNormalizer::new_nfd().normalize(text).chars() {
        if c.is_ascii() {
            folded.push(c.to_ascii_lowercase());
        } else {
            folded.push_str(known.entry(c).or_insert_with(|| fold_one(c)));
        }
    }
    match ComposingNormalizer::new_nfc().normalize(&folded) {
        Cow::Borrowed(_) => folded,
        Cow::Owned(composed) => composed,
    }
}

/// What becomes of a character: `NFKC_Casefold`.
fn fold_one(c: char) -> String {
    let unseen = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    if unseen.contains(c) {
        return String::new();
    }
    let (composed, cases) = (ComposingNormalizer::new_nfkc(), CaseMapper::new());
    let once = composed.normalize(&cases.fold_string(c.encode_utf8(&mut [0; 4]))).into_owned();
    // A form that is made compatible may have capital letters in it, such as U+2102.
    let twice = composed.normalize(&cases.fold_string(&once)).into_owned();
    twice.chars().filter(|c| !unseen.contains(*c)).collect()
}

/// Stands between title and description where both are folded. Neither has it, nor does what is looked for.
pub(crate) const BETWEEN: char = '\u{1}';

/// A task's title and description, folded as they are stored.
pub(crate) fn folded(title: &str, description: Option<&str>) -> String {
    format!("{}{BETWEEN}{}", fold(title), fold(description.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_those_of_the_standard() {
        for (text, folded) in [
            ("Milk", "milk"),
            // Letters that become two, and those that fold by no table of small letters.
            ("Straße", "strasse"),
            ("STRAẞE", "strasse"),
            ("ΜΆΪΟΣ", "μάϊοσ"),
            ("İ", "i\u{307}"),
            // Forms of compatibility, also those with capitals in them.
            ("ﬁle", "file"),
            ("Ⅷ", "viii"),
            ("ℂ", "c"),
            ("ｗｉｄｅ", "wide"),
            ("①", "1"),
            ("㎏", "kg"),
            // Composed, however it was written.
            ("Cafe\u{301}", "café"),
            ("Å", "å"),
            ("\u{1F80}", "ἀι"),
            // What nobody sees.
            ("a\u{AD}b\u{200B}c\u{FE0F}", "abc"),
            ("\u{3164}", ""),
            // A sentence.
            (
                "\u{FDFA}",
                "\u{635}\u{644}\u{649} \u{627}\u{644}\u{644}\u{647} \u{639}\u{644}\u{64A}\u{647} \u{648}\u{633}\u{644}\u{645}",
            ),
            // Marks in either order.
            ("\u{3B1}\u{345}\u{301}", "\u{3AC}\u{3B9}"),
            ("\u{3B1}\u{301}\u{345}", "\u{3AC}\u{3B9}"),
        ] {
            assert_eq!(fold(text), folded, "{text:?}");
            assert_eq!(fold(folded), folded, "a fold stays");
        }
    }

    #[test]
    fn a_fold_stays_whatever_it_is_of() {
        // Beyond these are ideographs, and what nobody has been given yet.
        for c in (0..0x2_0000).chain(0xE_0000..0xE_1000).filter_map(char::from_u32) {
            let once = fold(&format!("{c}"));
            assert_eq!(fold(&once), once, "{c:?}");
        }
    }
}
