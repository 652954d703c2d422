-- The journal: what a task's agent asked its host and what it was told, in order. A fresh instance that gets the same answers
-- stands where the last one stood.

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

-- How many rows the journal has: a row that got lost is missed, also when it was the last.
ALTER TABLE task ADD COLUMN calls INTEGER NOT NULL DEFAULT 0;

-- Runs that were tried without progress more than once: few, and looked for whenever anything is.
CREATE INDEX run_suspect ON run (attempts, priority, due_ms) WHERE attempts >= 2 AND state IN (0, 2) AND due_ms IS NOT NULL;

-- Whether a message wakes a parked run: one that sleeps is woken by its timer or a request to stop.
ALTER TABLE run ADD COLUMN listens INTEGER NOT NULL DEFAULT 1;
