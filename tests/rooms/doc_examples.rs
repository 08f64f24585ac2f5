//! Every public item has an example that runs.
//!
//! - A type, a trait and a free function have one in their own docs.
//! - A method, a method of a trait with a default, and a constant of a type are used by one on the page of their type:
//!   in its docs, in those of its methods, or in those of its module.
//! - The constants of a module have one in its docs.

use std::fmt::Write as _;

use proc_macro2::{TokenStream, TokenTree};

use super::public_items::{Member, MemberKind, Page, Place, PublicItems};

/// The words after the fence of an example that runs.
const RUN_BY: &[&str] = &["rust", "should_panic"];

/// What is wrong with an item.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    place: Place,
    item: String,
    fault: &'static str,
}

/// An example that runs, as its tokens.
struct Example(Vec<String>);

// === impl Example ===

impl Example {
    /// Returns the examples of a doc comment.
    fn all(docs: &str) -> Vec<Self> {
        let mut examples = Vec::new();
        let mut lines = docs.lines();
        while let Some(line) = lines.next() {
            let Some(info) = line.trim().strip_prefix("```") else {
                continue;
            };
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            let code = block.fold(String::new(), |code, line| code + shown(line.trim()) + "\n");
            let mut words = info.split([',', ' ']).filter(|word| !word.is_empty());
            if words.all(|word| RUN_BY.contains(&word)) {
                examples.push(Self(tokens(code.parse().expect("an example parses"))));
            }
        }
        examples
    }

    /// Returns whether the example uses a member of a type.
    fn uses(&self, of: &str, member: &Member) -> bool {
        let mut before = ["", "", ""];
        for token in &self.0 {
            if *token == member.name {
                let is_called = before[2] == ".";
                let is_named = before == [of, ":", ":"];
                let is_replaced = before[2] == "fn";
                let is_used = match member.kind {
                    MemberKind::Method => is_called || is_named,
                    MemberKind::Associated => is_named,
                    MemberKind::Provided => is_called || is_named || is_replaced,
                };
                if is_used {
                    return true;
                }
            }
            before.rotate_left(1);
            before[2] = token;
        }
        false
    }
}

/// Returns a line without the `#` by which rustdoc hides it.
fn shown(line: &str) -> &str {
    match line.strip_prefix('#') {
        Some("") => "",
        Some(hidden) => hidden.strip_prefix(' ').unwrap_or(line),
        None => line,
    }
}

/// Returns the tokens of the code, also those in brackets.
fn tokens(code: TokenStream) -> Vec<String> {
    let mut tokens = Vec::new();
    for token in code {
        match token {
            TokenTree::Group(group) => {
                // With a bracket, so that what is in it does not follow what is before it.
                tokens.push("(".to_owned());
                tokens.extend(self::tokens(group.stream()));
                tokens.push(")".to_owned());
            }
            token => tokens.push(token.to_string()),
        }
    }
    tokens
}

/// Returns what is wrong with the pages, in the order of their places.
fn faults(pages: &[Page]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |place: &Place, item: String, fault| {
        let place = place.clone();
        faults.push(Fault { place, item, fault });
    };
    for page in pages {
        let of_modules = page.modules.iter().flat_map(|docs| Example::all(docs));
        let mut examples: Vec<_> = of_modules.collect();
        if page.is_constant {
            if examples.is_empty() {
                let fault = "its module has no example that runs";
                add(&page.place, page.name.clone(), fault);
            }
            continue;
        }
        let own = Example::all(&page.docs);
        if own.is_empty() {
            let fault = "it has no example that runs";
            add(&page.place, page.name.clone(), fault);
        }
        examples.extend(own);
        let of_members = page.members.iter().map(|member| &member.docs);
        examples.extend(of_members.flat_map(|docs| Example::all(docs)));
        for member in &page.members {
            let is_used = |example: &Example| example.uses(&page.name, member);
            if !examples.iter().any(is_used) {
                let item = format!("{}::{}", page.name, member.name);
                let fault = "no example on the page of its type uses it";
                add(&member.place, item, fault);
            }
        }
    }
    faults.sort();
    faults
}

