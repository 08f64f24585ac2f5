//! What the crate's source imports, and under which `cfg`.

use std::{collections::BTreeSet, fs, path::Path};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Attribute, Item, LitStr, Token, UseTree,
    meta::ParseNestedMeta,
    parse::{ParseStream, Parser},
    visit::{self, Visit},
};

/// A module of the crate, as the names on the way to it.
pub(crate) type Module = Vec<String>;

/// A path that one module of the crate names in another one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) from: Module,
    pub(crate) to: Module,
}

/// What a build is configured for. Every feature is on but those that are off.
#[derive(Clone, Copy)]
pub(crate) struct Build {
    pub(crate) unix: bool,
    pub(crate) features_off: &'static [&'static str],
}

/// Collects the paths into the crate that a file names.
struct Imports {
    build: Build,
    /// The module that is visited now.
    here: Module,
    found: BTreeSet<Import>,
    /// The modules with a file of their own that this build leaves out.
    absent: BTreeSet<Module>,
    compile_errors: usize,
}

/// What a build finds in the source.
pub(crate) struct Found {
    pub(crate) imports: BTreeSet<Import>,
    pub(crate) compile_errors: usize,
}

// === impl Build ===

impl Build {
    /// The build that this test runs in, with every feature.
    pub(crate) const UNIX: Self = Self {
        unix: true,
        features_off: &[],
    };

    /// Reads the whole source, as this build sees it.
    ///
    /// `lib.rs` and each `mod.rs` hold re-exports, and are free to name what is below them: of those only the
    /// modules that they leave out count, and their compile errors.
    pub(crate) fn read_source(self) -> Found {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut imports = BTreeSet::new();
        let mut absent = BTreeSet::new();
        let mut compile_errors = 0;
        let mut folders = vec![source.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let root = path.ends_with("mod.rs") || path.ends_with("lib.rs");
                    let mut module = module(path.strip_prefix(&source).unwrap());
                    if root {
                        module.pop();
                    }
                    let found = self.read_file(module, &fs::read_to_string(&path).unwrap());
                    if !root {
                        imports.extend(found.found);
                    }
                    absent.extend(found.absent);
                    compile_errors += found.compile_errors;
                }
            }
        }
        let is_absent = |module: &Module| absent.iter().any(|absent| module.starts_with(absent));
        imports.retain(|import| !is_absent(&import.from));
        Found {
            imports,
            compile_errors,
        }
    }

    /// Reads one file.
    pub(crate) fn read_text(self, module: &str, source: &str) -> BTreeSet<Import> {
        let module = module.split("::").map(str::to_owned).collect();
        self.read_file(module, source).found
    }

    fn read_file(self, module: Module, source: &str) -> Imports {
        let file = syn::parse_file(source).expect("the crate's own source parses");
        let mut imports = Imports {
            build: self,
            here: module,
            found: BTreeSet::new(),
            absent: BTreeSet::new(),
            compile_errors: 0,
        };
        imports.visit_file(&file);
        imports
    }

    /// Returns whether this build has what the attributes are on.
    pub(crate) fn has(self, attributes: &[Attribute]) -> bool {
        let mut has = true;
        for attribute in attributes {
            if attribute.path().is_ident("cfg") {
                let nested = attribute.parse_nested_meta(|meta| {
                    has &= self.is_set(&meta)?;
                    Ok(())
                });
                nested.expect("the crate's own `cfg` parses");
            }
        }
        has
    }

    fn is_set(self, meta: &ParseNestedMeta<'_>) -> syn::Result<bool> {
        let mut all = true;
        let mut any = false;
        let mut each = |meta: ParseNestedMeta<'_>| {
            let set = self.is_set(&meta)?;
            all &= set;
            any |= set;
            Ok(())
        };
        if meta.path.is_ident("all") {
            meta.parse_nested_meta(each)?;
            Ok(all)
        } else if meta.path.is_ident("any") {
            meta.parse_nested_meta(each)?;
            Ok(any)
        } else if meta.path.is_ident("not") {
            meta.parse_nested_meta(&mut each)?;
            Ok(!any)
        } else if meta.input.peek(Token![=]) {
            let value = meta.value()?.parse::<LitStr>()?.value();
            Ok(if meta.path.is_ident("feature") {
                !self.features_off.contains(&value.as_str())
            } else {
                // `target_os`: Linux, or another system.
                self.unix && value == "linux"
            })
        } else {
            // Tests, fuzzing and docs may use what they like.
            Ok(meta.path.is_ident("unix") && self.unix)
        }
    }
}

// === impl Imports ===

impl Imports {
    /// Adds a path, if it is one into the crate.
    fn add(&mut self, path: &[String]) {
        let mut to = self.here.clone();
        let mut names = path.iter().map(String::as_str).peekable();
        match names.peek() {
            Some(&"crate") => {
                to.clear();
                names.next();
            }
            Some(&"self") => {
                names.next();
            }
            Some(&"super") => {
                while names.next_if_eq(&"super").is_some() {
                    to.pop();
                }
            }
            _ => return,
        }
        to.extend(names.map(str::to_owned));
        let from = self.here.clone();
        self.found.insert(Import { from, to });
    }

    fn add_tree(&mut self, tree: &UseTree, path: &[String]) {
        let joined = |name: &syn::Ident| [path, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(step) => self.add_tree(&step.tree, &joined(&step.ident)),
            UseTree::Name(name) => self.add(&joined(&name.ident)),
            UseTree::Rename(name) => self.add(&joined(&name.ident)),
            UseTree::Glob(_) => self.add(path),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(tree, path);
                }
            }
        }
    }

    fn has(&self, node: &impl ToTokens) -> bool {
        let parser = |input: ParseStream<'_>| {
            let attributes = input.call(Attribute::parse_outer)?;
            input.parse::<TokenStream>()?;
            Ok(attributes)
        };
        let attributes = parser.parse2(node.to_token_stream());
        self.build
            .has(&attributes.expect("a node begins with its attributes"))
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&item.tree, &[]);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(module) => {
                self.here.push(module.ident.to_string());
                if self.has(item) {
                    visit::visit_item(self, item);
                } else {
                    self.absent.insert(self.here.clone());
                }
                self.here.pop();
            }
            _ if self.has(item) => visit::visit_item(self, item),
            _ => {}
        }
    }

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        if self.has(statement) {
            visit::visit_stmt(self, statement);
        }
    }

    /// `pub(in crate::room)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|step| step.ident.to_string());
        self.add(&names.collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    /// Reads the tokens of a macro as far as they look like a path.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if item.path.is_ident("compile_error") {
            self.compile_errors += 1;
        }
        let text = code(item.tokens.clone());
        for (at, _) in text.match_indices("crate::") {
            let path = text[at..].split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            let names = path.take(1).flat_map(|path| path.split("::"));
            let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
            self.add(&names.collect::<Vec<_>>());
        }
        visit::visit_macro(self, item);
    }
}

/// Returns tokens without spaces and literals: docs are literals as well, and link to what they like.
fn code(tokens: TokenStream) -> String {
    let tokens = tokens.into_iter().map(|token| match token {
        TokenTree::Group(group) => format!("({})", code(group.stream())),
        TokenTree::Literal(_) => "_".to_owned(),
        token => token.to_string(),
    });
    tokens.collect()
}

fn module(file: &Path) -> Module {
    let names = file.with_extension("");
    let names = names.iter().map(|name| name.to_str().unwrap().to_owned());
    names.collect()
}
