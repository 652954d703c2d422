//! `kennel new`: a crate that is an agent, with everything it needs beside it.
//!
//! The SDK and the WIT files come out of this binary, so that the crate builds on a machine that has never seen Kennel's
//! repository, and always against the contract of the Kennel that made it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::embedded::{self, EmbeddedError, File};

const MANIFEST: &str = include_str!("template/Cargo.toml.in");
const AGENT: &str = include_str!("template/lib.rs.in");
const README: &str = include_str!("template/README.md.in");
const IGNORED: &str = include_str!("template/gitignore.in");

/// Where the SDK lies in the new crate.
const SDK_FOLDER: &str = ".kennel";

/// Longer ones make long urls.
const NAME_CHARS_MAX: usize = 64;

/// What `kennel new` was told.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// The name of the agent, of its crate and of its folder: lower-case letters, digits, - and _.
    name: String,
    /// The folder in which the crate's folder is made; otherwise the current one.
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
}

/// No crate was made.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name cannot be that of an agent.
    #[error("{name:?} cannot be the name of an agent: {reason}")]
    Name {
        /// As it was given.
        name: String,
        /// Which rule it breaks.
        reason: String,
    },
    /// There is something already.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// The file system refused.
    #[error(transparent)]
    Write(#[from] EmbeddedError),
}

/// Makes the crate and says with which code to exit.
pub fn run(args: &NewArgs) -> ExitCode {
    let parent = args.dir.as_deref().unwrap_or(Path::new(""));
    let told = match create(&args.name, parent) {
        Ok(folder) => tell(&args.name, &folder, &mut io::stdout()).map(|()| ExitCode::SUCCESS),
        Err(error) => explain(&error, &mut io::stderr()).map(|()| match error {
            NewError::Name { .. } => ExitCode::from(2),
            NewError::Exists(_) | NewError::Write(_) => ExitCode::FAILURE,
        }),
    };
    // The crate is there, whether somebody reads about it or not.
    told.unwrap_or(ExitCode::SUCCESS)
}

/// Makes the crate of an agent in a new folder of its name, and says where that is.
///
/// # Errors
/// See [`NewError`]. What was begun is removed again.
pub fn create(name: &str, parent: &Path) -> Result<PathBuf, NewError> {
    check(name).map_err(|reason| NewError::Name { name: name.to_owned(), reason })?;
    let folder = parent.join(name);
    let files = files(name)?;
    let refused = |source| EmbeddedError::Write { path: folder.clone(), source };
    std::fs::create_dir_all(parent).map_err(refused)?;
    match std::fs::create_dir(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(NewError::Exists(folder)),
        Err(error) => return Err(refused(error).into()),
    }
    let written = files.iter().try_for_each(|file| embedded::write(&folder.join(&file.path), &file.content));
    if let Err(error) = written {
        // The folder is ours: it was not there before. The first error is the one to tell.
        drop(std::fs::remove_dir_all(&folder));
        return Err(error.into());
    }
    Ok(folder)
}

/// All files of the crate.
fn files(name: &str) -> Result<Vec<File>, EmbeddedError> {
    let values = [
        ("{{name}}", name.to_owned()),
        ("{{function}}", function(name)),
        ("{{edition}}", embedded::workspace_value("edition")?),
        ("{{profile}}", embedded::plugin_profile()?.trim_end().to_owned()),
    ];
    let fill = |path: &str, template: &str| {
        let text = values.iter().fold(template.to_owned(), |text, (mark, value)| text.replace(mark, value));
        File { path: path.to_owned(), content: text.into_bytes().into() }
    };
    let mut files = vec![
        fill("Cargo.toml", MANIFEST),
        fill("src/lib.rs", AGENT),
        fill("README.md", README),
        fill(".gitignore", IGNORED),
        embedded::lock_file(),
    ];
    let sdk = embedded::sdk_files()?.into_iter();
    files.extend(sdk.map(|file| File { path: format!("{SDK_FOLDER}/{}", file.path), content: file.content }));
    Ok(files)
}

