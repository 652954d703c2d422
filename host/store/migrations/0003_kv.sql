-- Durable values: small bytes that agents keep beyond a task, each changed in the transaction of the call that changes it.

-- With a rowid, as event: a value may have 256 KiB, and a list of keys then reads the index alone.
CREATE TABLE kv (
    tenant  TEXT NOT NULL,
    scope   TEXT NOT NULL, -- who shares it, as the worker writes it
    key     BLOB NOT NULL, -- a blob, so that its order and its length are those of its bytes
    version TEXT NOT NULL, -- another one at each write of the key
    value   BLOB NOT NULL,
    PRIMARY KEY (tenant, scope, key)
);

-- Bytes of all keys and values of a scope: counting them at each write would read all of them.
CREATE TABLE kv_total (
    tenant TEXT    NOT NULL,
    scope  TEXT    NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (tenant, scope)
) WITHOUT ROWID;
