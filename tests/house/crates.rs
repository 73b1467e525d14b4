//! Crates as they are written: modules, the names that each defines or brings into scope, and the paths it speaks of.
//!
//! Left out: items under `#[cfg(test)]`, the files of such modules, and attributes. What is compiled for one system only is in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// Texts of sources by path, from the root of the workspace.
pub(crate) trait Sources {
    /// The text of that file, if there is one.
    fn text(&self, file: &Path) -> Option<String>;
}

/// One `use`, taken apart: a name and what it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    /// The name that comes into scope; none for `*`.
    pub(crate) name: Option<String>,
    /// What it stands for, as written.
    pub(crate) path: Vec<String>,
    /// `pub`, or `pub(…)`: a face that shows the name of another file.
    pub(crate) shown: bool,
}

/// A module and what is written in it.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// The file, from the root of the workspace.
    pub(crate) file: PathBuf,
    /// The module around it, but for a crate's root.
    pub(crate) parent: Option<usize>,
    /// The root of its crate.
    pub(crate) root: usize,
    /// Names of items that are written here.
    pub(crate) items: BTreeSet<String>,
    /// Names in the words of macros that make items: one of them may be that of an item.
    pub(crate) made: BTreeSet<String>,
    /// Modules within, by name: several where systems differ.
    pub(crate) modules: BTreeMap<String, Vec<usize>>,
    /// Names that come into scope.
    pub(crate) uses: Vec<Use>,
    /// Paths in code, single names among them.
    pub(crate) paths: BTreeSet<Vec<String>>,
}

/// All modules of some crates.
#[derive(Debug, Default)]
pub(crate) struct Crates {
    pub(crate) modules: Vec<Module>,
    /// Roots, by the name that others call the crate by.
    pub(crate) roots: BTreeMap<String, usize>,
}

impl Crates {
    /// Reads a crate from its root file on.
    pub(crate) fn read(&mut self, sources: &impl Sources, name: &str, root: &str) {
        let file = PathBuf::from(root);
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let text = sources.text(&file).unwrap_or_else(|| panic!("{root} cannot be read"));
        let index = self.modules.len();
        self.roots.insert(name.to_owned(), index);
        self.modules.push(Module { file, root: index, ..Module::default() });
        self.read_items(sources, index, &folder, parse(root, &text).items);
    }

    fn read_file(&mut self, sources: &impl Sources, index: usize, folder: &Path) {
        let file = self.modules[index].file.clone();
        let text = sources.text(&file).unwrap_or_else(|| panic!("{} cannot be read", file.display()));
        let parsed = parse(&file.display().to_string(), &text);
        if !for_tests(&parsed.attrs) {
            self.read_items(sources, index, folder, parsed.items);
        }
    }

    /// `folder` is where the files of the modules within lie.
    fn read_items(&mut self, sources: &impl Sources, index: usize, folder: &Path, items: Vec<Item>) {
        for item in &items {
            if let Item::Mod(within) = item
                && !for_tests(&within.attrs)
            {
                self.read_module(sources, index, folder, within);
            }
        }
        let mut reader = Reader { module: &mut self.modules[index], depth: 0 };
        for item in &items {
            reader.visit_item(item);
        }
    }

    fn read_module(&mut self, sources: &impl Sources, parent: usize, folder: &Path, within: &syn::ItemMod) {
        let name = within.ident.to_string();
        let index = self.modules.len();
        let around = &self.modules[parent];
        let mut module =
            Module { file: around.file.clone(), parent: Some(parent), root: around.root, ..Module::default() };
        let inside = folder.join(&name);
        if within.content.is_none() {
            let named = attribute_path(&within.attrs).map(|file| around.file.with_file_name(file));
            let beside = folder.join(format!("{name}.rs"));
            module.file = named.unwrap_or_else(|| match sources.text(&beside) {
                Some(_) => beside,
                None => inside.join("mod.rs"),
            });
        }
        self.modules.push(module);
        self.modules[parent].modules.entry(name).or_default().push(index);
        match &within.content {
            Some((_, items)) => self.read_items(sources, index, &inside, items.clone()),
            None => self.read_file(sources, index, &inside),
        }
    }
}

