//! Errors of the contract in the words of `wasi:http`. Codes there have no text, so the sentence goes to the operator's log.
//!
//! Never here: what is an error. Called by `exchange.rs`.

use crate::bindings::wasi_http::wasi::http::types::ErrorCode;
use crate::call::{ErrorKind, GuestError, LogLevel};
use crate::guest::Guest;

impl Guest {
    /// The code that a guest gets for an error of a call.
    pub(super) fn http_error(&mut self, error: &GuestError) -> ErrorCode {
        let fields = vec![("kind".to_owned(), error.kind.name().to_owned()), ("code".to_owned(), error.code.clone())];
        self.console.emit(LogLevel::Warn, &format!("wasi:http: {}", error.message), fields);
        code(error)
    }
}

fn code(error: &GuestError) -> ErrorCode {
    match error.kind {
        ErrorKind::Denied => ErrorCode::HttpRequestDenied,
        ErrorKind::TimedOut => ErrorCode::HttpResponseTimeout,
        ErrorKind::UnknownOutcome => ErrorCode::ConnectionTerminated,
        ErrorKind::Unavailable => unavailable(error),
        ErrorKind::Limit => limit(error),
        ErrorKind::Invalid => invalid(error),
        ErrorKind::Canceled | ErrorKind::NotFound | ErrorKind::Failed => other(error),
    }
}

fn unavailable(error: &GuestError) -> ErrorCode {
    let part_of_code = |name| error.code.split(['.', '-']).any(|part| part == name);
    if part_of_code("dns") {
        ErrorCode::DnsError(crate::bindings::wasi_http::wasi::http::types::DnsErrorPayload {
            rcode: None,
            info_code: None,
        })
    } else if part_of_code("tls") {
        ErrorCode::TlsProtocolError
    } else {
        ErrorCode::ConnectionRefused
    }
}

fn limit(error: &GuestError) -> ErrorCode {
    match error.code.as_str() {
        "http-body-bytes" | "call-bytes" | "memory-bytes" => ErrorCode::HttpResponseBodySize(None),
        "http-head-bytes" => ErrorCode::HttpResponseHeaderSectionSize(None),
        "pendings" | "http-open" => ErrorCode::ConnectionLimitReached,
        _ => other(error),
    }
}

fn invalid(error: &GuestError) -> ErrorCode {
    match error.code.as_str() {
        "url" => ErrorCode::HttpRequestUriInvalid,
        "method" => ErrorCode::HttpRequestMethodInvalid,
        _ => other(error),
    }
}

/// The one code that has a text.
fn other(error: &GuestError) -> ErrorCode {
    ErrorCode::InternalError(Some(error.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::code;
    use crate::call::{ErrorKind, GuestError};

    #[test]
    fn each_error_has_its_nearest_code() {
        for (kind, name, expected) in [
            (ErrorKind::Denied, "http", "ErrorCode::HttpRequestDenied"),
            (ErrorKind::TimedOut, "http", "ErrorCode::HttpResponseTimeout"),
            (ErrorKind::UnknownOutcome, "http", "ErrorCode::ConnectionTerminated"),
            (ErrorKind::Unavailable, "http", "ErrorCode::ConnectionRefused"),
            (ErrorKind::Unavailable, "http.dns", "ErrorCode::DnsError"),
            (ErrorKind::Unavailable, "tls", "ErrorCode::TlsProtocolError"),
            (ErrorKind::Limit, "http-body-bytes", "ErrorCode::HttpResponseBodySize"),
            (ErrorKind::Limit, "call-bytes", "ErrorCode::HttpResponseBodySize"),
            (ErrorKind::Limit, "http-head-bytes", "ErrorCode::HttpResponseHeaderSectionSize"),
            (ErrorKind::Limit, "pendings", "ErrorCode::ConnectionLimitReached"),
            (ErrorKind::Limit, "rows", "ErrorCode::InternalError"),
            (ErrorKind::Invalid, "url", "ErrorCode::HttpRequestUriInvalid"),
            (ErrorKind::Invalid, "method", "ErrorCode::HttpRequestMethodInvalid"),
            (ErrorKind::Invalid, "headers", "ErrorCode::InternalError"),
            (ErrorKind::Canceled, "cancel", "ErrorCode::InternalError"),
            (ErrorKind::Failed, "x", "ErrorCode::InternalError"),
            (ErrorKind::NotFound, "pending", "ErrorCode::InternalError"),
        ] {
            let found = format!("{:?}", code(&GuestError::new(kind, name, "Why.")));
            assert!(found.starts_with(expected), "{kind:?} {name}: {found}");
        }
    }
}