/// The name of the agent's function.
fn function(name: &str) -> String {
    name.replace('-', "_")
}

/// A name is that of a cargo package, of a Rust function and of a url's segment at once.
fn check(name: &str) -> Result<(), String> {
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err("it must begin with a lower-case letter".to_owned());
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if let Some(other) = name.chars().find(|c| !allowed(*c)) {
        return Err(format!("it must not contain {other:?}, only lower-case letters, digits, - and _"));
    }
    if name.len() > NAME_CHARS_MAX {
        return Err(format!("it must have at most {NAME_CHARS_MAX} characters"));
    }
    if is_reserved(&function(name)) {
        return Err("Rust, cargo or the SDK needs that name".to_owned());
    }
    Ok(())
}

/// Keywords, names that cargo refuses for packages, and names that the generated code uses.
fn is_reserved(function: &str) -> bool {
    #[rustfmt::skip]
    const RESERVED: [&str; 69] = [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else", "enum",
        "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut",
        "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
        "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
        "alloc", "build", "core", "deps", "examples", "incremental", "proc_macro", "std", "test",
        "con", "prn", "aux", "nul",
        "kennel", "kennel_sdk", "kennel_macros", "done_with",
    ];
    RESERVED.contains(&function)
}

/// What to do next.
fn tell(name: &str, folder: &Path, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "made {}\n\nnext:", folder.display())?;
    writeln!(to, "  cd {}", folder.display())?;
    writeln!(to, "  kennel build . --out agents")?;
    writeln!(to, "  kennel serve --data data --agents agents")?;
    writeln!(to, "  kennel a2a send http://127.0.0.1:8080/agents/{name} How many words are these?")
}

fn explain(error: &NewError, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "error: {error}")?;
    match error {
        NewError::Name { .. } => writeln!(to, "cure:  choose a name such as word-count"),
        NewError::Exists(_) => writeln!(to, "cure:  choose another name, or another folder with --dir"),
        NewError::Write(EmbeddedError::Write { source, .. }) => writeln!(to, "cause: {source}"),
        NewError::Write(EmbeddedError::Manifest { .. }) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_packages_functions_and_urls() {
        for name in ["echo", "word-count", "a1_b", "x"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in ["", "1st", "-a", "Echo", "a b", "a/b", "..", "a.b", "ä", "fn", "test", "kennel-sdk", "kennel"] {
            assert!(check(name).is_err(), "{name}");
        }
        assert!(check(&"a".repeat(65)).is_err());
        assert_eq!(check("a/b"), Err("it must not contain '/', only lower-case letters, digits, - and _".to_owned()));
    }

    #[test]
    fn a_crate_has_all_it_needs_and_no_mark_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let made = create("word-count", &folder.path().join("deep")).unwrap();
        assert_eq!(made, folder.path().join("deep/word-count"));
        let read = |path: &str| std::fs::read_to_string(made.join(path)).unwrap();
        for path in ["Cargo.toml", "src/lib.rs", "README.md", ".gitignore"] {
            assert!(!read(path).contains("{{"), "{path}");
        }
        let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("word-count"));
        assert_eq!(manifest["profile"]["plugin"]["inherits"].as_str(), Some("release"));
        assert!(manifest["workspace"].as_table().unwrap().is_empty());
        let sdk = manifest["dependencies"]["kennel-sdk"]["path"].as_str().unwrap();
        assert!(made.join(sdk).join("src/lib.rs").exists());
        assert!(made.join(sdk).join("../../wit/world.wit").exists());
        assert!(read("src/lib.rs").contains("fn word_count(task: Task)"));
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mine")).unwrap();
        std::fs::write(folder.path().join("mine/file"), "precious").unwrap();
        assert!(matches!(create("mine", folder.path()), Err(NewError::Exists(_))));
        assert_eq!(std::fs::read_dir(folder.path().join("mine")).unwrap().count(), 1);
    }
}
