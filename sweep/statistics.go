package sweep

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// statisticsSQL lists the values that the server keeps of columns to plan
// statements by (pg_statistic, pg_statistic_ext_data): they outlive their rows
// until the next ANALYZE.
const statisticsSQL = `
	SELECT schemaname || '.' || tablename, attname::text, concat_ws(E'\n', most_common_vals::text, histogram_bounds::text, most_common_elems::text)
	  FROM pg_catalog.pg_stats
	 WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
	UNION ALL
	SELECT schemaname || '.' || tablename, statistics_name::text, array_to_string(most_common_vals, E'\n')
	  FROM pg_catalog.pg_stats_ext
	 WHERE most_common_vals IS NOT NULL
	UNION ALL
	SELECT schemaname || '.' || tablename, statistics_name::text, concat_ws(E'\n', most_common_vals::text, histogram_bounds::text, most_common_elems::text)
	  FROM pg_catalog.pg_stats_ext_exprs`

// hiddenSQL lists statistics of several columns that we may not read: only who
// owns a table may, however much else somebody reads.
const hiddenSQL = `
	SELECT n.nspname || '.' || s.stxname
	  FROM pg_catalog.pg_statistic_ext s
	  JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
	  JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid
	 WHERE NOT pg_has_role(c.relowner, 'USAGE')
	 ORDER BY 1`

// hiddenStatistics says which statistics cannot be looked through.
func hiddenStatistics(ctx context.Context, conn *pgx.Conn) (left []string, err error) {
	err = within(ctx, conn, func() error {
		rows, err := conn.Query(ctx, hiddenSQL)
		if err != nil {
			return err
		}
		var name string
		_, err = pgx.ForEachRow(rows, []any{&name}, func() error {
			left = append(left, "statistics "+name+": only the owner of their table may read them; ANALYZE makes them anew")
			return nil
		})
		return err
	})
	return left, err
}

// statistics looks through them.
func statistics(ctx context.Context, conn *pgx.Conn, s *scanner, found *hits, except []string) error {
	return within(ctx, conn, func() error {
		rows, err := conn.Query(ctx, statisticsSQL)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c Column
			if err := rows.Scan(&c.Relation, &c.Name, nil); err != nil {
				return err
			}
			if slices.Contains(except, c.Relation) {
				continue
			}
			found.begin()
			add := func(needle int) { found.add(place{needle, c, true}, "") }
			text := rows.RawValues()[2]
			s.scan(text, func(needle, _ int) { add(needle) })
			s.references(c, text, add)
		}
		return rows.Err()
	})
}
