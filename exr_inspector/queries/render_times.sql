-- 8. Inspections and render times over time
--
-- For: how much was inspected on each day, and how long the files that were last modified on it took to render.
--   The times come from the attributes of V-Ray (vrayInfo/rendertime), Blender (RenderTime, cycles.*.render_time)
--   and Arnold (stats/render_time): seconds, 03:21.77, 1:02:03 or 0h 14m 32.6s. Others are left out.
-- Parameters:
--   since  timestamp  1970-01-01  no day before this; now-30d is thirty days ago
-- Example:
--   day        | inspected_files | inspections | timed_files | render_seconds | mean_render_seconds | longest_seconds
--   2026-03-05 | 1204            | 1310        | 950         | 827450.0       | 871.0               | 4210.5
WITH texts AS (
    SELECT
        a.file_id,
        trim(a.value_text) AS words,
        coalesce(a.value_float, CAST(a.value_int AS DOUBLE), TRY_CAST(trim(a.value_text) AS DOUBLE)) AS seconds
    FROM attributes AS a
    WHERE a.attribute_name IN ('vrayInfo/rendertime', 'RenderTime', 'stats/render_time')
        OR a.attribute_name LIKE 'cycles.%.render_time'
),
fields AS (
    SELECT
        t.file_id,
        t.seconds,
        TRY_CAST(regexp_extract(t.words, '^([0-9]+):[0-9]+:[0-9.]+$', 1) AS DOUBLE) AS clock_hours,
        TRY_CAST(regexp_extract(t.words, '^(?:[0-9]+:)?([0-9]+):[0-9.]+$', 1) AS DOUBLE) AS clock_minutes,
        TRY_CAST(regexp_extract(t.words, '^(?:[0-9]+:)?[0-9]+:([0-9.]+)$', 1) AS DOUBLE) AS clock_seconds,
        TRY_CAST(regexp_extract(t.words, '([0-9]+) *h', 1) AS DOUBLE) AS word_hours,
        TRY_CAST(regexp_extract(t.words, '([0-9]+) *m', 1) AS DOUBLE) AS word_minutes,
        TRY_CAST(regexp_extract(t.words, '([0-9.]+) *s', 1) AS DOUBLE) AS word_seconds
    FROM texts AS t
),
times AS (
    SELECT
        f.file_id,
        max(coalesce(
            f.seconds,
            coalesce(f.clock_hours, 0) * 3600 + f.clock_minutes * 60 + f.clock_seconds,
            coalesce(f.word_hours, 0) * 3600 + coalesce(f.word_minutes, 0) * 60 + f.word_seconds
        )) AS seconds
    FROM fields AS f
    GROUP BY f.file_id
),
events AS (
    SELECT
        CAST(f.last_inspected AS DATE) AS event_day,
        1 AS inspected_files,
        f.inspection_count AS inspections,
        CAST(NULL AS DOUBLE) AS seconds
    FROM current_files AS f
    UNION ALL
    SELECT
        CAST(f.mtime AS DATE) AS event_day,
        0 AS inspected_files,
        0 AS inspections,
        t.seconds
    FROM current_files AS f
    JOIN times AS t ON t.file_id = f.file_id
    WHERE f.mtime IS NOT NULL AND t.seconds BETWEEN 0 AND 31536000
)
SELECT
    e.event_day AS "day",
    CAST(sum(e.inspected_files) AS BIGINT) AS inspected_files,
    CAST(sum(e.inspections) AS BIGINT) AS inspections,
    count(e.seconds) AS timed_files,
    sum(e.seconds) AS render_seconds,
    avg(e.seconds) AS mean_render_seconds,
    max(e.seconds) AS longest_seconds
FROM events AS e
WHERE e.event_day >= CAST($since AS DATE)
GROUP BY e.event_day
ORDER BY e.event_day