/// Returns the items of a text that have a fault, with their lines.
fn faulty(text: &str) -> Vec<(usize, String)> {
    let pages = PublicItems::of_text(text);
    let faults = faults(&pages).into_iter();
    faults.map(|it| (it.place.line, it.item)).collect()
}

#[test]
fn every_public_item_has_an_example_that_runs() {
    let faults = faults(&PublicItems::of_crate());
    let list = faults.iter().fold(String::new(), |mut list, fault| {
        let Place { file, line } = &fault.place;
        let _ = writeln!(list, "{file}:{line}: `{}`: {}", fault.item, fault.fault);
        list
    });
    assert!(faults.is_empty(), "\n{list}");
}

#[test]
fn an_item_without_an_example_that_runs_is_a_fault_at_its_line() {
    let text = "
        /// It has none.
        pub struct Bare;
        /// ```no_run
        /// Idle::new();
        /// ```
        pub enum Idle {}
        /// ```text
        /// a picture
        /// ```
        pub trait Pictured {}
        /// ```ignore
        /// f();
        /// ```
        pub fn ignored() {}
        pub(crate) struct Hidden;
        /// ```
        /// assert!(f());
        /// ```
        pub fn shown() {}
        /// ```should_panic
        /// g();
        /// ```
        pub type Panics = ();
        pin_project! { pub struct Future<F> { f: F } }
        named_enum! { pub enum Name { A = \"a\", } }
    ";
    let expected = [
        (3, "Bare"),
        (7, "Idle"),
        (11, "Pictured"),
        (15, "ignored"),
        (25, "Future"),
        (26, "Name"),
        (26, "Name::ALL"),
        (26, "Name::as_str"),
    ];
    assert_eq!(
        faulty(text),
        expected.map(|(line, it)| (line, it.to_owned()))
    );
}

#[test]
fn a_member_that_no_example_of_its_page_uses_is_a_fault_at_its_line() {
    let text = "
        //! ```
        //! # use room::Shop;
        //! let shop = Shop::open();
        //! ```
        /// ```
        /// shop.buy(Shop::LIMIT, Other::close());
        /// ```
        pub struct Shop;
        impl Shop {
            pub const LIMIT: u32 = 3;
            pub const UNUSED: u32 = 4;
            pub fn open() -> Self { Self }
            pub fn close() {}
            pub fn buy(&self) {}
            pub fn sell(&self) {}
            /// ```
            /// # shop.count();
            /// ```
            pub fn count(&self) {}
            fn hidden(&self) {}
        }
        impl Clone for Shop { fn clone(&self) -> Self { Self } }
        /// ```
        /// impl Till for Shop { fn replaced() {} }
        /// ```
        pub trait Till {
            fn required();
            fn replaced() {}
            fn unused() {}
        }
    ";
    let expected = [
        (12, "Shop::UNUSED"),
        (14, "Shop::close"),
        (16, "Shop::sell"),
        (30, "Till::unused"),
    ];
    assert_eq!(
        faulty(text),
        expected.map(|(line, it)| (line, it.to_owned()))
    );
}

#[test]
fn the_constants_of_a_module_need_an_example_in_its_docs() {
    let constant = "pub const KEY: &str = \"key\";";
    assert_eq!(faulty(constant), [(1, "KEY".to_owned())]);
    assert_eq!(
        faulty(&format!("//! ```\n//! f();\n//! ```\n{constant}")),
        []
    );
}

#[test]
fn the_reader_finds_items_in_folders_and_macros_and_members_in_other_files() {
    let pages = PublicItems::of_crate();
    for (item, member) in [
        ("CodexAppServerBuilder", "approver"),
        ("ErrorClass", "ALL"),
        ("TurnRequest", "with_attachment"),
        ("Sink", "sample"),
    ] {
        let mut members = pages.iter().filter(|page| page.name == item);
        let is_there = members.any(|page| page.members.iter().any(|it| it.name == member));
        assert!(is_there, "{item}::{member}");
    }
    let futures = pages.iter().filter(|page| page.name == "ResponseFuture");
    assert_eq!(futures.count(), 7);
}
