-- The names that a workload's volumes were given, and by what the volumes are recognised.
ALTER TABLE workloads ADD COLUMN known_volumes TEXT NOT NULL DEFAULT '[]'; -- JSON: an array
