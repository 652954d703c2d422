CREATE INDEX child_of ON child (tenant, parent);

CREATE INDEX child_tree ON child (tenant, root);

CREATE INDEX journal_checkpoint ON journal (tenant, task, idx) WHERE call = 'checkpoint';

CREATE INDEX run_due ON run (priority, due_ms) WHERE state IN (0, 2) AND due_ms IS NOT NULL;

CREATE INDEX run_leased ON run (host) WHERE state = 1;

CREATE INDEX run_suspect ON run (attempts, priority, due_ms) WHERE attempts >= 2 AND state IN (0, 2) AND due_ms IS NOT NULL;

CREATE INDEX task_context ON task (tenant, owner, context);

CREATE INDEX task_list ON task (tenant, owner, agent, state, status_ms DESC, id DESC);

CREATE TABLE agent (
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    digest     BLOB    NOT NULL, -- the active version
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) WITHOUT ROWID;

CREATE TABLE blob (
    tenant TEXT    NOT NULL,
    digest BLOB    NOT NULL,
    n      INTEGER NOT NULL,
    bytes  BLOB    NOT NULL,
    PRIMARY KEY (tenant, digest, n)
) WITHOUT ROWID;

CREATE TABLE blob_use (
    tenant TEXT NOT NULL,
    digest BLOB NOT NULL,
    holder TEXT NOT NULL,
    PRIMARY KEY (tenant, digest, holder)
) WITHOUT ROWID;

CREATE TABLE body (
    tenant TEXT    NOT NULL,
    task   TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    blobs  INTEGER NOT NULL, -- parts in it whose content stands in blob
    body   BLOB    NOT NULL,
    PRIMARY KEY (tenant, task)
) WITHOUT ROWID;

CREATE TABLE child (
    tenant TEXT    NOT NULL,
    task   TEXT    NOT NULL,
    parent TEXT    NOT NULL,
    root   TEXT    NOT NULL, -- the task at the top of the tree
    PRIMARY KEY (tenant, task)
) WITHOUT ROWID;

CREATE TABLE event (
    tenant TEXT    NOT NULL,
    task   TEXT    NOT NULL,
    seq    INTEGER NOT NULL, -- dense from 1
    stop   INTEGER NOT NULL, -- the terminal or interrupted state it shows, where a blocking call may end; else 0
    blobs  INTEGER NOT NULL,
    body   BLOB    NOT NULL,
    PRIMARY KEY (tenant, task, seq)
);

CREATE TABLE inbox (
    tenant     TEXT    NOT NULL,
    task       TEXT    NOT NULL,
    n          INTEGER NOT NULL, -- dense from 0, which is the message that made the task
    kind       INTEGER NOT NULL, -- 0 message, 1 cancel
    at_seq     INTEGER NOT NULL, -- readers at an earlier rev do not see it
    taken_seq  INTEGER,          -- rev at which the agent had taken it; none: it has not
    message_id TEXT    NOT NULL,
    hash       BLOB    NOT NULL, -- of the body: the same message twice is one
    blobs      INTEGER NOT NULL,
    body       BLOB    NOT NULL,
    PRIMARY KEY (tenant, task, n)
);

CREATE TABLE journal (
    tenant      TEXT    NOT NULL,
    task        TEXT    NOT NULL,
    idx         INTEGER NOT NULL, -- dense from 1 over all generations
    generation  INTEGER NOT NULL, -- counts checkpoints; a row `checkpoint` is the first of its generation
    call        TEXT    NOT NULL, -- the function as the WIT names it
    hash        BLOB    NOT NULL, -- of the function and its arguments: a replay that asks something else is stopped
    request     TEXT    NOT NULL, -- the arguments for people, JSON, cut
    result      BLOB,             -- JSON; none while the call is under way
    blobs       INTEGER NOT NULL, -- 1 if the result names a blob instead of holding it
    seq         INTEGER,          -- the event that the call wrote
    due_ms      INTEGER,          -- when its wait ends by itself
    asked_us    INTEGER NOT NULL, -- microseconds UTC
    answered_us INTEGER,
    cpu_us      INTEGER NOT NULL, -- what the guest computed since the row before
    PRIMARY KEY (tenant, task, idx)
) WITHOUT ROWID;

