package twins

// templates are the expressions of each kind. A letter after a dollar sign
// stands for something made up: that of a kind for an expression of it, and
//
//	$x  an expression of any kind       $R  a row of something in FROM
//	$G  a column compared with a guess  $P  a pattern
//	$Q  a query                         $S  and a letter: a query of one column
//	$F  a column of a row, spelled as a field
//
// What fails for some values is here on purpose: whether it fails may tell what
// they are.
var templates = map[kind][]string{
	integer: {
		"length($t)", "length($t)", "ascii($t)", "strpos($t, $t)", "($i + $i)", "($i - $i)", "($i / $i)", "($i % $i)", "$t::int",
		"substr($t, 2, 1)::int", "date_part('day', $d)::int", "cardinality($a)", "array_length($a, 1)", "coalesce($i, $i)",
		"nullif($i, $i)", "greatest($i, $i)", "abs($i)", "octet_length($t)", "(1 / (length($t) - 5))", "masklen($r)",
		"extract(year FROM $z)::int", "sign($n)::int", "hashtext($t)", "($j ->> 'k')::int", "CASE WHEN $b THEN $i ELSE 1 / 0 END",
		"CASE WHEN $b THEN $i ELSE $i END", "($d - $d)", "$n::int", "array_position($a, $t)", "($Si)", "jsonb_array_length($j)",
		"family($r)", "(SELECT $i)", "right($t, 1)::int", "extract(doy FROM $d)::int",
	},
	number: {
		"($n * $n)", "($n / $n)", "($n - $n)", "sqrt($n)", "ln($n)", "round($n, 1)", "$t::numeric", "$i::numeric", "($n % $n)",
		"extract(epoch FROM $z)", "coalesce($n, $n)", "greatest($n, $n)", "trunc($n)", "(10 ^ $n)", "($Sn)", "($j ->> 'k')::numeric",
		"width_bucket($n, 0, 10000, 5)::numeric", "CASE WHEN $b THEN $n END", "nullif($n, $n)", "float8($n)::numeric",
	},
	text: {
		"($t || $t)", "upper($t)", "lower($t)", "left($t, 3)", "right($t, 2)", "substr($t, 2, 3)", "substring($t from '[a-z]+')",
		"split_part($t, '@', 1)", "replace($t, $t, 'x')", "regexp_replace($t, $P, 'x')", "reverse($t)", "repeat($t, 2)",
		"format('%s-%I', $t, $t)", "concat_ws(',', $x, $x)", "md5($t)", "$x::text", "$x::text", "to_char($n, '99999.9')",
		"to_char($z, 'YYYY-MM-DD')", "$R::text", "to_jsonb($R)::text", "row_to_json($R)::text", "host($r)", "quote_literal($t)",
		"coalesce($t, $t)", "nullif($t, $t)", "CASE WHEN $b THEN $t ELSE $t END", "CASE $t WHEN $t THEN $t END", "btrim($t, 'ab')",
		"overlay($t placing 'x' from 1 for 1)", "initcap($t)", "translate($t, 'abc', 'xyz')", "encode(sha256($t::bytea), 'hex')",
		"array_to_string($a, ',')", `($t COLLATE "C")`, "$F", "$F", "($St)", "($St)", "chr($i)", "($a)[1]", "($j ->> 'k')", "concat($R)",
		"($j #>> '{k}')", "(regexp_match($t, $P))[1]", "to_hex($i)", "min_scale($n)::text", "$t::varchar(3)", "pg_typeof($x)::text",
		"rpad($t, 12, '.')", "(xpath('/a', ('<a>' || $t || '</a>')::xml))[1]::text", "CAST($t AS name)::text", "num_nonnulls($x, $R)::text",
		"to_tsvector('simple', $t)::text", "unistr($t)", "convert_from($t::bytea, 'UTF8')", "(SELECT $t)",
	},
	boolean: {
		"$G", "$G", "$G", "$G", "$G", "$G", "$t LIKE $P", "$t ILIKE $P", "$t ~ $P", "$t SIMILAR TO $P", "$t NOT LIKE $P ESCAPE '!'",
		"$i = $i", "$t = $t", "$t < $t", "$n > $n", "$n <= $n", "$d = $d", "$d BETWEEN $d AND $d", "$i IN ($i, $i)", "$t IN ($t, $t)",
		"$t = ANY (ARRAY[$t, $t])", "$i = ANY (ARRAY[$i, $i])", "$t > ALL (ARRAY[$t])", "$x IS NULL", "$x IS NOT NULL",
		"($b AND $b)", "($b AND $b)", "($b OR $b)", "(NOT $b)", "EXISTS ($Q)", "NOT EXISTS ($Q)", "$i IN ($Si)", "$t IN ($St)",
		"$t NOT IN ($St)", "$i = ANY ($Si)", "$t <= ALL ($St)", "$r << $r", "$r = $r", "$j @> $j", "($j ? 'k')", "$a && $a",
		"$t = ANY ($a)", "$R IS NULL", "$R IS NOT NULL", "$R = $R", "$R IS DISTINCT FROM $R", "($t, $i) < ($t, $i)", "($b IS TRUE)",
		"starts_with($t, $t)", "$z < $z", "(1 / (length($t) - 5)) > 0", "$t IS NOT DISTINCT FROM $t", "($i, $t) IN (SELECT $i, $t)",
		"($d, $d) OVERLAPS ($d, $d)", "$t BETWEEN SYMMETRIC $t AND $t", "to_tsvector('simple', $t) @@ to_tsquery('simple', $t)",
		"$u = $u", "$t::boolean", "($j -> 'k') = $j", "row($t, $n) = row($t, $n)", "jsonb_path_exists($j, '$.k')", "$R::text LIKE $P",
	},
	date: {
		"($d + 1)", "$z::date", "$t::date", "to_date($t, 'YYYY-MM-DD')", "date_trunc('month', $d)::date", "make_date($i, 1, 1)",
		"greatest($d, $d)", "coalesce($d, $d)", "($Sd)", "($d - $i)",
	},
	moment:   {"$d::timestamptz", "date_trunc('hour', $z)", "($z + interval '1 day')", "to_timestamp($n)", "coalesce($z, $z)", "($Sz)", "least($z, $z)"},
	network:  {"$t::inet", "network($r)::inet", "($r + 1)", "set_masklen($r, $i)", "broadcast($r)", "coalesce($r, $r)", "($Sr)", "($r & $r)"},
	document: {"to_jsonb($x)", "jsonb_build_object('k', $x)", "to_jsonb($R)", "to_jsonb($R)", "($j -> 'k')", "($j || $j)", "jsonb_build_array($x, $R)", "row_to_json($R)::jsonb", "$t::jsonb", "to_jsonb($a)", "jsonb_set($j, '{k}', $j)", "jsonb_path_query_first($j, '$.*')", "jsonb_strip_nulls($j)", "($Sj)", "jsonb_object($a)"},
	uuid:     {"$t::uuid", "md5($t)::uuid", "coalesce($u, $u)", "($Su)"},
	list:     {"ARRAY[$t, $t]", "string_to_array($t, ',')", "regexp_split_to_array($t, '@')", "($a || $a)", "array_append($a, $t)", "ARRAY($St)", "array_remove($a, $t)", "($a)[1:2]", "($Sa)"},
}

