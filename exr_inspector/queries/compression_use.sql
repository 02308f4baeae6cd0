-- 7. Compression: use and volume
--
-- For: how many files and bytes each compression has, and what a pixel costs. A file whose parts have two
--   compressions counts for both.
-- Parameters:
--   root  text  null  only paths that begin with this; null is all of them
-- Example:
--   compression | files | parts | size_bytes   | pixels         | bytes_per_pixel
--   zip         | 14200 | 15020 | 402653184000 | 125632512000.0 | 3.205
--   dwab        | 310   | 310   | 1288490188   | 2741760000.0   | 0.47
WITH used AS (
    SELECT
        p.file_id,
        coalesce(p.compression, '(unknown)') AS compression,
        count(*) AS parts,
        sum(CAST(p.width AS DOUBLE) * CAST(p.height AS DOUBLE)) AS pixels
    FROM parts AS p
    GROUP BY p.file_id, coalesce(p.compression, '(unknown)')
)
SELECT
    u.compression,
    count(*) AS files,
    CAST(sum(u.parts) AS BIGINT) AS parts,
    CAST(sum(f.size_bytes) AS BIGINT) AS size_bytes,
    sum(u.pixels) AS pixels,
    sum(CAST(f.size_bytes AS DOUBLE)) / nullif(sum(u.pixels), 0) AS bytes_per_pixel
FROM used AS u
JOIN current_files AS f ON f.file_id = u.file_id
WHERE $root IS NULL OR starts_with(f.file_path_normalized, $root)
GROUP BY u.compression
ORDER BY size_bytes DESC, u.compression
