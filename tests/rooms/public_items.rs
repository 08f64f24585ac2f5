//! The public items of the source, and their documentation.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::Span;
use syn::{
    Attribute, Expr, ExprLit, ImplItem, Item, Lit, Meta, Token, TraitItem, Type, Visibility,
    braced,
    parse::{Parse, ParseStream, Parser},
    parse_quote,
    punctuated::Punctuated,
};

use super::source::Build;

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: usize,
}

/// A public type, trait or free function, or the constants of a module.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) is_constant: bool,
    pub(crate) docs: String,
    /// The docs of the public modules that the page is in, except for the crate's own.
    pub(crate) modules: Vec<String>,
    pub(crate) members: Vec<Member>,
}

/// A public method or constant of a type, or a method of a trait that has a default.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) kind: MemberKind,
    pub(crate) docs: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberKind {
    /// It is called on a value.
    Method,
    /// It is named with its type.
    Associated,
    /// It has a default, which an implementation may replace.
    Provided,
}

/// Collects the public items of the files that it reads.
///
/// A `pub` item is one that users of the crate reach: the lint `unreachable_pub` holds that.
#[derive(Default)]
pub(crate) struct PublicItems {
    pub(crate) pages: Vec<Page>,
    /// The members of a type that were found before the type, or in another file: the type's name and its member.
    members: Vec<(String, Member)>,
}

/// Where the reader is.
#[derive(Clone)]
struct Here {
    file: String,
    modules: Vec<String>,
}

/// The items of a `pin_project!`.
struct Items(Vec<Item>);

/// The head of a `named_enum!`, whose variants are no syntax of an enum.
struct NamedEnum {
    attributes: Vec<Attribute>,
    name: syn::Ident,
}

/// The constants and methods that `named_enum!` adds.
const MEMBERS_OF_NAMED_ENUM: [(&str, MemberKind); 2] = [
    ("ALL", MemberKind::Associated),
    ("as_str", MemberKind::Method),
];

// === impl PublicItems ===

