//! The configuration file of `kennel serve`: what operators allow agents. TOML; a key that is not known is refused with its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kennel_egress::{Credential, EgressConfig, Network, Rule, Site};
use kennel_protocol::AgentId;
use serde::Deserialize;

use super::{AgentGrants, RemotePeer};

/// What the file says, resolved.
#[derive(Default)]
pub(crate) struct Configured {
    pub(crate) agents: BTreeMap<String, AgentGrants>,
    pub(crate) egress: EgressConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    egress: EgressTable,
    #[serde(default)]
    peers: BTreeMap<String, PeerTable>,
    #[serde(default)]
    agents: BTreeMap<String, AgentTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EgressTable {
    #[serde(default)]
    allow_private: Vec<String>,
}

/// An agent elsewhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PeerTable {
    url: String,
    credential: Option<SecretTable>,
}

/// A credential for one place, which is known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SecretTable {
    header: String,
    value_file: Option<PathBuf>,
    value_env: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AgentTable {
    #[serde(default)]
    http: Vec<String>,
    #[serde(default)]
    peers: Vec<String>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    #[serde(default)]
    credentials: BTreeMap<String, CredentialTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CredentialTable {
    header: String,
    value_file: Option<PathBuf>,
    value_env: Option<String>,
    sites: Vec<String>,
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Configured> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}; check --config", path.display()))?;
    let file: File = toml::from_str(&text).with_context(|| format!("in the configuration {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut configured = Configured::default();
    for network in &file.egress.allow_private {
        configured.egress.allow_private.push(network.parse::<Network>().context("in egress.allow-private")?);
    }
    let mut peers = BTreeMap::new();
    for (name, table) in file.peers {
        let peer = peer(&name, table, folder).with_context(|| format!("in peers.{name} of {}", path.display()))?;
        peers.insert(name, peer);
    }
    for (name, table) in file.agents {
        let grants =
            grants(table, &peers, folder).with_context(|| format!("in agents.{name} of {}", path.display()))?;
        configured.agents.insert(name, grants);
    }
    Ok(configured)
}

/// An agent elsewhere, and the place to which all that is said to it goes.
fn peer(name: &str, table: PeerTable, folder: &Path) -> anyhow::Result<RemotePeer> {
    if name.contains("://") || name.parse::<AgentId>().is_err() {
        bail!("a peer has a plain name; its url stands in `url`");
    }
    // A url with a query, a user or a pattern is none that a card is looked for at.
    Rule::below(&table.url).context("in url")?;
    if table.url.contains('*') {
        bail!("in url: `{}` is a pattern; write one address", table.url);
    }
    let origin = table.url.split('/').take(3).collect::<Vec<_>>().join("/");
    let site: Site = origin.parse().context("in url")?;
    let credential = table.credential.map(|secret| {
        let value = secret_value(secret.value_file.as_deref(), secret.value_env.as_deref(), folder)?;
        anyhow::Ok(Credential::new(name, &[(secret.header.as_str(), value.trim_end())], [site])?)
    });
    let credential = credential.transpose().context("in credential")?;
    Ok(RemotePeer { origin: Rule::below(&origin)?, url: table.url, credential })
}

fn grants(table: AgentTable, peers: &BTreeMap<String, RemotePeer>, folder: &Path) -> anyhow::Result<AgentGrants> {
    let mut grants = AgentGrants { settings: table.settings, ..AgentGrants::default() };
    for rule in &table.http {
        grants.http.push(rule.parse::<Rule>().context("in http")?);
    }
    for peer in table.peers {
        if peer.contains("://") {
            grants.peer_urls.push(Rule::below(&peer).context("in peers")?);
            continue;
        }
        let Some(known) = peers.get(&peer) else {
            bail!("in peers: there is no table [peers.{peer}]; agents of this host need no grant");
        };
        grants.peers.insert(peer, known.clone());
    }
    for (name, credential) in table.credentials {
        let made = self::credential(&name, &credential, folder);
        let made = made.with_context(|| format!("in credentials.{name}"))?;
        grants.credentials.insert(name, made);
    }
    Ok(grants)
}

/// A secret stands in a file or in the environment, never in the configuration itself.
fn credential(name: &str, table: &CredentialTable, folder: &Path) -> anyhow::Result<Credential> {
    let value = secret_value(table.value_file.as_deref(), table.value_env.as_deref(), folder)?;
    let sites: Vec<Site> = table.sites.iter().map(|site| site.parse()).collect::<Result<_, _>>().context("in sites")?;
    if sites.is_empty() {
        bail!("sites must name at least one place that may get it, such as https://api.example.com");
    }
    Ok(Credential::new(name, &[(table.header.as_str(), value.trim_end())], sites)?)
}

/// What stands where the configuration says.
fn secret_value(file: Option<&Path>, variable: Option<&str>, folder: &Path) -> anyhow::Result<String> {
    match (file, variable) {
        (Some(file), None) => {
            let path = folder.join(file);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        }
        (None, Some(variable)) => {
            environment(variable).with_context(|| format!("cannot read the environment variable {variable}"))
        }
        _ => bail!("give exactly one of value-file and value-env"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the operator names the variable in the configuration")]
fn environment(variable: &str) -> Result<String, std::env::VarError> {
    std::env::var(variable)
}

#[cfg(test)]
mod tests {
    use super::read;

    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kennel.toml");
        std::fs::write(&path, text).unwrap();
        format!("{:#}", read(&path).err().expect("it is refused"))
    }

    #[test]
    fn a_whole_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kennel.toml");
        std::fs::write(folder.path().join("secret"), "Bearer s3cret\n").unwrap();
        let text = r#"
            [egress]
            allow-private = ["127.0.0.0/8"]
            [agents."*"]
            http = ["GET https://example.com"]
            [peers.partner]
            url = "https://partner.example.com/agents/booking"
            credential = { header = "authorization", value-file = "secret" }
            [agents.fetcher]
            peers = ["partner", "https://*.example.org/agents"]
            http = ["* http://127.0.0.1:80"]
            settings = { url = "http://127.0.0.1:80/data" }
            [agents.fetcher.credentials.api]
            header = "authorization"
            value-file = "secret"
            sites = ["http://127.0.0.1:80"]
        "#;
        std::fs::write(&path, text).unwrap();
        let configured = read(&path).unwrap();
        assert_eq!(configured.egress.allow_private.len(), 1);
        let fetcher = &configured.agents["fetcher"];
        assert_eq!((fetcher.http.len(), fetcher.settings["url"].as_str()), (1, "http://127.0.0.1:80/data"));
        let partner = &fetcher.peers["partner"];
        assert_eq!(partner.origin.to_string(), "* https://partner.example.com");
        assert_eq!(fetcher.peer_urls[0].to_string(), "* https://*.example.org/agents");
        assert!(partner.credential.is_some() && !format!("{fetcher:?}").contains("s3cret"), "secrets are not shown");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let unknown = refused("[agents.echo]\nhtpp = []\n");
        assert!(unknown.contains("htpp") && unknown.contains("line 2") && unknown.contains("`http`"), "{unknown}");
        let rule = refused("[agents.echo]\nhttp = [\"fetch everything\"]\n");
        assert!(rule.contains("agents.echo") && rule.contains("fetch everything"), "{rule}");
        let both = "[agents.echo.credentials.api]\nheader = \"a\"\nsites = [\"https://example.com\"]\n";
        assert!(refused(both).contains("exactly one of value-file and value-env"));
        let network = refused("[egress]\nallow-private = [\"home\"]\n");
        assert!(network.contains("allow-private") && network.contains("home"), "{network}");
        let peer = refused("[agents.echo]\npeers = [\"partner\"]\n");
        assert!(peer.contains("agents.echo") && peer.contains("[peers.partner]"), "{peer}");
        let url = refused("[peers.partner]\nurl = \"https://a.example/?x\"\n");
        assert!(url.contains("peers.partner") && url.contains("leave out `?`"), "{url}");
        let unknown = refused("[peers.partner]\nurl = \"https://a.example\"\ntoken = \"x\"\n");
        assert!(unknown.contains("token") && unknown.contains("line 3"), "{unknown}");
        assert!(read(std::path::Path::new("/no/such/file")).is_err());
    }
}
