//! SECURITY.md lists every exception from the lints that keep panics out, and every unsafe block: no more, no less.

#![allow(clippy::unwrap_used, reason = "a panic is a red test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every source file below a folder, by its path from the repository on.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    assert!(found.len() > 3, "{folder}");
    found
}

/// The first two columns of the table below a heading of SECURITY.md, sorted.
fn listed(heading: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let mut listed: Vec<_> = rows
        .map(|row| {
            let mut cells = row.split('|').skip(1);
            (cell(cells.next().unwrap()), cell(cells.next().unwrap()))
        })
        .collect();
    listed.sort();
    listed
}

/// The lints that Cargo.toml denies.
fn denied() -> Vec<String> {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[").find(|section| section.starts_with("workspace.lints.clippy]")).unwrap();
    section.lines().filter_map(|line| line.strip_suffix(" = \"deny\"")).map(str::to_owned).collect()
}

#[test]
fn exceptions_from_the_lints_are_those_listed() {
    let denied = denied();
    assert!(denied.len() > 8);
    let mut found = Vec::new();
    for (file, text) in sources("core/src").into_iter().chain(sources("backends/src")) {
        for attribute in ["allow(", "expect("].into_iter().flat_map(|word| text.match_indices(word)) {
            let (before, rest) = text.split_at(attribute.0);
            // Tests may panic: clippy.toml says so for most of them.
            if before.ends_with("#[") || before.ends_with("#![") || before.ends_with("    ") {
                let lints = rest.split_once("reason").map_or(rest, |(lints, _)| lints);
                let of_tests = before.trim_end().ends_with("#![cfg_attr(\n    test,");
                let allowed = denied.iter().filter(|lint| lints.contains(&format!("clippy::{lint}")));
                found.extend(allowed.filter(|_| !of_tests).map(|lint| (file.clone(), lint.clone())));
            }
        }
    }
    found.sort();
    assert_eq!(found, listed("Exceptions"));
}

#[test]
fn unsafe_blocks_are_those_listed_and_core_and_the_command_have_none() {
    let count = |text: &str| {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.map(|line| line.matches("unsafe {").count() + line.matches("unsafe fn").count()).sum::<usize>()
            + text.matches("unsafe impl").count()
    };
    let found: Vec<_> = sources("backends/src").into_iter().map(|(file, text)| (file, count(&text))).collect();
    let found: Vec<_> =
        found.into_iter().filter(|(_, count)| *count > 0).map(|(file, count)| (file, count.to_string())).collect();
    assert_eq!(found, listed("Unsafe code"));
    let forbids = |file: &str| fs::read_to_string(repository().join(file)).unwrap().contains("#![forbid(unsafe_code)]");
    assert!(forbids("core/src/lib.rs") && forbids("examples/iopt/main.rs") && forbids("examples/iopt/lib.rs"));
}
