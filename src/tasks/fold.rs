//! Texts as they are looked for: by `NFKC_Casefold` (The Unicode Standard, section 3.13.3), so that capital and small letters, wide
//! and narrow forms, and what is put together or taken apart are one, and characters that nobody sees are none. Folded here and not
//! by the databases, whose ideas of letters differ.

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// The folded text.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let (composed, cases) = (ComposingNormalizer::new_nfkc(), CaseMapper::new());
    let unseen = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let seen: String = text.chars().filter(|c| !unseen.contains(*c)).collect();
    let apart = DecomposingNormalizer::new_nfd().normalize(&seen).into_owned();
    // A form that is made compatible may have capital letters in it, such as U+2102.
    let once = composed.normalize(&cases.fold_string(&apart)).into_owned();
    let twice = composed.normalize(&cases.fold_string(&once)).into_owned();
    let seen: String = twice.chars().filter(|c| !unseen.contains(*c)).collect();
    composed.normalize(&seen).into_owned()
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
        ] {
            assert_eq!(fold(text), folded, "{text:?}");
            assert_eq!(fold(folded), folded, "a fold stays");
        }
    }

    #[test]
    fn a_fold_stays_whatever_it_is_of() {
        for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let once = fold(&format!("{c}"));
            assert_eq!(fold(&once), once, "{c:?}");
        }
    }
}
