-- A page of a long list without reading the list: how many tasks each owner has in each state, and an index with the state before
-- the time, so that the tasks of one state stand together.

-- Kept by triggers, in the transaction of the change and whoever makes it. A state that no task is in any more keeps its row.
CREATE TABLE tally (
    tenant TEXT    NOT NULL,
    owner  TEXT    NOT NULL,
    agent  TEXT    NOT NULL,
    state  INTEGER NOT NULL,
    tasks  INTEGER NOT NULL,
    PRIMARY KEY (tenant, owner, agent, state)
) WITHOUT ROWID;

INSERT INTO tally (tenant, owner, agent, state, tasks)
SELECT tenant, owner, agent, state, count(*) FROM task GROUP BY tenant, owner, agent, state;

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

-- ListTasks: within a state newest status first, total by id. A list of all states merges one range of each.
DROP INDEX task_list;
CREATE INDEX task_list ON task (tenant, owner, agent, state, status_ms DESC, id DESC);
