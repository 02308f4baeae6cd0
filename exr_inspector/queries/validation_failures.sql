-- 5. Validation failures by policy
--
-- For: which rule of which policy is broken most. Only files that were inspected with a validation are counted;
--   warnings are left out unless asked for.
-- Parameters:
--   policy    text  null   only this policy; null is all of them
--   severity  text  error  error or warning
-- Example:
--   policy   | rule            | files | findings | example
--   delivery | compression     | 120   | 120      | /shows/abc/sq01/sh010/bty.1001.exr
--   (none)   | window.inverted | 1     | 1        | /shows/abc/sq01/sh010/bty.1002.exr
WITH validated AS (
    SELECT
        f.file_id,
        f.file_path,
        f.validation,
        coalesce(json_extract_string(f.validation, '$.policy.name'), '(none)') AS policy
    FROM current_files AS f
    WHERE f.validation IS NOT NULL
),
findings AS (
    SELECT
        v.file_id,
        v.file_path,
        v.policy,
        json_extract_string(u.finding, '$.rule') AS rule,
        json_extract_string(u.finding, '$.severity') AS severity
    FROM validated AS v
    CROSS JOIN unnest(CAST(json_extract(v.validation, '$.findings') AS JSON[])) AS u(finding)
)
SELECT
    found.policy,
    found.rule,
    count(DISTINCT found.file_id) AS files,
    count(*) AS findings,
    min(found.file_path) AS example
FROM findings AS found
WHERE found.severity = $severity
    AND ($policy IS NULL OR found.policy = $policy)
GROUP BY found.policy, found.rule
ORDER BY files DESC, found.policy, found.rule
