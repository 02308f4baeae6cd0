-- 10. Attribute use
--
-- For: which attributes occur, of which types, in how many files, and what they look like.
-- Parameters:
--   name   text     %    only attributes whose names are like this: % stands for any text, arnold/% for Arnold's
--   limit  integer  200  so many rows, the most frequent first
-- Example:
--   attribute_name | attribute_type | files | occurrences | different_values | example
--   compression    | compression    | 14510 | 15330       | 5                | "dwab"
--   arnold/version | string         | 950   | 950         | 2                | "7.2.4.1 [a1b2c3d4] linux x86_64"
SELECT
    a.attribute_name,
    a.attribute_type,
    count(DISTINCT a.file_id) AS files,
    count(*) AS occurrences,
    count(DISTINCT a.attribute_value) AS different_values,
    substr(min(a.attribute_value), 1, 80) AS example
FROM attributes AS a
JOIN current_files AS f ON f.file_id = a.file_id
WHERE a.attribute_name LIKE $name
GROUP BY a.attribute_name, a.attribute_type
ORDER BY files DESC, a.attribute_name, a.attribute_type
LIMIT $limit
