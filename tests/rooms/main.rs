//! Holds the code to the maps in the READMEs: each room on a line, its files from top to bottom, and whoever stands above or to
//! the left may use what is below or to the right, never the other way round. So there is no circle. And the document about
//! security to the tests that it names.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The files of a crate in their order, by their paths below its folder without the ending: `storage/session`.
fn map(readme: &Path) -> Vec<String> {
    let text = fs::read_to_string(readme).unwrap();
    let block = text.split("```rooms\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.unwrap_or_else(|| panic!("{} has no map", readme.display()));
    let mut files = Vec::new();
    for line in block.lines() {
        let mut words = line.split_whitespace();
        let room = words.next().expect("a room").to_owned();
        // The room's own file says what it is, and may name all that is in it.
        files.push(room.clone());
        files.extend(words.map(|file| format!("{room}/{file}")));
    }
    files
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// A file without its tests and comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The paths that follow a word such as `crate::`, each below `above`; with the trees of names in braces behind them.
fn named(code: &str, word: &str, above: &str) -> Vec<String> {
    let mut found = Vec::new();
    for mut rest in code.split(word).skip(1) {
        let mut open = vec![above.to_owned()];
        loop {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c)).unwrap_or(rest.len());
            let (path, after) = rest.split_at(length);
            let path = format!("{}{}", open.last().expect("a beginning"), path.replace("::", "/"));
            rest = after.trim_start();
            if let Some(inside) = rest.strip_prefix('{').filter(|_| path.ends_with('/') || path.is_empty()) {
                open.push(path);
                rest = inside.trim_start();
                continue;
            }
            found.push(path);
            // To the next name of the tree, if it goes on.
            while let Some(after) = rest.strip_prefix('}').filter(|_| open.len() > 1) {
                open.pop();
                rest = after.trim_start();
            }
            match rest.strip_prefix(',').filter(|_| open.len() > 1) {
                Some(after) => rest = after.trim_start(),
                None => break,
            }
        }
    }
    found
}

/// What is wrong with the imports of a crate.
fn judge(folder: &Path, readme: &Path) -> Vec<String> {
    let order = map(readme);
    let place: BTreeMap<&str, usize> = order.iter().enumerate().map(|(n, file)| (file.as_str(), n)).collect();
    let mut paths = Vec::new();
    files(folder, &mut paths);
    let sources: Vec<(String, String)> = paths
        .iter()
        .map(|path| {
            let name = path.strip_prefix(folder).unwrap().with_extension("").to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    let tests: BTreeSet<String> = sources
        .iter()
        .flat_map(|(_, text)| text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.split(';').next()))
        .map(str::to_owned)
        .collect();
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for (name, text) in &sources {
        if name == "main" || tests.contains(name.rsplit('/').next().unwrap_or_default()) {
            continue;
        }
        let Some(from) = place.get(name.as_str()) else {
            wrong.push(format!("{name} is on no line of the map"));
            continue;
        };
        seen.insert(name.as_str());
        let code = code(text);
        let parent = name.rsplit_once('/').map(|(parent, _)| parent);
        let has_inner = code.lines().any(|line| line.starts_with("pub mod ") && line.ends_with('{'));
        let mut used = named(&code, "crate::", "");
        used.extend(named(&code, "super::", &parent.map(|parent| format!("{parent}/")).unwrap_or_default()));
        for path in used {
            // The longest beginning that is a file.
            let mut target = path.as_str();
            let to = loop {
                if let Some(to) = place.get(target) {
                    break to;
                }
                let Some((shorter, _)) = target.rsplit_once('/') else { break from };
                target = shorter;
            };
            // With modules inside of a file, `super` is the file itself.
            let is_itself = has_inner && parent == Some(target);
            if to < from && !is_itself {
                wrong.push(format!("{name} uses {path}, which stands above it"));
            }
        }
    }
    wrong.extend(order.iter().filter(|file| !seen.contains(file.as_str())).map(|file| format!("there is no {file}")));
    wrong
}

#[test]
fn no_import_runs_up_or_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates =
        [("src", "src/README.md"), ("api/src", "api/README.md"), ("api/openapi31/src", "api/openapi31/README.md")];
    for (folder, readme) in crates {
        let wrong = judge(&root.join(folder), &root.join(readme));
        assert!(wrong.is_empty(), "{folder}, by the map in {readme}:\n{}", wrong.join("\n"));
    }
}

