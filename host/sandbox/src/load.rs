//! From the bytes of a component to something that can be instantiated: checked, compiled or taken from the cache, linked.
//!
//! Never here: running guest code (`describe.rs`, `run.rs`). Called by `sandbox.rs` on a thread of its own, because
//! compiling takes milliseconds to seconds.

use kennel_protocol::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::bindings::PluginPre;
use crate::cache::Cache;
use crate::engine::Profile;
use crate::guest::Guest;
use crate::limits::{Limits, bytes_text};

/// The newest version of `kennel:agent` that this host offers. A test compares it with the WIT files.
const OFFERED: &str = "0.1.0";

/// The namespace and package of the contract.
const PACKAGE: &str = "kennel:agent";

/// The exports that make a component an agent.
const EXPORTS: [&str; 2] = ["kennel:agent/agent", "kennel:agent/card"];

/// Why a component was not loaded. The text names the cause and the cure; it is for its author or operator.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are something else.
    #[error("{0}")]
    NotAComponent(String),
    /// It is too large.
    #[error("The component has {}, and at most {} are allowed; strip its debug information or raise the limit.",
        bytes_text(*.bytes), bytes_text(*.bytes_max))]
    TooLarge {
        /// Bytes of the component.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// It was built for a later contract.
    #[error(
        "The component needs {PACKAGE} {needed}, this host has {OFFERED}; update Kennel, or build the agent with an \
        older SDK."
    )]
    TooNew {
        /// The version it imports.
        needed: String,
    },
    /// Its imports or exports are not those of the world `plugin`.
    #[error("{0}")]
    Unfit(String),
    /// `describe` did not return.
    #[error("The agent could not describe itself. {reason}")]
    Describe {
        /// One sentence.
        reason: String,
        /// Panic text and backtrace, written by the guest; may be empty.
        operator: String,
    },
    /// The description breaks a rule of the contract.
    #[error("The agent's card is not valid: {field}: {reason}.")]
    Card {
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The host could not do it; nothing is wrong with the component as far as we know.
    #[error("The host could not load the component: {0}.")]
    Host(String),
}

/// A component that is ready to be instantiated.
pub(crate) struct Loaded {
    pub(crate) digest: Digest,
    pub(crate) plugin: PluginPre<Guest>,
}

/// Loads a component into the first profile that can run it. Blocks for as long as compiling takes.
pub(crate) fn load(profiles: &[Profile], cache: &Cache, bytes: &[u8], limits: &Limits) -> Result<Loaded, LoadError> {
    check_bytes(bytes, limits)?;
    let digest = Digest::from_bytes(Sha256::digest(bytes).into());
    let cached = profiles.iter().find_map(|profile| Some((profile, cache.load(profile, &digest)?)));
    let (profile, component) = match cached {
        Some(found) => found,
        None => compile(profiles, cache, bytes, &digest)?,
    };
    let plugin = link(profile, &component)?;
    Ok(Loaded { digest, plugin })
}

fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    let bytes_max = limits.component_bytes_max;
    if bytes.len() > bytes_max {
        return Err(LoadError::TooLarge { bytes: bytes.len(), bytes_max });
    }
    // Magic number, then the version of the binary format and what it encodes: modules 1 and 0, components 13 and 1.
    match bytes.first_chunk::<8>() {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(LoadError::NotAComponent(
            "This is a core module, not a component; build it with `--target wasm32-wasip2`.".to_owned(),
        )),
        _ => Err(LoadError::NotAComponent(
            "This is not a WebAssembly component; give the `.wasm` file that the build made.".to_owned(),
        )),
    }
}

