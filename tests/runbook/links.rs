//! The links of the documents lead to headings that exist.

use std::{collections::BTreeSet, fs, path::Path};

/// The documents with links to headings.
fn documents() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = ["", "docs"].map(|directory| {
        let entries = fs::read_dir(root.join(directory)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let documents = paths.filter(|path| path.extension().is_some_and(|it| it == "md"));
        documents
            .map(|path| path.strip_prefix(root).unwrap().display().to_string())
            .collect::<Vec<_>>()
    });
    names.concat()
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Returns the lines of a page outside of its blocks of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Returns the anchors of a page, as GitHub makes them of headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || "-_".contains(c) => Some(c),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

/// Returns the files and anchors of the links to headings in a page. The file is empty for the page itself.
fn links(page: &str) -> Vec<(&str, &str)> {
    let prose = prose(page).collect::<Vec<_>>();
    let inline = prose.iter().flat_map(|line| {
        let parts = line.split("](").skip(1);
        parts.filter_map(|part| part.split(')').next())
    });
    let defined = prose.iter().filter_map(|line| {
        let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
        Some(target.trim())
    });
    let targets = inline.chain(defined).filter(|it| !it.contains("://"));
    targets
        .filter_map(|target| target.split_once('#'))
        .collect()
}

#[test]
fn every_link_to_a_heading_of_a_document_leads_there() {
    let mut wrong = Vec::new();
    for name in documents() {
        let page = read(&name);
        for (file, anchor) in links(&page) {
            let directory = Path::new(&name).parent().unwrap();
            let target = match file {
                "" => name.clone(),
                file => match file.strip_prefix("../") {
                    Some(file) => file.to_owned(),
                    None => directory.join(file).display().to_string(),
                },
            };
            if !anchors(&read(&target)).contains(anchor) {
                wrong.push(format!("{name}: {file}#{anchor}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_link_in_prose_is_found_and_one_in_code_is_not() {
    let page = "# The `page` of it: a\n[x](#here) and [y](../B.md#there)\n```sh\n# no heading\n[z](#not)\n```\n[r]: \
                C.md#ref\n[s](https://host/#far)\n";
    assert_eq!(
        links(page),
        [("", "here"), ("../B.md", "there"), ("C.md", "ref")]
    );
    assert_eq!(anchors(page), ["the-page-of-it-a".to_owned()].into());
}
