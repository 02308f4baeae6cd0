-- 9. Coverage and staleness
--
-- For: which directories are in the catalog, how much of them could be read, and what should be inspected again.
--   Stale: not inspected since `stale_before`. What was written after its inspection is not known here: scan finds it.
-- Parameters:
--   stale_before  timestamp  now-30d  files not inspected since are stale
--   root          text       null     only paths that begin with this; null is all of them
--   limit         integer    10000    so many rows
-- Example:
--   directory  | files | readable | with_vector | with_document | stale | programs | oldest_inspection   | newest_inspection
--   /shows/abc | 200   | 199      | 199         | 200           | 0     | 1        | 2026-03-05 18:22:07 | 2026-03-06 07:10:00
WITH placed AS (
    SELECT
        regexp_replace(f.file_path_normalized, '/[^/]*$', '') AS directory,
        f.header_hash,
        f.embedding_version,
        f.raw_output,
        f.last_inspected,
        f.inspector_version
    FROM current_files AS f
    WHERE $root IS NULL OR starts_with(f.file_path_normalized, $root)
)
SELECT
    p.directory,
    count(*) AS files,
    count(p.header_hash) AS readable,
    count(p.embedding_version) AS with_vector,
    count(p.raw_output) AS with_document,
    CAST(sum(CASE WHEN p.last_inspected < $stale_before THEN 1 ELSE 0 END) AS BIGINT) AS stale,
    count(DISTINCT p.inspector_version) AS programs,
    min(p.last_inspected) AS oldest_inspection,
    max(p.last_inspected) AS newest_inspection
FROM placed AS p
GROUP BY p.directory
ORDER BY p.directory
LIMIT $limit