// aggregates are the templates that may stand where rows are grouped.
var aggregates = map[kind][]string{
	integer: {
		"count(*)::int", "count($x)::int", "count(DISTINCT $t)::int", "count(*) FILTER (WHERE $b)", "max($i)", "min(length($t))", "sum($i)::int",
		"bit_or($i)", "percentile_disc(0.5) WITHIN GROUP (ORDER BY $i)", "rank(5) WITHIN GROUP (ORDER BY $i)", "(count($R))::int",
	},
	number: {"sum($n)", "avg($n)", "max($n)", "stddev($n)", "sum(DISTINCT $n)", "percentile_disc(0.25) WITHIN GROUP (ORDER BY $n)", "corr($n::float8, $i::float8)::numeric", "sum(1 / $n)", "avg($i)"},
	text: {
		"max($t)", "min($t)", "string_agg($t, ',' ORDER BY $t)", "string_agg($t, ',')", "string_agg(DISTINCT $t, ',' ORDER BY $t)",
		"array_agg($t)::text", "array_agg($R)::text", "jsonb_agg($R)::text", "json_agg($R ORDER BY $i)::text", "mode() WITHIN GROUP (ORDER BY $t)",
		"max($t) FILTER (WHERE $b)", "json_object_agg($i, $t)::text", "array_agg($x ORDER BY $x DESC)::text", "jsonb_object_agg($t, $x)::text",
	},
	boolean:  {"bool_or($b)", "bool_and($b)", "every($b)", "count(*) > 1"},
	date:     {"max($d)", "min($d)"},
	moment:   {"max($z)"},
	document: {"jsonb_agg($x)", "to_jsonb(array_agg($t))", "jsonb_agg($R)"},
	list:     {"array_agg($t)", "array_agg(DISTINCT $t)", "array_agg($t ORDER BY $i, $t)"},
}

// windows are the templates of window functions; $W is a window.
var windows = map[kind][]string{
	integer: {"(row_number() OVER $W)::int", "(rank() OVER $W)::int", "(dense_rank() OVER $W)::int", "ntile(2) OVER $W", "(count(*) OVER $W)::int", "lag($i) OVER $W", "(count(*) FILTER (WHERE $b) OVER $W)::int"},
	number:  {"sum($n) OVER $W", "avg($n) OVER $W", "(percent_rank() OVER $W)::numeric", "first_value($n) OVER $W"},
	text:    {"lag($t) OVER $W", "lead($t, 2, $t) OVER $W", "first_value($t) OVER $W", "nth_value($t, 2) OVER $W", "max($t) OVER $W", "string_agg($t, ',') OVER $W", "first_value($R) OVER $W::text"},
	boolean: {"bool_or($b) OVER $W"},
}

// patterns are for LIKE and regular expressions; not all are valid in both.
var patterns = []string{"'%a%'", "'_%'", "'%@example%'", "'A%'", "'^[A-M]'", "'[0-9]+'", "'%1'", "'\\'", "'('", "'.*@.*'", "'(a|b)*c'"}