CREATE TABLE kv (
    tenant  TEXT NOT NULL,
    scope   TEXT NOT NULL, -- who shares it, as the worker writes it
    key     BLOB NOT NULL, -- a blob, so that its order and its length are those of its bytes
    version TEXT NOT NULL, -- another one at each write of the key
    value   BLOB NOT NULL,
    PRIMARY KEY (tenant, scope, key)
);

CREATE TABLE kv_total (
    tenant TEXT    NOT NULL,
    scope  TEXT    NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (tenant, scope)
) WITHOUT ROWID;

CREATE TABLE run (
    tenant     TEXT    NOT NULL,
    task       TEXT    NOT NULL,
    agent      TEXT    NOT NULL,
    state      INTEGER NOT NULL, -- 0 ready, 1 leased, 2 parked, 3 held, 4 dead
    priority   INTEGER NOT NULL, -- lower goes first
    due_ms     INTEGER,          -- when it may be claimed; none: only something that happens wakes it
    host       TEXT,
    attempts   INTEGER NOT NULL, -- claims since the last progress
    last_error TEXT, listens INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant, task)
) WITHOUT ROWID;

CREATE TABLE tally (
    tenant TEXT    NOT NULL,
    owner  TEXT    NOT NULL,
    agent  TEXT    NOT NULL,
    state  INTEGER NOT NULL,
    tasks  INTEGER NOT NULL,
    PRIMARY KEY (tenant, owner, agent, state)
) WITHOUT ROWID;

CREATE TABLE task (
    tenant      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    owner       TEXT    NOT NULL, -- principal the task belongs to; empty: anonymous
    context     TEXT    NOT NULL,
    agent       TEXT    NOT NULL,
    digest      BLOB    NOT NULL, -- the component that the task is pinned to
    state       INTEGER NOT NULL, -- number of the A2A TaskState
    status_ms   INTEGER NOT NULL, -- when that state was recorded
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    rev         INTEGER NOT NULL, -- seq of the last event
    ver         INTEGER NOT NULL, -- moves in every commit of the log's writer: the second half of the guard
    epoch       INTEGER NOT NULL, -- moves at every claim: the first half of the guard
    open        INTEGER NOT NULL, -- 1 while the task waits for its client: then an accept may write the log
    commit_id   INTEGER NOT NULL, -- tells an ambiguous COMMIT from a failed one
    request     BLOB    NOT NULL, calls INTEGER NOT NULL DEFAULT 0, -- facts of the first request that the agent may ask for, JSON
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

CREATE TABLE version (
    digest    BLOB    NOT NULL PRIMARY KEY,
    size      INTEGER NOT NULL,
    loaded_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER tally_came AFTER INSERT ON task BEGIN
    INSERT INTO tally (tenant, owner, agent, state, tasks) VALUES (new.tenant, new.owner, new.agent, new.state, 1)
    ON CONFLICT (tenant, owner, agent, state) DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER tally_moved AFTER UPDATE OF state ON task WHEN new.state <> old.state BEGIN
    UPDATE tally SET tasks = tasks - 1
    WHERE tenant = old.tenant AND owner = old.owner AND agent = old.agent AND state = old.state;
    INSERT INTO tally (tenant, owner, agent, state, tasks) VALUES (new.tenant, new.owner, new.agent, new.state, 1)
    ON CONFLICT (tenant, owner, agent, state) DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER tally_went AFTER DELETE ON task BEGIN
    UPDATE tally SET tasks = tasks - 1
    WHERE tenant = old.tenant AND owner = old.owner AND agent = old.agent AND state = old.state;
END;
