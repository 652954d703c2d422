//! The one use of wasmtime's generator: Rust types and traits for the world `kennel:agent/plugin`.
//!
//! Never here: behaviour. `convert.rs` and `host/*.rs` are the only readers.

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
