//! What is linked into the module and into ivaltctl: compared with deny.toml and with what scripts/sbom prints.
//! deny.toml is cargo-deny's, which takes longer to compile than everything here; `cargo tree` knows as much.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

type Crate = (String, String);

/// The packages of the workspace.
const OWN: [&str; 5] = [
    "ivalt-core",
    "pam_ivalt",
    "ivaltctl",
    "pam_ivalt-tests",
    "pam_ivalt-test-macros",
];
/// Those that make a file which is installed.
const SHIPPED: [&str; 2] = ["pam_ivalt", "ivaltctl"];

fn root() -> &'static Path {
    support::checkout()
}

fn output(program: &str, words: &[&str]) -> String {
    let output = Command::new(program)
        .args(words)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn cargo(words: &[&str]) -> String {
    output(env!("CARGO"), words)
}

fn read_toml(name: &str) -> toml::Table {
    let text = std::fs::read_to_string(root().join(name)).unwrap();
    text.parse()
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every crate below these packages by these edges of cargo's graph, without our own, and its licence.
fn crates(edges: &str, packages: &[&str]) -> BTreeMap<Crate, String> {
    let words = [
        "tree", "--locked", "--prefix", "none", "--format", "{p}\t{l}", "--edges", edges,
    ];
    let packages: Vec<_> = packages
        .iter()
        .flat_map(|name| ["--package", name])
        .collect();
    let text = cargo(&[&words[..], &packages].concat());
    let named = text.lines().filter(|line| !line.is_empty()).map(|line| {
        let (name, licence) = line.trim_end_matches(" (*)").split_once('\t').unwrap();
        let mut words = name.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        let version = version.trim_start_matches('v');
        ((name.to_owned(), version.to_owned()), licence.to_owned())
    });
    let foreign = named.filter(|((name, _), _)| !OWN.contains(&name.as_str()));
    let crates: BTreeMap<_, _> = foreign.collect();
    assert!(!crates.is_empty(), "nothing below {packages:?}: {text}");
    crates
}

fn linked_into(packages: &[&str]) -> BTreeMap<Crate, String> {
    crates("normal,no-proc-macro", packages)
}

fn linked_into_the_module() -> BTreeMap<Crate, String> {
    linked_into(&["pam_ivalt"])
}

fn linked() -> BTreeMap<Crate, String> {
    linked_into(&SHIPPED)
}

/// What compiles, too: macros and build scripts.
fn linked_or_compiling() -> BTreeMap<Crate, String> {
    crates("normal,build", &SHIPPED)
}

/// Strings of a list, or the `crate` of its tables.
fn list(table: &toml::Table, keys: [&str; 2]) -> Vec<String> {
    let items = table[keys[0]][keys[1]].as_array().unwrap().iter();
    let name = |item: &toml::Value| {
        let name = item.as_str().or_else(|| item.get("crate")?.as_str());
        name.map(str::to_owned)
    };
    items.map(|item| name(item).unwrap()).collect()
}

// --- deny.toml -----------------------------------------------------------------------------------------------------

#[test]
fn nothing_banned_is_in_the_tree() {
    let banned = list(&read_toml("deny.toml"), ["bans", "deny"]);
    assert!(banned.contains(&"openssl".to_owned()) && banned.contains(&"tokio".to_owned()));
    let found: Vec<_> = linked_or_compiling()
        .into_keys()
        .filter(|(name, _)| banned.contains(name))
        .collect();
    assert_eq!(found, []);
}

#[test]
fn no_crate_comes_in_two_versions() {
    let skipped = list(&read_toml("deny.toml"), ["bans", "skip"]);
    let tree = linked_or_compiling();
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<_> = tree.keys().filter(|(name, _)| !seen.insert(name)).collect();
    for (name, version) in &twice {
        let excused = tree.keys().any(|(other, version)| {
            let major = version.split('.').next().unwrap();
            other == name && skipped.contains(&format!("{name}@{major}"))
        });
        assert!(excused, "{name} {version} and another one");
    }
    assert_eq!(
        twice.len(),
        skipped.len(),
        "an exception nobody needs: {skipped:?}"
    );
}

#[test]
fn every_licence_is_allowed() {
    let deny = read_toml("deny.toml");
    let allowed = list(&deny, ["licenses", "allow"]);
    let exceptions = deny["licenses"]["exceptions"].as_array().unwrap();
    for ((name, version), licence) in linked_or_compiling() {
        let exception = exceptions
            .iter()
            .find(|exception| exception["crate"].as_str() == Some(name.as_str()));
        let more = exception.map(|exception| exception["allow"].as_array().unwrap());
        let may = |one: &str| {
            let here = more.is_some_and(|more| more.iter().any(|item| item.as_str() == Some(one)));
            here || allowed.iter().any(|item| item == one)
        };
        assert!(fits(&licence, &may), "{name} {version}: {licence}");
    }
}

/// An SPDX expression; a slash is how OR was written before there were any.
fn fits(licence: &str, may: &dyn Fn(&str) -> bool) -> bool {
    let text = licence.replace('/', " OR ");
    if let Some((head, rest)) = text.strip_prefix('(').and_then(|text| text.split_once(')')) {
        return match rest.trim_start().split_once(' ') {
            None => fits(head, may),
            Some(("AND", rest)) => fits(head, may) && fits(rest, may),
            Some(("OR", rest)) => fits(head, may) || fits(rest, may),
            Some(_) => panic!("not understood: {licence}"),
        };
    }
    assert!(!text.contains('('), "not understood: {licence}");
    let all = |text: &str| text.split(" AND ").all(|one| may(one.trim()));
    text.split(" OR ").any(all)
}

#[test]
fn licences_are_read_as_spdx_means_them() {
    let may = |one: &str| ["MIT", "ISC"].contains(&one);
    for (licence, fit) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("ISC AND MIT", true),
        ("MIT WITH odd-exception", false),
        ("(MIT OR GPL-3.0) AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("(GPL-3.0) OR ISC", true),
    ] {
        assert_eq!(fits(licence, &may), fit, "{licence}");
    }
}

/// All of Cargo.lock from one registry, with checksums: no git, no folder, no private registry.
#[test]
fn every_source_is_the_one_registry() {
    let sources: BTreeSet<_> = packages()
        .into_iter()
        .map(|package| {
            assert!(package.contains_key("checksum"), "{package:?}");
            package["source"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    let source = sources.first().unwrap();
    assert!(
        source.starts_with("registry+https://github.com/rust-lang/"),
        "{source}"
    );
}

/// Of Cargo.lock, without our own.
fn packages() -> Vec<toml::Table> {
    let lock = read_toml("Cargo.lock");
    let packages = lock["package"].as_array().unwrap().iter();
    packages
        .map(|package| package.as_table().unwrap().clone())
        .filter(|package| !OWN.contains(&package["name"].as_str().unwrap()))
        .collect()
}

#[test]
fn the_module_has_nothing_of_the_tool() {
    let [core, own, tool] = ["core", "module", "ivaltctl"].map(|package| {
        let manifest = read_toml(&format!("src/{package}/Cargo.toml"));
        manifest["dependencies"].as_table().unwrap().clone()
    });
    let is_shared = |name: &&String| core.contains_key(*name) || own.contains_key(*name);
    let of_the_tool: Vec<_> = tool.keys().filter(|name| !is_shared(name)).collect();
    assert!(of_the_tool.len() > 8, "{of_the_tool:?}");
    let module = linked_into_the_module();
    for name in of_the_tool {
        assert!(!module.keys().any(|(other, _)| other == name), "{name}");
    }
    assert!(module.keys().any(|(name, _)| name == "rustls"));
}

// --- scripts/sbom --------------------------------------------------------------------------------------------------

fn sbom() -> Value {
    serde_json::from_str(&output("scripts/sbom", &[])).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Every component but std, by name and version.
fn components(sbom: &Value) -> BTreeMap<Crate, Value> {
    let components = sbom["components"].as_array().unwrap().iter();
    let named = components.map(|component| {
        let name = text(&component["name"]).to_owned();
        (
            (name, text(&component["version"]).to_owned()),
            component.clone(),
        )
    });
    named.filter(|((name, _), _)| name != "std").collect()
}

#[test]
fn the_sbom_lists_every_linked_crate_and_nothing_else() {
    let components = components(&sbom());
    let listed: BTreeSet<_> = components.keys().cloned().collect();
    assert_eq!(listed, linked().into_keys().collect());
    let (module, tool) = (linked_into_the_module(), linked_into(&["ivaltctl"]));
    for (id, component) in &components {
        let files = [("pam_ivalt.so", &module), ("ivaltctl", &tool)];
        let into = files.iter().filter(|(_, linked)| linked.contains_key(id));
        let into: Vec<_> = into.map(|(file, _)| *file).collect();
        let told = text(&component["properties"][0]["value"]);
        assert_eq!(told, into.join(" "), "{id:?}");
    }
    let development = [
        "tokio",
        "hyper",
        "rcgen",
        "proptest",
        "tempfile",
        "syn",
        "serde_derive",
        "cc",
    ];
    assert!(
        !listed
            .iter()
            .any(|(name, _)| development.contains(&name.as_str()))
    );
}

#[test]
fn the_sbom_has_the_versions_and_checksums_of_cargo_lock() {
    let mut lock = BTreeMap::new();
    for package in packages() {
        let field = |key: &str| package[key].as_str().unwrap().to_owned();
        lock.insert((field("name"), field("version")), field("checksum"));
    }
    for (id, component) in components(&sbom()) {
        assert_eq!(component["hashes"][0]["alg"], "SHA-256", "{id:?}");
        assert_eq!(
            text(&component["hashes"][0]["content"]),
            lock[&id],
            "{id:?}"
        );
    }
}

/// What CycloneDX 1.5 demands: unique references, one for every end of an edge, expressions for licences.
#[test]
fn the_sbom_is_well_formed() {
    let sbom = sbom();
    assert_eq!(
        (text(&sbom["bomFormat"]), text(&sbom["specVersion"])),
        ("CycloneDX", "1.5")
    );
    let own = &sbom["metadata"]["component"];
    assert_eq!(text(&own["version"]), env!("CARGO_PKG_VERSION"));
    let mut references = BTreeSet::from([text(&own["bom-ref"]).to_owned()]);
    for component in components(&sbom).values() {
        assert!(
            references.insert(text(&component["bom-ref"]).to_owned()),
            "{component}"
        );
        assert_eq!(component["purl"], component["bom-ref"]);
        assert!(
            !text(&component["purl"]).contains(['+', ' ']),
            "{component}"
        );
        let licence = text(&component["licenses"][0]["expression"]);
        assert!(!licence.is_empty() && !licence.contains('/'), "{component}");
    }
    let dependencies = sbom["dependencies"].as_array().unwrap();
    assert_eq!(dependencies.len(), references.len());
    let mut needed = BTreeSet::from([text(&own["bom-ref"]).to_owned()]);
    for dependency in dependencies {
        assert!(
            references.contains(text(&dependency["ref"])),
            "{dependency}"
        );
        let on = dependency["dependsOn"].as_array().unwrap();
        needed.extend(on.iter().map(|reference| text(reference).to_owned()));
    }
    assert_eq!(needed, references, "each is needed by another");
}

/// ring asks libc which instructions an arm64 processor has, and an x86-64 one itself.
#[test]
fn the_sbom_of_another_architecture_is_not_that_of_this_one() {
    let ring_needs_libc = |target: &str| {
        let text = output("scripts/sbom", &["--target", target]);
        let of_ring = text
            .lines()
            .find(|line| line.contains("{\"ref\": \"pkg:cargo/ring@"));
        of_ring.expect("ring").contains("\"pkg:cargo/libc@")
    };
    assert!(ring_needs_libc("aarch64-unknown-linux-gnu"));
    assert!(!ring_needs_libc("x86_64-unknown-linux-gnu"));
}

#[test]
fn the_sbom_is_the_same_twice_and_names_no_folder() {
    let first = output("scripts/sbom", &[]);
    assert_eq!(first, output("scripts/sbom", &[]));
    assert!(!first.contains(env!("CARGO_MANIFEST_DIR")));
}
