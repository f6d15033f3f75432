-- What is run before and after a workload's snapshots and restores.
ALTER TABLE workloads ADD COLUMN hooks TEXT NOT NULL DEFAULT '[]'; -- JSON: an array
