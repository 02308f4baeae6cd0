-- 3. Anomalies
--
-- For: a wrangler's morning list: files without compression, too large, with too many channels, not whole, unreadable.
--   A file with two anomalies has two rows. `measured` is the number of uncompressed parts, of bytes, of channels,
--   or of errors.
-- Parameters:
--   max_bytes     integer  1073741824  larger files are oversized
--   max_channels  integer  50          files with more channels have too many
--   limit         integer  1000        so many rows
-- Example:
--   file_path                          | anomaly       | measured | integrity
--   /shows/abc/sq01/sh010/bty.1001.exr | incomplete    | 1        | truncated
--   /shows/abc/sq01/sh010/bty.1002.exr | many_channels | 80       | complete
SELECT
    a.file_path,
    a.anomaly,
    a.measured,
    a.integrity
FROM (
    SELECT f.file_path, f.file_path_normalized, f.integrity, 'uncompressed' AS anomaly, count(*) AS measured
    FROM current_files AS f
    JOIN parts AS p ON p.file_id = f.file_id
    WHERE p.compression = 'none'
    GROUP BY f.file_path, f.file_path_normalized, f.integrity
    UNION ALL
    SELECT f.file_path, f.file_path_normalized, f.integrity, 'oversized' AS anomaly, f.size_bytes AS measured
    FROM current_files AS f
    WHERE f.size_bytes > $max_bytes
    UNION ALL
    SELECT f.file_path, f.file_path_normalized, f.integrity, 'many_channels' AS anomaly, count(*) AS measured
    FROM current_files AS f
    JOIN channels AS c ON c.file_id = f.file_id
    GROUP BY f.file_path, f.file_path_normalized, f.integrity
    HAVING count(*) > $max_channels
    UNION ALL
    SELECT f.file_path, f.file_path_normalized, f.integrity, 'incomplete' AS anomaly, f.error_count AS measured
    FROM current_files AS f
    WHERE f.integrity IN ('incomplete', 'truncated', 'inconsistent')
    UNION ALL
    SELECT f.file_path, f.file_path_normalized, f.integrity, 'unreadable' AS anomaly, f.error_count AS measured
    FROM current_files AS f
    WHERE f.header_hash IS NULL
) AS a
ORDER BY a.file_path_normalized, a.anomaly
LIMIT $limit