/// What is wrong with the tests that a document names in backticks, `module::test`: each is a function of a file of that name,
/// marked as a test or named in a list of tests.
fn judge_tests(document: &str, root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for folder in ["tests", "src", "api/src"] {
        files(&root.join(folder), &mut paths);
    }
    // A name in a list, which a macro takes for tests, and no call.
    let is_listed = |text: &str, name: &str| {
        let found = text.match_indices(name).map(|(at, _)| (text.get(..at), text.get(at + name.len()..)));
        found.into_iter().any(|(before, after)| {
            before.is_some_and(|before| before.ends_with([' ', '(', '{', '\n']))
                && after.is_some_and(|after| after.starts_with([' ', ',', ')', '}', '\n']))
        })
    };
    let is_test = |module: &str, name: &str| {
        paths.iter().filter(|path| path.file_stem().is_some_and(|stem| stem == module)).any(|path| {
            let text = fs::read_to_string(path).unwrap();
            let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
            let above = before.rsplit('\n').nth(1).unwrap_or_default();
            let lists = fs::read_to_string(path.with_file_name("main.rs")).unwrap_or_default();
            (above.contains("#[") && above.contains("test")) || is_listed(&text, name) || is_listed(&lists, name)
        })
    };
    let named = document.split('`').skip(1).step_by(2).filter_map(|text| text.split_once("::"));
    named.filter(|(module, name)| !is_test(module, name)).map(|(module, name)| format!("{module}::{name}")).collect()
}

#[test]
fn the_tests_that_the_security_document_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("src/security.md")).unwrap();
    assert_eq!(judge_tests(&document, root), [""; 0]);
    let risks = document.lines().filter(|line| line.starts_with("| API"));
    let proved = risks.filter(|line| line.rsplit('|').nth(1).is_some_and(|tests| tests.contains("::")));
    assert_eq!(proved.count(), 10, "each of the ten risks has a test");
}

#[test]
fn the_judge_of_names_sees_what_is_no_test() {
    let folder = tempfile::tempdir().unwrap();
    let tests = folder.path().join("tests/http");
    for room in ["tests/http", "src", "api/src"] {
        fs::create_dir_all(folder.path().join(room)).unwrap();
    }
    fs::write(tests.join("main.rs"), "trials!(listed::{ far, other });\neach!(alone);\n").unwrap();
    fs::write(
        tests.join("marked.rs"),
        "#[test]\nfn plain() {}\n#[tokio::test(x)]\nasync fn awaited() {}\nfn helper() { helper_of(1) }\n",
    )
    .unwrap();
    fs::write(
        tests.join("listed.rs"),
        "each!(\n    near,\n);\nasync fn near(s: S) {}\npub(crate) async fn far() {}\nfn alone() {}\n",
    )
    .unwrap();
    let judged = |document: &str| judge_tests(document, folder.path());
    let good = "`marked::plain` `marked::awaited` is `code` `listed::near`, `listed::far`, `listed::alone`";
    assert_eq!(judged(good), [""; 0]);
    for wrong in ["marked::helper", "marked::gone", "listed::plain", "nowhere::plain", "marked::plai", "listed::fa"] {
        assert_eq!(judged(&format!("{good} `{wrong}`")), [wrong]);
    }
}

#[test]
fn the_judge_sees_what_runs_up_and_what_is_on_no_map() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let map = folder.path().join("README.md");
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::create_dir(folder.path().join("src/low")).unwrap();
    write("README.md", "```rooms\nlib\nhigh\nlow b a\n```\n");
    write("src/lib.rs", "mod high;\nmod low;\nuse crate::low::a;\n");
    write("src/high.rs", "use crate::low::{a::One, b::Two};\n");
    write("src/low.rs", "mod a;\nmod b;\n");
    write("src/low/b.rs", "use crate::low::a::One;\n");
    write(
        "src/low/a.rs",
        "// crate::high is a word in a comment\n#[cfg(test)]\nmod tests {\n    use crate::high;\n}\n",
    );
    let judged = || judge(&folder.path().join("src"), &map);
    assert_eq!(judged(), [""; 0]);
    write("src/low/a.rs", "use crate::low::b::Two;\n");
    assert_eq!(judged(), ["low/a uses low/b/Two, which stands above it"]);
    write("src/low/a.rs", "fn f() -> crate::high::X {}\n");
    assert_eq!(judged(), ["low/a uses high/X, which stands above it"]);
    write("src/low/a.rs", "use crate::{\n    high::X,\n};\n");
    assert_eq!(judged(), ["low/a uses high/X, which stands above it"]);
    write("src/low/a.rs", "use crate::{\n    low::{a::{One, Two}},\n    high::X,\n};\n");
    assert_eq!(judged(), ["low/a uses high/X, which stands above it"]);
    write("src/low/a.rs", "use super::b::Two;\n");
    assert_eq!(judged(), ["low/a uses low/b/Two, which stands above it"]);
    write("src/low/a.rs", "use super::Thing;\n");
    assert_eq!(judged(), ["low/a uses low/Thing, which stands above it"]);
    write("src/low/a.rs", "pub mod rows {\n    use super::Thing;\n}\n");
    assert_eq!(judged(), [""; 0]);
    write("src/low/a.rs", "");
    write("src/low/c.rs", "");
    assert_eq!(judged(), ["low/c is on no line of the map"]);
}
