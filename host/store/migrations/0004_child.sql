-- Tasks that another task of this host sent their first message. When one comes to a stop, its parent gets a row in its inbox.

CREATE TABLE child (
    tenant TEXT    NOT NULL,
    task   TEXT    NOT NULL,
    parent TEXT    NOT NULL,
    root   TEXT    NOT NULL, -- the task at the top of the tree
    PRIMARY KEY (tenant, task)
) WITHOUT ROWID;

CREATE INDEX child_of ON child (tenant, parent);
CREATE INDEX child_tree ON child (tenant, root);