impl PublicItems {
    /// Reads the crate's source.
    pub(crate) fn of_crate() -> Vec<Page> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
        let mut items = Self::default();
        items.read_file(&root, &[], true);
        items.finish()
    }

    /// Reads a text, as if it were a file of its own.
    pub(crate) fn of_text(text: &str) -> Vec<Page> {
        let parsed = syn::parse_file(text).unwrap();
        let mut items = Self::default();
        let here = Here {
            file: String::new(),
            modules: vec![docs(&parsed.attrs)],
        };
        items.read_items(&parsed.items, &here, None);
        items.finish()
    }

    /// Gives each type its members.
    fn finish(mut self) -> Vec<Page> {
        for (name, member) in self.members {
            // Two rooms may have a type of the same name. Members are then in the file of the type.
            let is_type = |page: &&mut Page| page.name == name;
            let mut same: Vec<_> = self.pages.iter_mut().filter(is_type).collect();
            if same.len() > 1 {
                same.retain(|page| page.place.file == member.place.file);
            }
            let [page] = &mut same[..] else {
                panic!(
                    "{:?}: `{name}` is the type of `{}`",
                    member.place, member.name
                );
            };
            page.members.push(member);
        }
        self.pages
    }

    fn read_file(&mut self, path: &Path, modules: &[String], is_public: bool) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(path).unwrap();
        let parsed = syn::parse_file(&text).unwrap();
        let mut modules = modules.to_vec();
        // The crate's page tells a story of its own. Private modules have no page.
        if is_public && !path.ends_with("lib.rs") {
            modules.push(docs(&parsed.attrs));
        }
        let here = Here {
            file: path.strip_prefix(root).unwrap().display().to_string(),
            modules,
        };
        self.read_items(&parsed.items, &here, Some(path));
    }

    fn read_items(&mut self, items: &[Item], here: &Here, path: Option<&Path>) {
        for item in items {
            if let Item::Mod(module) = item {
                if Build::UNIX.has(&module.attrs)
                    && module.content.is_none()
                    && let Some(path) = path
                {
                    let file = file_of(path, &module.ident.to_string());
                    self.read_file(&file, &here.modules, is_public(&module.vis));
                }
            } else {
                self.read_item(item, here);
            }
        }
    }

    fn read_item(&mut self, item: &Item, here: &Here) {
        match item {
            Item::Struct(item) if is_public(&item.vis) => {
                self.add(&item.ident, &item.attrs, here);
            }
            Item::Enum(item) if is_public(&item.vis) => self.add(&item.ident, &item.attrs, here),
            Item::Union(item) if is_public(&item.vis) => self.add(&item.ident, &item.attrs, here),
            Item::Type(item) if is_public(&item.vis) => self.add(&item.ident, &item.attrs, here),
            Item::Fn(item) if is_public(&item.vis) => {
                self.add(&item.sig.ident, &item.attrs, here);
            }
            Item::Const(item) if is_public(&item.vis) => {
                self.add(&item.ident, &item.attrs, here);
                if let Some(page) = self.pages.last_mut() {
                    page.is_constant = true;
                }
            }
            Item::Trait(item) if is_public(&item.vis) => {
                self.add(&item.ident, &item.attrs, here);
                for method in &item.items {
                    if let TraitItem::Fn(method) = method
                        && method.default.is_some()
                    {
                        let kind = MemberKind::Provided;
                        let name = &method.sig.ident;
                        self.add_member(&item.ident, name, kind, &method.attrs, here);
                    }
                }
            }
            Item::Impl(item) if item.trait_.is_none() && Build::UNIX.has(&item.attrs) => {
                if let Type::Path(path) = &*item.self_ty
                    && let Some(name) = path.path.segments.last()
                {
                    self.read_impl(&name.ident, &item.items, here);
                }
            }
            Item::Macro(item) if item.mac.path.is_ident("pin_project") => {
                let items = item.mac.parse_body::<Items>().unwrap().0;
                self.read_items(&items, here, None);
            }
            Item::Macro(item) if item.mac.path.is_ident("named_enum") => {
                let head = item.mac.parse_body::<NamedEnum>().unwrap();
                self.add(&head.name, &head.attributes, here);
                for (name, kind) in MEMBERS_OF_NAMED_ENUM {
                    let member = syn::Ident::new(name, head.name.span());
                    self.add_member(&head.name, &member, kind, &[], here);
                }
            }
            _ => {}
        }
    }

    fn read_impl(&mut self, of: &syn::Ident, items: &[ImplItem], here: &Here) {
        for item in items {
            match item {
                ImplItem::Fn(item) if is_public(&item.vis) => {
                    let kind = match item.sig.receiver() {
                        Some(_) => MemberKind::Method,
                        None => MemberKind::Associated,
                    };
                    self.add_member(of, &item.sig.ident, kind, &item.attrs, here);
                }
                ImplItem::Const(item) if is_public(&item.vis) => {
                    let kind = MemberKind::Associated;
                    self.add_member(of, &item.ident, kind, &item.attrs, here);
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, name: &syn::Ident, attributes: &[Attribute], here: &Here) {
        if Build::UNIX.has(attributes) {
            self.pages.push(Page {
                name: name.to_string(),
                place: here.place(name.span()),
                is_constant: false,
                docs: docs(attributes),
                modules: here.modules.clone(),
                members: Vec::new(),
            });
        }
    }

    fn add_member(
        &mut self,
        of: &syn::Ident,
        name: &syn::Ident,
        kind: MemberKind,
        attributes: &[Attribute],
        here: &Here,
    ) {
        if Build::UNIX.has(attributes) {
            let member = Member {
                name: name.to_string(),
                place: here.place(name.span()),
                kind,
                docs: docs(attributes),
            };
            self.members.push((of.to_string(), member));
        }
    }
}

// === impl Here ===

impl Here {
    fn place(&self, span: Span) -> Place {
        Place {
            file: self.file.clone(),
            line: span.start().line,
        }
    }
}

// === impl Items ===

impl Parse for Items {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut items = Vec::new();
        while !input.is_empty() {
            items.push(input.parse()?);
        }
        Ok(Self(items))
    }
}

// === impl NamedEnum ===

impl Parse for NamedEnum {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        input.parse::<Token![enum]>()?;
        let name = input.parse()?;
        let variants;
        braced!(variants in input);
        variants.parse::<proc_macro2::TokenStream>()?;
        Ok(Self { attributes, name })
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Returns the text of doc comments, as far as this build has it.
fn docs(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes {
        match &attribute.meta {
            Meta::List(list) if list.path.is_ident("cfg_attr") => {
                let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
                let mut metas = parser.parse2(list.tokens.clone()).unwrap().into_iter();
                let condition = metas.next();
                if Build::UNIX.has(&[parse_quote!(#[cfg(#condition)])]) {
                    metas.for_each(|meta| add_doc(&mut text, &meta));
                }
            }
            meta => add_doc(&mut text, meta),
        }
    }
    text
}

fn add_doc(text: &mut String, meta: &Meta) {
    if let Meta::NameValue(meta) = meta
        && meta.path.is_ident("doc")
        && let Expr::Lit(ExprLit {
            lit: Lit::Str(line),
            ..
        }) = &meta.value
    {
        *text += &line.value();
        text.push('\n');
    }
}

/// Returns the file of the module that `parent` declares.
fn file_of(parent: &Path, module: &str) -> PathBuf {
    let folder = match parent.file_stem().unwrap().to_str().unwrap() {
        "lib" | "mod" => parent.parent().unwrap().to_owned(),
        _ => parent.with_extension(""),
    };
    let file = folder.join(format!("{module}.rs"));
    if file.exists() {
        file
    } else {
        folder.join(module).join("mod.rs")
    }
}
