//! Large contents: cut out of their parts before the row that names them is written, put back when the row is read.
//!
//! A part whose content stands here carries the url `kennel:blob/KIND/SHA256`. Clients and agents cannot send such a url: the
//! parser and the sandbox refuse the scheme.

use bytes::{Bytes, BytesMut};
use kennel_protocol::types::{Content, JsonValue, Part};
use kennel_protocol::{Digest, TenantId};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use crate::db::{Readers, bytes, query};
use crate::error::StoreError;
use crate::rows::Stored;
use crate::sql::SetStatement;
use crate::wake::TaskKey;
use crate::writer::{BlobChunk, Op, WriterHandle};

/// Contents above this many bytes leave their row.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// Bytes in one row of `blob`.
const CHUNK_BYTES: usize = 256 << 10;
/// Begins the url of a part whose content stands in `blob`.
const SCHEME: &str = "kennel:blob/";

const USE: SetStatement =
    SetStatement { head: "INSERT OR IGNORE INTO blob_use (tenant, digest, holder) VALUES ", columns: 3, tail: "" };

/// For the test that prepares every statement.
#[cfg(test)]
pub(crate) const SETS: &[&SetStatement] = &[&USE];

/// That somebody needs a blob.
pub(crate) struct BlobUse<'a> {
    tenant: &'a str,
    digest: &'a Digest,
    holder: &'a str,
}

impl<'a> BlobUse<'a> {
    pub(crate) fn of_task(key: &'a TaskKey, digest: &'a Digest) -> BlobUse<'a> {
        BlobUse { tenant: key.tenant.as_str(), digest, holder: key.task.as_str() }
    }

    pub(crate) fn of_version(tenant: &'a TenantId, digest: &'a Digest) -> BlobUse<'a> {
        BlobUse { tenant: tenant.as_str(), digest, holder: "version" }
    }
}

