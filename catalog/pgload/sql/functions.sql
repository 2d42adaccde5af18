SELECT p.oid, n.nspname, p.proname, p.pronargs, p.pronargdefaults, p.provariadic <> 0,
       p.prokind, p.provolatile, p.proretset, p.prorettype, coalesce(row.oid, 0),
       p.proargmodes::text[], p.proargnames::text[], coalesce(e.extname, '')
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  LEFT JOIN (pg_type t JOIN pg_class row ON row.oid = t.typrelid
                                        AND row.relkind IN ('r', 'v', 'm', 'f', 'p'))
         ON t.oid = p.prorettype
  LEFT JOIN (pg_depend d JOIN pg_extension e ON e.oid = d.refobjid)
         ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
 WHERE n.nspname !~ '^pg_(temp_|toast)'
 ORDER BY p.oid
