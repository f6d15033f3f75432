-- What came later, whatever the clock said. Snapshots that were recorded before this stay at 0, where their times order
-- them, as in their archives, which have no sequence either. Events get the order that they had.
ALTER TABLE snapshots ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
DROP INDEX snapshots_by_age;
DROP INDEX snapshots_of_workload;
CREATE INDEX snapshots_by_order ON snapshots (sequence, created_s, created_ns, id);
CREATE INDEX snapshots_of_workload ON snapshots (workload, sequence, created_s, created_ns, id);

ALTER TABLE events ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
UPDATE events SET sequence = numbered.sequence
FROM (SELECT id, row_number() OVER (ORDER BY at_s, at_ns, id) AS sequence FROM events) AS numbered
WHERE numbered.id = events.id;
DROP INDEX events_by_age;
DROP INDEX events_of_workload;
CREATE UNIQUE INDEX events_by_order ON events (sequence);
CREATE INDEX events_of_workload ON events (workload, sequence);

-- The greatest sequence that was ever given out: deletions do not lower it.
CREATE TABLE sequence (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO sequence (only, last) VALUES (1, 0);
