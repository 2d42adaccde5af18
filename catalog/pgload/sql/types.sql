-- typelem alone does not make an array: point and name have one too.
SELECT t.oid, n.nspname, t.typname, format_type(t.oid, -1), t.typtype,
       CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem ELSE 0 END,
       t.typbasetype
  FROM pg_type t
  JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE n.nspname !~ '^pg_(temp_|toast)'
 ORDER BY t.oid