fn parse(name: &str, text: &str) -> syn::File {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whether an item is there for tests alone: `cfg(test)`, or `cfg(all(test, …))`.
fn for_tests(attributes: &[Attribute]) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")) {
        let read = attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident("test");
            if meta.path.is_ident("all") {
                meta.parse_nested_meta(|part| {
                    found |= part.path.is_ident("test");
                    skip(&part)
                })
            } else {
                skip(&meta)
            }
        });
        read.unwrap_or_else(|error| panic!("an attribute cfg cannot be read: {error}"));
    }
    found
}

/// Goes past what belongs to a word of an attribute.
fn skip(meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Lit>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.input.parse::<proc_macro2::Group>()?;
    }
    Ok(())
}

fn attribute_path(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("path")).find_map(|attribute| {
        match &attribute.meta.require_name_value().ok()?.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        }
    })
}

/// Fills a module with the names and paths of its items.
struct Reader<'a> {
    module: &'a mut Module,
    /// How many items are around: 0 is the module's own scope.
    depth: usize,
}

impl Reader<'_> {
    fn note_use(&mut self, tree: &UseTree, mut path: Vec<String>, shown: bool) {
        match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.note_use(&part.tree, path, shown);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.note_use(tree, path.clone(), shown));
            }
            UseTree::Glob(_) => self.module.uses.push(Use { name: None, path, shown }),
            UseTree::Name(end) => {
                let name = end.ident.to_string();
                if name != "self" {
                    path.push(name);
                }
                self.module.uses.push(Use { name: path.last().cloned(), path, shown });
            }
            UseTree::Rename(end) => {
                if end.ident != "self" {
                    path.push(end.ident.to_string());
                }
                self.module.uses.push(Use { name: Some(end.rename.to_string()), path, shown });
            }
        }
    }

    /// Names and paths in the words of a macro, which are not parsed.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.note_path(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.note_path(std::mem::take(&mut path));
                    self.note_tokens(group.stream());
                    colons = 0;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.note_path(std::mem::take(&mut path));
                    colons = 0;
                }
            }
        }
        self.note_path(path);
    }

    fn note_path(&mut self, path: Vec<String>) {
        if !path.is_empty() {
            self.module.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if for_tests(attributes(item)) {
            return;
        }
        if self.depth == 0
            && let Some(name) = name(item)
        {
            self.module.items.insert(name);
        }
        match item {
            Item::Use(within) => {
                let shown = self.depth == 0 && !matches!(within.vis, syn::Visibility::Inherited);
                let path = within.leading_colon.iter().map(|_| "::".to_owned()).collect();
                self.note_use(&within.tree, path, shown);
            }
            Item::Macro(call) if self.depth == 0 => {
                names(call.mac.tokens.clone(), &mut self.module.made);
                self.visit_macro(&call.mac);
            }
            // Read by itself.
            Item::Mod(_) if self.depth == 0 => {}
            item => {
                self.depth += 1;
                visit::visit_item(self, item);
                self.depth -= 1;
            }
        }
    }

    fn visit_item_foreign_mod(&mut self, block: &'ast syn::ItemForeignMod) {
        for item in &block.items {
            if let syn::ForeignItem::Fn(function) = item {
                self.module.items.insert(function.sig.ident.to_string());
            }
        }
        visit::visit_item_foreign_mod(self, block);
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes: &[Attribute] = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            _ => &[],
        };
        if !for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let colons = path.leading_colon.iter().map(|_| "::".to_owned());
        self.note_path(colons.chain(path.segments.iter().map(|segment| segment.ident.to_string())).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.note_tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

/// All names among the words of a macro.
fn names(tokens: TokenStream, into: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                into.insert(ident.to_string());
            }
            TokenTree::Group(group) => names(group.stream(), into),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The name that an item has in its module. Implementations have none, and a `use` and a module are kept apart.
fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
