//! Headers, as `wasi:http` lets programs build and read them.
//!
//! Names are kept in lower case, so that all readers see one spelling. Never here: what a header means, but for those that the host
//! sets itself. Part of what `mod.rs` links.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::bindings::wasi_http::wasi::http::types::{HeaderError, HostFields};
use crate::convert::http::is_token;
use crate::guest::{Failure, Guest};

/// Bytes of all names and values of one set, and what each entry counts besides, as in HTTP/2. More than any server takes.
const BYTES_MAX: usize = 64 * 1024;
const ENTRY_BYTES: usize = 32;

/// Headers that the host sets itself, or that mean one connection only. `Content-Length` is not among them: clients set it, and it is
/// compared with the body.
const FORBIDDEN: [&str; 11] = [
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Names and values in order.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    list: Arc<Vec<(String, Vec<u8>)>>,
    fixed: bool,
}

impl Fields {
    /// Those of a response. They cannot be changed.
    pub(super) fn received(pairs: Vec<(String, String)>) -> Fields {
        let list = pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.into_bytes())).collect();
        Fields { list: Arc::new(list), fixed: true }
    }

    /// The same, not to be changed any more.
    pub(super) fn fixed(self) -> Fields {
        Fields { fixed: true, ..self }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The names and values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(String, Vec<u8>)> {
        self.list.iter()
    }

    fn bytes(&self) -> usize {
        self.list.iter().map(|(name, value)| ENTRY_BYTES + name.len() + value.len()).sum()
    }

    /// The list, for a change of entries with this name.
    fn change(&mut self, name: &str) -> Result<&mut Vec<(String, Vec<u8>)>, HeaderError> {
        if !is_token(name) {
            return Err(HeaderError::InvalidSyntax);
        }
        if self.fixed {
            return Err(HeaderError::Immutable);
        }
        if FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
            return Err(HeaderError::Forbidden);
        }
        Ok(Arc::make_mut(&mut self.list))
    }

    fn remove(&mut self, name: &str) -> Result<(), HeaderError> {
        self.change(name)?.retain(|(held, _)| !held.eq_ignore_ascii_case(name));
        Ok(())
    }

    fn add(&mut self, name: &str, value: Vec<u8>) -> Result<(), HeaderError> {
        let list = self.change(name)?;
        if !value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)) {
            return Err(HeaderError::InvalidSyntax);
        }
        list.push((name.to_ascii_lowercase(), value));
        Ok(())
    }

    /// The values of one name, in order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &Vec<u8>> {
        self.list.iter().filter(move |(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The length that the headers promise for the body; an error for what is no number, or two.
    pub(super) fn content_length(&self) -> Result<Option<u64>, ()> {
        let mut lengths = self.values("content-length").map(|value| {
            let text = std::str::from_utf8(value).ok()?;
            text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
        });
        match (lengths.next(), lengths.next()) {
            (None, _) => Ok(None),
            (Some(Some(length)), None) => Ok(Some(length)),
            _ => Err(()),
        }
    }
}

/// Whether the change left more than an instance may have in one set; the contract of WASI has no error for it.
fn check_size(fields: &Fields) -> wasmtime::Result<()> {
    match fields.bytes() > BYTES_MAX {
        true => Err(wasmtime::Error::new(Failure::Trap("headers of wasi:http have more than 64 KiB"))),
        false => Ok(()),
    }
}

impl HostFields for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<Fields>> {
        Ok(self.wasi.table().push(Fields::default())?)
    }

    fn from_list(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<Resource<Fields>, HeaderError>> {
        let mut fields = Fields::default();
        for (name, value) in entries {
            if let Err(error) = fields.add(&name, value) {
                return Ok(Err(error));
            }
        }
        check_size(&fields)?;
        Ok(Ok(self.wasi.table().push(fields)?))
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.wasi.table().get(&fields)?.values(&name).cloned().collect())
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        Ok(self.wasi.table().get(&fields)?.values(&name).next().is_some())
    }

    fn set(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        values: Vec<Vec<u8>>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        let fields = self.wasi.table().get_mut(&fields)?;
        let mut changed = fields.clone();
        let mut set = changed.remove(&name);
        for value in values {
            set = set.and_then(|()| changed.add(&name, value));
        }
        check_size(&changed)?;
        // All or nothing.
        if set.is_ok() {
            *fields = changed;
        }
        Ok(set)
    }

    fn delete(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<Result<(), HeaderError>> {
        Ok(self.wasi.table().get_mut(&fields)?.remove(&name))
    }

    fn append(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        let fields = self.wasi.table().get_mut(&fields)?;
        let added = fields.add(&name, value);
        check_size(fields)?;
        Ok(added)
    }

    fn entries(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        Ok(self.wasi.table().get(&fields)?.iter().cloned().collect())
    }

    fn clone(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Resource<Fields>> {
        let copy = Fields { fixed: false, ..self.wasi.table().get(&fields)?.clone() };
        Ok(self.wasi.table().push(copy)?)
    }

    fn drop(&mut self, fields: Resource<Fields>) -> wasmtime::Result<()> {
        self.wasi.table().delete(fields)?;
        Ok(())
    }
}
