//! Every bound that the sandbox keeps, in one place, with its unit and its reason.
//!
//! Never here: bounds on what a task may gather over its life (events, artifacts, journal rows); the worker counts those.
//! Made by the host's configuration; the names in `kennel:agent` error codes are the field names with dashes and without
//! unit.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What one activation may use, and how large what it hands over may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, tables, and bodies that `wasi:http` keeps for one instance, together. 128 MiB holds a Python interpreter with room for the
    /// two copies of an 8 MiB part that guests make.
    pub memory_bytes_max: usize,
    /// Bytes of them that an instance has without asking. One that wants more first reserves `memory_bytes_max` of what all
    /// guests may have together, and waits if that is not free. Rust agents start at 1.1 MiB: small ones never
    /// ask.
    pub memory_base_bytes: usize,
    /// Thread CPU time of one activation, waits left out. Half a minute of pure computation is far beyond an agent that
    /// calls others, and short enough that a spinning one is found soon.
    pub cpu_live_max: Duration,
    /// Bytes of machine stack for wasm frames. Read when the engine is made: a change for one run has no effect.
    /// 512 KiB is deep enough for recursive parsers and small enough for thousands of fibers.
    pub wasm_stack_bytes_max: usize,
    /// Bytes of a component. Python agents have 18 MiB; beyond 64 MiB compiling takes minutes.
    pub component_bytes_max: usize,
    /// Bytes of guest data in one call, in either direction: what the host must hold at once for a call. As large as the
    /// largest request body. More from the guest ends the task; more to the guest is an error value.
    pub call_bytes_max: usize,
    /// Bytes of one `raw` part. Larger results are appended in pieces.
    pub part_bytes_max: usize,
    /// Parts of one message: each costs an allocation, and clients show them one by one.
    pub message_parts_max: usize,
    /// Bytes of one metadata object: it is labels, not content, and it is copied into every event.
    pub metadata_bytes_max: usize,
    /// Bytes of one JSON Schema: compiling and checking cost far more than their length.
    pub schema_bytes_max: usize,
    /// Pendings that one wait may name, and that a task may have open: each is a request or a message under way.
    pub pendings_max: usize,
    /// Bytes of one value of `kv`: it is read and written whole. Larger things belong into artifacts.
    pub kv_value_bytes_max: usize,
    /// Levels of nested JSON: parsers of clients recurse.
    pub json_depth_max: usize,
    /// Bytes of one checkpoint: it stands in a database row and is read at every start of the generation.
    pub checkpoint_bytes_max: usize,
    /// Bytes of the message of an error that `run` returns; the rest is cut. Clients see it in a status message.
    pub error_bytes_max: usize,
    /// Lines that one activation may log. The rest are counted, not kept: logs must not fill a disk.
    pub log_lines_max: usize,
    /// Bytes of one log line; the rest is cut.
    pub log_line_bytes_max: usize,
    /// Resources (streams, pollables, …) of WASI that an instance may hold. Each costs the host memory that
    /// `memory_bytes_max` does not see.
    pub resources_max: usize,
    /// Thread CPU time of `describe`. It returns a constant; language runtimes that start slowly need some of it.
    pub describe_cpu_max: Duration,
    /// Wall time of `describe`. It has nothing to wait for but memory and a place to run, if the host is busy.
    pub describe_time_max: Duration,
}

impl Default for Limits {
    /// The figures of the design; operators change them.
    fn default() -> Limits {
        Limits {
            memory_bytes_max: 128 * MIB,
            memory_base_bytes: 2 * MIB,
            cpu_live_max: Duration::from_secs(30),
            wasm_stack_bytes_max: 512 * KIB,
            component_bytes_max: 64 * MIB,
            call_bytes_max: 16 * MIB,
            part_bytes_max: 8 * MIB,
            message_parts_max: 256,
            metadata_bytes_max: 64 * KIB,
            schema_bytes_max: 64 * KIB,
            pendings_max: 64,
            kv_value_bytes_max: 256 * KIB,
            json_depth_max: 64,
            checkpoint_bytes_max: MIB,
            error_bytes_max: 4 * KIB,
            log_lines_max: 1000,
            log_line_bytes_max: 4 * KIB,
            resources_max: 1000,
            describe_cpu_max: Duration::from_secs(1),
            describe_time_max: Duration::from_secs(10),
        }
    }
}

/// A number of bytes for people: `128 MiB`, `1.5 KiB`, `12 bytes`. One decimal at most.
pub(crate) fn bytes_text(bytes: usize) -> String {
    let (unit, name) = match bytes {
        MIB.. => (MIB, "MiB"),
        KIB.. => (KIB, "KiB"),
        _ => return format!("{bytes} bytes"),
    };
    match (bytes % unit) * 10 / unit {
        0 => format!("{} {name}", bytes / unit),
        tenth => format!("{}.{tenth} {name}", bytes / unit),
    }
}

/// The longest start of `text` that has at most `bytes_max` bytes and ends between two characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::{bytes_text, cut};

    #[test]
    fn bytes_read_like_a_person_writes_them() {
        assert_eq!(bytes_text(12), "12 bytes");
        assert_eq!(bytes_text(1536), "1.5 KiB");
        assert_eq!(bytes_text(128 << 20), "128 MiB");
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé", 99), "aé");
    }
}
