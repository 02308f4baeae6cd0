-- 6. Shows, sequences, shots and frames
--
-- For: what lies on the disk, shot by shot, and which frames are missing. A show, a sequence and a shot are
--   directories below `root`; the levels say which. Frame numbers come from the files' names.
-- Parameters:
--   root            text     /shows/  only paths that begin with this; s3://bucket/ works as well
--   show_level      integer  1        which directory below root is the show
--   sequence_level  integer  2        and the sequence
--   shot_level      integer  3        and the shot
--   limit           integer  10000    so many rows
-- Example:
--   show | sequence | shot  | files | frames | first_frame | last_frame | missing_frames | size_bytes | latest_mtime
--   abc  | sq01     | sh010 | 200   | 100    | 1001        | 1104       | 4              | 9642206800 | 2026-03-05 18:22:07
WITH located AS (
    SELECT
        substr(f.file_path_normalized, length($root) + 1) AS below,
        f.frame_number,
        f.size_bytes,
        f.mtime
    FROM current_files AS f
    WHERE starts_with(f.file_path_normalized, $root)
),
named AS (
    SELECT
        split_part(l.below, '/', $show_level) AS show_name,
        split_part(l.below, '/', $sequence_level) AS sequence_name,
        split_part(l.below, '/', $shot_level) AS shot_name,
        split_part(l.below, '/', $shot_level + 1) AS inside_shot,
        l.frame_number,
        l.size_bytes,
        l.mtime
    FROM located AS l
)
SELECT
    n.show_name AS "show",
    n.sequence_name AS "sequence",
    n.shot_name AS "shot",
    count(*) AS files,
    count(DISTINCT n.frame_number) AS frames,
    min(n.frame_number) AS first_frame,
    max(n.frame_number) AS last_frame,
    max(n.frame_number) - min(n.frame_number) + 1 - count(DISTINCT n.frame_number) AS missing_frames,
    CAST(sum(n.size_bytes) AS BIGINT) AS size_bytes,
    max(n.mtime) AS latest_mtime
FROM named AS n
WHERE n.inside_shot <> ''
GROUP BY n.show_name, n.sequence_name, n.shot_name
ORDER BY n.show_name, n.sequence_name, n.shot_name
LIMIT $limit