/// Records who needs what, in the transaction of the row that names it.
pub(crate) fn count(connection: &Connection, uses: &[BlobUse<'_>]) -> Result<(), rusqlite::Error> {
    USE.run(connection, uses, |query, used| {
        query.bind(used.tenant).bind(used.digest.as_bytes().as_slice()).bind(used.holder)
    })
    .map(drop)
}

pub(crate) fn write(connection: &Connection, chunk: &BlobChunk) -> Result<(), rusqlite::Error> {
    query(connection, "INSERT OR IGNORE INTO blob (tenant, digest, n, bytes) VALUES (?, ?, ?, ?)")?
        .bind(chunk.tenant.as_str())
        .bind(chunk.digest.as_bytes().as_slice())
        .bind(i64::from(chunk.n))
        .bind(chunk.bytes.as_ref())
        .execute()
        .map(drop)
}

/// Writes bytes in chunks and returns their name once they are on disk.
pub(crate) async fn put(writer: &WriterHandle, tenant: &TenantId, bytes: Bytes) -> Result<Digest, StoreError> {
    let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
    let mut n = 0;
    let mut rest = bytes;
    while !rest.is_empty() || n == 0 {
        let piece = rest.split_to(rest.len().min(CHUNK_BYTES));
        let chunk = BlobChunk { tenant: tenant.clone(), digest, n, bytes: piece };
        writer.write(Op::Blob(Box::new(chunk))).await?;
        n += 1;
    }
    Ok(digest)
}

/// Bytes for a row: as they are, or, when they are large, their name once they are on disk.
pub(crate) async fn stored(writer: &WriterHandle, tenant: &TenantId, bytes: Bytes) -> Result<Stored, StoreError> {
    if bytes.len() <= INLINE_BYTES_MAX {
        return Ok(Stored::plain(bytes));
    }
    let digest = put(writer, tenant, bytes).await?;
    Ok(Stored { body: digest.to_string().into(), blobs: 1, digests: vec![digest] })
}

/// The bytes that a row of [`stored`] names.
pub(crate) async fn fetch(readers: &Readers, tenant: &TenantId, name: &[u8]) -> Result<Bytes, StoreError> {
    let name = String::from_utf8_lossy(name);
    let digest: Digest = name.parse().map_err(|_| StoreError::Corrupt(format!("{name} does not name a content")))?;
    let tenant = tenant.clone();
    let bytes = readers.read(move |connection| get(connection, &tenant, &digest)).await?;
    bytes.ok_or_else(|| StoreError::Corrupt(format!("the content {digest} is missing")))
}

/// Reads a blob whole; none if it is not there.
pub(crate) fn get(connection: &Connection, tenant: &TenantId, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
    let mut whole = BytesMut::new();
    let chunks = query(connection, "SELECT bytes FROM blob WHERE tenant = ? AND digest = ? ORDER BY n")?
        .bind(tenant.as_str())
        .bind(digest.as_bytes().as_slice())
        .all(|row| {
            whole.extend_from_slice(bytes(row, 0)?);
            Ok::<(), StoreError>(())
        })?;
    if chunks.is_empty() {
        return Ok(None);
    }
    let found: [u8; 32] = Sha256::digest(&whole).into();
    if &found != digest.as_bytes() {
        return Err(StoreError::Corrupt(format!("blob {digest} does not have the content that its name promises")));
    }
    Ok(Some(whole.freeze()))
}

/// Moves the large contents of parts into `blob` and returns their names.
pub(crate) async fn cut_out(
    writer: &WriterHandle,
    tenant: &TenantId,
    parts: Vec<&mut Part>,
) -> Result<Vec<Digest>, StoreError> {
    let mut digests = Vec::new();
    for part in parts {
        let Some((kind, bytes)) = large(&part.content) else { continue };
        let digest = put(writer, tenant, bytes).await?;
        part.content = Content::Url(format!("{SCHEME}{kind}/{digest}"));
        digests.push(digest);
    }
    Ok(digests)
}

/// The contents that parts name instead of holding them: a stored object that carries them on must say so.
pub fn named(parts: &[Part]) -> Vec<Digest> {
    let named = parts.iter().filter_map(|part| match &part.content {
        Content::Url(url) => url.strip_prefix(SCHEME)?.split_once('/')?.1.parse().ok(),
        Content::Text(_) | Content::Raw(_) | Content::Data(_) => None,
    });
    named.collect()
}

fn large(content: &Content) -> Option<(&'static str, Bytes)> {
    match content {
        Content::Text(text) if text.len() > INLINE_BYTES_MAX => Some(("text", Bytes::copy_from_slice(text.as_bytes()))),
        Content::Raw(bytes) if bytes.len() > INLINE_BYTES_MAX => Some(("raw", bytes.clone())),
        Content::Data(json) if json.get().len() > INLINE_BYTES_MAX => {
            Some(("data", Bytes::copy_from_slice(json.get().as_bytes())))
        }
        Content::Text(_) | Content::Raw(_) | Content::Data(_) | Content::Url(_) => None,
    }
}

/// Puts the contents back into parts that name them.
pub(crate) async fn put_back(readers: &Readers, tenant: &TenantId, parts: Vec<&mut Part>) -> Result<(), StoreError> {
    for part in parts {
        let Content::Url(url) = &part.content else { continue };
        let Some((kind, hex)) = url.strip_prefix(SCHEME).and_then(|name| name.split_once('/')) else { continue };
        let digest: Digest =
            hex.parse().map_err(|_| StoreError::Corrupt(format!("{url} does not name a stored content")))?;
        let tenant = tenant.clone();
        let bytes = readers.read(move |connection| get(connection, &tenant, &digest)).await?;
        let bytes = bytes.ok_or_else(|| StoreError::Corrupt(format!("the content {digest} is missing")))?;
        part.content = content(kind, bytes)?;
    }
    Ok(())
}

fn content(kind: &str, bytes: Bytes) -> Result<Content, StoreError> {
    let text = |bytes: Bytes| {
        String::from_utf8(bytes.into()).map_err(|_| StoreError::Corrupt("a stored text is not UTF-8".to_owned()))
    };
    match kind {
        "raw" => Ok(Content::Raw(bytes)),
        "text" => Ok(Content::Text(text(bytes)?)),
        "data" => JsonValue::from_text(&text(bytes)?)
            .map(Content::Data)
            .map_err(|error| StoreError::Corrupt(format!("a stored value is not JSON: {error}"))),
        other => Err(StoreError::Corrupt(format!("no content is of the kind {other}"))),
    }
}
