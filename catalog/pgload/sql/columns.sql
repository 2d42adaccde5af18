-- The type's text comes only where a modifier makes it differ from the type's own.
SELECT a.attrelid, a.attname, a.attnum, a.atttypid, a.atttypmod,
       CASE WHEN a.atttypmod >= 0 THEN format_type(a.atttypid, a.atttypmod) ELSE '' END,
       a.attnotnull,
       a.atthasdef OR a.attidentity <> '',
       a.attgenerated <> '',
       a.attidentity,
       NOT coalesce(l.collisdeterministic, true)
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_collation l ON l.oid = a.attcollation
 WHERE a.attnum > 0
   AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
   AND n.nspname !~ '^pg_(temp_|toast)'
 ORDER BY a.attrelid, a.attnum