/// Compiles for the first profile that accepts the component. Features are checked before any code is made, so a profile
/// that does not fit costs a parse.
fn compile<'a>(
    profiles: &'a [Profile],
    cache: &Cache,
    bytes: &[u8],
    digest: &Digest,
) -> Result<(&'a Profile, Component), LoadError> {
    let mut first_error = None;
    for profile in profiles {
        match Component::from_binary(&profile.engine, bytes) {
            Ok(component) => {
                if let Err(error) = cache.store(profile, digest, &component) {
                    tracing::warn!(%digest, %error, "cannot keep a compiled component, the next start compiles again");
                }
                return Ok((profile, component));
            }
            // The plain profile comes first, and what it says is about the component and not about concurrency.
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let reason = first_error.map_or_else(String::new, |error| format!("{error:#}"));
    Err(LoadError::NotAComponent(format!("The component is not valid: {reason}.")))
}

fn link(profile: &Profile, component: &Component) -> Result<PluginPre<Guest>, LoadError> {
    let pre = profile.linker.instantiate_pre(component).map_err(|error| explain_import(profile, component, &error))?;
    PluginPre::new(pre).map_err(|error| explain_export(profile, component, &error))
}

/// The linker knows only names and types; what an author must do depends on whose name it is.
fn explain_import(profile: &Profile, component: &Component, error: &wasmtime::Error) -> LoadError {
    let shape = component.component_type();
    let newest = shape.imports(&profile.engine).filter_map(|(name, _)| our_version(name)).max();
    match newest {
        Some(version) if Some(version) > parse_version(OFFERED) => {
            let (major, minor, patch) = version;
            LoadError::TooNew { needed: format!("{major}.{minor}.{patch}") }
        }
        _ => LoadError::Unfit(format!("The component's imports do not fit this host: {error:#}.")),
    }
}

fn explain_export(profile: &Profile, component: &Component, error: &wasmtime::Error) -> LoadError {
    let shape = component.component_type();
    let exports: Vec<&str> = shape.exports(&profile.engine).map(|(name, _)| name).collect();
    let missing = EXPORTS.iter().find(|export| !exports.iter().any(|name| name.starts_with(*export)));
    match missing {
        Some(export) => LoadError::Unfit(format!(
            "The component does not export `{export}@{OFFERED}`, so it is not an agent; build it with a Kennel SDK, or \
             for the world `{PACKAGE}/plugin`."
        )),
        None => LoadError::Unfit(format!("The component's exports do not fit {PACKAGE} {OFFERED}: {error:#}.")),
    }
}

/// The version in a name such as `kennel:agent/task@0.1.0`, if the name is of our package.
fn our_version(name: &str) -> Option<(u64, u64, u64)> {
    let (interface, version) = name.split_once('@')?;
    let (package, _) = interface.split_once('/')?;
    if package == PACKAGE { parse_version(version) } else { None }
}

fn parse_version(text: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::{LoadError, OFFERED, check_bytes, our_version};
    use crate::limits::Limits;

    #[test]
    fn the_offered_version_is_that_of_the_wit_files() {
        let world = include_str!("../../../wit/world.wit");
        assert!(world.contains(&format!("package kennel:agent@{OFFERED};")));
    }

    #[test]
    fn only_our_package_has_our_version() {
        assert_eq!(our_version("kennel:agent/task@0.1.7"), Some((0, 1, 7)));
        assert_eq!(our_version("wasi:cli/exit@0.2.6"), None);
        assert_eq!(our_version("kennel:agent-x/task@0.1.7"), None);
        assert_eq!(our_version("kennel:agent/task"), None);
    }

    #[test]
    fn other_files_are_told_apart() {
        let limits = Limits { component_bytes_max: 20, ..Limits::default() };
        let check = |bytes: &[u8]| check_bytes(bytes, &limits).unwrap_err().to_string();
        assert!(check(b"\0asm\x01\0\0\0").contains("--target wasm32-wasip2"));
        assert!(check(b"PK\x03\x04 a zip").contains("not a WebAssembly component"));
        assert!(check(b"").contains("not a WebAssembly component"));
        assert!(matches!(check_bytes(&[0; 21], &limits), Err(LoadError::TooLarge { bytes: 21, bytes_max: 20 })));
        assert!(check_bytes(b"\0asm\x0d\0\x01\0", &limits).is_ok());
    }
}
