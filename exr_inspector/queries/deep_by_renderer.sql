-- 4. Deep files by renderer
--
-- For: which renderer writes deep data, how much of it, and how it is compressed.
-- Parameters:
--   renderer  text  %  only renderers like this: % stands for any text
-- Example:
--   renderer          | compression | files | deep_parts | size_bytes  | mean_size_bytes
--   Arnold 7.2.4.1    | zips        | 240   | 240        | 90194313216 | 375809638.4
--   (unknown)         | zips        | 12    | 24         | 1073741824  | 89478485.3
WITH deep AS (
    SELECT
        p.file_id,
        coalesce(max(p.render_software), '(unknown)') AS renderer,
        coalesce(min(p.compression), '(unknown)') AS compression,
        count(*) AS deep_parts
    FROM parts AS p
    WHERE p.is_deep
    GROUP BY p.file_id
)
SELECT
    d.renderer,
    d.compression,
    count(*) AS files,
    CAST(sum(d.deep_parts) AS BIGINT) AS deep_parts,
    CAST(sum(f.size_bytes) AS BIGINT) AS size_bytes,
    avg(CAST(f.size_bytes AS DOUBLE)) AS mean_size_bytes
FROM deep AS d
JOIN current_files AS f ON f.file_id = d.file_id
WHERE d.renderer LIKE $renderer
GROUP BY d.renderer, d.compression
ORDER BY size_bytes DESC, d.renderer, d.compression
