-- 1. Renders similar to a reference
--
-- For: finding what was rendered like this frame: same layers, pixel types, windows, compression, renderer.
--   The reference itself stands first, at distance 0, and so do the other frames of its render.
-- Parameters:
--   reference     vector     required  a file_id or a path of the catalog, or 384 numbers as a JSON list
--   k             integer    20        so many rows
--   max_distance  number     2         no row farther away than this: 0 is the same structure, 1 nothing in common
-- Example:
--   distance | file_path                         | file_id                          | frame_number | size_bytes
--   0.0      | /shows/abc/sq01/sh010/bty.1001.exr | 2f1d0c5a9e0b47cc8f6f3a2b1c0d9e8f | 1001         | 48211034
--   0.0214   | /shows/abc/sq01/sh020/bty.1001.exr | 90c3b2a1f0e94d78a6b5c4d3e2f10a9b | 1001         | 47100221
SELECT
    near.distance,
    f.file_path,
    f.file_id,
    f.frame_number,
    f.size_bytes
FROM (
    SELECT
        v.file_id,
        greatest(array_cosine_distance(v.metadata_embedding, CAST($reference AS FLOAT[384])), 0) AS distance
    FROM files AS v
    WHERE v.metadata_embedding IS NOT NULL
) AS near
JOIN current_files AS f ON f.file_id = near.file_id
WHERE near.distance <= $max_distance
ORDER BY near.distance, f.file_path_normalized
LIMIT $k
