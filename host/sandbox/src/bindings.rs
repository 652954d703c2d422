//! The one place that uses wasmtime's generator: Rust types and traits for the world `kennel:agent/plugin`, and in
//! [`wasi_http`] for the interfaces of a client of `wasi:http`.
//!
//! Never here: behaviour. Read by `convert/*.rs`, `host/*.rs` and `wasi_http/*.rs`.

#![allow(missing_docs, reason = "the WIT files are the documentation")]
#![allow(unreachable_pub, reason = "generated: the macro writes `pub` everywhere")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "plugin",
    // Every import may trap: a run that is over must not return into the guest. Only what reaches `HostCalls` can wait.
    imports: {
        "kennel:agent/task.info": trappable,
        "kennel:agent/task.history": async | trappable,
        "kennel:agent/task.related": async | trappable,
        "kennel:agent/task.related-ids": async | trappable,
        "kennel:agent/task.update-status": async | trappable,
        "kennel:agent/task.require-input": async | trappable,
        "kennel:agent/task.require-auth": async | trappable,
        "kennel:agent/task.next-message": async | trappable,
        "kennel:agent/task.cancel-requested": async | trappable,
        "kennel:agent/artifact.publish": async | trappable,
        "kennel:agent/artifact.open": async | trappable,
        "kennel:agent/artifact.append": async | trappable,
        "kennel:agent/artifact.close": async | trappable,
        "kennel:agent/http.fetch": async | trappable,
        "kennel:agent/http.start": async | trappable,
        "kennel:agent/http.take": async | trappable,
        "kennel:agent/http.open": async | trappable,
        "kennel:agent/http.head": async | trappable,
        "kennel:agent/http.read": async | trappable,
        "kennel:agent/http.abort": async | trappable,
        "kennel:agent/kv.get": async | trappable,
        "kennel:agent/kv.put": async | trappable,
        "kennel:agent/kv.swap": async | trappable,
        "kennel:agent/kv.delete": async | trappable,
        "kennel:agent/kv.keys": async | trappable,
        "kennel:agent/peers.names": async | trappable,
        "kennel:agent/peers.card": async | trappable,
        "kennel:agent/peers.send": async | trappable,
        "kennel:agent/peers.take": async | trappable,
        "kennel:agent/peers.cancel": async | trappable,
        "kennel:agent/wait.any": async | trappable,
        "kennel:agent/wait.all": async | trappable,
        "kennel:agent/wait.sleep": async | trappable,
        "kennel:agent/wait.sleep-until": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    trappable_error_type: { "kennel:agent/types.error" => crate::guest::Failure },
    require_store_data_send: true,
});

/// `wasi:http` over resources of ours. The crate wasmtime-wasi-http has its own, which send while the guest still writes and wait on
/// the host's clock.
pub(crate) mod wasi_http {
    use crate::wasi_http as ours;

    wasmtime::component::bindgen!({
        path: "wit/http.wit",
        world: "kennel:sandbox/client",
        imports: {
            "wasi:http/outgoing-handler.handle": async | trappable,
            "wasi:http/types.[static]outgoing-body.finish": async | trappable,
            "wasi:http/types.[method]future-incoming-response.get": async | trappable,
            "wasi:http/types.[drop]future-incoming-response": async | trappable,
            default: trappable,
        },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:http/types.fields": ours::Fields,
            "wasi:http/types.request-options": ours::RequestOptions,
            "wasi:http/types.outgoing-request": ours::OutgoingRequest,
            "wasi:http/types.outgoing-body": ours::OutgoingBody,
            "wasi:http/types.future-incoming-response": ours::FutureResponse,
            "wasi:http/types.incoming-response": ours::IncomingResponse,
            "wasi:http/types.incoming-body": ours::IncomingBody,
            "wasi:http/types.future-trailers": ours::FutureTrailers,
            "wasi:http/types.incoming-request": ours::Never,
            "wasi:http/types.response-outparam": ours::Never,
            "wasi:http/types.outgoing-response": ours::Never,
        },
        require_store_data_send: true,
    });
}
