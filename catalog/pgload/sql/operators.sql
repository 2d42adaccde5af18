SELECT DISTINCT n.nspname, o.oprname, coalesce(e.extname, '')
  FROM pg_operator o
  JOIN pg_namespace n ON n.oid = o.oprnamespace
  LEFT JOIN pg_depend d
    ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid
   AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  LEFT JOIN pg_extension e ON e.oid = d.refobjid
 WHERE n.nspname !~ '^pg_(temp_|toast)'
 ORDER BY 2, 1
