-- 2. Files with a given channel composition
--
-- For: finding the files that have what a comp needs. Names are compared as they stand in the header, case and all.
--   The multi-layer variant: leave channels out and ask for layers, or for how many of them there must be.
-- Parameters:
--   channels    text     R,G,B  names of channels, with commas; all of them must be there; empty: none
--   layers      text     null   names of layers, with commas; all of them must be there
--   min_layers  integer  0      at least so many different layers
--   exactly     boolean  false  no channels but those
--   limit       integer  1000   so many rows
-- Example:
--   file_path                          | file_id                          | channels | layers | multipart_count
--   /shows/abc/sq01/sh010/bty.1001.exr | 2f1d0c5a9e0b47cc8f6f3a2b1c0d9e8f | 28       | 6      | 1
WITH wanted_channels AS (
    SELECT DISTINCT trim(w.name) AS name
    FROM unnest(string_split(coalesce($channels, ''), ',')) AS w(name)
    WHERE trim(w.name) <> ''
),
wanted_layers AS (
    SELECT DISTINCT trim(w.name) AS name
    FROM unnest(string_split(coalesce($layers, ''), ',')) AS w(name)
    WHERE trim(w.name) <> ''
),
found AS (
    SELECT
        c.file_id,
        count(DISTINCT c.channel_name) AS channels,
        count(DISTINCT c.layer_name) AS layers,
        count(DISTINCT wc.name) AS channels_found,
        count(DISTINCT wl.name) AS layers_found
    FROM channels AS c
    LEFT JOIN wanted_channels AS wc ON wc.name = c.channel_name
    LEFT JOIN wanted_layers AS wl ON wl.name = c.layer_name
    GROUP BY c.file_id
)
SELECT
    f.file_path,
    f.file_id,
    found.channels,
    found.layers,
    f.multipart_count
FROM found
JOIN current_files AS f ON f.file_id = found.file_id
WHERE found.channels_found = (SELECT count(*) FROM wanted_channels)
    AND found.layers_found = (SELECT count(*) FROM wanted_layers)
    AND found.layers >= $min_layers
    AND (NOT $exactly OR found.channels = found.channels_found)
ORDER BY f.file_path_normalized
LIMIT $limit
