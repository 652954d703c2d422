-- Where a task's last checkpoint stands, without a walk over its journal. Few rows are in it, and none of the others pays for it.
CREATE INDEX journal_checkpoint ON journal (tenant, task, idx) WHERE call = 'checkpoint';
